//! Texts that people type.

use std::{fmt, str::FromStr};

use imprint_domain::{Code, Error, name::Name};

/// A name, or a refusal that points at `pointer`.
pub(crate) fn name(text: &str, pointer: &str) -> Result<Name, Error> {
    Name::parse(text).map_err(|error| Error::new(Code::InvalidName, error).at(pointer))
}

/// Parses the text of a closed vocabulary or a constrained name.
pub(crate) fn parse<T>(text: &str, pointer: &str) -> Result<T, Error>
where
    T: FromStr<Err: fmt::Display>,
{
    text.parse().map_err(|error| Error::new(Code::InvalidRequest, error).at(pointer))
}

/// The longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 1024;

/// A description; line breaks are part of it, other control characters are not.
pub(crate) fn description(text: &str, pointer: &str) -> Result<String, Error> {
    let refuse = |detail: String| Err(Error::new(Code::InvalidRequest, detail).at(pointer));
    let chars = text.chars().count();
    if chars > MAX_DESCRIPTION_CHARS {
        return refuse(format!(
            "a description has at most {MAX_DESCRIPTION_CHARS} characters, this one has {chars}"
        ));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return refuse("a description holds no control characters but line breaks and tabs".to_owned());
    }
    Ok(text.trim_end().to_owned())
}
