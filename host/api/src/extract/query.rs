//! Query strings.

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, Query as AxumQuery},
    http::request::Parts,
};
use imprint_domain::{Code, Error, UnknownValue};
use imprint_service::{MAX_PAGE, PageRequest};
use serde::de::DeserializeOwned;

use crate::problem::ApiError;

/// Parsed query parameters; unknown ones are refused.
pub(crate) struct Query<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let AxumQuery(value) = AxumQuery::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            refuse(text)
        })?;
        Ok(Self(value))
    }
}

fn refuse(text: &str) -> Error {
    match text.split_once("unknown field `").and_then(|(_, rest)| rest.split('`').next()) {
        Some(field) => Error::new(Code::UnknownField, text).at(format!("?{field}")),
        None => match text.split_once(": ") {
            Some((name, detail)) => Error::new(Code::InvalidRequest, detail).at(format!("?{name}")),
            None => Error::new(Code::InvalidRequest, text),
        },
    }
}

/// The part of a list that a request asks for; the service knows the bounds.
pub(crate) fn page_request(limit: Option<u32>, page_token: Option<String>) -> Result<PageRequest, Error> {
    match limit {
        Some(limit) if limit == 0 || limit > MAX_PAGE => {
            Err(Error::new(Code::InvalidRequest, format!("a page has 1 to {MAX_PAGE} items")).at("?limit"))
        }
        Some(_) | None => Ok(PageRequest { limit, page_token }),
    }
}

/// Words of a closed vocabulary, separated by commas.
pub(crate) fn words<T>(list: Option<&str>, parameter: &str) -> Result<Vec<T>, Error>
where
    T: FromStr<Err = UnknownValue>,
{
    list.unwrap_or("")
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.parse().map_err(|error: UnknownValue| {
                Error::new(Code::InvalidRequest, format!("{error}, got `{word}`")).at(parameter)
            })
        })
        .collect()
}
