//! The memory that a mover may take.

use std::sync::Arc;

use crate::{
    disk::Disk,
    transfer::{place::Layout, plan::WritePlan},
    util::num::to_u64,
};

/// Returns the address space of a mover beyond its program, in bytes: the queues and the libraries,
/// the map while it grows, and for each thread its stack, the codecs' contexts, windows of the disk
/// and their encoded form.
pub(super) fn memory(disks: &[Arc<Disk>], plan: Option<&WritePlan>, threads: usize) -> u64 {
    const BASE: u64 = 256 << 20;
    const THREAD: u64 = 64 << 20;
    let maps: u64 = disks.iter().map(|disk| disk.map().memory()).sum();
    let target = match plan.map(|plan| &plan.layout) {
        Some(Layout::Units(rules)) => u64::from(rules.unit),
        Some(Layout::Identity { .. }) | None => 0,
    };
    let unit = disks.iter().map(|disk| u64::from(disk.unit())).max().unwrap_or(0).max(target);
    let per_thread = THREAD + unit.min(64 << 20).saturating_mul(4);
    BASE + maps.saturating_mul(3) + to_u64(threads).saturating_mul(per_thread)
}
