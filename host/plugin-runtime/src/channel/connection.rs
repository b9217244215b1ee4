//! A unix socket with messages: reading in the background, so that answers are seen when they come
//! and not when the plugin gets around to them.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    sync::{Mutex, mpsc},
};

use super::MAX_LINE;
use crate::manifest::Framing;

const CONNECT: Duration = Duration::from_secs(5);
const WRITE: Duration = Duration::from_secs(10);
/// Messages that wait for the plugin; the peer waits when they are that many.
const QUEUE: usize = 64;
const CHUNK: usize = 64 << 10;

/// What a reader is told of every message; answers whether the plugin gets it.
pub(super) type Watch = Arc<dyn Fn(Option<&[u8]>) -> bool + Send + Sync>;

/// The writing half.
#[derive(Clone)]
pub(super) struct Writer {
    half: Arc<Mutex<OwnedWriteHalf>>,
    framing: Framing,
}

impl Writer {
    /// Sends one message. A peer that does not take it within ten seconds counts as gone.
    pub(super) async fn send(&self, message: &[u8]) -> io::Result<()> {
        let mut bytes = message.to_vec();
        if self.framing == Framing::Lines {
            bytes.push(b'\n');
        }
        let mut half = self.half.lock().await;
        match tokio::time::timeout(WRITE, half.write_all(&bytes)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Tells the peer that nothing more comes, so that it takes another client.
    pub(super) async fn close(&self) {
        // A connection that cannot be shut down is closed already.
        let _closed = self.half.lock().await.shutdown().await;
    }
}

/// An open connection.
pub(super) struct Connection {
    pub(super) writer: Writer,
    pub(super) messages: mpsc::Receiver<Vec<u8>>,
    reader: tokio::task::JoinHandle<()>,
}

impl Connection {
    /// Connects, and begins to read. `watch` sees every message, and `None` at the end.
    pub(super) async fn open(path: &Path, framing: Framing, watch: Watch) -> io::Result<Self> {
        let stream = match tokio::time::timeout(CONNECT, UnixStream::connect(path)).await {
            Ok(stream) => stream?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        let (read, write) = stream.into_split();
        let (sender, messages) = mpsc::channel(QUEUE);
        let reader = tokio::spawn(async move {
            match framing {
                Framing::Lines => read_lines(read, &sender, &watch).await,
                Framing::Bytes => read_chunks(read, &sender, &watch).await,
            }
            watch(None);
        });
        let writer = Writer { half: Arc::new(Mutex::new(write)), framing };
        Ok(Self { writer, messages, reader })
    }
}

impl Connection {
    /// Takes messages and forgets them, until the end.
    pub(super) async fn discard(&mut self) {
        while self.messages.recv().await.is_some() {}
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Lines as bytes: guests send what they like, also bytes that are no text.
async fn read_lines(read: OwnedReadHalf, sender: &mpsc::Sender<Vec<u8>>, watch: &Watch) {
    let mut read = BufReader::new(read);
    let limit = u64::try_from(MAX_LINE).expect("it is a small number") + 1;
    loop {
        let mut line = Vec::new();
        let got = (&mut read).take(limit).read_until(b'\n', &mut line).await;
        let whole = line.last() == Some(&b'\n');
        if got.is_err() || !whole {
            // The end, a failure, or a line without an end: all of them end the conversation.
            return;
        }
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.is_empty() && watch(Some(&line)) && sender.send(line).await.is_err() {
            return;
        }
    }
}

async fn read_chunks(mut read: OwnedReadHalf, sender: &mpsc::Sender<Vec<u8>>, watch: &Watch) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = read.read(&mut chunk).await {
        let bytes = chunk[..length].to_vec();
        if watch(Some(&bytes)) && sender.send(bytes).await.is_err() {
            return;
        }
    }
}
