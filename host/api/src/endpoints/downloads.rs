//! Links to objects of image storages.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use futures::StreamExt as _;
use imprint_domain::{Code, Error};

use crate::{
    bounded_body::bounded_body,
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
/// conditions resume a download.
#[utoipa::path(
    get, path = "/downloads/{token}", tag = "admin",
    params(("token" = String, Path, description = "The token of the link")),
    responses(
        (status = 200, description = "The object", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "A part of the object", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The object has not changed"),
        (status = 416, description = "The object has no such part"),
    ),
    security(()),
)]
pub(crate) async fn download(
    State(state): State<ApiState>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let source = state.service().storage_download_source(&token).await?;
    let reader = state.options().objects.clone().ok_or_else(|| {
        Error::new(Code::Unavailable, "this server reads no objects from agents; ask another one")
    })?;
    let permit = Arc::clone(state.downloads()).try_acquire_owned().map_err(|_| {
        let detail = format!("{MAX_DOWNLOADS} downloads run already; try again later");
        Error::new(Code::RateLimited, detail)
    })?;
    let name = file_name(&source.key);
    let key = source.key.clone();
    let fields = ASKED
        .iter()
        .filter_map(|name| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned())))
        .collect();
    let request = ObjectRequest { head_only: method == Method::HEAD, fields };
    let answer = reader.read(source, request).await.map_err(|why| {
        tracing::warn!(key, why, "an object cannot be downloaded");
        Error::new(Code::Unavailable, "the object cannot be read at the moment; the log has the cause")
    })?;
    let status = match answer.status {
        200 | 206 | 304 | 416 => StatusCode::from_u16(answer.status).map_err(Error::internal)?,
        404 => return Err(Error::not_found("object on the image storage; scan the storage again").into()),
        412 => return Err(Error::new(Code::PreconditionFailed, "the object has changed; start again").into()),
        other => {
            tracing::warn!(key, status = other, "an agent refuses a download");
            let detail = "the agent does not hand the object over at the moment; try again soon";
            return Err(Error::new(Code::Unavailable, detail).into());
        }
    };
    Ok(respond(&state, status, answer, &name, permit))
}

fn respond(
    state: &ApiState,
    status: StatusCode,
    answer: ObjectAnswer,
    name: &str,
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
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// Returns a name for the file that every system takes: the end of the key, with `_` for all but
/// letters, digits and a few marks of ASCII.
fn file_name(key: &str) -> String {
    let last = key.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '_' };
    let name: String = last.chars().take(200).map(safe).collect();
    match name.trim_start_matches('.') {
        "" => "object".to_owned(),
        visible => visible.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_of_files_are_harmless() {
        for (key, name) in [
            ("img_1.qcow2", "img_1.qcow2"),
            ("a/b/disk.raw", "disk.raw"),
            ("a/b/", "b"),
            ("../..", "object"),
            (".hidden", "hidden"),
            ("x\"; filename=\"evil.exe", "x___filename__evil.exe"),
            ("\u{e4}\r\nSet-Cookie: a", "___Set-Cookie__a"),
            ("", "object"),
        ] {
            assert_eq!(file_name(key), name, "{key:?}");
        }
        assert_eq!(file_name(&"x".repeat(500)).len(), 200);
    }
}
