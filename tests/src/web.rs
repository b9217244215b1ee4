//! A web server with one file, which serves ranges or does not.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::Result;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// How the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// With the ranges that are asked for.
    Ranges,
    /// With the whole file, whatever is asked for.
    Whole,
    /// With ranges, to those who have the password of the tests.
    Password,
    /// With ranges of a file that is another one after the first answers.
    Changing,
    /// With the status 404.
    Missing,
}

/// The field `Authorization` that [`Behaviour::Password`] wants.
pub const AUTHORIZATION: &str = "Bearer token-of-the-web-server";

/// A server that ends when it is dropped.
pub struct WebServer {
    /// The address of its file, which ends with a query.
    pub url: String,
    requests: Arc<AtomicU32>,
    _connections: JoinSet<()>,
}

struct Shared {
    file: Vec<u8>,
    behaviour: Behaviour,
    requests: Arc<AtomicU32>,
}

impl WebServer {
    /// Starts a server on loopback.
    pub async fn start(file: Vec<u8>, behaviour: Behaviour) -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}/files/disk.img?signature=secret-of-the-tests", listener.local_addr()?);
        let requests = Arc::<AtomicU32>::default();
        let shared = Arc::new(Shared { file, behaviour, requests: requests.clone() });
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(shared.clone(), stream));
            }
        });
        Ok(Self { url, requests, _connections: connections })
    }

    /// Returns the number of requests so far.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Answers the requests of a connection until its client goes away.
async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(fields)) = head(&mut stream).await {
        let count = shared.requests.fetch_add(1, Ordering::Relaxed);
        let answer = answer(&shared, &fields, count);
        if stream.get_mut().write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn head(stream: &mut BufReader<TcpStream>) -> Result<Option<BTreeMap<String, String>>> {
    let mut fields = BTreeMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        match line.trim().split_once(':') {
            Some((name, value)) => fields.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None if line.trim().is_empty() => return Ok(Some(fields)),
            None => None,
        };
    }
}

fn answer(shared: &Shared, fields: &BTreeMap<String, String>, count: u32) -> Vec<u8> {
    let size = shared.file.len();
    let refused = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    match shared.behaviour {
        Behaviour::Missing => return refused("404 Not Found"),
        Behaviour::Password if fields.get("authorization").is_none_or(|value| value != AUTHORIZATION) => {
            return refused("401 Unauthorized");
        }
        Behaviour::Ranges | Behaviour::Whole | Behaviour::Password | Behaviour::Changing => {}
    }
    let tag = if shared.behaviour == Behaviour::Changing && count > 2 { "second" } else { "first" };
    if fields.get("if-match").is_some_and(|wanted| *wanted != format!("\"{tag}\"")) {
        return refused("412 Precondition Failed");
    }
    let range = fields.get("range").filter(|_| shared.behaviour != Behaviour::Whole).and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?.min(size - 1)))
    });
    let mut answer = match range {
        Some((first, last)) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{size}\r\nContent-Length: {}\r\n",
            last - first + 1
        ),
        None => format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n"),
    };
    answer.push_str(&format!("ETag: \"{tag}\"\r\nContent-Type: application/octet-stream\r\n\r\n"));
    let (first, last) = range.unwrap_or((0, size - 1));
    [answer.into_bytes(), shared.file[first..=last].to_vec()].concat()
}
