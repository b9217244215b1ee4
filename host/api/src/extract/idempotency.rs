//! `Idempotency-Key`: a repeated request is carried out once.

use axum::{extract::FromRequestParts, http::request::Parts};
use imprint_domain::{Code, Error};
use imprint_service::Idempotency;
use sha2::{Digest, Sha256};

use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use crate::problem::ApiError;

/// The name of the header.
const HEADER: &str = "Idempotency-Key";

/// The length of the longest key, in characters.
const MAX_KEY_CHARS: usize = 255;

/// The key of a request, if the client sent one.
pub(crate) struct IdempotencyKey {
    key: Option<String>,
    method: String,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let key = match parts.headers.get(HEADER) {
            None => None,
            Some(value) => Some(parse(value.as_bytes())?),
        };
        Ok(Self { key, method: parts.method.to_string(), path: parts.uri.path().to_owned() })
    }
}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX_KEY_CHARS))
            .pattern(Some("^[!-~]+$"));
        let parameter = ParameterBuilder::new()
            .name(HEADER)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("For 24 hours, a request with the same key and body gets the same answer"))
            .schema(Some(schema));
        vec![parameter.build()]
    }
}

impl IdempotencyKey {
    /// Returns the key with the request it belongs to. `body_hash` is the SHA-256 of the request's
    /// body.
    pub(crate) fn bind(self, body_hash: [u8; 32]) -> Option<Idempotency> {
        self.key.map(|key| Idempotency { method: self.method, path: self.path, key, body_hash })
    }

    /// Returns the key of a request without a body.
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
            "send 1 to 255 visible ASCII characters as `Idempotency-Key`, such as a UUID",
        )),
    }
}
