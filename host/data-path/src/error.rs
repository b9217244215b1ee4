//! What can go wrong in the engine, as one type for its callers.

use std::io;

use imprint_ports::{ErrorClass, PortError};

use crate::{
    codec::DecodeError,
    map::{extent_map::MapError, scratch::ScratchError},
    mover::MoverError,
    transport::{http::HttpError, nbd::NbdError},
};

/// Failure of a job of the engine. [`EngineError::code`] is for programs, [`EngineError::report`]
/// for people.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A plugin failed, or broke the contract of its port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The map that a format gave is not acceptable.
    #[error(transparent)]
    Map(MapError),
    /// There is no room for a map that is too large for memory.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// Stored bytes do not decode to what the map says.
    #[error("stored data for disk offset {offset} is damaged; restore the image from a good copy")]
    Decode {
        /// Virtual offset of the unit.
        offset: u64,
        /// What the decoder saw.
        #[source]
        source: DecodeError,
    },
    /// A source could not be read.
    #[error(
        "cannot read {length} bytes at offset {offset} of the source; check that it is still there and whole"
    )]
    Read {
        /// Offset in the source.
        offset: u64,
        /// Bytes that were wanted.
        length: u64,
        /// What the transport said.
        #[source]
        source: io::Error,
    },
    /// The destination could not be written.
    #[error("cannot write at offset {offset} of the destination")]
    Write {
        /// Offset in the destination.
        offset: u64,
        /// What the transport said.
        #[source]
        source: io::Error,
    },
    /// The destination is full.
    #[error(
        "no space left at the destination at offset {offset}; free space there or choose another storage, then try again"
    )]
    NoSpace {
        /// Offset in the destination.
        offset: u64,
        /// What the transport said.
        #[source]
        source: io::Error,
    },
    /// The destination cannot grow, and the image is larger than it.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// Opening or preparing a file failed.
    #[error("cannot open or publish '{path}'{}", advice(source))]
    Open {
        /// Relative path, or the name that the caller gave.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An image names another file, and nobody allowed that.
    #[error(
        "the image refers to '{reference}', which was not granted; grant the file that is meant, or flatten the image into a single file"
    )]
    ExternalReference {
        /// What the file says; untrusted text, shortened to 200 characters.
        reference: String,
    },
    /// A chain of images is too deep, bites its own tail, or is made of layers that do not belong
    /// together.
    #[error("the image's chain of parents {problem} (at '{layer}', layer {depth} below the image)")]
    Chain {
        /// What the layer above calls it; untrusted text, shortened to 200 characters.
        layer: String,
        /// How many layers are above it; the image's own parent has 1.
        depth: usize,
        /// What is wrong with it.
        problem: ChainProblem,
    },
    /// Content that claims to be another format than declared.
    #[error("declared as {declared}, but the content looks like {found}; {advice}")]
    AmbiguousContent {
        /// What the caller said.
        declared: String,
        /// What the content says.
        found: String,
        /// What to do about it.
        advice: String,
    },
    /// The engine cannot do this.
    #[error("{what} is not supported by this version")]
    Unsupported {
        /// What.
        what: String,
    },
    /// An option of the caller is out of range.
    #[error("{what}")]
    InvalidOption {
        /// What, and which values are allowed.
        what: String,
    },
    /// A source changed while it was read.
    #[error("the source changed while it was read; stop whoever writes to it and try again")]
    SourceChanged,
    /// What was written reads back differently.
    #[error("the written file reads back differently; check the storage, then write it again")]
    Mismatch,
    /// The disk in a wrapper is not what the wrapper says.
    #[error(
        "the {algorithm} of the disk is {found}, and the manifest says {declared}: one of them is damaged; get the file again"
    )]
    Digest {
        /// `sha256` and the like.
        algorithm: &'static str,
        /// What the manifest says, in hex.
        declared: String,
        /// What is there, in hex.
        found: String,
    },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The process that decodes images failed.
    #[error(transparent)]
    Mover(#[from] MoverError),
    /// A worker thread died.
    #[error("a worker of the engine stopped unexpectedly; try again and report it")]
    WorkerLost,
}

impl From<MapError> for EngineError {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Scratch(error) => Self::Scratch(error),
            MapError::Order { .. }
            | MapError::Stuck { .. }
            | MapError::UnknownIndex { .. }
            | MapError::EncodedLength { .. }
            | MapError::Truncated { .. }
            | MapError::Aliased { .. }
            | MapError::VirtualSize { .. }
            | MapError::Extents { .. }
            | MapError::Expansion { .. } => Self::Map(error),
        }
    }
}

/// A destination that cannot grow, such as a device, is smaller than the image. Inside an
/// [`io::Error`] it is found again with `get_ref` and `downcast_ref`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the target has {capacity} bytes, and the image needs at least {needed}; choose a larger one")]
pub struct TooSmall {
    /// Bytes that it has.
    pub capacity: u64,
    /// Bytes that are known to be needed, the image's end as far as it was reached.
    pub needed: u64,
}

impl From<TooSmall> for io::Error {
    fn from(error: TooSmall) -> Self {
        Self::new(io::ErrorKind::FileTooLarge, error)
    }
}

/// What is wrong with a chain of parents.
#[derive(Debug, thiserror::Error)]
pub enum ChainProblem {
    /// Longer than the bound.
    #[error("is too deep; flatten it into a single file with the program that made it")]
    TooDeep,
    /// An image is its own ancestor.
    #[error("has a cycle; a copy of the right parent is needed")]
    Cycle,
    /// The file is not the one that the layer above was made on.
    #[error(
        "does not fit together: the layer above was made on the parent with the id {expected}, and this one has {found}; grant the right file"
    )]
    ParentMismatch {
        /// What the layer above says.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// The layer itself is refused.
    #[error("cannot be read: {}", .0.report())]
    Layer(Box<EngineError>),
}

impl EngineError {
    /// Dotted code for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::Port(error) => &error.code,
            Self::Map(error) => error.code(),
            Self::Scratch(error) => error.code(),
            Self::Mover(error) => error.code(),
            Self::Decode { .. } => "corrupt.encoded",
            Self::Read { source, .. } => {
                transport_code(source).unwrap_or(match source.kind() == io::ErrorKind::UnexpectedEof {
                    true => "corrupt.truncated",
                    false => "io.read",
                })
            }
            Self::Write { .. } => "io.write",
            Self::NoSpace { .. } => "io.no-space",
            Self::TooSmall(_) => "io.target-too-small",
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => "io.not-found",
            Self::Open { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => "io.already-exists",
            Self::Open { source, .. } => transport_code(source).unwrap_or("io.open"),
            Self::ExternalReference { .. } => "denied.external-reference",
            Self::Chain { problem, .. } => match problem {
                ChainProblem::ParentMismatch { .. } => "chain.parent-mismatch",
                ChainProblem::TooDeep | ChainProblem::Cycle => "denied.chain",
                ChainProblem::Layer(error) => error.code(),
            },
            Self::AmbiguousContent { .. } => "denied.ambiguous-content",
            Self::Unsupported { .. } => "unsupported.layout",
            Self::InvalidOption { .. } => "invalid.option",
            Self::SourceChanged => "conflict.source-changed",
            Self::Mismatch => "verify.mismatch",
            Self::Digest { .. } => "corrupt.checksum",
            Self::Cancelled => "cancelled",
            Self::WorkerLost => "internal.worker-lost",
        }
    }

    /// What the caller may do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Port(error) => error.class,
            Self::Map(error) => error.class(),
            Self::Scratch(_) => ErrorClass::Transient,
            Self::Mover(error) => error.class(),
            Self::Decode { .. } => ErrorClass::Corrupt,
            Self::Read { source, .. } => {
                match source.kind() == io::ErrorKind::UnexpectedEof && transport_code(source).is_none() {
                    true => ErrorClass::Corrupt,
                    false => ErrorClass::Transient,
                }
            }
            Self::Write { .. } => ErrorClass::Transient,
            Self::NoSpace { .. } | Self::TooSmall(_) => ErrorClass::LimitExceeded,
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorClass::NotFound,
            Self::Open { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                ErrorClass::AlreadyExists
            }
            Self::Open { .. } => ErrorClass::InvalidInput,
            Self::Chain { problem: ChainProblem::Layer(error), .. } => error.class(),
            Self::ExternalReference { .. } | Self::Chain { .. } | Self::AmbiguousContent { .. } => {
                ErrorClass::Denied
            }
            Self::Unsupported { .. } => ErrorClass::Unsupported,
            Self::InvalidOption { .. } => ErrorClass::InvalidInput,
            Self::SourceChanged => ErrorClass::Conflict,
            Self::Mismatch | Self::Digest { .. } => ErrorClass::Corrupt,
            Self::Cancelled => ErrorClass::Cancelled,
            Self::WorkerLost => ErrorClass::Internal,
        }
    }

    /// The message with its causes, separated by `: `.
    pub fn report(&self) -> String {
        imprint_ports::error_chain(self)
    }

    pub(crate) fn read(offset: u64, length: u64, source: io::Error) -> Self {
        match (transport_code(&source), PortError::of(&source)) {
            (Some("nbd.cancelled"), _) => Self::Cancelled,
            (_, Some(error)) => Self::of_plugin(error),
            (_, None) => Self::Read { offset, length, source },
        }
    }

    /// A source or a sink behind a plugin knows better than the system what went wrong.
    fn of_plugin(error: &PortError) -> Self {
        match error.class {
            ErrorClass::Cancelled => Self::Cancelled,
            ErrorClass::InvalidInput
            | ErrorClass::Unsupported
            | ErrorClass::NotFound
            | ErrorClass::AlreadyExists
            | ErrorClass::Denied
            | ErrorClass::Conflict
            | ErrorClass::Corrupt
            | ErrorClass::LimitExceeded
            | ErrorClass::Transient
            | ErrorClass::Internal => Self::Port(error.clone()),
        }
    }

    /// A failed write at `offset`; a full file system and a device that is too small are told
    /// apart.
    pub fn write(offset: u64, source: io::Error) -> Self {
        if let Some(too_small) = source.get_ref().and_then(|inner| inner.downcast_ref::<TooSmall>()) {
            return Self::TooSmall(*too_small);
        }
        match (is_full(&source), PortError::of(&source)) {
            (true, _) => Self::NoSpace { offset, source },
            (false, Some(error)) => Self::of_plugin(error),
            (false, None) => Self::Write { offset, source },
        }
    }

    /// For creating, renaming and removing at a destination.
    pub fn write_open(path: &str, source: io::Error) -> Self {
        match is_full(&source) {
            true => Self::NoSpace { offset: 0, source },
            false => Self::Open { path: path.to_owned(), source },
        }
    }

    pub(crate) fn external(reference: &str) -> Self {
        Self::ExternalReference { reference: sanitized(reference) }
    }

    /// `depth` layers are above the one that the reference calls so.
    pub(crate) fn chain(reference: &str, depth: usize, problem: ChainProblem) -> Self {
        Self::Chain { layer: sanitized(reference), depth, problem }
    }
}

/// Untrusted text for people.
fn sanitized(reference: &str) -> String {
    reference.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded
}

/// A transport's own error says itself what to do.
fn advice(error: &io::Error) -> &'static str {
    match transport_code(error) {
        Some(_) => "",
        None => {
            "; check that it exists, is a file (or a block device, on the command line) and may be accessed"
        }
    }
}

/// The code of a transport's own error inside a system's.
fn transport_code(error: &io::Error) -> Option<&'static str> {
    let inner = error.get_ref()?;
    let nbd = inner.downcast_ref::<NbdError>().map(NbdError::code);
    nbd.or_else(|| inner.downcast_ref::<HttpError>().map(HttpError::code))
}
