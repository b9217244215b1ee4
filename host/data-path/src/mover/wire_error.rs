//! How errors of the data path cross to the host unchanged.

use std::{io, sync::Mutex};

use imprint_ports::{ErrorClass, Origin, PortError};
use serde::{Deserialize, Serialize};

use super::error::MoverError;
use crate::{
    codec::DecodeError, error::EngineError, map::scratch::ScratchError, util::lock::lock, util::num::from_u32,
};

/// The longest text that is taken from a mover, in characters.
const MAX_TEXT: usize = 1000;
/// The number of errors of proxied reads and writes that are kept for one operation.
const MAX_KEPT: usize = 64;

/// The kinds of I/O errors that decide which error of the data path they become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum IoKind {
    EndOfFile,
    StorageFull,
    QuotaExceeded,
    InvalidInput,
    Other,
}

/// An I/O error on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireIo {
    kind: IoKind,
    os: Option<i32>,
    /// The number under which the host has kept the error, where it is the host's own.
    kept: Option<u32>,
    text: String,
}

/// The number of an error that the host has kept; what a mover sees of it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the host could not do it")]
struct Kept(u32);

impl WireIo {
    fn new(error: &io::Error) -> Self {
        let kept = error.get_ref().and_then(|inner| inner.downcast_ref::<Kept>()).map(|kept| kept.0);
        #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum")]
        let kind = match error.kind() {
            io::ErrorKind::UnexpectedEof => IoKind::EndOfFile,
            io::ErrorKind::StorageFull => IoKind::StorageFull,
            io::ErrorKind::QuotaExceeded => IoKind::QuotaExceeded,
            io::ErrorKind::InvalidInput => IoKind::InvalidInput,
            _ => IoKind::Other,
        };
        Self { kind, os: error.raw_os_error(), kept, text: plain(&error.to_string()) }
    }

    fn std_kind(&self) -> io::ErrorKind {
        match self.kind {
            IoKind::EndOfFile => io::ErrorKind::UnexpectedEof,
            IoKind::StorageFull => io::ErrorKind::StorageFull,
            IoKind::QuotaExceeded => io::ErrorKind::QuotaExceeded,
            IoKind::InvalidInput => io::ErrorKind::InvalidInput,
            IoKind::Other => io::ErrorKind::Other,
        }
    }

    /// Returns the error for the mover, which carries the number of the host's own.
    pub(super) fn in_mover(self) -> io::Error {
        match self.kept {
            Some(number) => io::Error::new(self.std_kind(), Kept(number)),
            None => io::Error::new(self.std_kind(), self.text),
        }
    }

    fn in_host(self, kept: &KeptErrors) -> io::Error {
        if let Some(error) = self.kept.and_then(|number| kept.take(number)) {
            return error;
        }
        match self.os {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(self.std_kind(), plain(&self.text)),
        }
    }
}

/// Errors of the host's reads and writes for a mover, kept until the mover reports which one ended
/// its operation.
#[derive(Debug, Default)]
pub(super) struct KeptErrors(Mutex<Vec<Option<io::Error>>>);

impl KeptErrors {
    pub(super) fn keep(&self, error: io::Error) -> WireIo {
        let mut wire = WireIo::new(&error);
        let mut kept = lock(&self.0);
        if kept.len() < MAX_KEPT {
            wire.kept = u32::try_from(kept.len()).ok();
            kept.push(Some(error));
        }
        wire
    }

    fn take(&self, number: u32) -> Option<io::Error> {
        let mut kept = lock(&self.0);
        kept.get_mut(from_u32(number))?.take()
    }
}

/// Returns text of a mover, bounded and without control characters.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

/// An error of the data path on its way to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WireError {
    Decode {
        offset: u64,
        source: DecodeError,
    },
    Read {
        offset: u64,
        length: u64,
        source: WireIo,
    },
    Write {
        offset: u64,
        source: WireIo,
    },
    NoSpace {
        offset: u64,
        source: WireIo,
    },
    Unsupported {
        what: String,
    },
    InvalidOption {
        what: String,
    },
    /// The layout of a format plugin is wrong.
    Layout {
        code: String,
        message: String,
    },
    Scratch(ScratchError),
    SourceChanged,
    Mismatch,
    Cancelled,
    WorkerLost,
    /// An error that moving bytes cannot cause.
    Unexpected {
        text: String,
    },
}

impl WireError {
    pub(super) fn new(error: &EngineError) -> Self {
        match error {
            EngineError::Decode { offset, source } => Self::Decode { offset: *offset, source: *source },
            EngineError::Read { offset, length, source } => {
                Self::Read { offset: *offset, length: *length, source: WireIo::new(source) }
            }
            EngineError::Write { offset, source } => {
                Self::Write { offset: *offset, source: WireIo::new(source) }
            }
            EngineError::NoSpace { offset, source } | EngineError::FileLimit { offset, source } => {
                Self::NoSpace { offset: *offset, source: WireIo::new(source) }
            }
            EngineError::Unsupported { what } => Self::Unsupported { what: what.clone() },
            EngineError::InvalidOption { what } => Self::InvalidOption { what: what.clone() },
            EngineError::Port(error) => {
                Self::Layout { code: error.code.clone(), message: error.message.clone() }
            }
            EngineError::Scratch(error) => Self::Scratch(error.clone()),
            EngineError::SourceChanged => Self::SourceChanged,
            EngineError::Mismatch => Self::Mismatch,
            EngineError::Cancelled => Self::Cancelled,
            EngineError::WorkerLost => Self::WorkerLost,
            EngineError::Map(_)
            | EngineError::TooSmall(_)
            | EngineError::Digest { .. }
            | EngineError::Open { .. }
            | EngineError::ExternalReference { .. }
            | EngineError::Chain { .. }
            | EngineError::AmbiguousContent { .. }
            | EngineError::OutOfOrder
            | EngineError::Mover(_) => Self::Unexpected { text: error.report() },
        }
    }

    /// Returns the error for the host: the same as if the work had been done there.
    pub(super) fn in_host(self, kept: &KeptErrors) -> EngineError {
        match self {
            Self::Decode { offset, source } => EngineError::Decode { offset, source },
            Self::Read { offset, length, source } => EngineError::read(offset, length, source.in_host(kept)),
            Self::Write { offset, source } | Self::NoSpace { offset, source } => {
                EngineError::write(offset, source.in_host(kept))
            }
            Self::Unsupported { what } => EngineError::Unsupported { what: plain(&what) },
            Self::InvalidOption { what } => EngineError::InvalidOption { what: plain(&what) },
            Self::Layout { code, message } => PortError {
                origin: Origin::BadAnswer,
                class: ErrorClass::Internal,
                code: plain(&code),
                message: plain(&message),
                retry_after_ms: None,
            }
            .into(),
            Self::Scratch(error) => EngineError::Scratch(error.map_text(plain)),
            Self::SourceChanged => EngineError::SourceChanged,
            Self::Mismatch => EngineError::Mismatch,
            Self::Cancelled => EngineError::Cancelled,
            Self::WorkerLost => EngineError::WorkerLost,
            Self::Unexpected { text } => MoverError::BadAnswer { what: plain(&text) }.into(),
        }
    }
}
