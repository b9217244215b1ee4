//! What can go wrong in the data path, as one type for its callers.

use std::io;

use imprint_http_client::HttpError;
use imprint_ports::{ErrorClass, PortError};

use crate::{
    codec::DecodeError,
    map::{extent_map::MapError, scratch::ScratchError},
    mover::MoverError,
    transport::nbd::NbdError,
};

/// The failure of an operation. [`EngineError::code`] is for programs, [`EngineError::report`] is
/// human-readable.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A plugin failed, or broke the contract of its port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The map that a format plugin returned is refused.
    #[error(transparent)]
    Map(MapError),
    /// A map is too large for memory, and there is no scratch file for it.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// Stored bytes do not decode to what the map describes.
    #[error("stored data for disk offset {offset} is damaged; restore the image from a good copy")]
    Decode {
        /// The virtual offset of the unit.
        offset: u64,
        /// What the decoder reports.
        #[source]
        source: DecodeError,
    },
    /// A source could not be read.
    #[error(
        "cannot read {length} bytes at offset {offset} of the source; check that it is still there and whole"
    )]
    Read {
        /// The offset in the source.
        offset: u64,
        /// The number of requested bytes.
        length: u64,
        /// What the transport reports.
        #[source]
        source: io::Error,
    },
    /// The destination could not be written.
    #[error("cannot write at offset {offset} of the destination")]
    Write {
        /// The offset in the destination.
        offset: u64,
        /// What the transport reports.
        #[source]
        source: io::Error,
    },
    /// The destination is full.
    #[error(
        "no space left at the destination at offset {offset}; free space there or choose another storage, then try again"
    )]
    NoSpace {
        /// The offset in the destination.
        offset: u64,
        /// What the transport reports.
        #[source]
        source: io::Error,
    },
    /// The destination cannot grow, and the image is larger than it.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// The process may not write so much to a file.
    #[error(
        "the target is larger than this process may make a file (the limit RLIMIT_FSIZE; in a shell `ulimit -f`), or than its file system allows; raise the limit, or write to another place"
    )]
    FileLimit {
        /// The offset in the destination.
        offset: u64,
        /// What the transport reports.
        #[source]
        source: io::Error,
    },
    /// Opening or preparing a file failed.
    #[error("cannot open or publish '{path}'{}", advice(source))]
    Open {
        /// The relative path, or the name that the caller gave.
        path: String,
        /// What the system reports.
        #[source]
        source: io::Error,
    },
    /// An image names another file, which was not granted.
    #[error(
        "the image refers to '{reference}', which was not granted; grant the file that is meant (imprint disk: --with FILE), or flatten the image into a single file"
    )]
    ExternalReference {
        /// The reference in the file; untrusted text, shortened to 200 characters.
        reference: String,
    },
    /// A chain of images is too deep, has a cycle, or is made of layers that do not belong
    /// together.
    #[error("the image's chain of parents {problem} (at '{layer}', layer {depth} below the image)")]
    Chain {
        /// The reference in the layer above; untrusted text, shortened to 200 characters.
        layer: String,
        /// The number of layers above it; 1 for the image's own parent.
        depth: usize,
        /// What is wrong with the chain.
        problem: ChainProblem,
    },
    /// The content looks like another format than the declared one.
    #[error("declared as {declared}, but the content looks like {found}; {advice}")]
    AmbiguousContent {
        /// The declared format.
        declared: String,
        /// The format that the content looks like.
        found: String,
        /// What to do about it.
        advice: String,
    },
    /// The data path cannot do this.
    #[error("{what} is not supported by this version")]
    Unsupported {
        /// What is not supported.
        what: String,
    },
    /// An option of the caller is out of range.
    #[error("{what}")]
    InvalidOption {
        /// The option, and which values are allowed.
        what: String,
    },
    /// A source changed while it was read.
    #[error("the source changed while it was read; stop the program that writes to it, then try again")]
    SourceChanged,
    /// The written bytes read back differently.
    #[error("the written file reads back differently; check the storage, then write it again")]
    Mismatch,
    /// The disk in a wrapper does not have the digest that the wrapper declares.
    #[error(
        "the {algorithm} of the disk is {found}, and the manifest says {declared}: one of them is damaged; get the file again"
    )]
    Digest {
        /// The algorithm: `sha256` and the like.
        algorithm: &'static str,
        /// The digest in the manifest, in hexadecimal digits.
        declared: String,
        /// The digest of the disk, in hexadecimal digits.
        found: String,
    },
    /// The steps of a transfer were called in another order than defined: a defect of the caller.
    #[error("the steps of a transfer were called out of order; report this")]
    OutOfOrder,
    /// The operation was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The process that decodes images failed.
    #[error(transparent)]
    Mover(#[from] MoverError),
    /// A worker thread panicked.
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
/// [`io::Error`] it is found with `get_ref` and `downcast_ref`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the target has {capacity} bytes, and the image needs at least {needed}; choose a larger one")]
pub struct TooSmall {
    /// The size of the destination in bytes.
    pub capacity: u64,
    /// The number of bytes that are known to be needed: the image's end as far as it was reached.
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
        "does not fit together: the layer above was made on the parent with the id {expected}, and this one has {found}; grant the right file (imprint disk: --with FILE)"
    )]
    ParentMismatch {
        /// The id in the layer above.
        expected: String,
        /// The id in the file.
        found: String,
    },
    /// The layer itself is refused.
    #[error("cannot be read: {}", .0.report())]
    Layer(Box<EngineError>),
}

impl EngineError {
    /// Returns the dotted code for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::Port(error) => &error.code,
            Self::Map(error) => error.code(),
            Self::Scratch(error) => error.code(),
            Self::Mover(error) => error.code(),
            Self::Decode { .. } => "corrupt.encoded",
            Self::Read { source, .. } => {
                transport_code(source).unwrap_or(if source.kind() == io::ErrorKind::UnexpectedEof {
                    "corrupt.truncated"
                } else {
                    "io.read"
                })
            }
            Self::Write { .. } => "io.write",
            Self::NoSpace { .. } => "io.no-space",
            Self::FileLimit { .. } => "limit.file-size",
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
            Self::OutOfOrder => "internal.out-of-order",
            Self::WorkerLost => "internal.worker-lost",
        }
    }

    /// Returns the kind of the failure, for deciding what to do next.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Port(error) => error.class,
            Self::Map(error) => error.class(),
            Self::Scratch(_) => ErrorClass::Transient,
            Self::Mover(error) => error.class(),
            Self::Decode { .. } => ErrorClass::Corrupt,
            Self::Read { source, .. } => {
                if source.kind() == io::ErrorKind::UnexpectedEof && transport_code(source).is_none() {
                    ErrorClass::Corrupt
                } else {
                    ErrorClass::Transient
                }
            }
            Self::Write { .. } => ErrorClass::Transient,
            Self::NoSpace { .. } | Self::FileLimit { .. } | Self::TooSmall(_) => ErrorClass::LimitExceeded,
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
            Self::OutOfOrder | Self::WorkerLost => ErrorClass::Internal,
        }
    }

    /// Returns the message with its causes, separated by `: `.
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

    /// Returns the plugin's own error, which describes a failure of a source or a sink behind it
    /// better than the system's.
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

    /// Returns the error for a failed write at `offset`; a full file system and a device that is
    /// too small have errors of their own.
    pub fn write(offset: u64, source: io::Error) -> Self {
        if let Some(too_small) = source.get_ref().and_then(|inner| inner.downcast_ref::<TooSmall>()) {
            return Self::TooSmall(*too_small);
        }
        if source.kind() == io::ErrorKind::FileTooLarge {
            return Self::FileLimit { offset, source };
        }
        match (is_full(&source), PortError::of(&source)) {
            (true, _) => Self::NoSpace { offset, source },
            (false, Some(error)) => Self::of_plugin(error),
            (false, None) => Self::Write { offset, source },
        }
    }

    /// Returns the error for a failure to create, rename or remove a file at a destination.
    pub fn write_open(path: &str, source: io::Error) -> Self {
        if is_full(&source) {
            Self::NoSpace { offset: 0, source }
        } else if source.kind() == io::ErrorKind::FileTooLarge {
            Self::FileLimit { offset: 0, source }
        } else {
            Self::Open { path: path.to_owned(), source }
        }
    }

    pub(crate) fn external(reference: &str) -> Self {
        Self::ExternalReference { reference: sanitized(reference) }
    }

    /// Returns the error for a problem with the layer that `reference` names; `depth` layers are
    /// above it.
    pub(crate) fn chain(reference: &str, depth: usize, problem: ChainProblem) -> Self {
        Self::Chain { layer: sanitized(reference), depth, problem }
    }
}

/// Returns untrusted text without control characters, shortened.
fn sanitized(reference: &str) -> String {
    reference.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded
}

/// Returns advice for a system error; a transport's own error has its own.
fn advice(error: &io::Error) -> &'static str {
    match transport_code(error) {
        Some(_) => "",
        None => {
            "; check that it exists, is a file (or a block device, on the command line) and may be accessed"
        }
    }
}

/// Returns the code of a transport's own error inside a system's.
fn transport_code(error: &io::Error) -> Option<&'static str> {
    let inner = error.get_ref()?;
    let nbd = inner.downcast_ref::<NbdError>().map(NbdError::code);
    nbd.or_else(|| inner.downcast_ref::<HttpError>().map(HttpError::code))
}
