//! What can go wrong with an NBD server.

use std::{io, path::PathBuf};

/// The failure of the NBD client. Inside an [`io::Error`] it is found with `get_ref` and
/// `downcast_ref`.
#[derive(Debug, thiserror::Error)]
pub enum NbdError {
    /// No server accepts connections.
    #[error("cannot connect to the NBD server at '{}'; check that it runs and that its socket may be used", path.display())]
    Connect {
        /// The path of the socket.
        path: PathBuf,
        /// What the system reports.
        #[source]
        source: io::Error,
    },
    /// The peer is not an NBD server that is supported.
    #[error(
        "the peer is not a fixed-newstyle NBD server: {what}; check that the socket belongs to an NBD server"
    )]
    NotNbd {
        /// What is wrong with its greeting.
        what: &'static str,
    },
    /// The server refuses to serve the export.
    #[error("the NBD server refuses: {message}; check the name of the export")]
    Refused {
        /// The server's message, without control characters and shortened.
        message: String,
    },
    /// The server violates the protocol.
    #[error("the NBD server broke the protocol: {what}; its data cannot be trusted, capture again")]
    Protocol {
        /// How it violates the protocol.
        what: &'static str,
    },
    /// The server reports an error.
    #[error("the NBD server reports error {errno}: {message}; check the disk that it serves")]
    Server {
        /// The error number, as on Linux.
        errno: u32,
        /// The server's message, without control characters and shortened.
        message: String,
    },
    /// The export cannot be written to.
    #[error("the NBD export is read-only; start the server so that it allows writing")]
    ReadOnly,
    /// The server did not answer in time.
    #[error("the NBD server did not answer within {seconds} s; check that it is not blocked")]
    Timeout {
        /// The time limit in seconds.
        seconds: u64,
    },
    /// The server closed the connection during a call.
    #[error("the NBD server closed the connection; check that it still runs")]
    Disconnected,
    /// A new connection serves another export than the first.
    #[error("the NBD export changed between two connections; capture again")]
    Changed,
    /// The call was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A socket operation failed.
    #[error("the connection to the NBD server failed")]
    Socket(#[source] io::Error),
}

impl NbdError {
    /// Returns the dotted code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "nbd.connect",
            Self::NotNbd { .. } => "nbd.not-nbd",
            Self::Refused { .. } => "nbd.refused",
            Self::Protocol { .. } => "nbd.protocol",
            Self::Server { .. } => "nbd.server",
            Self::ReadOnly => "nbd.read-only",
            Self::Timeout { .. } => "nbd.timeout",
            Self::Disconnected | Self::Socket(_) => "nbd.disconnected",
            Self::Changed => "nbd.changed",
            Self::Cancelled => "nbd.cancelled",
        }
    }
}

impl From<NbdError> for io::Error {
    fn from(error: NbdError) -> Self {
        let kind = match &error {
            NbdError::Timeout { .. } => io::ErrorKind::TimedOut,
            NbdError::Disconnected | NbdError::Socket(_) => io::ErrorKind::ConnectionReset,
            NbdError::Connect { source, .. } => source.kind(),
            NbdError::NotNbd { .. } | NbdError::Protocol { .. } | NbdError::Changed => {
                io::ErrorKind::InvalidData
            }
            NbdError::ReadOnly => io::ErrorKind::PermissionDenied,
            NbdError::Refused { .. } | NbdError::Server { .. } | NbdError::Cancelled => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Returns a server's message for a log: no control characters, at most 200 of the others.
pub(super) fn sanitize(message: &[u8]) -> String {
    String::from_utf8_lossy(message).chars().filter(|c| !c.is_control()).take(200).collect()
}
