//! Values of request bodies: names, descriptions, numbers.

use std::{fmt, str::FromStr};

use imprint_domain::{
    Code, Error,
    name::Name,
    size::ByteSize,
    tag::{Tag, TagError, Tags},
};

/// Parses a name.
///
/// # Errors
///
/// The text is not a name; the error points at `pointer`.
pub(crate) fn name(text: &str, pointer: &str) -> Result<Name, Error> {
    Name::parse(text).map_err(|error| Error::new(Code::InvalidName, error).at(pointer))
}

/// Parses the text of a closed vocabulary or a constrained name.
///
/// # Errors
///
/// The text is not one of them; the error points at `pointer`.
pub(crate) fn parse<T>(text: &str, pointer: &str) -> Result<T, Error>
where
    T: FromStr<Err: fmt::Display>,
{
    text.parse().map_err(|error| Error::new(Code::InvalidRequest, error).at(pointer))
}

/// The length of the longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 1024;

/// Parses a description. Line breaks and tabs are accepted, other control characters are not.
///
/// # Errors
///
/// The text is too long or has control characters; the error points at `pointer`.
pub(crate) fn description(text: &str, pointer: &str) -> Result<String, Error> {
    let refuse = |detail: String| Err(Error::new(Code::InvalidRequest, detail).at(pointer));
    let chars = text.chars().count();
    if chars > MAX_DESCRIPTION_CHARS {
        return refuse(format!(
            "a description has at most {MAX_DESCRIPTION_CHARS} characters, this one has {chars}"
        ));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return refuse(
            "a description must not contain control characters other than line breaks and tabs".to_owned(),
        );
    }
    Ok(text.trim_end().to_owned())
}

/// Checks a number of bytes of a request.
///
/// # Errors
///
/// [`Code::InvalidRequest`] at `pointer` above 2^63 - 1.
pub(crate) fn bytes(number: u64, pointer: &str) -> Result<ByteSize, Error> {
    ByteSize::new(number).map_err(|error| Error::new(Code::InvalidRequest, error).at(pointer))
}

/// Checks the change of a limit; `Some(None)` removes it.
///
/// # Errors
///
/// What `check` answers.
pub(crate) fn changed<T, U>(
    change: Option<Option<T>>,
    check: impl FnOnce(T) -> Result<U, Error>,
) -> Result<Option<Option<U>>, Error> {
    change.map(|limit| limit.map(check).transpose()).transpose()
}

/// Parses the tags of an image.
///
/// # Errors
///
/// One of them is no tag or is repeated, or they are too many; the error points at it below
/// `pointer`.
pub(crate) fn tags(list: &[String], pointer: &str) -> Result<Tags, Error> {
    let refuse = |error: TagError, at: String| Error::new(Code::InvalidRequest, error).at(at);
    let mut tags = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        tags.push(Tag::parse(text).map_err(|error| refuse(error, format!("{pointer}/{index}")))?);
    }
    Tags::new(tags).map_err(|error| refuse(error, pointer.to_owned()))
}

/// Checks a number that the document declares as `int32`.
///
/// # Errors
///
/// The number is too large; the error points at `pointer`.
pub(crate) fn int32(number: u32, pointer: &str) -> Result<u32, Error> {
    if i32::try_from(number).is_err() {
        let detail = format!("the number must be at most {}", i32::MAX);
        return Err(Error::new(Code::InvalidRequest, detail).at(pointer));
    }
    Ok(number)
}
