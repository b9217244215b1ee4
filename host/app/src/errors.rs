//! Errors as one line of text, the same for servers, client and disk commands.

use std::error::Error as StdError;

use imprint_domain::Error;

/// Converts an error of a use case for the operator's terminal: with its internal cause, which the
/// API never sends.
pub(crate) fn to_anyhow(error: Error) -> anyhow::Error {
    anyhow::anyhow!(with_cause(&error))
}

/// Returns an error of a use case with its internal cause.
pub(crate) fn with_cause(error: &Error) -> String {
    match &error.internal {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}

/// Returns an error with its causes, outermost first. See [`chain`].
pub(crate) fn describe(error: &anyhow::Error) -> String {
    chain(&**error)
}

/// Returns an error with its causes, outermost first. Many libraries repeat the cause in their own
/// text; a cause that the text so far holds is left
/// out.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fmt, io};

    use super::*;

    #[derive(Debug)]
    struct Repeats {
        cause: io::Error,
    }

    impl fmt::Display for Repeats {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "cannot make /x: {}; choose another folder", self.cause)
        }
    }

    impl StdError for Repeats {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.cause)
        }
    }

    #[test]
    fn a_cause_is_printed_once() {
        let refused = || io::Error::from_raw_os_error(13);
        let once = "cannot make /x: Permission denied (os error 13); choose another folder";
        assert_eq!(chain(&Repeats { cause: refused() }), once);
        let wrapped = anyhow::Error::new(Repeats { cause: refused() }).context("the agent cannot start");
        assert_eq!(describe(&wrapped), format!("the agent cannot start: {once}"));
        let silent = anyhow::Error::new(refused()).context("cannot read /y");
        assert_eq!(describe(&silent), "cannot read /y: Permission denied (os error 13)");
    }

    #[test]
    fn the_operator_sees_the_internal_cause() {
        let error = to_anyhow(Error::internal("disk I/O error"));
        assert!(error.to_string().ends_with("(disk I/O error)"), "{error}");
    }
}
