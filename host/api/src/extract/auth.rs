//! Authentication by a session's cookie or a bearer token. A handler with a [`Caller`] in its
//! signature is reached only by callers with that permission.

use std::marker::PhantomData;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use imprint_agent_protocol::{Peer, ProtocolError};
use imprint_domain::{Code, Error, id::RequestId};
use imprint_service::{Authenticated, Op};

use crate::{problem::ApiError, state::ApiState};

/// The name of the cookie with a session's secret.
pub(crate) const SESSION_COOKIE: &str = "imprint_session";

/// A header that cross-site forms cannot send. Requests with the cookie need it to change
/// something.
const CSRF_HEADER: &str = "x-imprint-csrf";

/// The caller of a request, who has the permission `P`. Callers without it are refused before the
/// rest of the request is read.
pub(crate) struct Caller<P>(pub(crate) Op, pub(crate) PhantomData<P>);

/// What a handler requires of its caller.
pub(crate) trait Permission: Send {
    /// Checks the caller.
    ///
    /// # Errors
    ///
    /// The caller lacks the permission.
    fn require(op: &Op) -> Result<(), Error>;
}

/// To be signed in, with any scope.
pub(crate) struct SignedIn;

/// To read.
pub(crate) struct Read;

/// To change resources.
pub(crate) struct Write;

/// To be an administrator.
pub(crate) struct Admin;

impl Permission for SignedIn {
    fn require(_: &Op) -> Result<(), Error> {
        Ok(())
    }
}

impl Permission for Read {
    fn require(op: &Op) -> Result<(), Error> {
        op.require_read()
    }
}

impl Permission for Write {
    fn require(op: &Op) -> Result<(), Error> {
        op.require_write()
    }
}

impl Permission for Admin {
    fn require(op: &Op) -> Result<(), Error> {
        op.require_admin()
    }
}

impl<P: Permission> FromRequestParts<ApiState> for Caller<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let op = authenticate(parts, state).await?;
        P::require(&op)?;
        Ok(Self(op, PhantomData))
    }
}

/// The agent of a hypervisor.
pub(crate) struct Agent(pub(crate) Peer);

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
                "send the header `X-Imprint-Csrf: 1` to change something with a session cookie",
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
    let request_id = request_id.ok_or_else(|| Error::internal("a request has no request id"))?;
    Ok(Op::new(actor, request_id))
}

/// Returns whether the caller has a browser's session.
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
