//! Where every stored cluster is, packed: a group is what one L2 table will say.
//!
//! A group that is complete becomes bytes. Where its clusters are plain and follow each other in
//! the file, a bitmap of those that exist may do; else it is a list of runs: `gap << 1 | kind`,
//! count, distance from where the last run ended, and for encoded clusters each length, all as
//! variable-length numbers. The shorter form is kept.

use std::ops::Range;

use imprint_plugin_sdk::format::{
    FormatError,
    wire::{to_u64, to_usize},
};

/// Bytes that all groups together may take.
pub(super) const MEMORY_LIMIT: usize = 80 << 20;

const FORM_BITMAP: u8 = 0;
const FORM_RUNS: u8 = 1;

/// One stored cluster of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Index in the L2 table.
    pub(super) index: u64,
    /// Where in the file.
    pub(super) offset: u64,
    /// Encoded bytes; 0 is a plain cluster.
    pub(super) length: u32,
}

impl Stored {
    /// The first byte behind it in the file.
    pub(super) fn end(&self, cluster: u64) -> u64 {
        self.offset + if self.length == 0 { cluster } else { self.length.into() }
    }
}

/// Plain clusters of a group that follow each other on the disk and in the file, or one encoded
/// cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: Stored,
    count: u64,
}

impl Run {
    /// The first index behind it.
    fn next(&self) -> u64 {
        self.first.index + self.count
    }

    /// The first byte behind it in the file.
    fn end(&self, cluster: u64) -> u64 {
        self.first.end(cluster) + (self.count - 1) * cluster
    }

    fn is_plain(&self) -> bool {
        self.first.length == 0
    }

    fn is_followed_by(&self, next: &Self, cluster: u64) -> bool {
        next.first.index == self.next()
            && next.first.offset == self.end(cluster)
            && next.is_plain() == self.is_plain()
    }
}

/// What one L2 table will say.
pub(super) struct Group {
    /// Index in the L1 table.
    pub(super) number: u64,
    /// All of the group's payload lies in this range of the file.
    pub(super) place: Range<u64>,
    /// How many clusters it has.
    pub(super) count: u32,
    packed: Box<[u8]>,
}

impl Group {
    /// The clusters, in ascending order.
    pub(super) fn clusters(&self, cluster: u64) -> Vec<Stored> {
        match self.packed.split_first() {
            Some((&FORM_BITMAP, bitmap)) => from_bitmap(bitmap, self.place.start, cluster),
            Some((_, runs)) => from_runs(runs, cluster),
            None => Vec::new(),
        }
    }
}

/// All groups, in ascending order.
pub(super) struct Groups {
    cluster_bits: u32,
    done: Vec<Group>,
    open_number: u64,
    /// The group that is still growing: at most one table.
    open: Vec<Run>,
    memory: usize,
}

impl Groups {
    /// For clusters of this size.
    pub(super) fn new(cluster_bits: u32) -> Self {
        Self { cluster_bits, done: Vec::new(), open_number: 0, open: Vec::new(), memory: 0 }
    }

    /// Adds an encoded cluster of `length` bytes; `number` counts clusters of the disk and only
    /// grows.
    pub(super) fn push_encoded(&mut self, number: u64, offset: u64, length: u32) -> Result<(), FormatError> {
        self.push(number, Run { first: Stored { index: 0, offset, length }, count: 1 })
    }

    /// Adds `count` plain clusters that follow each other in the file. What it costs depends on the
    /// number of groups, not of clusters.
    pub(super) fn push_plain(&mut self, number: u64, offset: u64, count: u64) -> Result<(), FormatError> {
        let entries = 1_u64 << (self.cluster_bits - 3);
        let mut done = 0;
        while done < count {
            let room = entries - (number + done) % entries;
            let first = Stored { index: 0, offset: offset + (done << self.cluster_bits), length: 0 };
            let part = room.min(count - done);
            self.push(number + done, Run { first, count: part })?;
            done += part;
        }
        Ok(())
    }

    /// Adds a run that lies in one group.
    fn push(&mut self, number: u64, mut run: Run) -> Result<(), FormatError> {
        let entry_bits = self.cluster_bits - 3;
        if number >> entry_bits != self.open_number {
            self.finish()?;
            self.open_number = number >> entry_bits;
        }
        run.first.index = number & ((1 << entry_bits) - 1);
        let cluster = 1 << self.cluster_bits;
        match self.open.last_mut() {
            Some(last) if run.is_plain() && last.is_followed_by(&run, cluster) => last.count += run.count,
            Some(_) | None => self.open.push(run),
        }
        Ok(())
    }

    /// Packs the group that is still growing.
    pub(super) fn finish(&mut self) -> Result<(), FormatError> {
        let cluster = 1 << self.cluster_bits;
        let (Some(start), Some(end)) = (
            self.open.iter().map(|run| run.first.offset).min(),
            self.open.iter().map(|run| run.end(cluster)).max(),
        ) else {
            return Ok(());
        };
        let mut packed = to_runs(&self.open, cluster);
        if to_u64(packed.len()) > cluster / 64 {
            packed = to_bitmap(&self.open, cluster).unwrap_or(packed);
        }
        // The list of groups may hold twice what it needs while it grows.
        self.memory += packed.len() + 2 * size_of::<Group>();
        if self.memory > MEMORY_LIMIT {
            return Err(FormatError::LayoutMemory(format!(
                "the layout of this image needs more than {MEMORY_LIMIT} bytes of memory; ask for a larger `cluster-size`"
            )));
        }
        let count = self.open.iter().map(|run| run.count).sum::<u64>();
        self.done.push(Group {
            number: self.open_number,
            place: start..end,
            count: u32::try_from(count).expect("a table has at most 2^18 entries"),
            packed: packed.into_boxed_slice(),
        });
        self.open.clear();
        Ok(())
    }

    /// The complete groups.
    pub(super) fn list(&self) -> &[Group] {
        &self.done
    }
}

fn to_bitmap(runs: &[Run], cluster: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; to_usize(cluster / 64).ok()? + 1];
    let (form, bitmap) = bytes.split_first_mut()?;
    *form = FORM_BITMAP;
    let mut expected = runs.first()?.first.offset;
    for run in runs {
        if !run.is_plain() || run.first.offset != expected {
            return None;
        }
        expected = run.end(cluster);
        for index in run.first.index..run.next() {
            *bitmap.get_mut(to_usize(index / 8).ok()?)? |= 1 << (index % 8);
        }
    }
    Some(bytes)
}

fn from_bitmap(bitmap: &[u8], start: u64, cluster: u64) -> Vec<Stored> {
    let mut clusters = Vec::new();
    for (byte, index) in bitmap.iter().zip((0..).step_by(8)) {
        for bit in (0..8).filter(|bit| byte & 1 << bit != 0) {
            let offset = start + to_u64(clusters.len()) * cluster;
            clusters.push(Stored { index: index + bit, offset, length: 0 });
        }
    }
    clusters
}

fn to_runs(runs: &[Run], cluster: u64) -> Vec<u8> {
    let mut bytes = vec![FORM_RUNS];
    let (mut index, mut offset) = (0, 0);
    for run in runs.chunk_by(|one, two| one.is_followed_by(two, cluster)) {
        let Some((first, last)) = run.first().zip(run.last()) else { continue };
        put(&mut bytes, (first.first.index - index) << 1 | u64::from(!first.is_plain()));
        put(&mut bytes, run.iter().map(|part| part.count).sum());
        put(&mut bytes, zigzag(first.first.offset, offset));
        for one in run.iter().filter(|one| !one.is_plain()) {
            put(&mut bytes, one.first.length.into());
        }
        (index, offset) = (last.next(), last.end(cluster));
    }
    bytes
}

fn from_runs(mut runs: &[u8], cluster: u64) -> Vec<Stored> {
    let mut clusters = Vec::new();
    let (mut index, mut offset) = (0, 0);
    while !runs.is_empty() {
        let head = take(&mut runs);
        index += head >> 1;
        let count = take(&mut runs);
        offset = unzigzag(take(&mut runs), offset);
        for _ in 0..count {
            let length = if head & 1 == 0 { 0 } else { take(&mut runs) };
            let one = Stored { index, offset, length: u32::try_from(length).expect("packed from a u32") };
            (index, offset) = (index + 1, one.end(cluster));
            clusters.push(one);
        }
    }
    clusters
}

/// The distance from `base`, small for both directions. File offsets are below 2^56.
fn zigzag(value: u64, base: u64) -> u64 {
    if value >= base { (value - base) << 1 } else { (base - value) << 1 | 1 }
}

fn unzigzag(distance: u64, base: u64) -> u64 {
    if distance & 1 == 0 { base + (distance >> 1) } else { base - (distance >> 1) }
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    bytes.push(low_byte(value));
}

fn low_byte(value: u64) -> u8 {
    u8::try_from(value & 0x7f).expect("masked to 7 bits")
}

/// Takes the next number that [`put`] wrote.
fn take(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    while let Some((first, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        shift += 7;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests;
