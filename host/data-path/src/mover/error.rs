//! What can go wrong with a mover.

use std::{io, os::unix::process::ExitStatusExt as _, process::ExitStatus};

use imprint_ports::ErrorClass;

/// The failure of the process that decodes images.
#[derive(Debug, thiserror::Error)]
pub enum MoverError {
    /// It could not be started.
    #[error(
        "the process that decodes images cannot be started; check that the program is still there and may be executed"
    )]
    Start {
        /// What the system reports.
        #[source]
        source: io::Error,
    },
    /// This system does not offer the isolation.
    #[error(
        "compressed images are decoded in a process of their own, and this system cannot isolate it: {missing}; use a kernel \
         with Landlock (5.13 or newer, in its list of security modules) and allow seccomp filters in the container, or accept \
         weaker isolation with IMPRINT_ISOLATION=best-effort (server and agent: [mover] isolation = \"best-effort\")"
    )]
    Sandbox {
        /// What is missing.
        missing: String,
    },
    /// It ended during its work.
    #[error("the process that decodes the image ended unexpectedly ({how}); {advice}")]
    Died {
        /// How it ended.
        how: String,
        /// What the reader can do.
        advice: &'static str,
        /// The kind of the failure.
        class: ErrorClass,
    },
    /// It violated the protocol.
    #[error(
        "the process that decodes the image broke its protocol ({what}); the image may be hostile, take it from a trusted source"
    )]
    BadAnswer {
        /// How it violated the protocol.
        what: String,
    },
}

impl MoverError {
    /// Returns the dotted code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Start { .. } => "mover.start",
            Self::Sandbox { .. } => "mover.sandbox",
            Self::Died { .. } => "mover.died",
            Self::BadAnswer { .. } => "mover.bad-answer",
        }
    }

    /// Returns the kind of the failure, for deciding what to do next.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Start { .. } => ErrorClass::Transient,
            Self::Sandbox { .. } => ErrorClass::Unsupported,
            Self::Died { class, .. } => *class,
            Self::BadAnswer { .. } => ErrorClass::Internal,
        }
    }

    /// Returns the error for how the process ended.
    pub(super) fn died(status: ExitStatus) -> Self {
        const KILLED: &str = "another program ended it, or the system ran out of memory; try again";
        const HOSTILE: &str = "the image may be hostile: take it from a trusted source, and report this";
        let (how, advice, class) = match (status.signal(), status.code()) {
            (Some(libc::SIGKILL), _) => ("killed".to_owned(), KILLED, ErrorClass::Transient),
            (Some(libc::SIGTERM), _) => ("terminated".to_owned(), KILLED, ErrorClass::Transient),
            (Some(libc::SIGSYS), _) => {
                ("it tried what its sandbox forbids".to_owned(), HOSTILE, ErrorClass::Internal)
            }
            (Some(signal), _) => (format!("signal {signal}"), HOSTILE, ErrorClass::Internal),
            (None, code) => {
                (format!("exit status {}", code.unwrap_or_default()), HOSTILE, ErrorClass::Internal)
            }
        };
        Self::Died { how, advice, class }
    }
}
