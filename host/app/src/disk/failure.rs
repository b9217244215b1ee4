//! Why a disk command failed, how it is reported, and with which exit status it ends.

use std::{io, process::ExitCode};

use imprint_data_path::EngineError;
use imprint_ports::ErrorClass;
use serde_json::json;

use crate::{
    errors,
    output_format::OutputFormat,
    terminal::{note, printable},
};

/// The kinds of failures, as the exit status distinguishes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// 1: the command failed, and the image is not the reason.
    Failed,
    /// 2: the arguments are wrong.
    Usage,
    /// 3: the image is unsafe, damaged or not supported.
    Refused,
}

/// Why a command ended without success.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    status: Status,
    /// The stable code, such as `io.open`. `None` if nothing is reported: the answer on standard
    /// output says it all.
    code: Option<String>,
    message: String,
}

impl Failure {
    /// The arguments are wrong.
    pub(super) fn usage(code: &str, message: impl Into<String>) -> Self {
        Self { status: Status::Usage, code: Some(code.to_owned()), message: message.into() }
    }

    /// The image is refused.
    pub(super) fn refused(code: &str, message: impl Into<String>) -> Self {
        Self { status: Status::Refused, code: Some(code.to_owned()), message: message.into() }
    }

    /// The command failed.
    pub(super) fn failed(code: &str, message: impl Into<String>) -> Self {
        Self { status: Status::Failed, code: Some(code.to_owned()), message: message.into() }
    }

    /// The answer is printed, and it is negative.
    pub(super) fn silent() -> Self {
        Self { status: Status::Failed, code: None, message: String::new() }
    }

    /// The plugins could not be loaded.
    pub(super) fn plugins(error: anyhow::Error) -> Self {
        Self::failed("plugin.load", errors::describe(&error))
    }

    /// The answer could not be written.
    pub(super) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // The reader has closed the pipe; it needs no more.
            return Self::silent();
        }
        Self::failed("io.write", format!("cannot write the answer: {error}"))
    }

    /// An error of the engine that concerns the file `name`.
    pub(super) fn engine(name: &str, error: &EngineError) -> Self {
        let status = match error {
            EngineError::NoSpace { .. }
            | EngineError::FileLimit { .. }
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
            "cancelled; no partial file is left".to_owned()
        } else if matches!(error, EngineError::Open { .. }) {
            // It names the file itself.
            error.report()
        } else {
            format!("{name}: {}", error.report())
        };
        Self { status, code: Some(error.code().to_owned()), message }
    }

    /// Adds to the message.
    pub(super) fn and(mut self, more: &str) -> Self {
        self.message = format!("{}; {more}", self.message);
        self
    }

    /// Reports the failure on standard error and returns the exit status of the process.
    pub(super) fn report(&self, format: OutputFormat) -> ExitCode {
        if let Some(code) = &self.code {
            note(&match format {
                OutputFormat::Table => format!("error[{}]: {}", printable(code), printable(&self.message)),
                OutputFormat::Json => {
                    let error =
                        json!({"code": code, "detail": self.message, "exit_status": self.exit_status()});
                    json!({ "error": error }).to_string()
                }
            });
        }
        ExitCode::from(self.exit_status())
    }

    fn exit_status(&self) -> u8 {
        match self.status {
            Status::Failed => 1,
            Status::Usage => 2,
            Status::Refused => 3,
        }
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

#[cfg(test)]
mod tests {
    use imprint_ports::PortError;

    use super::*;

    fn status_of(error: &EngineError) -> Status {
        Failure::engine("disk", error).status
    }

    #[test]
    fn the_status_says_whether_the_image_is_the_reason() {
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
}
