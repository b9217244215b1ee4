//! What every operation on a disk runs with.

use std::{num::NonZeroUsize, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::progress::Progress;

/// The settings and counters of one operation.
#[derive(Clone)]
pub(crate) struct OperationContext {
    pub(crate) threads: Option<NonZeroUsize>,
    pub(crate) cancel: CancellationToken,
    pub(crate) progress: Arc<Progress>,
}
