//! JSON bodies.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
};
use imprint_domain::{Code, Error};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use sha2::{Digest, Sha256};

use super::refusal;
use crate::problem::ApiError;

/// A parsed JSON body. Unknown members, wrong types and other media types are refused.
pub(crate) struct JsonBody<T> {
    /// The parsed body.
    pub(crate) value: T,
    /// The SHA-256 of the bytes of the body, which an idempotency key is bound to.
    pub(crate) digest: [u8; 32],
}

impl<T, S> FromRequest<S> for JsonBody<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection))?;
        Ok(Self { value: parse(&bytes)?, digest: Sha256::digest(&bytes).into() })
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Error> {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if matches!(essence.as_str(), "application/json" | "application/merge-patch+json") {
        return Ok(());
    }
    Err(Error::new(Code::UnsupportedMediaType, "send the body as JSON with `Content-Type: application/json`"))
}

fn unread(rejection: &BytesRejection) -> Error {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::new(Code::PayloadTooLarge, "send a smaller body; see docs/API.md for the limit");
    }
    Error::new(Code::InvalidRequest, "the request body could not be read to its end; send it again")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| refuse(&error))?;
    deserializer.end().map_err(|_| {
        Error::new(Code::InvalidRequest, "the body continues after the end of its JSON value")
    })?;
    Ok(value)
}

fn refuse(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let pointer = pointer(error.path());
    let cause = error.inner();
    match cause.classify() {
        Category::Eof => {
            let text = "the body ends in the middle of its JSON value";
            return Error::new(Code::InvalidRequest, text).at(pointer);
        }
        Category::Syntax | Category::Io => {
            let (line, column) = (cause.line(), cause.column());
            let text = format!("the body is not valid JSON: see line {line}, column {column}");
            return Error::new(Code::InvalidRequest, text).at(pointer);
        }
        Category::Data => {}
    }
    let text = cause.to_string();
    // serde_json appends the position; the pointer is more useful.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    refusal::refuse(text, pointer.clone(), |field| {
        let name = format!("/{}", escape(field));
        format!("{}{name}", pointer.strip_suffix(&name).unwrap_or(&pointer))
    })
}

/// Returns the path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape(key)),
            Segment::Enum { variant } => format!("/{}", escape(variant)),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use imprint_domain::Code;

    use super::parse;
    use crate::dto::image::ImageCreate;

    fn refusal(text: &str) -> (Code, Option<String>) {
        let error = parse::<ImageCreate>(text.as_bytes()).expect_err(text);
        (error.code, error.pointer)
    }

    #[test]
    fn a_wrong_member_is_named_by_its_pointer() {
        let id = "ins_00000000-0000-0000-0000-000000000007";
        let cases = [
            (
                format!(r#"{{"source":{{"type":"instance","id":"{id}"}},"name":"a","colour":1}}"#),
                Code::UnknownField,
                "/colour",
            ),
            (
                format!(r#"{{"source":{{"type":"instance","id":"{id}","x/y":1}},"name":"a"}}"#),
                Code::UnknownField,
                "/source/x~1y",
            ),
            (
                format!(r#"{{"source":{{"type":"floppy","id":"{id}"}},"name":"a"}}"#),
                Code::InvalidRequest,
                "/source/type",
            ),
            (
                // Its type decides what a source has: the place inside of it is not known.
                r#"{"source":{"type":"instance","id":"img_1"},"name":"a"}"#.to_owned(),
                Code::InvalidRequest,
                "/source",
            ),
            (
                format!(r#"{{"source":{{"type":"instance","id":"{id}"}},"name":7}}"#),
                Code::InvalidRequest,
                "/name",
            ),
            (format!(r#"{{"source":{{"type":"instance","id":"{id}"}}}}"#), Code::InvalidRequest, ""),
            ("[]".to_owned(), Code::InvalidRequest, ""),
        ];
        for (text, code, pointer) in cases {
            assert_eq!(refusal(&text), (code, Some(pointer.to_owned())), "{text}");
        }
    }

    #[test]
    fn no_text_of_serde_reaches_a_client() {
        let id = "ins_00000000-0000-0000-0000-000000000007";
        let source = format!(r#""source":{{"type":"instance","id":"{id}"}}"#);
        for (text, detail) in [
            (String::new(), "the body ends in the middle of its JSON value"),
            ("{".to_owned(), "the body ends in the middle of its JSON value"),
            ("nonsense".to_owned(), "the body is not valid JSON: see line 1, column 2"),
            (
                format!(r#"{{{source},"name":"a"}} {{}}"#),
                "the body continues after the end of its JSON value",
            ),
            (format!(r#"{{{source},"name":7}}"#), "expected a string, got the number `7`"),
            (format!("{{{source}}}"), "`name` is required"),
            (
                format!(r#"{{{source},"name":"a","compression":"lzma"}}"#),
                "`lzma` is not one of: none, zlib, zstd",
            ),
        ] {
            assert_eq!(parse::<ImageCreate>(text.as_bytes()).expect_err(&text).detail, detail, "{text}");
        }
    }
}
