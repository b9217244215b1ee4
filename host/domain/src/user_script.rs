//! User scripts: the data that cloud-init runs or applies at the first boot of an instance.

/// The longest user script, in bytes.
pub const MAX_USER_SCRIPT_BYTES: usize = 64 << 10;

/// Why a text is not a user script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserScriptError {
    /// Nothing but white space.
    #[error("the script is empty")]
    Empty,
    /// Longer than [`MAX_USER_SCRIPT_BYTES`].
    #[error("a user script has at most 64 KiB, this one has {0} bytes")]
    TooLong(usize),
    /// A zero byte, which neither shells nor databases take.
    #[error("a user script must not contain zero bytes; is it a text file?")]
    ZeroByte,
}

/// Checks the text of a user script.
///
/// # Errors
///
/// [`UserScriptError`] for a text that cannot be saved or given to a guest.
pub fn check_user_script(text: &str) -> Result<(), UserScriptError> {
    if text.len() > MAX_USER_SCRIPT_BYTES {
        return Err(UserScriptError::TooLong(text.len()));
    }
    if text.contains('\0') {
        return Err(UserScriptError::ZeroByte);
    }
    if text.trim().is_empty() { Err(UserScriptError::Empty) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_bounded_texts() {
        let longest = "x".repeat(MAX_USER_SCRIPT_BYTES);
        for text in ["#!/bin/sh\necho hello\n", "#cloud-config\n{}\n", &longest] {
            assert_eq!(check_user_script(text), Ok(()));
        }
        assert_eq!(check_user_script(" \n"), Err(UserScriptError::Empty));
        assert_eq!(check_user_script("#!/bin/sh\0"), Err(UserScriptError::ZeroByte));
        let longer = format!("{longest}x");
        assert_eq!(check_user_script(&longer), Err(UserScriptError::TooLong(longer.len())));
    }
}
