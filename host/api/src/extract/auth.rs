//! Who asks: a session's cookie or a bearer token. Asking for [`Read`], [`Write`] or [`Admin`] in a
//! handler's signature is what lets only such callers in, before anything else of the request is
//! looked at.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use imprint_agent_protocol::{Peer, ProtocolError};
use imprint_domain::{Code, Error, id::RequestId};
use imprint_service::{Authenticated, Op};

use crate::{problem::ApiError, state::ApiState};

/// The cookie that holds a session's secret.
pub(crate) const SESSION_COOKIE: &str = "imprint_session";

/// The header that a cross-site form cannot send: required with the cookie wherever something is
/// changed.
const CSRF_HEADER: &str = "x-imprint-csrf";

/// Anybody who is signed in, whatever the scopes.
pub(crate) struct SignedInOp(pub(crate) Op);

/// Somebody who may read.
pub(crate) struct Read(pub(crate) Op);

/// Somebody who may change things.
pub(crate) struct Write(pub(crate) Op);

/// An admin.
pub(crate) struct Admin(pub(crate) Op);

/// The agent of a hypervisor.
pub(crate) struct Agent(pub(crate) Peer);

impl FromRequestParts<ApiState> for SignedInOp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Ok(Self(authenticate(parts, state).await?))
    }
}

impl FromRequestParts<ApiState> for Read {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let op = authenticate(parts, state).await?;
        op.require_read()?;
        Ok(Self(op))
    }
}

impl FromRequestParts<ApiState> for Write {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let op = authenticate(parts, state).await?;
        op.require_write()?;
        Ok(Self(op))
    }
}

impl FromRequestParts<ApiState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let op = authenticate(parts, state).await?;
        op.require_admin()?;
        Ok(Self(op))
    }
}

impl FromRequestParts<ApiState> for Agent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or(ProtocolError::Unauthenticated)?;
        match state.service().agent_authenticate(token).await {
            Ok(peer) => Ok(Self(peer)),
            Err(error) if error.code == Code::Unauthenticated => Err(ProtocolError::Unauthenticated.into()),
            Err(error) => Err(error.into()),
        }
    }
}

async fn authenticate(parts: &Parts, state: &ApiState) -> Result<Op, ApiError> {
    let actor = if parts.headers.contains_key(header::AUTHORIZATION) {
        let token = bearer(&parts.headers).ok_or_else(|| {
            Error::new(Code::Unauthenticated, "send the header as `Authorization: Bearer imp_...`")
        })?;
        state.service().token_authenticate(token).await?
    } else if let Some(token) = session_cookie(&parts.headers) {
        let actor = state.service().session_authenticate(token).await?;
        if !parts.method.is_safe() && !parts.headers.contains_key(CSRF_HEADER) {
            return Err(ApiError::new(
                Code::Forbidden,
                "requests that change something with a session cookie need the header `X-Imprint-Csrf: 1`",
            ));
        }
        actor
    } else {
        return Err(ApiError::new(
            Code::Unauthenticated,
            "sign in, or send an API token as `Authorization: Bearer imp_...`",
        ));
    };
    let request_id = parts.extensions.get::<RequestId>().copied();
    let request_id = request_id.ok_or_else(|| Error::internal("a request came past the request id"))?;
    Ok(Op::new(actor, request_id))
}

/// Whether the caller came with a browser's session.
pub(crate) const fn is_session(op: &Op) -> bool {
    match op.actor.by {
        Authenticated::Session(_) => true,
        Authenticated::Token(_) | Authenticated::System => false,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == SESSION_COOKIE && !value.is_empty()).then_some(value))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{bearer, session_cookie};

    #[test]
    fn secrets_are_found_in_their_headers_only() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=1; imprint_session=s3; b=2"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer imp_x"));
        assert_eq!(session_cookie(&headers), Some("s3"));
        assert_eq!(bearer(&headers), Some("imp_x"));
        headers.insert(header::COOKIE, HeaderValue::from_static("imprint_session=; ximprint_session=s3"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic aaa"));
        assert_eq!((session_cookie(&headers), bearer(&headers)), (None, None));
    }
}
