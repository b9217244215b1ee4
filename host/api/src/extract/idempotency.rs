//! `Idempotency-Key`: the same request twice happens once.

use axum::{extract::FromRequestParts, http::request::Parts};
use imprint_domain::{Code, Error};
use imprint_service::Idempotency;
use sha2::{Digest, Sha256};

use crate::problem::ApiError;

/// The longest key, in characters.
const MAX_KEY_CHARS: usize = 255;

/// The key of a request, if its client sent one.
pub(crate) struct IdempotencyKey {
    key: Option<String>,
    method: String,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let key = match parts.headers.get("idempotency-key") {
            None => None,
            Some(value) => Some(parse(value.as_bytes())?),
        };
        Ok(Self { key, method: parts.method.to_string(), path: parts.uri.path().to_owned() })
    }
}

impl IdempotencyKey {
    /// The key with what it is bound to; `body_hash` is the SHA-256 of the request's body.
    pub(crate) fn bind(self, body_hash: [u8; 32]) -> Option<Idempotency> {
        self.key.map(|key| Idempotency { method: self.method, path: self.path, key, body_hash })
    }

    /// The key of a request that has no body.
    pub(crate) fn bind_empty(self) -> Option<Idempotency> {
        self.bind(Sha256::digest([]).into())
    }
}

fn parse(value: &[u8]) -> Result<String, Error> {
    match std::str::from_utf8(value) {
        Ok(key)
            if !key.is_empty() && key.len() <= MAX_KEY_CHARS && key.chars().all(|c| c.is_ascii_graphic()) =>
        {
            Ok(key.to_owned())
        }
        Ok(_) | Err(_) => Err(Error::new(
            Code::InvalidRequest,
            "an idempotency key is 1 to 255 visible ASCII characters, such as a UUID",
        )),
    }
}
