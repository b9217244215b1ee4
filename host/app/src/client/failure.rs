//! Why a command failed, how it is reported, and with which exit status it ends.

use std::{fmt, io, process::ExitCode};

use imprint_api::dto::{
    problem::Problem,
    task::{Task, TaskSupport},
};
use serde_json::{Value, json};

use crate::{output_format::OutputFormat, terminal};

/// The server cannot be reached or failed, a task ended without success, or a check failed.
const EXIT_FAILED: u8 = 1;

/// The command was typed in a wrong way; the same status as clap's.
const EXIT_USAGE: u8 = 2;

/// The server refused the request, or knows nothing of that name.
const EXIT_REFUSED: u8 = 3;

/// There is no token, or it is not valid any more.
const EXIT_NOT_SIGNED_IN: u8 = 4;

/// The code of a problem that says that the token is missing, revoked or expired.
const UNAUTHENTICATED: &str = "unauthenticated";

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused or failed, and said why.
    Problem(Box<Problem>),
    /// The server cannot be reached.
    Unreachable {
        /// The server's address.
        server: String,
        /// The reason, in one line.
        cause: String,
    },
    /// The storage that a download was redirected to cannot be reached, or refuses.
    Storage {
        /// The storage's address: the server alone.
        storage: String,
        /// The reason, in one line, without the signed address.
        detail: String,
    },
    /// The answer is not one of this API.
    Answer {
        /// The server's address.
        server: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The task ended without success.
    Task(Box<Task>),
    /// The arguments name several things, or cannot be read.
    Usage(String),
    /// The server has nothing of that name.
    NotFound(String),
    /// No token is kept, or it is for another server.
    NotSignedIn(String),
    /// The user answered no.
    Declined,
    /// Checks failed; they are printed already.
    Checks,
    /// A plugin cannot be used.
    Plugin {
        /// Its file, or that of its manifest.
        file: String,
        /// The reason, and what to do about it.
        reason: String,
    },
    /// Reading or writing on this machine failed.
    Local {
        /// What was attempted.
        what: String,
        /// Why it failed.
        cause: io::Error,
    },
    /// The reader of standard output is gone: not an error.
    OutputClosed,
}

impl Failure {
    /// Returns an error of reading or writing files.
    pub(crate) fn local(what: impl fmt::Display, cause: io::Error) -> Self {
        Self::Local { what: what.to_string(), cause }
    }

    /// Reports the failure on standard error, as JSON if that was asked for, and returns the exit
    /// status of the process.
    pub(crate) fn report(&self, format: Option<OutputFormat>) -> ExitCode {
        match (self, format) {
            (Self::OutputClosed, _) => {}
            (_, Some(OutputFormat::Json)) => terminal::note(&self.document().to_string()),
            (_, Some(OutputFormat::Table) | None) => {
                let hint = self.hint().map_or_else(String::new, |hint| format!("\n{hint}"));
                terminal::note(&format!("error: {self}{hint}"));
            }
        }
        ExitCode::from(self.exit_status())
    }

    fn exit_status(&self) -> u8 {
        match self {
            Self::Problem(problem) if problem.code == UNAUTHENTICATED => EXIT_NOT_SIGNED_IN,
            Self::Problem(problem) if problem.status >= 500 || problem.status == 429 => EXIT_FAILED,
            Self::Problem(_) | Self::NotFound(_) | Self::Plugin { .. } => EXIT_REFUSED,
            Self::Usage(_) => EXIT_USAGE,
            Self::NotSignedIn(_) => EXIT_NOT_SIGNED_IN,
            Self::OutputClosed => 0,
            Self::Unreachable { .. }
            | Self::Storage { .. }
            | Self::Answer { .. }
            | Self::Task(_)
            | Self::Declined
            | Self::Checks
            | Self::Local { .. } => EXIT_FAILED,
        }
    }

    /// Returns the code of the failure for programs: the server's, or one of the client.
    fn code(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.code,
            Self::Unreachable { .. } => "unreachable",
            Self::Storage { .. } => "storage_unreachable",
            Self::Answer { .. } => "unexpected_answer",
            Self::Task(task) => task.error.as_ref().map_or("task_not_succeeded", |error| &error.code),
            Self::Usage(_) => "usage",
            Self::NotFound(_) => "not_found",
            Self::NotSignedIn(_) => UNAUTHENTICATED,
            Self::Declined => "declined",
            Self::Checks => "checks_failed",
            Self::Plugin { .. } => "plugin.load",
            Self::Local { .. } => "local",
            Self::OutputClosed => "output_closed",
        }
    }

    /// Returns the failure as JSON: what every failure has, and the server's problem or the task.
    fn document(&self) -> Value {
        let mut error = json!({
            "code": self.code(),
            "detail": self.to_string(),
            "exit_status": self.exit_status(),
        });
        match self {
            Self::Problem(problem) => error["problem"] = json!(problem),
            Self::Task(task) => error["task"] = json!(task),
            Self::Unreachable { .. }
            | Self::Storage { .. }
            | Self::Answer { .. }
            | Self::Usage(_)
            | Self::NotFound(_)
            | Self::NotSignedIn(_)
            | Self::Declined
            | Self::Checks
            | Self::Plugin { .. }
            | Self::Local { .. }
            | Self::OutputClosed => {}
        }
        json!({ "error": error })
    }

    /// Returns what to do next, where the failure itself does not say it.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => {
                Some("Check that it is running and that the address is right; see `imprint doctor`.")
            }
            Self::Storage { .. } => Some(
                "The storage's setting `direct-downloads` says that clients reach it; from here, use --through-server.",
            ),
            Self::Problem(problem) if problem.code == UNAUTHENTICATED => {
                Some("Sign in with `imprint login`.")
            }
            Self::Problem(_)
            | Self::Answer { .. }
            | Self::Task(_)
            | Self::Usage(_)
            | Self::NotFound(_)
            | Self::NotSignedIn(_)
            | Self::Declined
            | Self::Checks
            | Self::Plugin { .. }
            | Self::Local { .. }
            | Self::OutputClosed => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => write_problem(f, problem),
            Self::Unreachable { server, cause } => write!(f, "{server} cannot be reached: {cause}"),
            Self::Storage { storage, detail } => {
                write!(f, "{storage} does not hand the object over: {detail}")
            }
            Self::Answer { server, detail } => {
                write!(f, "{server} does not answer as an Imprint server of this version: {detail}")
            }
            Self::Task(task) => write_task(f, task),
            Self::Usage(text) | Self::NotFound(text) | Self::NotSignedIn(text) => f.write_str(text),
            Self::Declined => f.write_str("nothing was deleted"),
            Self::Checks => f.write_str("some checks failed; see above"),
            Self::Plugin { file, reason } => write!(f, "the plugin {file} cannot be used: {reason}"),
            Self::Local { what, cause } => write!(f, "{what}: {cause}"),
            Self::OutputClosed => f.write_str("the output was closed"),
        }
    }
}

fn write_problem(f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
    write!(f, "{}: {} [{}]", problem.title, problem.detail, problem.code)?;
    for error in problem.errors.iter().filter(|error| !error.pointer.is_empty()) {
        write!(f, "\n  at {}: {}", error.pointer, error.detail)?;
    }
    for (key, value) in &problem.context {
        write!(f, "\n  {key}: {value}")?;
    }
    if let Some(seconds) = problem.retry_after_s {
        write!(f, "\n  try again in {seconds} s")?;
    }
    if problem.status >= 500 {
        write!(f, "\n  request {}", problem.request_id)?;
    }
    Ok(())
}

/// Returns how the provider's support is reached.
pub(crate) fn support_lines(support: &TaskSupport) -> Vec<String> {
    let text = support.text.iter().map(|text| format!("support: {text}"));
    let url = support.url.iter().map(|url| format!("support: {url}"));
    let status = support.status_url.iter().map(|url| format!("system status: {url}"));
    text.chain(url).chain(status).collect()
}

fn write_task(f: &mut fmt::Formatter<'_>, task: &Task) -> fmt::Result {
    write!(f, "{} {} {}", task.kind, task.id, task.state)?;
    let Some(error) = &task.error else { return Ok(()) };
    write!(f, ": {} [{}]\n  {}", error.detail, error.code, error.action)?;
    if let Some(support) = &error.support {
        for line in support_lines(support) {
            write!(f, "\n  {line}")?;
        }
    }
    if error.retryable {
        write!(f, "\n  try again with `imprint task retry {}`", task.id)?;
    }
    if let Some(detail) = &error.operator_detail {
        write!(f, "\n  technical detail: {detail}")?;
    }
    write!(f, "\n  reference {}", error.reference)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(code: &str, status: u16) -> Failure {
        let document = json!({
            "type": "/", "title": "T", "status": status, "detail": "d", "instance": "/", "code": code,
            "request_id": "req_1", "retryable": false,
        });
        Failure::Problem(Box::new(serde_json::from_value(document).unwrap()))
    }

    #[test]
    fn the_exit_status_says_what_kind_of_failure_it_was() {
        for (failure, status) in [
            (problem("internal", 500), 1),
            (problem("rate_limited", 429), 1),
            (problem("not_found", 404), 3),
            (problem("sign_in_failed", 401), 3),
            (problem("unauthenticated", 401), 4),
            (Failure::NotFound("there is no image `x`".to_owned()), 3),
            (Failure::NotSignedIn("no token".to_owned()), 4),
            (Failure::Usage("which?".to_owned()), 2),
            (Failure::Checks, 1),
            (Failure::OutputClosed, 0),
        ] {
            assert_eq!(failure.exit_status(), status, "{failure}");
            let document = failure.document();
            assert_eq!(document["error"]["exit_status"], status, "{document}");
            assert_eq!(document["error"]["code"], failure.code(), "{document}");
        }
        assert_eq!(problem("not_found", 404).document()["error"]["problem"]["status"], 404);
    }
}
