//! How often the clusters of a part of the file are referred to, and how often the file says that
//! they are.

use std::fmt;

use imprint_plugin_sdk::host::Blob;

use super::refcounts;
use crate::{
    error::Qcow2Error,
    header::Header,
    wire::{to_u64, to_usize},
};

/// Windows begin at multiples of so many clusters.
const UNIT: u64 = 1 << 20;
/// Units of the widest window: 2 TiB of a file with clusters of 64 KiB.
const WIDEST: u64 = 32;
/// Memory of the L1 table and a window together, as far as the window can be narrower: an entry of
/// the table takes 12 bytes, a cluster of the window one, and one with a large refcount 8 more.
const MEMORY: u64 = 40 << 20;
const L1_ENTRY: u64 = 12;
const RARE: u64 = 8;
/// The largest number of one half of a byte. A refcount of this or more is kept beside; more
/// references than this to a cluster whose refcount is smaller are not counted any further, because
/// they are an error whatever their number is.
const FULL: u8 = 15;

/// Clusters that are compared at a time.
const CHUNK: usize = 4096;
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

/// A cluster that is not referred to as often as the file says.
pub(super) struct Difference {
    /// In the window.
    pub(super) index: u64,
    /// In the file.
    pub(super) offset: u64,
    pub(super) stored: u16,
    pub(super) used: Used,
}

/// A number of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    Exactly(u16),
    AtLeast(u16),
}

impl Used {
    pub(super) fn exceeds(self, stored: u16) -> bool {
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

impl Window {
    /// The window that begins with this unit, with the refcounts of the file: as wide as memory
    /// allows. `None` behind the end of the file.
    pub(super) fn read(
        blob: &dyn Blob,
        header: &Header,
        blocks: &[u64],
        number: u64,
    ) -> Result<Option<Self>, Qcow2Error> {
        let clusters = blob.size().div_ceil(header.cluster());
        let Some(first) = number.checked_mul(UNIT).filter(|first| *first <= clusters) else {
            return Ok(None);
        };
        let rest = clusters - first;
        let (units, rare) = units_that_fit(blob, header, blocks, first, rest)?;
        let length = rest.min(units * UNIT);
        let mut window = Self {
            number,
            units,
            cluster_bits: header.cluster_bits,
            clusters,
            counts: vec![0; to_usize(length)?],
            rare: Vec::with_capacity(rare),
        };
        refcounts::read(blob, header, blocks, first, length, |index, stored| {
            window.store(index, stored);
            true
        })?;
        Ok(Some(window))
    }

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

    /// What differs, from this place in the window on.
    pub(super) fn differences(&self, from: usize) -> impl Iterator<Item = Difference> + '_ {
        let skipped = self.rare.partition_point(|rare| rare.index < from);
        let mut rare = self.rare.iter().skip(skipped);
        let chunks = self.counts.get(from..).unwrap_or_default().chunks(CHUNK);
        let starts = (from..).step_by(CHUNK);
        let looked_at = chunks.zip(starts).filter(|(chunk, _)| !is_regular(chunk));
        looked_at.flat_map(|(chunk, start)| chunk.iter().zip(to_u64(start)..)).filter_map(
            move |(count, index)| {
                let (stored, used) = match (count >> 4, count & FULL) {
                    (FULL, _) => rare.next().map(|rare| (rare.stored, Used::Exactly(rare.used)))?,
                    (stored, FULL) => (stored.into(), Used::AtLeast(FULL.into())),
                    (stored, used) => (stored.into(), Used::Exactly(used.into())),
                };
                let differs = used != Used::Exactly(stored);
                differs.then(|| Difference { index, offset: self.offset(index), stored, used })
            },
        )
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

/// How many units a window may have, and at least how many of its clusters have large refcounts.
fn units_that_fit(
    blob: &dyn Blob,
    header: &Header,
    blocks: &[u64],
    first: u64,
    rest: u64,
) -> Result<(u64, usize), Qcow2Error> {
    let room = MEMORY.saturating_sub(u64::from(header.l1_entries) * L1_ENTRY);
    let most = (room / UNIT).clamp(1, WIDEST);
    let unit = to_usize(UNIT)?;
    let (mut units, mut rare) = (most, 0);
    refcounts::read(blob, header, blocks, first, rest.min(most * UNIT), |index, stored| {
        if small(stored).is_some() {
            return true;
        }
        // All before this unit fits; if the unit itself does not, the window ends with what is
        // before it.
        let whole = to_u64(index / unit);
        if whole > 0 && (whole + 1) * UNIT + (rare + 1) * RARE > room {
            units = whole;
            return false;
        }
        rare += 1;
        true
    })?;
    // Units without large refcounts follow as far as there is memory for them.
    let fitting = room.saturating_sub(rare * RARE) / UNIT;
    Ok((units.min(fitting.max(1)), to_usize(rare)?))
}
