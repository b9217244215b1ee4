//! Reads objects from agents for downloads, with the HTTP client that the data path uses.

use std::sync::Arc;

use imprint_api::{ObjectAnswer, ObjectFuture, ObjectReader, ObjectRequest};
use imprint_domain::secret::SecretText;
use imprint_http_client::{
    Answer, Client, ClientOptions,
    http::{HeaderValue, Request, header},
};
use imprint_service::DownloadSource;

use crate::answer_body::pieces;

/// The fields of an answer that describe an object.
const DESCRIBED: [header::HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_RANGE, header::ETAG, header::ACCEPT_RANGES];

/// Reads objects over HTTPS, from agents with the certificates that they announced.
pub(crate) struct AgentObjects;

impl ObjectReader for AgentObjects {
    fn read(&self, source: DownloadSource, request: ObjectRequest) -> ObjectFuture {
        Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || ask(&source, request));
            let answer = asked.await.map_err(|error| error.to_string())??;
            let fields = DESCRIBED
                .iter()
                .filter_map(|name| {
                    let value = answer.headers().get(name)?.to_str().ok()?;
                    Some((name.to_string(), value.to_owned()))
                })
                .collect();
            let status = answer.status().as_u16();
            let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.map(|address| SecretText::new(address.to_owned()));
            Ok(ObjectAnswer { status, fields, location, body: pieces(answer) })
        })
    }
}

/// Sends the request. Blocks.
fn ask(source: &DownloadSource, request: ObjectRequest) -> Result<Answer, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let options = ClientOptions::pinned(source.source.server.fingerprint.bytes());
    let client = Arc::new(Client::new(&options).map_err(|error| text(&error))?);
    let mut bearer = HeaderValue::from_str(&source.source.authorization()).map_err(|error| text(&error))?;
    bearer.set_sensitive(true);
    let method = if request.head_only { "HEAD" } else { "GET" };
    let mut head = Request::builder()
        .method(method)
        .uri(source.source.url(source.storage_id, &source.key))
        .header(header::AUTHORIZATION, bearer);
    for (name, value) in request.fields {
        head = head.header(name, value);
    }
    let head = head.body(&[][..]).map_err(|error| text(&error))?;
    client.send(head).map_err(|error| text(&error))
}
