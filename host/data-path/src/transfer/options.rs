//! The options of writing an image and of the other operations.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
};

use imprint_ports::Props;
use tokio_util::sync::CancellationToken;

use super::{backend::TransferBackend, context::OperationContext, in_process::InProcess, progress::Progress};

/// What moves the bytes of an operation.
#[derive(Clone)]
pub struct Backend(pub(crate) Arc<dyn TransferBackend>);

impl Default for Backend {
    /// Returns the backend for a process in which [`crate::mover::configure`] was called: movers
    /// for disks with encoded units; without that, the threads of this process.
    fn default() -> Self {
        DEFAULT.get().cloned().unwrap_or_else(|| Self(Arc::new(InProcess)))
    }
}

static DEFAULT: OnceLock<Backend> = OnceLock::new();

/// Sets, once and before any operation, what [`Backend::default`] returns in this process. Returns
/// `false` when it was set before.
pub(crate) fn set_default_backend(backend: Backend) -> bool {
    DEFAULT.set(backend).is_ok()
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.0.name())
    }
}

/// The options of writing an image and of the other operations.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// The variant of the format.
    pub subformat: Option<String>,
    /// The options for the format plugin: `compress` = `none|zlib|zstd`, `cluster-size`, ...
    pub format_options: Props,
    /// The compression level in the encoder's own scale: 1 to 12 for zlib, deflate and gzip
    /// (default 1, which compresses better than QEMU's default), -7 to 19 for zstd (default 3).
    /// Level 0 of the former is the fastest encoder of the platform (ISA-L on x86-64, level 1
    /// elsewhere): within 1 % of QEMU's size.
    pub level: Option<i32>,
    /// The virtual size of the new image in bytes, where it is to be larger than the disk: what
    /// comes behind the disk reads as zeroes. The logical digest stays that of the disk.
    pub grow_to: Option<u64>,
    /// The number of threads. Default: one for each core, and a few that work while others wait.
    pub threads: Option<NonZeroUsize>,
    /// Stops the operation within 100 ms, between two windows.
    pub cancel: CancellationToken,
    /// The counters, which are updated while the operation runs.
    pub progress: Arc<Progress>,
    /// Whether the file is read back once it is durable; `verify.mismatch` if it is not what was
    /// written. For sinks that can be read.
    pub verify: bool,
    /// What moves the bytes.
    pub backend: Backend,
    /// Whether the bytes are on stable storage when [`crate::write_image`] returns (the default),
    /// or only in the system's cache.
    pub durable: bool,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            subformat: None,
            format_options: Props::new(),
            level: None,
            grow_to: None,
            threads: None,
            cancel: CancellationToken::new(),
            progress: Arc::default(),
            verify: false,
            backend: Backend::default(),
            durable: true,
        }
    }
}

impl WriteOptions {
    /// Returns the context of an operation that stops with `cancel`.
    pub(crate) fn context(&self, cancel: &CancellationToken) -> OperationContext {
        OperationContext { threads: self.threads, cancel: cancel.clone(), progress: self.progress.clone() }
    }
}
