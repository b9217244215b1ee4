//! The panel's files, handed in by the program.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::{Code, Error};

use crate::{problem::ApiError, state::ApiState};

/// A file of the panel.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its bytes.
    pub bytes: Cow<'static, [u8]>,
    /// Its media type.
    pub content_type: String,
    /// Changes with its bytes; without quotes.
    pub etag: String,
    /// Its name holds a hash of its bytes, so that it never changes.
    pub immutable: bool,
}

/// Where the panel's files come from.
pub trait Assets: Send + Sync {
    /// The file at a path such as `assets/index-1a2b.js`, without a slash in front; `index.html` is
    /// the panel itself.
    fn get(&self, path: &str) -> Option<Asset>;
}

/// What the panel may load: its own files, and pictures that it draws itself. Styles may be inline
/// because the widgets' library sets some of its own.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Answers what no route answers: files of the panel, the panel itself for its own pages, and 404.
/// The API's paths never get the panel.
pub(crate) async fn fallback(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return Err(Error::not_found("resource; see /api/v1/openapi.json").into());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::new(Code::MethodNotAllowed, "the panel's files can only be read"));
    }
    let Some(assets) = &state.options().assets else {
        return Err(
            Error::not_found("page: this build comes without the panel; the API is at /api/v1").into()
        );
    };
    let asset = find(assets, path.trim_start_matches('/')).ok_or_else(|| Error::not_found("file"))?;
    Ok(answer(asset, request.headers()))
}

fn find(assets: &Arc<dyn Assets>, path: &str) -> Option<Asset> {
    if let Some(asset) = assets.get(path).filter(|_| !path.is_empty()) {
        return Some(asset);
    }
    // The panel's own pages have no dot in their last segment; a file that is missing is a 404, not
    // the panel.
    let last = path.rsplit('/').next().unwrap_or("");
    if last.contains('.') { None } else { assets.get("index.html") }
}

fn answer(asset: Asset, request: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", asset.etag);
    let seen = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or("");
    let unchanged = seen.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag);
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(match asset.bytes {
            Cow::Borrowed(bytes) => axum::body::Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        })
        .into_response()
    };
    let headers = response.headers_mut();
    let cache = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    for (name, value) in [(header::CONTENT_TYPE, asset.content_type), (header::ETAG, etag)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}
