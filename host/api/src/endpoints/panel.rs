//! The panel's files.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::{Code, Error};

use crate::{
    assets::{Asset, Assets},
    problem::ApiError,
    state::ApiState,
};

/// The panel may load its own files and `data:` images. Styles may be inline because the widget
/// library sets some.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Answers requests without a route: with a file of the panel, with the panel itself for its pages,
/// or with 404. Paths of the API never get the panel.
pub(crate) async fn fallback(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return Err(Error::not_found("resource; see /api/v1/openapi.json").into());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::new(Code::MethodNotAllowed, "the panel's files can only be read"));
    }
    let Some(assets) = &state.options().assets else {
        return Err(Error::not_found("page: this build has no panel; the API is at /api/v1").into());
    };
    let asset = find(assets, path.trim_start_matches('/')).ok_or_else(|| Error::not_found("file"))?;
    Ok(answer(asset, request.headers()))
}

fn find(assets: &Arc<dyn Assets>, path: &str) -> Option<Asset> {
    if let Some(asset) = assets.get(path).filter(|_| !path.is_empty()) {
        return Some(asset);
    }
    // The panel's pages have no dot in their last segment. A missing file is a 404, not the panel.
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
