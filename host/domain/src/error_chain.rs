//! The text of an error with its causes.

use std::error::Error;

/// Returns the error's text followed by those of its causes, separated by `: `.
///
/// The outermost text alone (`error sending request`) often does not say what happened.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
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

    #[test]
    fn every_cause_is_named_once() {
        assert_eq!(error_chain(&Inner), "inner");
        assert_eq!(error_chain(&Outer(Inner)), "outer: inner");
    }
}
