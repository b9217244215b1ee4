//! Errors as one line of text, the same for servers, client and disk commands.

use imprint_domain::{Error, error_chain::error_chain};

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

/// Returns an error with its causes, outermost first, each once.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    error_chain(&**error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let error = anyhow::Error::new(std::io::Error::from_raw_os_error(13)).context("cannot read /y");
        assert_eq!(describe(&error), "cannot read /y: Permission denied (os error 13)");
        assert_eq!(describe(&error.context("no settings")).lines().count(), 1);
    }

    #[test]
    fn the_operator_sees_the_internal_cause() {
        let error = to_anyhow(Error::internal("disk I/O error"));
        assert!(error.to_string().ends_with("(disk I/O error)"), "{error}");
    }
}
