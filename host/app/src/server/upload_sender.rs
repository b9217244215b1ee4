//! Sends uploads to the agents that receive them, with the HTTP client that the data path uses.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, stream::BoxStream};
use imprint_agent_protocol::upload_path;
use imprint_api::{UploadAnswer, UploadFuture, UploadRequest, UploadSender};
use imprint_http_client::{
    Client, ClientOptions,
    http::{HeaderValue, Request, header},
};
use imprint_service::UploadTarget;
use tokio::sync::mpsc;

/// The pieces of a body that wait to be sent.
const WAITING: usize = 8;
/// The most bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 << 10;

/// Sends over HTTPS, to agents with the certificates that they announced.
pub(crate) struct AgentUploads;

impl UploadSender for AgentUploads {
    fn send(&self, target: UploadTarget, request: UploadRequest) -> UploadFuture {
        Box::pin(async move {
            let UploadRequest { method, fields, body } = request;
            let body = body.map(pass_on);
            let sent = tokio::task::spawn_blocking(move || ask(&target, method, fields, body));
            sent.await.map_err(|error| error.to_string())?
        })
    }
}

/// Passes the pieces of a body on to a thread that sends them.
#[expect(clippy::disallowed_methods, reason = "it ends with the body, or when the thread reads no more")]
fn pass_on(mut body: BoxStream<'static, io::Result<Bytes>>) -> PieceReader {
    let (sender, pieces) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        while let Some(piece) = body.next().await {
            let failed = piece.is_err();
            // Nothing reads any more where the agent has answered before the end.
            if sender.send(piece).await.is_err() || failed {
                return;
            }
        }
    });
    PieceReader { pieces, piece: Bytes::new() }
}

/// The pieces of a body as a reader. Blocks.
struct PieceReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Sends the request. Blocks.
fn ask(
    target: &UploadTarget,
    method: &str,
    fields: Vec<(&'static str, String)>,
    body: Option<PieceReader>,
) -> Result<UploadAnswer, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let options = ClientOptions::pinned(target.server.fingerprint.bytes());
    let client = Client::new(&options).map_err(|error| text(&error))?;
    let bearer = format!("Bearer {}", target.token.expose());
    let mut bearer = HeaderValue::from_str(&bearer).map_err(|error| text(&error))?;
    bearer.set_sensitive(true);
    let uri = format!("https://{}{}", target.server.address, upload_path(target.task_id));
    let mut head = Request::builder().method(method).uri(uri).header(header::AUTHORIZATION, bearer);
    for (name, value) in fields {
        head = head.header(name, value);
    }
    let answer = match body {
        Some(mut body) => {
            let head = head.body(()).map_err(|error| text(&error))?;
            client.send_stream(head, &mut body)
        }
        None => client.send(head.body(&[][..]).map_err(|error| text(&error))?),
    };
    let mut answer = answer.map_err(|error| text(&error))?;
    let mut body = Vec::new();
    let reading = answer.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut body);
    reading.map_err(|error| text(&error))?;
    Ok(UploadAnswer { status: answer.status().as_u16(), body })
}
