//! Converts the texts of serde and the standard library to sentences for clients.
//!
//! serde reports what is wrong as text only. The forms below are those of serde 1, serde_json 1 and
//! `ParseIntError`; a text of another form comes from a parser of our own, and is sent as it is.

use imprint_domain::{Code, Error};

/// The longest value of a request that a message repeats, in characters.
const MAX_VALUE: usize = 64;

/// The longest message of a parser, in characters.
const MAX_MESSAGE: usize = 400;

/// Converts the text of an error in a member or parameter. `pointer` returns where the named member
/// of it is.
pub(super) fn refuse(text: &str, at: String, pointer: impl Fn(&str) -> String) -> Error {
    if let Some(field) = quoted(text, "unknown field `") {
        return Error::new(Code::UnknownField, format!("there is no `{}`{}", cut(field), members(text)))
            .at(pointer(field));
    }
    if let Some(field) = quoted(text, "missing field `") {
        return Error::new(Code::InvalidRequest, format!("`{field}` is required")).at(at);
    }
    if let Some(field) = quoted(text, "duplicate field `") {
        return Error::new(Code::InvalidRequest, format!("`{}` is given twice", cut(field)))
            .at(pointer(field));
    }
    Error::new(Code::InvalidRequest, sentence(text)).at(at)
}

/// Returns a sentence about a value that is wrong.
fn sentence(text: &str) -> String {
    if let Some(value) = quoted(text, "unknown variant `") {
        let expected = text.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
        let expected = expected.strip_prefix("one of ").unwrap_or(expected).replace('`', "");
        return format!("`{}` is not one of: {expected}", cut(value));
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) =
            text.strip_prefix(prefix).and_then(|rest| rest.rsplit_once(", expected "))
        {
            return format!("expected {}, got {}", wanted(expected), given(found));
        }
    }
    match text {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "expected a whole number".to_owned()
        }
        "number too large to fit in target type" => "the number is too large".to_owned(),
        "number too small to fit in target type" => "the number is too small".to_owned(),
        "provided string was not `true` or `false`" => "expected `true` or `false`".to_owned(),
        _ => shorten(text, MAX_MESSAGE),
    }
}

/// Returns the name between the prefix and the next backquote.
fn quoted<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(prefix)?;
    // The name itself can hold backquotes; what follows it is serde's.
    let end = rest.find("`, expected").or_else(|| rest.rfind('`'))?;
    rest.get(..end)
}

/// Returns the list of members that serde would accept, as the end of a sentence.
fn members(text: &str) -> String {
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => {
            let expected = expected.strip_prefix("one of ").unwrap_or(expected);
            format!("; the known names are {}", expected.replace("` or `", "`, `"))
        }
        None => String::new(),
    }
}

/// Returns the type that is expected, in the terms of JSON.
fn wanted(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 to 18446744073709551615",
        "i32" | "i64" => "a whole number",
        "a string" => "a string",
        "a boolean" => "`true` or `false`",
        "a sequence" => "an array",
        "a map" | "unit" => "an object",
        other if other.starts_with("struct ") => "an object",
        other if other.starts_with("enum ") || other.contains("identifier") => "a string",
        other => other,
    }
    .to_owned()
}

/// Returns the value that serde found, in the terms of JSON.
fn given(found: &str) -> String {
    let found = match found {
        "map" => "an object".to_owned(),
        "sequence" => "an array".to_owned(),
        "null" | "unit value" => "`null`".to_owned(),
        other => match other.split_once(' ') {
            Some(("string", text)) => format!("the string {text}"),
            Some(("integer", number)) => format!("the number {number}"),
            Some(("boolean", value)) => value.to_owned(),
            Some(("floating", number)) => {
                format!("the number {}", number.strip_prefix("point ").unwrap_or(number))
            }
            Some(_) | None => other.to_owned(),
        },
    };
    cut(&found)
}

fn cut(value: &str) -> String {
    shorten(value, MAX_VALUE)
}

fn shorten(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &str) -> String {
        refuse(message, "/a".to_owned(), |field| format!("/{field}")).detail
    }

    #[test]
    fn clients_get_sentences() {
        for (message, sentence) in [
            ("unknown field `x`, expected one of `a`, `b`", "there is no `x`; the known names are `a`, `b`"),
            ("unknown field `x`, expected `a` or `b`", "there is no `x`; the known names are `a`, `b`"),
            ("unknown field `x`, there are no fields", "there is no `x`"),
            ("missing field `name`", "`name` is required"),
            ("duplicate field `limit`", "`limit` is given twice"),
            ("unknown variant `lzma`, expected one of `none`, `zstd`", "`lzma` is not one of: none, zstd"),
            ("unknown variant `x`, expected `instance`", "`x` is not one of: instance"),
            ("invalid type: integer `7`, expected a string", "expected a string, got the number `7`"),
            ("invalid type: map, expected a string", "expected a string, got an object"),
            (
                "invalid value: integer `-1`, expected u32",
                "expected a whole number from 0 to 4294967295, got the number `-1`",
            ),
            ("invalid type: sequence, expected struct ImageSource", "expected an object, got an array"),
            ("invalid type: null, expected a boolean", "expected `true` or `false`, got `null`"),
            ("invalid digit found in string", "expected a whole number"),
            ("expected an id like `img_...`, got `x`", "expected an id like `img_...`, got `x`"),
        ] {
            assert_eq!(text(message), sentence, "{message}");
        }
    }

    #[test]
    fn a_message_repeats_the_beginning_of_a_long_value_only() {
        let long = "x".repeat(20_000);
        assert!(text(&format!("unknown variant `{long}`, expected `a`")).len() < 400);
        assert!(text(&format!("unknown field `{long}`, expected `a`")).len() < 400);
        assert!(text(&format!("invalid type: string \"{long}\", expected u32")).len() < 400);
    }
}
