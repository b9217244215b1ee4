//! How a command ends when it does not end well.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use imprint_data_path::EngineError;
use imprint_ports::ErrorClass;

/// What the exit status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// 1: it could not be done, and the image is not to blame.
    Failed,
    /// 2: it was asked for in a wrong way.
    Usage,
    /// 3: the image is unsafe, damaged or of an unsupported kind.
    Refused,
}

/// Why a command did not do what it was asked to.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    status: Status,
    /// Dotted, for programs. `None` says nothing more than the status: the answer has been told
    /// already.
    code: Option<String>,
    message: String,
}

impl Failure {
    /// The command cannot mean what it says.
    pub(super) fn usage(code: &str, message: impl Into<String>) -> Self {
        Self { status: Status::Usage, code: Some(code.to_owned()), message: message.into() }
    }

    /// The image is not what may be worked with.
    pub(super) fn refused(code: &str, message: impl Into<String>) -> Self {
        Self { status: Status::Refused, code: Some(code.to_owned()), message: message.into() }
    }

    /// It could not be done.
    pub(super) fn failed(code: &str, message: impl Into<String>) -> Self {
        Self { status: Status::Failed, code: Some(code.to_owned()), message: message.into() }
    }

    /// The answer is told, and it is no.
    pub(super) fn no() -> Self {
        Self { status: Status::Failed, code: None, message: String::new() }
    }

    /// The plugins could not be loaded.
    pub(super) fn plugins(error: anyhow::Error) -> Self {
        Self::failed("plugin.load", format!("{error:#}"))
    }

    /// The answer could not be written.
    pub(super) fn output(error: &io::Error) -> Self {
        match error.kind() == io::ErrorKind::BrokenPipe {
            // Whoever reads has seen enough.
            true => Self::no(),
            false => Self::failed("io.write", format!("cannot write the answer: {error}")),
        }
    }

    /// Of the engine, about one of the files.
    pub(super) fn engine(name: &str, error: &EngineError) -> Self {
        let status = match error {
            EngineError::NoSpace { .. }
            | EngineError::TooSmall(_)
            | EngineError::Open { .. }
            | EngineError::Scratch(_)
            | EngineError::Mover(_) => Status::Failed,
            EngineError::InvalidOption { .. } => Status::Usage,
            EngineError::Port(port) if port.code == "unsupported.option" => Status::Usage,
            EngineError::Port(_)
            | EngineError::Map(_)
            | EngineError::Decode { .. }
            | EngineError::Read { .. }
            | EngineError::Write { .. }
            | EngineError::ExternalReference { .. }
            | EngineError::Chain { .. }
            | EngineError::AmbiguousContent { .. }
            | EngineError::Unsupported { .. }
            | EngineError::SourceChanged
            | EngineError::Mismatch
            | EngineError::Digest { .. }
            | EngineError::Cancelled
            | EngineError::OutOfOrder
            | EngineError::WorkerLost => of_class(error.class()),
        };
        let message = if matches!(error, EngineError::Cancelled) {
            "cancelled; nothing is left behind".to_owned()
        } else if matches!(error, EngineError::Open { .. }) {
            // It names the file itself.
            error.report()
        } else {
            format!("{name}: {}", error.report())
        };
        Self { status, code: Some(error.code().to_owned()), message }
    }

    /// Says something more.
    pub(super) fn and(mut self, more: &str) -> Self {
        self.message = format!("{}; {more}", self.message);
        self
    }

    /// The process's exit status.
    pub(super) fn status(&self) -> ExitCode {
        ExitCode::from(match self.status {
            Status::Failed => 1,
            Status::Usage => 2,
            Status::Refused => 3,
        })
    }

    /// Says it on standard error.
    pub(super) fn tell(&self) {
        let Some(code) = &self.code else { return };
        // With nowhere to say it, the exit status says it alone.
        let _ = writeln!(io::stderr().lock(), "error[{}]: {}", printable(code), printable(&self.message));
    }
}

fn of_class(class: ErrorClass) -> Status {
    match class {
        ErrorClass::Corrupt | ErrorClass::Denied | ErrorClass::Unsupported | ErrorClass::LimitExceeded => {
            Status::Refused
        }
        ErrorClass::InvalidInput => Status::Usage,
        ErrorClass::NotFound
        | ErrorClass::AlreadyExists
        | ErrorClass::Conflict
        | ErrorClass::Transient
        | ErrorClass::Cancelled
        | ErrorClass::Internal => Status::Failed,
    }
}

/// Text of unknown origin for a terminal: what an image says must not move the cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use imprint_ports::PortError;

    use super::*;

    fn status_of(error: &EngineError) -> Status {
        Failure::engine("disk", error).status
    }

    #[test]
    fn the_status_says_whether_the_image_is_to_blame() {
        let port = |class, code: &str| EngineError::from(PortError::host(class, code, "x"));
        assert_eq!(status_of(&port(ErrorClass::Corrupt, "corrupt.header")), Status::Refused);
        assert_eq!(status_of(&port(ErrorClass::Denied, "denied.corrupt-flag")), Status::Refused);
        assert_eq!(status_of(&port(ErrorClass::Unsupported, "unsupported.version")), Status::Refused);
        assert_eq!(status_of(&port(ErrorClass::Unsupported, "unsupported.option")), Status::Usage);
        assert_eq!(status_of(&port(ErrorClass::Internal, "plugin.trap")), Status::Failed);
        let full = EngineError::NoSpace { offset: 0, source: io::ErrorKind::StorageFull.into() };
        assert_eq!(status_of(&full), Status::Failed);
        let short = EngineError::Read { offset: 0, length: 1, source: io::ErrorKind::UnexpectedEof.into() };
        assert_eq!(status_of(&short), Status::Refused);
    }

    #[test]
    fn an_image_cannot_write_to_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
