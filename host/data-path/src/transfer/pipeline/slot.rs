//! The buffers of one window.

use super::{ordered::Submission, planner::Window};
use crate::{
    transfer::place::Unit,
    util::{aligned::AlignedBuffer, zero::ZeroMap},
};

/// A window in progress, with the buffers that it needs until it is in the file.
pub(super) struct Slot {
    pub(super) window: Window,
    pub(super) bytes: AlignedBuffer,
    pub(super) encoded: Vec<u8>,
    pub(super) zeroes: ZeroMap,
    /// The leaf of each cluster of the window; `None` is a cluster of zeroes.
    pub(super) leaves: Vec<Option<[u8; 32]>>,
    pub(super) units: Vec<Unit>,
    /// The result of the ordered step; `None` before.
    pub(super) placed: Option<Submission>,
}
