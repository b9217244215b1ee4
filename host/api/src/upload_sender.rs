//! Sending uploads to the agents that receive them, which the program passes in.

use std::{io, pin::Pin};

use axum::body::Bytes;
use futures::stream::BoxStream;
use imprint_service::UploadTarget;

/// A request to the agent that receives an upload.
pub struct UploadRequest {
    /// `GET` for the state, `PATCH` to continue, `PUT` for a part.
    pub method: &'static str,
    /// The fields that belong to it: `Upload-Offset`, `Upload-Part`, `Content-Digest`.
    pub fields: Vec<(&'static str, String)>,
    /// The bytes; `None` for none.
    pub body: Option<BoxStream<'static, io::Result<Bytes>>>,
}

/// The answer of an agent.
pub struct UploadAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON text: the state of the upload, or why the request is refused.
    pub body: Vec<u8>,
}

/// The answer of an agent, when it comes.
pub type UploadFuture = Pin<Box<dyn Future<Output = Result<UploadAnswer, String>> + Send>>;

/// Sends uploads to agents. What fails is said in a sentence.
pub trait UploadSender: Send + Sync {
    /// Sends a request, with its body as it comes.
    fn send(&self, target: UploadTarget, request: UploadRequest) -> UploadFuture;
}
