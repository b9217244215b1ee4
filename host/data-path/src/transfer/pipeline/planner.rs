//! How a disk is cut into windows, and how many threads work on them.

use std::{num::NonZeroUsize, sync::Mutex};

use imprint_ports::ByteRange;

use super::target::{Operation, Target};
use crate::{
    digest::CLUSTER,
    limits::MAX_UNIT,
    map::extent_map::{ExtentMap, MapError},
    transfer::place::Layout,
    util::{
        lock::lock,
        num::{align_down, to_u64, to_usize},
    },
};

/// The number of bytes of the disk that a worker takes at once.
const WINDOW: u64 = 1 << 20;
/// The same where nothing is encoded or decoded, which stays in the second-level cache. Sinks may
/// prefer longer writes.
const PLAIN_WINDOW: u64 = 256 << 10;
/// The number of bytes of windows that one worker may have in progress, and the largest number of
/// those windows. While one waits to be placed, the worker continues with the next.
const SLOT_BYTES: u64 = 2 << 20;
const MAX_SLOTS: usize = 4;
/// The number of threads beyond one for each core, at most as many as there are cores: they work
/// while others wait for a disk or to be placed.
const SPARE_THREADS: usize = 4;
/// The number of bytes of windows of all threads together, where windows are large; and of each
/// thread, where that is more.
const WINDOWS_BYTES: u64 = 160 << 20;
const THREAD_BYTES: u64 = 6 << 20;
/// The largest number of threads of one operation.
const MAX_THREADS: usize = 256;
/// Returns the size of a window in bytes: whole units of the target and of the source, so that no
/// unit is decoded twice, and what the sources prefer to read.
fn window_of(operation: &Operation) -> u64 {
    let (unit, encodes) = match operation.target.layout() {
        Some(Layout::Units(rules)) => (u64::from(rules.unit), rules.codec.is_some()),
        Some(Layout::Identity { .. }) | None => (1, false),
    };
    let decodes = operation.disk.map().encoded_bytes() > 0;
    let source_unit = if decodes { u64::from(operation.disk.unit()) } else { 1 };
    let liked = operation.disk.preferred_read().max(source_unit).min(MAX_UNIT);
    // Encoded units are placed window by window, so that their windows must not depend on where
    // they are written.
    let least = match (encodes || decodes, &operation.target) {
        (true, _) => WINDOW,
        (false, Target::File(file)) => PLAIN_WINDOW.max(file.sink.preferred_write().min(WINDOW)),
        (false, Target::Nothing) => PLAIN_WINDOW,
    };
    unit.max(least).max(liked.next_power_of_two())
}

fn keeps_zeroes(target: &Target) -> bool {
    matches!(target.layout(), Some(Layout::Units(rules)) if !rules.skip_zero)
}

/// Returns the default number of threads.
pub(crate) fn default_threads() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    cores.saturating_add(cores.get().min(SPARE_THREADS))
}

/// Returns the number of threads. Large windows bound it: what all of them hold together does not
/// grow with the unit.
pub(super) fn thread_count(operation: &Operation, planner: &Planner<'_>) -> usize {
    let wanted = operation.context.threads.unwrap_or_else(default_threads).get().min(MAX_THREADS);
    let encoded = to_u64(encoded_room(operation.target.layout(), planner.window));
    let held = (planner.window + encoded) * to_u64(planner.slots);
    let affordable = to_usize(WINDOWS_BYTES.max(THREAD_BYTES * to_u64(wanted)) / held);
    let windows = usize::try_from(planner.map.size().div_ceil(planner.window)).unwrap_or(usize::MAX);
    wanted.min(affordable).min(windows).max(1)
}

/// Returns the space for the encoded form of a window, in bytes.
pub(super) fn encoded_room(layout: Option<&Layout>, window: u64) -> usize {
    match layout {
        Some(Layout::Units(rules)) if rules.codec.is_some() => {
            rules.stride(rules.room()) * to_usize(window / u64::from(rules.unit))
        }
        Some(Layout::Units(_) | Layout::Identity { .. }) | None => 0,
    }
}

/// Cuts a disk into windows, leaving out those that hold nothing.
pub(super) struct Planner<'a> {
    map: &'a ExtentMap,
    pub(super) window: u64,
    /// The number of windows that one worker may have in progress.
    pub(super) slots: usize,
    keep_zeroes: bool,
    next: Mutex<(u64, u64)>,
}

/// A window: its number in the order, and its range on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) number: u64,
    pub(super) range: ByteRange,
}

impl<'a> Planner<'a> {
    pub(super) fn of(operation: &'a Operation) -> Self {
        Self::new(operation.disk.map(), window_of(operation), keeps_zeroes(&operation.target))
    }

    fn new(map: &'a ExtentMap, window: u64, keep_zeroes: bool) -> Self {
        debug_assert!(window.is_power_of_two() && window.is_multiple_of(to_u64(CLUSTER)));
        let slots = to_usize(SLOT_BYTES / window).clamp(1, MAX_SLOTS);
        Self { map, window, slots, keep_zeroes, next: Mutex::new((0, 0)) }
    }

    pub(super) fn take(&self) -> Result<Option<Window>, MapError> {
        let mut next = lock(&self.next);
        let (number, from) = *next;
        let found = if self.keep_zeroes {
            (from < self.map.size()).then_some(from)
        } else {
            self.map.next_stored(from)?
        };
        let Some(found) = found else { return Ok(None) };
        let offset = align_down(found, self.window);
        let end = offset.saturating_add(self.window).min(self.map.size());
        *next = (number + 1, end);
        Ok(Some(Window { number, range: ByteRange { offset, length: end - offset } }))
    }
}
