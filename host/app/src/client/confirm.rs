//! The question before something is deleted or ended.

use super::{args::ConfirmArgs, failure::Failure};
use crate::terminal;

/// Asks on a terminal whether to delete the resource, unless `--yes` is given.
///
/// # Errors
///
/// The answer is no, or it cannot be read.
pub(crate) fn confirm_deletion(args: ConfirmArgs, noun: &str, name: &str) -> Result<(), Failure> {
    confirm(args, &format!("Delete {noun} `{}`?", terminal::printable(name)))
}

/// Asks a question on a terminal, unless `--yes` is given.
///
/// # Errors
///
/// The answer is no, or it cannot be read.
pub(crate) fn confirm(args: ConfirmArgs, question: &str) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    let answer = terminal::confirm(question);
    match answer.map_err(|cause| Failure::local("the answer cannot be read", cause))? {
        Some(true) | None => Ok(()),
        Some(false) => Err(Failure::Declined),
    }
}
