//! A relay in front of a server that speaks HTTP/1.1: it passes every byte on, and counts.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

use crate::LONGEST_WAIT;

/// The longest head of a request in bytes.
const MAX_HEAD: usize = 64 << 10;

/// What has passed through a relay.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// How often the server answered to each part of an upload, by the number of the part.
    pub parts: BTreeMap<u32, u32>,
    /// The bytes of the bodies of parts, whole or not.
    pub sent: u64,
    /// The bytes that the server answered, with its heads.
    pub received: u64,
    /// The number of open connections of clients.
    pub open: usize,
}

impl Passed {
    /// Returns the number of answers to parts.
    pub fn answers(&self) -> u32 {
        self.parts.values().sum()
    }
}

/// A running relay; it ends with this value.
pub struct Relay {
    /// The address, `http://127.0.0.1:PORT`.
    pub url: String,
    passed: watch::Receiver<Passed>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Starts a relay to the server at `http://HOST:PORT`.
    pub async fn start(server: &str) -> Result<Self> {
        let server: SocketAddr = server.trim_start_matches("http://").parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (counter, passed) = watch::channel(Passed::default());
        let counter = Arc::new(counter);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connection(client, server, counter.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { url, passed, _tasks: tasks })
    }

    /// Returns what has passed.
    pub fn passed(&self) -> Passed {
        self.passed.borrow().clone()
    }

    /// Waits until what has passed is as the test wants it.
    pub async fn until(&self, reached: impl Fn(&Passed) -> bool) -> Result<()> {
        let mut passed = self.passed.clone();
        let waiting = tokio::time::timeout(LONGEST_WAIT, passed.wait_for(|passed| reached(passed)));
        waiting.await.with_context(|| format!("only this passed: {:?}", self.passed()))??;
        Ok(())
    }
}

async fn connection(client: TcpStream, server: SocketAddr, passed: Arc<watch::Sender<Passed>>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    passed.send_modify(|passed| passed.open += 1);
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // The parts that the server has as a whole and has not answered to.
    let waiting = Mutex::default();
    // Either end of the connection ends both.
    tokio::select! {
        _ = requests(from_client, to_server, (&passed, &waiting)) => {}
        _ = answers(from_server, to_client, (&passed, &waiting)) => {}
    }
    passed.send_modify(|passed| passed.open -= 1);
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (passed, waiting): (&watch::Sender<Passed>, &Mutex<Vec<u32>>),
) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
        let answered = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
        passed.send_modify(|passed| {
            passed.received += u64::try_from(length).unwrap_or(0);
            answered.iter().for_each(|part| *passed.parts.entry(*part).or_default() += 1);
        });
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (passed, waiting): (&watch::Sender<Passed>, &Mutex<Vec<u32>>),
) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break String::from_utf8(buffer.drain(..end + 4).collect())?;
            }
            if buffer.len() > MAX_HEAD || from.read_buf(&mut buffer).await? == 0 {
                bail!("no whole head");
            }
        };
        to.write_all(head.as_bytes()).await?;
        let part = part(&head);
        let mut left = length(&head);
        while left > 0 {
            if buffer.is_empty() && from.read_buf(&mut buffer).await? == 0 {
                bail!("the body ends early");
            }
            let piece = buffer.len().min(left);
            to.write_all(&buffer[..piece]).await?;
            buffer.drain(..piece);
            left -= piece;
            if part.is_some() {
                passed.send_modify(|passed| passed.sent += u64::try_from(piece).unwrap_or(0));
            }
        }
        waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(part);
    }
}

/// Returns the number of the part that a request sends.
fn part(head: &str) -> Option<u32> {
    let line = head.lines().next()?.strip_prefix("PUT ")?;
    let (_, number) = line.split_once("partNumber=")?;
    number.split(['&', ' ']).next()?.parse().ok()
}

/// Returns the length of the body; requests of the program always name it.
fn length(head: &str) -> usize {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    found.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}
