//! Query strings.

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, Query as AxumQuery, rejection::QueryRejection},
    http::request::Parts,
};
use imprint_domain::{Code, Error, UnknownValue};
use imprint_service::{MAX_PAGE, PageRequest};
use serde::de::DeserializeOwned;

use super::refusal;
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
        let AxumQuery(value) =
            AxumQuery::try_from_uri(&parts.uri).map_err(|rejection| refuse(&text_of(&rejection)))?;
        Ok(Self(value))
    }
}

/// Returns what serde says, without axum's prefix.
fn text_of(rejection: &QueryRejection) -> String {
    let text = rejection.body_text();
    text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text).to_owned()
}

fn refuse(text: &str) -> Error {
    let pointer = |name: &str| format!("?{name}");
    if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return refusal::refuse(text, pointer(name), pointer);
    }
    match text.split_once(": ") {
        Some((name, detail)) if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
            refusal::refuse(detail, pointer(name), pointer)
        }
        Some(_) | None => refusal::refuse(text, "?".to_owned(), pointer),
    }
}

/// Returns the page of a list that a request asks for.
///
/// # Errors
///
/// The limit is out of range.
pub(crate) fn page_request(limit: Option<u32>, page_token: Option<String>) -> Result<PageRequest, Error> {
    match limit {
        Some(limit) if limit == 0 || limit > MAX_PAGE => {
            Err(Error::new(Code::InvalidRequest, format!("the number must be from 1 to {MAX_PAGE}"))
                .at("?limit"))
        }
        Some(_) | None => Ok(PageRequest { limit, page_token }),
    }
}

/// Parses values of a closed vocabulary, separated by commas.
///
/// # Errors
///
/// A value is unknown; the error points at `parameter`.
pub(crate) fn values<T>(list: Option<&str>, parameter: &str) -> Result<Vec<T>, Error>
where
    T: FromStr<Err = UnknownValue>,
{
    list.unwrap_or("")
        .split(',')
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .map(|value| {
            value.parse().map_err(|error: UnknownValue| {
                let value: String = value.chars().take(64).collect();
                Error::new(Code::InvalidRequest, format!("{error}, got `{value}`")).at(parameter)
            })
        })
        .collect()
}

/// Parses ids, separated by commas.
///
/// # Errors
///
/// One of them is no such id; the error points at `parameter`.
pub(crate) fn ids<T>(list: &str, parameter: &str) -> Result<Vec<T>, Error>
where
    T: FromStr<Err: std::fmt::Display>,
{
    list.split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .map(|id| id.parse().map_err(|error| Error::new(Code::InvalidRequest, error).at(parameter)))
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only errors are looked at")]
    struct Example {
        name: String,
        #[serde(default)]
        limit: Option<u32>,
    }

    #[test]
    fn every_refusal_names_its_parameter_in_a_sentence() {
        for (query, pointer, detail) in [
            ("limit=1", "?name", "`name` is required"),
            ("name=a&name=b", "?name", "`name` is given twice"),
            ("name=a&limit=many", "?limit", "expected a whole number"),
            ("name=a&limit=99999999999", "?limit", "the number is too large"),
            ("name=a&colour=red", "?colour", "there is no `colour`; the known names are `name`, `limit`"),
        ] {
            let uri: Uri = format!("/x?{query}").parse().unwrap();
            let rejection = AxumQuery::<Example>::try_from_uri(&uri).unwrap_err();
            let error = refuse(&text_of(&rejection));
            assert_eq!(error.pointer.as_deref(), Some(pointer), "{query}: {error}");
            assert_eq!(error.detail, detail, "{query}");
        }
    }
}
