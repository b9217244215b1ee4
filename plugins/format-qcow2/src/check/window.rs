//! How often the clusters of a part of the file are referred to, and how often the file says that they are.

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
/// Memory of the L1 table and a window together, as far as the window can be narrower. An entry of the table takes
/// 12 bytes, a cluster of the window one.
const MEMORY: u64 = 40 << 20;
const L1_ENTRY: u64 = 12;
/// Clusters with a large refcount that a window may have, unless it is as narrow as can be: 4 MiB of them.
const MOST_RARE: usize = 512 << 10;
/// The largest number of one half of a byte. A refcount of this or more is kept beside; more references than this to a
/// cluster whose refcount is smaller are not counted any further, because they are an error whatever their number is.
const FULL: u8 = 15;

/// The counts of some clusters of the file; they stop at the largest u16.
pub(super) struct Window {
    number: u64,
    units: u64,
    cluster_bits: u32,
    /// Clusters of the file.
    clusters: u64,
    /// A byte for each cluster: the refcount in its high half, references in its low one.
    counts: Vec<u8>,
    /// Clusters whose refcount is too large for that, in their order. Compressed clusters share one host cluster, and
    /// snapshots all of them.
    rare: Vec<Rare>,
}

struct Rare {
    index: u32,
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
    /// The window that begins with this unit, with the refcounts of the file: as wide as memory allows. `None` behind the
    /// end of the file.
    pub(super) fn read(
        blob: &dyn Blob,
        header: &Header,
        blocks: &[u64],
        number: u64,
    ) -> Result<Option<Self>, Qcow2Error> {
        let clusters = blob.size().div_ceil(header.cluster());
        if number.checked_mul(UNIT).is_none_or(|first| first > clusters) {
            return Ok(None);
        }
        let room = MEMORY.saturating_sub(u64::from(header.l1_entries) * L1_ENTRY) / UNIT;
        for units in [room.clamp(1, WIDEST), 1] {
            let first = number * UNIT;
            let length = to_usize((clusters - first).min(units * UNIT))?;
            let mut window = Self {
                number,
                units,
                cluster_bits: header.cluster_bits,
                clusters,
                counts: vec![0; length],
                rare: Vec::new(),
            };
            let most = if units == 1 { usize::MAX } else { MOST_RARE };
            let mut fits = true;
            refcounts::read(blob, header, blocks, first, to_u64(length), |index, stored| {
                fits = window.store(index, stored, most);
                fits
            })?;
            if fits {
                return Ok(Some(window));
            }
        }
        Err(Qcow2Error::Request("the check has no room for one unit".to_owned()))
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

    /// Sets the refcount of a cluster, in the order of the clusters; says whether there was room for it.
    fn store(&mut self, index: usize, stored: u16, most: usize) -> bool {
        let Some(count) = self.counts.get_mut(index) else { return true };
        match u8::try_from(stored) {
            Ok(small) if small < FULL => *count = small << 4,
            _ => {
                *count = FULL << 4;
                let Ok(index) = u32::try_from(index) else { return false };
                if self.rare.len() >= most {
                    return false;
                }
                self.rare.push(Rare { index, stored, used: 0 });
            }
        }
        true
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

    /// Counts a reference to the cluster at the byte, and says whether the file says that it is the only one; `None`
    /// outside of the window.
    pub(super) fn reference_one(&mut self, offset: u64) -> Option<bool> {
        let index = self.index(offset)?;
        self.count(index);
        self.counts.get(index).map(|count| count >> 4 == 1)
    }

    fn count(&mut self, index: usize) {
        let Some(count) = self.counts.get_mut(index) else { return };
        if *count >> 4 == FULL {
            let place = self.rare.binary_search_by(|rare| u64::from(rare.index).cmp(&to_u64(index)));
            if let Some(rare) = place.ok().and_then(|place| self.rare.get_mut(place)) {
                rare.used = rare.used.saturating_add(1);
            }
        } else if *count & FULL < FULL {
            *count += 1;
        }
    }

    /// What differs, from this place in the window on.
    pub(super) fn differences(&self, from: usize) -> impl Iterator<Item = Difference> + '_ {
        let skipped = self.rare.partition_point(|rare| u64::from(rare.index) < to_u64(from));
        let mut rare = self.rare.iter().skip(skipped);
        self.counts.iter().zip(0u64..).skip(from).filter_map(move |(count, index)| {
            let (stored, used) = match (count >> 4, count & FULL) {
                (FULL, _) => rare.next().map(|rare| (rare.stored, Used::Exactly(rare.used)))?,
                (stored, FULL) => (stored.into(), Used::AtLeast(FULL.into())),
                (stored, used) => (stored.into(), Used::Exactly(used.into())),
            };
            let differs = used != Used::Exactly(stored);
            differs.then(|| Difference { index, offset: self.offset(index), stored, used })
        })
    }
}
