//! The ports: what the host asks of a storage, a disk format, a hypervisor and an inspector, and
//! the bytes that pass between them.
//!
//! The traits are between those who implement them and those who use them, so that neither builds
//! the other: `plugin-runtime` implements [`DiskFormat`], [`StorageBackend`], [`Driver`] and
//! [`DiskInspector`] over components, `data-path` moves disks through them, and `agent` calls them.
//!
//! - [`DiskFormat`], [`StorageBackend`], [`Driver`], [`DiskInspector`]: the four ports. Their types
//!   mirror `wit/` (0.1). Whatever comes through a port is untrusted until the caller has validated
//!   it; the traits say what is asked, not that the answer is right.
//! - [`PortError`]: how a call through a port fails.
//! - [`BlockSource`], [`BlockSink`]: random-access bytes to read from and to write to.
//! - [`durable`], [`openat`]: files below a granted directory, which the data path and the
//!   sandbox's host functions open and publish in the same way.
//!
//! Not here: anything that moves bytes (`data-path`) or runs components (`plugin-runtime`).

pub mod block;
pub mod durable;
mod error;
mod format;
mod hypervisor;
mod inspector;
pub mod openat;
mod storage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use block::{BlockSink, BlockSource, Descriptors, Segment};
pub use error::{ErrorClass, Origin, PortError};
pub use format::{
    CheckPage, Codec, CreateRequest, DiskFormat, Extent, ExtentKind, ExtentPage, Finding, FormatImage,
    FormatLayout, FrameField, Guess, ImageInfo, MetadataPage, MetadataSegment, Placed, Rules, Severity,
    SourceRef,
};
pub use hypervisor::{
    AgentInfo, CaptureOutcome, CapturePlan, CaptureRequest, CaptureStatus, DiskSpec, Driver, Journal,
    JournalNote, Launch, MEDIUM_SERIAL, NbdSource, Power, PowerAction, QuiesceReport, Reclaiming, Recovered,
    SharedJournal, StartedCapture, Vm, VmDisk, VmSpec,
};
/// The level is a noun of the product: it is decided by an account, reached by a driver and stored
/// with the image.
pub use imprint_domain::consistency::Consistency;
pub use imprint_domain::error_chain::error_chain;
/// What an inspector finds is stored with the image.
pub use imprint_domain::findings;
/// The settings and secrets of a plugin are checked by the control plane, with the schema that the
/// plugin's manifest has.
pub use imprint_domain::{
    secret::{SecretText, Secrets},
    settings::SettingsSchema,
};
pub use inspector::DiskInspector;
pub use storage::{
    ClientUrlTerms, Listing, LocalFile, Object, PartLog, RESERVED_NAMES, ReadLocator, RemoteObject,
    RemoteUpload, SentPart, SettingFinding, Space, StorageBackend, StorageMarker, Upload, WriteRequest,
    WriteTarget,
};

/// An extension bag, ordered by its lower-kebab keys.
pub type Props = BTreeMap<String, String>;

/// A half-open byte range `[offset, offset + length)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ByteRange {
    /// The first byte.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}
