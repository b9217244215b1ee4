//! A server that receives webhooks: it keeps what arrives, and answers as the test says.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The longest body of a message in bytes.
const MAX_BODY: usize = 4 << 20;

/// A request that has arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The fields of its head, in lower case.
    pub fields: BTreeMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
    /// The status that it was answered with.
    pub status: u16,
}

struct Shared {
    received: Mutex<Vec<Received>>,
    /// How many of the next requests are refused.
    refuse: Mutex<u32>,
}

/// A receiver that ends when it is dropped.
pub struct Receiver {
    /// The address that messages are to be sent to.
    pub url: String,
    shared: Arc<Shared>,
    _connections: JoinSet<()>,
}

impl Receiver {
    /// Starts a receiver on loopback.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}/hook?key=of-the-tests", listener.local_addr()?);
        let shared = Arc::new(Shared { received: Mutex::default(), refuse: Mutex::default() });
        let (accepting, mut connections) = (shared.clone(), JoinSet::new());
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = accepting.clone();
                open.spawn(async move {
                    // A client that goes away has sent its last message.
                    let _ = serve(&shared, stream).await;
                });
            }
        });
        Ok(Self { url, shared, _connections: connections })
    }

    /// Returns what has arrived so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the next requests answered with 503.
    pub fn refuse(&self, count: u32) {
        *self.shared.refuse.lock().unwrap_or_else(PoisonError::into_inner) = count;
    }
}

async fn serve(shared: &Shared, stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut fields = BTreeMap::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match line.trim().split_once(':') {
                Some((name, value)) => fields.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
                None if line.trim().is_empty() => break,
                None => None,
            };
        }
        let length: usize = fields.get("content-length").context("a length")?.parse()?;
        if length > MAX_BODY {
            bail!("a body of {length} bytes");
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let status = {
            let mut refuse = shared.refuse.lock().unwrap_or_else(PoisonError::into_inner);
            let refused = *refuse > 0;
            *refuse = refuse.saturating_sub(1);
            if refused { 503 } else { 204 }
        };
        let received = Received { fields, body, status };
        shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
        let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}
