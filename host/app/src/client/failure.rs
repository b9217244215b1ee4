//! Why a command did not do what it was told, and with which exit status it ends.

use std::{fmt, io, process::ExitCode};

use imprint_api::dto::{problem::Problem, task::Task};

/// It failed: the server cannot be reached, or failed, or the task ended without success.
const EXIT_FAILED: u8 = 1;

/// The command was typed in a wrong way; the same status as clap's.
const EXIT_USAGE: u8 = 2;

/// The server refused it: nothing was done.
const EXIT_REFUSED: u8 = 3;

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server's own words.
    Problem(Box<Problem>),
    /// The server cannot be reached.
    Unreachable { server: String, cause: String },
    /// The answer is none of this API's.
    Answer { server: String, detail: String },
    /// The task ended without success.
    Task(Box<Task>),
    /// What was typed names nothing, or more than one thing, or cannot be read.
    Usage(String),
    /// Nobody is signed in.
    NotSignedIn(String),
    /// Checks found something; they are printed already.
    Checks,
    /// Something on this machine.
    Local { what: String, cause: io::Error },
    /// Whoever read our output has gone: nothing to complain about.
    OutputClosed,
}

impl Failure {
    /// The process's exit status.
    fn exit_status(&self) -> u8 {
        match self {
            Self::Problem(problem) if problem.status >= 500 || problem.status == 429 => EXIT_FAILED,
            Self::Problem(_) => EXIT_REFUSED,
            Self::Usage(_) => EXIT_USAGE,
            Self::OutputClosed => 0,
            Self::Unreachable { .. }
            | Self::Answer { .. }
            | Self::Task(_)
            | Self::NotSignedIn(_)
            | Self::Checks
            | Self::Local { .. } => EXIT_FAILED,
        }
    }

    /// Tells it on standard error, and answers with the process's exit status.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::OutputClosed => {}
            Self::Problem(_)
            | Self::Unreachable { .. }
            | Self::Answer { .. }
            | Self::Task(_)
            | Self::Usage(_)
            | Self::NotSignedIn(_)
            | Self::Checks
            | Self::Local { .. } => super::output::note(&format!("error: {self}")),
        }
        ExitCode::from(self.exit_status())
    }

    /// An error of reading or writing files.
    pub(crate) fn local(what: impl fmt::Display, cause: io::Error) -> Self {
        Self::Local { what: what.to_string(), cause }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => write_problem(f, problem),
            Self::Unreachable { server, cause } => {
                write!(
                    f,
                    "{server} cannot be reached: {cause}\nIs it running, and is the address right? See `imprint doctor`."
                )
            }
            Self::Answer { server, detail } => {
                write!(f, "{server} does not answer as an Imprint server of this version: {detail}")
            }
            Self::Task(task) => write_task(f, task),
            Self::Usage(text) | Self::NotSignedIn(text) => f.write_str(text),
            Self::Checks => f.write_str("not everything is well; see above"),
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

fn write_task(f: &mut fmt::Formatter<'_>, task: &Task) -> fmt::Result {
    write!(f, "{} {} {}", task.kind, task.id, task.state)?;
    let Some(error) = &task.error else { return Ok(()) };
    write!(f, ": {} [{}]\n  {}", error.detail, error.code, error.action)?;
    if error.retryable {
        write!(f, "\n  try again with `imprint task retry {}`", task.id)?;
    }
    if let Some(detail) = &error.operator_detail {
        write!(f, "\n  technical detail: {detail}")?;
    }
    write!(f, "\n  reference {}", error.reference)?;
    Ok(())
}
