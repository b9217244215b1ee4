//! `ETag` and `If-Match`: nobody overwrites a change that they have not seen.

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
};
use imprint_domain::{Code, Error};
use imprint_service::Op;

use super::auth::is_session;
use crate::problem::ApiError;

/// What the client says that it saw.
pub(crate) enum IfMatch {
    /// Nothing.
    Absent,
    /// That the resource exists.
    Any,
    /// This version.
    Version(u32),
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self::Absent) };
        let text = value.to_str().unwrap_or("").trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(str::parse) {
            Some(Ok(version)) => Ok(Self::Version(version)),
            Some(Err(_)) | None => Err(ApiError::new(
                Code::PreconditionFailed,
                "`If-Match` is not an `ETag` of this resource; read it again",
            )),
        }
    }
}

impl IfMatch {
    /// The version to compare with. A browser must always send one: two open pages are the usual
    /// case there.
    pub(crate) fn require_from_sessions(self, op: &Op) -> Result<Option<u32>, Error> {
        match self {
            Self::Version(version) => Ok(Some(version)),
            Self::Any => Ok(None),
            Self::Absent if is_session(op) => {
                Err(Error::new(Code::PreconditionRequired, "send `If-Match` with the `ETag` of what you saw"))
            }
            Self::Absent => Ok(None),
        }
    }
}

/// The `ETag` of a version.
pub(crate) fn etag(version: u32) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("quotes and digits are header characters")
}
