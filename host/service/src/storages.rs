//! Image storages as operators manage them, and the choice of one for a new image. What registers
//! and binds them is in `catalogue::storage`.

pub(crate) mod bring;
pub(crate) mod candidates;
mod delete;
mod download;
mod drain;
mod edit;
mod metrics;
pub(crate) mod reservation;
pub(crate) mod retry;
pub(crate) mod scan;
pub(crate) mod view;

pub use download::{DownloadRoute, DownloadSource, DownloadView};
pub use edit::StoragePatch;
pub use metrics::{ScanMetrics, StorageMetrics};
pub use scan::{
    ObjectChange, ObjectImage, ObjectList, ObjectSelection, ObjectView, ReconcileEntry, ReconcileRefusal,
    ReconcileReport, ReconcileRequest, ScanTask, ScanView,
};
pub use view::{StorageBindingView, StorageImagesView, StorageView};
