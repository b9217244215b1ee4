//! Tokens of uploads, which come back from the host after a crash, perhaps to a later version.

use crate::error::{Error, Result};

/// The longest token, in bytes: the most that the host keeps.
pub const MAX_TOKEN: usize = 4096;

/// Reads the token of an upload, which may be anything. `code` is the first part of the storage's
/// error codes; `parse` returns the version that the token names and what is in it, or what is
/// wrong with it.
///
/// ```
/// use imprint_plugin_sdk::storage::read_token;
///
/// let parse = |bytes: &[u8]| {
///     let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
///     let (version, id) = text.split_once(':').ok_or("it has no version")?;
///     Ok((version.parse().map_err(|_| "its version is no number")?, id.to_owned()))
/// };
/// assert_eq!(read_token("example", 1, b"1:abc", parse).unwrap(), "abc");
/// let error = read_token("example", 1, b"2:abc", parse).unwrap_err();
/// assert_eq!(error.code, "example.token");
/// ```
///
/// # Errors
///
/// `invalid-input` with the code `CODE.token` for what is too long, cannot be parsed, or is of
/// another version.
pub fn read_token<T>(
    code: &str,
    version: u32,
    token: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<(u32, T), String>,
) -> Result<T> {
    if token.len() > MAX_TOKEN {
        return Err(no_token(code, "it is too long"));
    }
    match parse(token).map_err(|problem| no_token(code, &problem))? {
        (found, token) if found == version => Ok(token),
        (found, _) => Err(no_token(code, &format!("version {found}"))),
    }
}

/// Returns the error for a token that is none of this storage, with the code `CODE.token`.
/// `problem` is what is wrong with it.
pub fn no_token(code: &str, problem: &str) -> Error {
    let message = format!("this is no upload of this storage ({problem}); begin a new one");
    Error::invalid_input(&format!("{code}.token"), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<(u32, usize), String> {
        let version = bytes.first().ok_or("it is empty")?;
        Ok((u32::from(*version), bytes.len()))
    }

    #[test]
    fn tokens_may_be_anything() {
        assert_eq!(read_token("x", 3, &[3, 0], parse).unwrap(), 2);
        assert_eq!(read_token("x", 3, &[3; MAX_TOKEN], parse).unwrap(), MAX_TOKEN);
        for (token, problem) in
            [(vec![3; MAX_TOKEN + 1], "too long"), (Vec::new(), "it is empty"), (vec![4], "version 4")]
        {
            let error = read_token("x", 3, &token, parse).unwrap_err();
            assert_eq!(error.code, "x.token");
            assert!(error.message.contains(problem), "{error}");
        }
    }
}
