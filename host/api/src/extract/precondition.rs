//! `ETag` and `If-Match`: a client cannot overwrite a change that it has not read.

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
};
use imprint_domain::{Code, Error};
use imprint_service::Op;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::auth::is_session;
use crate::problem::ApiError;

/// The version of the resource that the client has read.
pub(crate) enum IfMatch {
    /// The header is missing.
    Absent,
    /// Any version.
    Any,
    /// One version.
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

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The `ETag` of the resource; required with a session cookie"))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        vec![parameter.build()]
    }
}

impl IfMatch {
    /// Returns the version to compare with. Browsers must send one: two pages of one resource are
    /// often open there.
    ///
    /// # Errors
    ///
    /// The caller has a session's cookie and the header is missing.
    pub(crate) fn require_from_sessions(self, op: &Op) -> Result<Option<u32>, Error> {
        match self {
            Self::Version(version) => Ok(Some(version)),
            Self::Any => Ok(None),
            Self::Absent if is_session(op) => Err(Error::new(
                Code::PreconditionRequired,
                "send `If-Match` with the `ETag` of the resource that you read",
            )),
            Self::Absent => Ok(None),
        }
    }
}

/// Returns the `ETag` of a version.
pub(crate) fn etag(version: u32) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("quotes and digits are header characters")
}
