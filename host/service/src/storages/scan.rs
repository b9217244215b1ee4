//! Scans of image storages: an agent lists what is there, and each object is compared with the
//! images (S96 to S99, X9).
//!
//! A scan is a task; its agent reports pages of objects (`report`), which are compared as they come
//! (`compare`). When everything is listed, the images whose file was not among them are looked for,
//! and what looked wrong is compared again, as images come and go while a scan runs (`complete`).
//! `request` starts scans and lists what they found; `reconcile` is what admins do about it.

mod compare;
mod complete;
mod reconcile;
mod report;
mod request;
pub(crate) mod schedule;
pub(crate) mod state;
mod verify;

pub(crate) use self::{
    compare::{compare_again, is_being_removed},
    complete::{Unlisted, complete, unlisted},
    reconcile::cleaned,
    report::scanned,
};
pub use self::{
    reconcile::{
        ObjectChange, ObjectSelection, ReconcileEntry, ReconcileRefusal, ReconcileReport, ReconcileRequest,
    },
    request::{ObjectImage, ObjectList, ObjectView, ScanTask, ScanView},
};
