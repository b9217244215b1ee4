//! The text of an error with its causes.

use std::error::Error;

/// Returns the error's text followed by those of its causes, separated by `: `.
///
/// The outermost text alone (`error sending request`) often does not say what happened. Many errors
/// repeat their cause in their own text; a cause that the text so far holds is left out.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot make /x: {0}; choose another folder")]
    struct Repeating(#[source] std::io::Error);

    #[test]
    fn a_cause_that_is_in_the_text_already_is_not_repeated() {
        let denied = std::io::Error::from_raw_os_error(13);
        let text = "cannot make /x: Permission denied (os error 13); choose another folder";
        assert_eq!(error_chain(&Repeating(denied)), text);
    }

    #[test]
    fn every_cause_is_named_once() {
        assert_eq!(error_chain(&Inner), "inner");
        assert_eq!(error_chain(&Outer(Inner)), "outer: inner");
    }
}
