//! How often the clusters of a part of the file are referred to, and how often the file says that
//! they are.

use std::{fmt, ops::Range};

use imprint_plugin_sdk::{
    format::{
        Budget, Finding, FormatError, Severity,
        wire::{to_u64, to_usize},
    },
    host::Blob,
};

use super::{
    findings::{PRICE, finding},
    refcounts::Refcounts,
};
use crate::header::Header;

/// Windows begin at multiples of so many clusters.
const UNIT: u64 = 1 << 20;
/// Units of the widest window: 2 TiB of a file with clusters of 64 KiB.
const WIDEST: u64 = 32;
/// Memory of the L1 table and a window together, as far as the window can be narrower: an entry of
/// the table takes 8 bytes, a cluster of the window one, and one with a large refcount 8 more.
const MEMORY: u64 = 40 << 20;
const L1_ENTRY: u64 = 8;
const RARE: u64 = 8;
/// The largest number of one half of a byte. A refcount of this or more is kept in a list of its
/// own; more references than this to a cluster whose refcount is smaller are not counted any
/// further, because they are an error whatever their number is.
const FULL: u8 = 15;

/// Clusters that are compared at a time.
const CHUNK: usize = 4096;
/// The price of a chunk without differences, in entries: it is compared as a whole.
const REGULAR_PRICE: u64 = 128;
/// Clusters that are all free, and clusters that are all referred to once, as nearly all are.
static REGULAR: [[u8; CHUNK]; 2] = [[0; CHUNK], [0x11; CHUNK]];

/// The counts of some clusters of the file; they stop at the largest u16.
pub(super) struct Window {
    number: u64,
    units: u64,
    cluster_bits: u32,
    /// Clusters of the file.
    clusters: u64,
    /// A byte for each cluster: the refcount in its high half, references in its low one.
    counts: Vec<u8>,
    /// Clusters whose refcount is too large for that, in their order. Compressed clusters share one
    /// host cluster, and snapshots all of them.
    rare: Vec<Rare>,
}

struct Rare {
    index: usize,
    stored: u16,
    used: u16,
}

/// A number of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    Exactly(u16),
    AtLeast(u16),
}

impl Used {
    fn exceeds(self, stored: u16) -> bool {
        match self {
            Self::Exactly(used) => used > stored,
            Self::AtLeast(_) => true,
        }
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(used) => write!(f, "{used}"),
            Self::AtLeast(used) => write!(f, "{used} or more"),
        }
    }
}

/// How wide a window can be, as far as it is known.
pub(super) struct Plan {
    number: u64,
    cluster_bits: u32,
    /// Clusters of the file.
    clusters: u64,
    /// Bytes of memory for the window.
    room: u64,
    most: u64,
    /// Units that fit, and how many of their clusters have large refcounts.
    units: u64,
    rare: u64,
}

impl Plan {
    /// The window that begins with this unit; `None` behind the end of the file.
    pub(super) fn begin(blob: &dyn Blob, header: &Header, number: u64) -> Option<Self> {
        let clusters = blob.size().div_ceil(header.cluster());
        number.checked_mul(UNIT).filter(|first| *first < clusters)?;
        let room = MEMORY.saturating_sub(u64::from(header.l1_entries) * L1_ENTRY);
        let most = (room / UNIT).clamp(1, WIDEST);
        let cluster_bits = header.cluster_bits;
        Some(Self { number, cluster_bits, clusters, room, most, units: 0, rare: 0 })
    }

    fn first(&self) -> u64 {
        self.number * UNIT
    }

    /// Looks at the refcounts of the next unit; returns whether the width is known.
    pub(super) fn step(
        &mut self,
        refcounts: &Refcounts<'_>,
        budget: &mut Budget,
    ) -> Result<bool, FormatError> {
        let first = self.first() + self.units * UNIT;
        if self.units == self.most || first >= self.clusters {
            return Ok(true);
        }
        let mut rare = self.rare;
        let count = UNIT.min(self.clusters - first);
        let seen = refcounts.read(first, count, |_, stored| rare += u64::from(small(stored).is_none()))?;
        budget.spend(seen);
        // One unit must do, whatever it has.
        if self.units > 0 && (self.units + 1) * UNIT + rare * RARE > self.room {
            return Ok(true);
        }
        (self.units, self.rare) = (self.units + 1, rare);
        Ok(false)
    }
}

/// A window that gets the refcounts of the file.
pub(super) struct Loading {
    pub(super) window: Window,
    /// Units that are done.
    done: u64,
}

impl Loading {
    pub(super) fn begin(plan: &Plan) -> Result<Self, FormatError> {
        let length = (plan.clusters - plan.first()).min(plan.units * UNIT);
        let window = Window {
            number: plan.number,
            units: plan.units,
            cluster_bits: plan.cluster_bits,
            clusters: plan.clusters,
            counts: vec![0; to_usize(length)?],
            rare: Vec::with_capacity(to_usize(plan.rare)?),
        };
        Ok(Self { window, done: 0 })
    }

    /// Reads the refcounts of the next unit; returns whether it has all.
    pub(super) fn step(
        &mut self,
        refcounts: &Refcounts<'_>,
        budget: &mut Budget,
    ) -> Result<bool, FormatError> {
        let skip = self.done * UNIT;
        let Some(rest) = to_u64(self.window.counts.len()).checked_sub(skip).filter(|rest| *rest > 0) else {
            return Ok(true);
        };
        let first = self.window.first() + skip;
        let (base, window) = (to_usize(skip)?, &mut self.window);
        let seen =
            refcounts.read(first, rest.min(UNIT), |index, stored| window.store(base + index, stored))?;
        budget.spend(seen);
        self.done += 1;
        Ok(false)
    }
}

impl Window {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The first unit that it does not reach.
    pub(super) fn next(&self) -> u64 {
        self.number + self.units
    }

    /// Whether it reaches the end of the file.
    pub(super) fn is_last(&self) -> bool {
        self.next().saturating_mul(UNIT) >= self.clusters
    }

    fn first(&self) -> u64 {
        self.number * UNIT
    }

    /// The place in the window of the cluster that holds the byte.
    fn index(&self, offset: u64) -> Option<usize> {
        let cluster = (offset >> self.cluster_bits).checked_sub(self.first())?;
        usize::try_from(cluster).ok().filter(|index| *index < self.counts.len())
    }

    fn offset(&self, index: u64) -> u64 {
        (self.first() + index) << self.cluster_bits
    }

    /// Sets the refcount of a cluster; in the order of the clusters.
    fn store(&mut self, index: usize, stored: u16) {
        let Some(count) = self.counts.get_mut(index) else { return };
        match small(stored) {
            Some(small) => *count = small << 4,
            None => {
                *count = FULL << 4;
                self.rare.push(Rare { index, stored, used: 0 });
            }
        }
    }

    /// Counts one reference to every cluster of the range.
    pub(super) fn reference(&mut self, offset: u64, length: u64) {
        let Some(last) = length.checked_sub(1).and_then(|more| offset.checked_add(more)) else { return };
        let first = (offset >> self.cluster_bits).max(self.first());
        let end = ((last >> self.cluster_bits) + 1).min(self.first() + to_u64(self.counts.len()));
        for cluster in first..end {
            if let Some(index) = self.index(cluster << self.cluster_bits) {
                self.count(index);
            }
        }
    }

    /// Counts a reference to the cluster at the byte, and says whether the file says that it is the
    /// only one; `None` outside of the window.
    pub(super) fn reference_one(&mut self, offset: u64) -> Option<bool> {
        let index = self.index(offset)?;
        self.count(index);
        self.counts.get(index).map(|count| count >> 4 == 1)
    }

    fn count(&mut self, index: usize) {
        let Some(count) = self.counts.get_mut(index) else { return };
        if *count >> 4 == FULL {
            let place = self.rare.binary_search_by_key(&index, |rare| rare.index);
            if let Some(rare) = place.ok().and_then(|place| self.rare.get_mut(place)) {
                rare.used = rare.used.saturating_add(1);
            }
        } else if *count & FULL < FULL {
            *count += 1;
        }
    }

    /// Counts one reference to every cluster that a part of a table is in. The parts of a table are
    /// counted in order, and a cluster with the part that has its first byte of the table.
    pub(super) fn reference_part(&mut self, table: u64, part: Range<u64>) {
        if part.is_empty() {
            return;
        }
        let cluster = 1 << self.cluster_bits;
        let first = if part.start == table { table / cluster } else { part.start.div_ceil(cluster) };
        let end = part.end.div_ceil(cluster);
        self.reference(first * cluster, end.saturating_sub(first) * cluster);
    }

    /// Adds what differs from this place in the window on to `items`, at most `max` of them;
    /// returns where the next call continues, `None` at the end.
    pub(super) fn compare(
        &self,
        from: usize,
        max: usize,
        items: &mut Vec<Finding>,
        budget: &mut Budget,
    ) -> Option<u64> {
        let skipped = self.rare.partition_point(|rare| rare.index < from);
        let mut rare = self.rare.iter().skip(skipped);
        let mut at = from;
        for chunk in self.counts.get(from..).unwrap_or_default().chunks(CHUNK) {
            if !budget.is_left() {
                return Some(to_u64(at));
            }
            if is_regular(chunk) {
                budget.spend(REGULAR_PRICE);
                at += chunk.len();
                continue;
            }
            budget.spend(to_u64(chunk.len()));
            for (count, index) in chunk.iter().zip(at..) {
                let (stored, used) = match (count >> 4, count & FULL) {
                    (FULL, _) => match rare.next() {
                        Some(rare) => (rare.stored, Used::Exactly(rare.used)),
                        None => continue,
                    },
                    (stored, FULL) => (stored.into(), Used::AtLeast(FULL.into())),
                    (stored, used) => (stored.into(), Used::Exactly(used.into())),
                };
                if used == Used::Exactly(stored) {
                    continue;
                }
                if items.len() >= max {
                    return Some(to_u64(index));
                }
                items.push(self.difference(to_u64(index), stored, used));
                budget.spend(PRICE);
            }
            at += chunk.len();
        }
        None
    }

    fn difference(&self, index: u64, stored: u16, used: Used) -> Finding {
        let offset = self.offset(index);
        let text = format!("the cluster at {offset:#x} has the refcount {stored}, and {used} references");
        let (severity, code) = if used.exceeds(stored) {
            (Severity::Error, "qcow2.refcount")
        } else {
            (Severity::Leak, "qcow2.leak")
        };
        finding(severity, code, text, offset)
    }
}

/// Whether there is nothing to look at in a chunk.
fn is_regular(counts: &[u8]) -> bool {
    REGULAR.iter().any(|same| same.get(..counts.len()) == Some(counts))
}

/// A refcount that fits into half a byte.
fn small(stored: u16) -> Option<u8> {
    u8::try_from(stored).ok().filter(|stored| *stored < FULL)
}
