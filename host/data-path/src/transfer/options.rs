//! How an image is written.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
};

use imprint_ports::Props;
use tokio_util::sync::CancellationToken;

use super::{backend::TransferBackend, context::OperationContext, in_process::InProcess, progress::Progress};

/// Who moves the bytes of a job.
#[derive(Clone)]
pub struct Backend(pub(crate) Arc<dyn TransferBackend>);

impl Default for Backend {
    /// What [`set_default_backend`] said; without that, the threads of this process.
    fn default() -> Self {
        DEFAULT.get().cloned().unwrap_or_else(|| Self(Arc::new(InProcess)))
    }
}

static DEFAULT: OnceLock<Backend> = OnceLock::new();

/// Says, once and before any job, what [`Backend::default`] is in this process. `false` when it was
/// said before.
pub(crate) fn set_default_backend(backend: Backend) -> bool {
    DEFAULT.set(backend).is_ok()
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.0.name())
    }
}

/// How an image is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Variant of the format.
    pub subformat: Option<String>,
    /// For the format plugin: `compress` = `none|zlib|zstd`, `cluster-size`, ...
    pub format_options: Props,
    /// Compression level in the encoder's own scale: 1 to 12 for zlib, deflate and gzip (default 1,
    /// which compresses better than QEMU's default), -7 to 19 for zstd (default 3). Level 0 of the
    /// former is the fastest encoder of the platform (ISA-L on x86-64, level 1 elsewhere): within 1
    /// % of QEMU's size.
    pub level: Option<i32>,
    /// Virtual size of the new image, where it shall be larger than the disk: what comes behind the
    /// disk reads as zeroes. The logical digest stays that of the disk.
    pub grow_to: Option<u64>,
    /// Default: one for each core, and a few that work while others wait.
    pub threads: Option<NonZeroUsize>,
    /// Stops the job within 100 ms, between two windows.
    pub cancel: CancellationToken,
    /// Kept up to date while the job runs.
    pub progress: Arc<Progress>,
    /// Reads the file again once it is durable, and fails with `verify.mismatch` if it is not what
    /// was written. For sinks that can be read.
    pub verify: bool,
    /// Who moves the bytes.
    pub backend: Backend,
    /// Whether the bytes are on stable storage when [`write_image`] returns (the default), or in
    /// the system's hands only.
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
    /// What a job runs with that stops with `cancel`.
    pub(crate) fn context(&self, cancel: &CancellationToken) -> OperationContext {
        OperationContext { threads: self.threads, cancel: cancel.clone(), progress: self.progress.clone() }
    }
}
