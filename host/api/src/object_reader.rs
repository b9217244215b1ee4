//! Reading objects from agents, which the program passes in.

use std::{io, pin::Pin};

use axum::body::Bytes;
use futures::stream::BoxStream;
use imprint_domain::secret::SecretText;
use imprint_service::DownloadSource;

/// The conditions of a request, as the client sent them.
#[derive(Clone, Debug, Default)]
pub struct ObjectRequest {
    /// Whether only the head of the answer is wanted.
    pub head_only: bool,
    /// The fields that decide about the answer: `Range` and the conditions, with their values.
    pub fields: Vec<(String, String)>,
}

/// The answer of an agent.
pub struct ObjectAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The fields of the head that describe the object and the range.
    pub fields: Vec<(String, String)>,
    /// Where the client gets the object instead, with the status 307: a signed address, which is
    /// for the client alone.
    pub location: Option<SecretText>,
    /// The bytes.
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

/// The answer of an agent, when it comes.
pub type ObjectFuture = Pin<Box<dyn Future<Output = Result<ObjectAnswer, String>> + Send>>;

/// Reads objects from the agents that serve them. What fails is said in a sentence.
pub trait ObjectReader: Send + Sync {
    /// Asks an agent for an object.
    fn read(&self, source: DownloadSource, request: ObjectRequest) -> ObjectFuture;
}
