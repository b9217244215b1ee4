//! The map of the disk: which virtual bytes are where in the file.

use std::ops::{ControlFlow, Range};

use imprint_plugin_sdk::{
    format::{Budget, FormatError, MapBuilder, Page, wire::round_up},
    host::Blob,
};

use crate::{
    header::Header,
    l1::L1,
    l2::{Cluster, Compressed},
    slices::Slices,
};

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;
const SUBCLUSTERS: u32 = 32;

/// Describes a range of the disk, at most `max` extents and a bounded part of the tables a
/// call.
///
/// An encoded cluster cannot be cut: the range must not begin or end inside of one. At the end of
/// the disk its extent ends with the disk, although its bytes decode to a whole cluster. Whether
/// two extents share bytes, or lie in the image's tables, is seen only over the whole map: that is
/// the host's check.
pub(crate) fn page(
    blob: &dyn Blob,
    header: &Header,
    l1: &L1,
    slices: &mut Slices,
    range: Range<u64>,
    max: u32,
) -> Result<Page, FormatError> {
    let end = range.end.min(header.virtual_size);
    let mut map = MapBuilder::new(range.start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
    let mut budget = Budget::of_a_call();
    let entries = header.entry_reader();
    let place = Place { disk: header.virtual_size, file: blob.size(), cluster: header.cluster() };
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue() && !map.is_full() && budget.is_left() {
        let position = map.cursor();
        let span = header.l2_span();
        let index = position / span;
        if l1.table(index) == 0 {
            let until = l1.next_table(index).map_or(end, |next| next.saturating_mul(span)).min(end);
            flow = map.hole(until - position)?;
            continue;
        }
        let slice = slices.at(position);
        let bytes = slices.load(blob, l1, slice, end)?;
        budget.spend(header.entries_of(bytes));
        let skip = usize::try_from((position - slice.start) / place.cluster).unwrap_or(usize::MAX);
        for cluster in entries.clusters(bytes).skip(skip) {
            flow = place.push(&mut map, cluster?)?;
            if flow.is_break() {
                break;
            }
        }
    }
    Ok(map.finish())
}

/// What bounds the places of clusters.
struct Place {
    disk: u64,
    file: u64,
    cluster: u64,
}

impl Place {
    /// Adds what is left of the cluster at the map's cursor.
    fn push(&self, map: &mut MapBuilder, cluster: Cluster) -> Result<ControlFlow<()>, FormatError> {
        let skip = map.cursor() % self.cluster;
        let rest = (self.cluster - skip).min(self.disk - map.cursor());
        match cluster {
            Cluster::Hole => Ok(map.hole(rest)?),
            Cluster::Zero(_) => Ok(map.zero(rest)?),
            Cluster::Data(host) => self.data(map, host + skip, rest),
            Cluster::Compressed(stored) => self.encoded(map, stored, rest),
            Cluster::Mixed { host, allocated, zero } => self.mixed(map, host, allocated, zero),
        }
    }

    fn data(&self, map: &mut MapBuilder, host: u64, length: u64) -> Result<ControlFlow<()>, FormatError> {
        if host + length > self.file {
            return Err(FormatError::Truncated(format!(
                "the disk's bytes at {:#x} are at {host:#x} of the file, which ends at {:#x}",
                map.cursor(),
                self.file
            )));
        }
        Ok(map.data(length, 0, host)?)
    }

    /// The last stored cluster of a file may claim the rest of a sector that the file does not
    /// have.
    fn encoded(
        &self,
        map: &mut MapBuilder,
        stored: Compressed,
        length: u64,
    ) -> Result<ControlFlow<()>, FormatError> {
        let start = map.cursor();
        if !start.is_multiple_of(self.cluster) || start + length > map.end() {
            return Err(FormatError::Request(format!(
                "the map was asked for a part of the encoded cluster around {start:#x}; ask for whole clusters"
            )));
        }
        if stored.offset >= self.file || stored.offset + stored.length > round_up(self.file, 512) {
            return Err(FormatError::Truncated(format!(
                "the encoded cluster for {start:#x} is at {:#x} of the file, which ends at {:#x}",
                stored.offset, self.file
            )));
        }
        let bound = stored.length.min(self.file - stored.offset);
        let bound = u32::try_from(bound).expect("a sector count has at most 13 bits");
        Ok(map.encoded(length, 0, stored.offset, bound)?)
    }

    fn mixed(
        &self,
        map: &mut MapBuilder,
        host: u64,
        allocated: u32,
        zero: u32,
    ) -> Result<ControlFlow<()>, FormatError> {
        let size = self.cluster / u64::from(SUBCLUSTERS);
        let first = map.cursor() - map.cursor() % self.cluster;
        for index in 0..SUBCLUSTERS {
            let start = first + u64::from(index) * size;
            if start + size <= map.cursor() {
                continue;
            }
            let skip = map.cursor() - start;
            let rest = (size - skip).min(self.disk - map.cursor());
            let flow = if allocated & 1 << index != 0 {
                self.data(map, host + u64::from(index) * size + skip, rest)?
            } else if zero & 1 << index != 0 {
                map.zero(rest)?
            } else {
                map.hole(rest)?
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
