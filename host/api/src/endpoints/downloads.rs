//! Links to objects of image storages.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};
use futures::StreamExt as _;
use imprint_agent_protocol::file_name;
use imprint_domain::{Code, Error, id::RequestId, secret::SecretText};
use imprint_service::DownloadSource;

use crate::{
    bounded_body::bounded_body,
    metrics::BytesFrom,
    object_reader::{ObjectAnswer, ObjectRequest},
    problem::ApiError,
    state::{ApiState, MAX_DOWNLOADS},
};

/// The fields of a request that decide about the answer.
const ASKED: [HeaderName; 4] = [header::RANGE, header::IF_RANGE, header::IF_MATCH, header::IF_NONE_MATCH];

/// The longest time that a client may take for a piece, which has at most 1 MiB. One that is slower
/// gives its place to another one, and can resume.
const PIECE_TIMEOUT: Duration = Duration::from_secs(120);

/// Download an object
///
/// The link is a permission of its own: no token is needed. `Range`, `If-Range` and the other
/// conditions resume a download. Where the storage's settings say that clients reach it themselves,
/// the answer is a redirect to the storage, by an address that is valid for a limited time.
#[utoipa::path(
    get, path = "/downloads/{token}", tag = "admin",
    params(("token" = String, Path, description = "The token of the link")),
    responses(
        (status = 200, description = "The object", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "A part of the object", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The object has not changed"),
        (status = 307, description = "The storage itself has the object, at the address in `Location`"),
        (status = 416, description = "The object has no such part"),
    ),
    security(()),
)]
pub(crate) async fn download(
    State(state): State<ApiState>,
    Path(token): Path<String>,
    Extension(request_id): Extension<RequestId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let source = state.service().storage_download_source(&token).await?;
    let answer = FileAnswer {
        file_name: file_name(&source.key),
        source: source.clone(),
        media_type: "application/octet-stream",
    };
    let Delivered { response, redirected } = deliver(&state, answer, &method, &headers).await?;
    if redirected && method != Method::HEAD {
        state.service().storage_download_redirected(request_id, &source).await?;
    }
    Ok(response)
}

/// A file that a client gets.
pub(super) struct FileAnswer {
    /// Where the bytes are.
    pub(super) source: DownloadSource,
    /// The name that the client's file gets.
    pub(super) file_name: String,
    /// What the bytes are.
    pub(super) media_type: &'static str,
}

/// The answer to a client.
pub(super) struct Delivered {
    pub(super) response: Response,
    /// Whether it sends the client to the storage itself.
    pub(super) redirected: bool,
}

/// Answers with the bytes of an object, with a part of them, or with where they are.
pub(super) async fn deliver(
    state: &ApiState,
    file: FileAnswer,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Delivered, ApiError> {
    let reader = state.options().objects.clone().ok_or_else(|| {
        Error::new(Code::Unavailable, "this server reads no objects from agents; ask another one")
    })?;
    // Not needed for an answer that leads to the storage itself.
    let permit = Arc::clone(state.downloads()).try_acquire_owned().ok();
    let key = file.source.key.clone();
    let fields = ASKED
        .iter()
        .filter_map(|name| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned())))
        .collect();
    let head_only = *method == Method::HEAD;
    let request = ObjectRequest { head_only, fields };
    let answer = reader.read(file.source.clone(), request).await.map_err(|why| {
        tracing::warn!(key, why, "an object cannot be downloaded");
        Error::new(Code::Unavailable, "the object cannot be read at the moment; the log has the cause")
    })?;
    let status = match answer.status {
        307 => {
            let response = redirect(answer.location.as_ref())?;
            if !head_only {
                state.metrics().download(BytesFrom::Storage);
            }
            return Ok(Delivered { response, redirected: true });
        }
        200 | 206 | 304 | 416 => StatusCode::from_u16(answer.status).map_err(Error::internal)?,
        404 => return Err(Error::not_found("object on the image storage; scan the storage again").into()),
        412 => return Err(Error::new(Code::PreconditionFailed, "the object has changed; start again").into()),
        other => {
            tracing::warn!(key, status = other, "an agent refuses a download");
            let detail = "the agent does not hand the object over at the moment; try again soon";
            return Err(Error::new(Code::Unavailable, detail).into());
        }
    };
    let permit = permit.ok_or_else(|| {
        let detail = format!("{MAX_DOWNLOADS} downloads run already; try again later");
        Error::new(Code::RateLimited, detail)
    })?;
    if !head_only && status.is_success() {
        state.metrics().download(BytesFrom::Agent);
    }
    Ok(Delivered { response: respond(state, status, answer, &file, permit), redirected: false })
}

/// Sends the client to the storage itself. The address is in this answer and nowhere else.
fn redirect(location: Option<&SecretText>) -> Result<Response, Error> {
    let usable = |address: &&SecretText| {
        let address: Option<Uri> = address.expose().parse().ok();
        address.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
    };
    let location = location.filter(usable).and_then(|address| HeaderValue::from_str(address.expose()).ok());
    let mut location =
        location.ok_or_else(|| Error::internal("an agent redirects a download to what is no address"))?;
    location.set_sensitive(true);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn respond(
    state: &ApiState,
    status: StatusCode,
    answer: ObjectAnswer,
    file: &FileAnswer,
    permit: tokio::sync::OwnedSemaphorePermit,
) -> Response {
    let counted = state.clone();
    let body = bounded_body(answer.body, permit, PIECE_TIMEOUT).inspect(move |piece| {
        if let Ok(piece) = piece {
            counted.metrics().downloaded(piece.len());
        }
    });
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in &answer.fields {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&disposition(&file.file_name)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// Returns the value of `Content-Disposition` for a file of that name (RFC 6266): one for every
/// client, and where the name has other characters, the name itself.
fn disposition(name: &str) -> String {
    let plain = file_name(name);
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn a_file_has_its_name_in_every_client() {
        assert_eq!(disposition("web-1.vhd"), "attachment; filename=\"web-1.vhd\"");
        assert_eq!(
            disposition("Größe 1.vhd"),
            "attachment; filename=\"Gr__e_1.vhd\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%201.vhd"
        );
    }
}
