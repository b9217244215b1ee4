//! The answer to one request for an object.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use http_body_util::StreamBody;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use imprint_agent_protocol::{ObjectGrant, TokenError, file_name, object_of_path, upload_of_path};
use imprint_domain::id::StorageId;
use imprint_ports::{ClientUrlTerms, PortError, ReadLocator, SecretText};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tracing::{debug, info};

use super::{
    client::{Client, Opened},
    context::Context,
    range::{Wanted, wanted},
    refusal::{Refusal, text},
    upload,
};
use crate::{jobs::copy, machine::storages::Storage};

/// The bytes that are read at once, and that a connection has in memory.
const PIECE: u64 = 1 << 20;
/// The longest time that an address of the storage itself is valid, in seconds.
const MAX_DIRECT_S: u32 = 15 * 60;
/// How often the folder of a storage is compared with its path while it is read.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The body of an answer.
pub(super) type Body = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;

/// Where the bytes of an object come from.
enum Found {
    /// From here.
    Here(Arc<Opened>),
    /// From the storage itself, at this address.
    There(SecretText),
}

/// Answers a request, whatever it is.
pub(super) async fn answer(client: Arc<Client>, request: Request<Incoming>) -> Response<Body> {
    let head_only = request.method() == Method::HEAD;
    if let Some(upload) = upload_of_path(request.uri().path()) {
        return match upload::answer(&client, upload, request).await {
            Ok(state) => json_response(StatusCode::OK, &state, head_only),
            Err(refusal) => {
                client.log_refusal(&refusal.code, &refusal.detail);
                refused(&refusal, head_only)
            }
        };
    }
    let answered = match object(&client, &request).await {
        Ok(Found::Here(opened)) => Ok(send(opened, request.headers(), head_only)),
        Ok(Found::There(url)) => redirect(&url),
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok(response) => response,
        Err(refusal) => {
            client.log_refusal(&refusal.code, &refusal.detail);
            refused(&refusal, head_only)
        }
    }
}

/// Returns the object that the request names, if its token permits that.
async fn object(client: &Client, request: &Request<Incoming>) -> Result<Found, Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let detail = "objects can only be read, with GET and HEAD";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "object.method", detail));
    }
    let (storage_id, key) = object_of_path(request.uri().path())
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "object.path", "there are only objects here"))?;
    let grant = permit(client, request.headers(), storage_id, &key)?;
    if let Some(opened) = client.opened(storage_id, &key) {
        opened.storage.require_in_place().await?;
        return Ok(Found::Here(opened));
    }
    let storage = storage(client, storage_id).await?;
    let locator = storage.backend.open_read(&key).await?;
    let head_only = request.method() == Method::HEAD;
    if let Some(url) = client_url(&locator, &grant, head_only)? {
        info!(storage = %storage_id, key, purpose = grant.purpose, "a reader is sent to the storage itself");
        return Ok(Found::There(url));
    }
    let opened = Arc::new(open(client, storage, key, storage_id, locator).await?);
    client.keep(opened.clone());
    Ok(Found::Here(opened))
}

/// Returns the address at which a reader gets an object from the storage itself, where both the
/// token and the storage permit that.
fn client_url(
    locator: &ReadLocator,
    grant: &ObjectGrant,
    head_only: bool,
) -> Result<Option<SecretText>, PortError> {
    let (ReadLocator::Remote(object), Some(seconds)) = (locator, grant.direct_s) else { return Ok(None) };
    object.client_url(&ClientUrlTerms {
        head_only,
        valid_for: Duration::from_secs(seconds.clamp(1, MAX_DIRECT_S).into()),
        file_name: file_name(grant.file_name.as_ref().unwrap_or(&grant.key)),
    })
}

/// Answers that the reader gets the object there.
fn redirect(url: &SecretText) -> Result<Response<Body>, Refusal> {
    let mut location = HeaderValue::from_str(url.expose()).map_err(|_| {
        Refusal::new(StatusCode::BAD_GATEWAY, "object.address", "the storage's address cannot be sent")
    })?;
    location.set_sensitive(true);
    let mut response = Response::new(StreamBody::new(stream::empty().boxed()));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(response)
}

/// Checks the token of a request, and returns what it permits.
fn permit(
    client: &Client,
    headers: &HeaderMap,
    storage_id: StorageId,
    key: &str,
) -> Result<ObjectGrant, Refusal> {
    let Context { permitted, environment, .. } = client.context.as_ref();
    let token = text(headers, header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| Refusal::forbidden("object.token", "there is no token"))?;
    let secret = permitted.key().ok_or_else(|| {
        let detail = "the control plane has not said yet which tokens are valid";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "object.no-key", detail)
    })?;
    let grant = secret.open(token, environment.now()).map_err(|error| match error {
        TokenError::Invalid => Refusal::forbidden("object.token", error),
        TokenError::Expired => Refusal::forbidden("object.expired", error),
    })?;
    if grant.storage != storage_id || grant.key != key {
        return Err(Refusal::forbidden("object.other", "the token is for another object"));
    }
    debug!(storage = %storage_id, key, purpose = grant.purpose, "an object is read");
    Ok(grant)
}

async fn storage(client: &Client, storage_id: StorageId) -> Result<Storage, Refusal> {
    let Context { machine, permitted, .. } = client.context.as_ref();
    let bound = permitted.storages().into_iter().find(|storage| storage.id == storage_id);
    let wanted = bound.ok_or_else(|| {
        // One that was bound a moment ago becomes known with the next heartbeat.
        let detail = "the storage is not bound to this hypervisor; bind it again, or read from another";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "object.not-bound", detail)
    })?;
    Ok(machine.storage(&wanted).await?)
}

async fn open(
    client: &Client,
    storage: Storage,
    key: String,
    storage_id: StorageId,
    locator: ReadLocator,
) -> Result<Opened, Refusal> {
    let found = storage.backend.stat(&key).await?;
    let source = copy::open_locator(locator, client.closed.child_token()).await?;
    storage.require_in_place().await?;
    let version = format!("{storage_id}\0{key}\0{}\0{:?}", source.size(), found.modified_ms);
    let etag = format!("\"{}\"", &hex::encode(Sha256::digest(version))[..32]);
    info!(storage = %storage_id, key, size = source.size(), "an object is served");
    Ok(Opened { storage_id, key, storage, source, etag })
}

/// Whether a list of entity tags has that one, or is `*`.
fn lists(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag == etag)
}

/// Answers with the object or a part of it (RFC 9110, sections 13 and 14).
fn send(opened: Arc<Opened>, asked: &HeaderMap, head_only: bool) -> Response<Body> {
    let (size, etag) = (opened.source.size(), opened.etag.clone());
    if text(asked, header::IF_MATCH).is_some_and(|tags| !lists(tags, &etag)) {
        let detail = "the object is not the version that was asked for";
        return refused(&Refusal::new(StatusCode::PRECONDITION_FAILED, "object.changed", detail), head_only);
    }
    let unchanged =
        text(asked, header::IF_NONE_MATCH).is_some_and(|tags| lists(&tags.replace("W/", ""), &etag));
    let range = text(asked, header::RANGE)
        .filter(|_| text(asked, header::IF_RANGE).is_none_or(|tag| tag.trim() == etag));
    let wanted = range.map_or(Wanted::All, |range| wanted(range, size));
    let (status, first, end) = match wanted {
        _ if unchanged => (StatusCode::NOT_MODIFIED, 0, 0),
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part(first, end) => (StatusCode::PARTIAL_CONTENT, first, end),
        Wanted::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let body = if head_only || first == end { stream::empty().boxed() } else { pieces(opened, first, end) };
    let mut response = Response::new(StreamBody::new(body));
    *response.status_mut() = status;
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::ETAG, etag);
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    match status {
        StatusCode::PARTIAL_CONTENT => {
            set(header::CONTENT_RANGE, format!("bytes {first}-{}/{size}", end - 1))
        }
        StatusCode::RANGE_NOT_SATISFIABLE => set(header::CONTENT_RANGE, format!("bytes */{size}")),
        _ => {}
    }
    if status != StatusCode::NOT_MODIFIED {
        set(header::CONTENT_LENGTH, (end - first).to_string());
    }
    response
}

/// A read in progress.
struct Reading {
    opened: Arc<Opened>,
    at: u64,
    end: u64,
    checked: Instant,
}

/// Reads a range piece by piece, each when the reader has taken the one before.
fn pieces(opened: Arc<Opened>, first: u64, end: u64) -> BoxStream<'static, io::Result<Frame<Bytes>>> {
    let reading = Reading { opened, at: first, end, checked: Instant::now() };
    stream::try_unfold(reading, |mut reading| async move {
        if reading.at == reading.end {
            return Ok(None);
        }
        let piece = reading.next().await?;
        Ok(Some((Frame::data(piece), reading)))
    })
    .boxed()
}

impl Reading {
    async fn next(&mut self) -> io::Result<Bytes> {
        if self.checked.elapsed() >= CHECK_INTERVAL {
            self.opened.storage.require_in_place().await?;
            self.checked = Instant::now();
        }
        let (source, at) = (self.opened.source.clone(), self.at);
        let length = PIECE.min(self.end - at);
        let mut buffer = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let read = tokio::task::spawn_blocking(move || {
            source.read_exact_at(&mut buffer, at)?;
            io::Result::Ok(buffer)
        });
        let piece = read.await.map_err(io::Error::other)??;
        self.at += length;
        Ok(piece.into())
    }
}

/// Answers that a request is refused.
fn refused(refusal: &Refusal, head_only: bool) -> Response<Body> {
    let body = json!({ "code": refusal.code, "detail": refusal.detail });
    let mut response = json_response(refusal.status, &body, head_only);
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Answers with JSON.
fn json_response(status: StatusCode, value: &impl Serialize, head_only: bool) -> Response<Body> {
    let text = serde_json::to_string(value).unwrap_or_default();
    let length = text.len();
    let body = if head_only {
        stream::empty().boxed()
    } else {
        stream::once(async move { Ok(Frame::data(Bytes::from(text))) }).boxed()
    };
    let mut response = Response::new(StreamBody::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, length.into());
    response
}
