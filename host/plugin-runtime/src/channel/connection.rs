//! A unix socket with messages. It is read in the background, so that the host sees an answer when
//! it arrives and not when the plugin asks for it.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    sync::{Mutex, mpsc},
};

use super::limits::MAX_LINE;
use crate::manifest::Framing;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages that wait for the plugin; the peer has to wait when there are more.
const QUEUE_LENGTH: usize = 64;
const CHUNK: usize = 64 << 10;

/// Called with every message, and with `None` at the end. Returns whether the plugin gets the
/// message.
pub(super) type MessageHook = Arc<dyn Fn(Option<&[u8]>) -> bool + Send + Sync>;

/// The writing half.
#[derive(Clone)]
pub(super) struct Writer {
    half: Arc<Mutex<OwnedWriteHalf>>,
    framing: Framing,
}

impl Writer {
    /// Sends one message. A peer that does not accept it within [`WRITE_TIMEOUT`] counts as gone.
    pub(super) async fn send(&self, message: &[u8]) -> io::Result<()> {
        let mut bytes = message.to_vec();
        if self.framing == Framing::Lines {
            bytes.push(b'\n');
        }
        let mut half = self.half.lock().await;
        match tokio::time::timeout(WRITE_TIMEOUT, half.write_all(&bytes)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Ends the connection from this side, so that the peer can serve another client.
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
    /// Connects, and starts to read.
    pub(super) async fn open(path: &Path, framing: Framing, hook: MessageHook) -> io::Result<Self> {
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, UnixStream::connect(path)).await {
            Ok(stream) => stream?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        let (read, write) = stream.into_split();
        let (sender, messages) = mpsc::channel(QUEUE_LENGTH);
        #[expect(clippy::disallowed_methods, reason = "the connection ends it when it is dropped")]
        let reader = tokio::spawn(async move {
            match framing {
                Framing::Lines => read_lines(read, &sender, &hook).await,
                Framing::Bytes => read_chunks(read, &sender, &hook).await,
            }
            hook(None);
        });
        let writer = Writer { half: Arc::new(Mutex::new(write)), framing };
        Ok(Self { writer, messages, reader })
    }

    /// Receives messages and drops them, until the end.
    pub(super) async fn discard(&mut self) {
        while self.messages.recv().await.is_some() {}
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads lines as bytes: guests send what they like, also bytes that are not text.
async fn read_lines(read: OwnedReadHalf, sender: &mpsc::Sender<Vec<u8>>, hook: &MessageHook) {
    let mut read = BufReader::new(read);
    let limit = u64::try_from(MAX_LINE).expect("it is a small number") + 1;
    loop {
        let mut line = Vec::new();
        let got = (&mut read).take(limit).read_until(b'\n', &mut line).await;
        let whole = line.last() == Some(&b'\n');
        if got.is_err() || !whole {
            // The end, a failure, or a line without an end: all of them end the connection.
            return;
        }
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.is_empty() && hook(Some(&line)) && sender.send(line).await.is_err() {
            return;
        }
    }
}

async fn read_chunks(mut read: OwnedReadHalf, sender: &mpsc::Sender<Vec<u8>>, hook: &MessageHook) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = read.read(&mut chunk).await {
        let bytes = chunk[..length].to_vec();
        if hook(Some(&bytes)) && sender.send(bytes).await.is_err() {
            return;
        }
    }
}
