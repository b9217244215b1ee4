//! The map of the disk: which virtual bytes are where in the file.

use std::ops::ControlFlow;

use imprint_plugin_sdk::{
    format::{Extent, ExtentKind, MapBuilder, Page},
    types::ByteRange,
};

use crate::{
    error::Qcow2Error,
    image::Image,
    l2::{Cluster, Compressed},
    slices::BUDGET,
    source::overlap,
    wire::round_up,
};

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;
const SUBCLUSTERS: u32 = 32;

impl Image {
    /// Describes `[start, end)` of the disk, at most `max` extents and a bounded number of tables a
    /// call.
    ///
    /// An encoded cluster cannot be cut: `start` and `end` must not lie inside of one. At the end
    /// of the disk its extent ends with the disk, although its bytes decode to a whole cluster.
    pub(crate) fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page, Qcow2Error> {
        let end = end.min(self.header.virtual_size);
        let mut map = MapBuilder::new(start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
        let mut budget = BUDGET;
        let entries = self.header.entry_reader();
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() && !map.is_full() && budget > 0 {
            let position = map.cursor();
            let span = self.header.l2_span();
            let index = position / span;
            if self.l1.table(index) == 0 {
                let until = self.l1.next_table(index).map_or(end, |next| next.saturating_mul(span)).min(end);
                flow = map.hole(until - position)?;
                continue;
            }
            let slice = self.slices.at(position);
            let bytes = self.slices.load(self.blob.as_ref(), &self.l1, slice, end, &mut budget)?;
            let place = Place {
                disk: self.header.virtual_size,
                file: self.blob.size(),
                cluster: self.header.cluster(),
            };
            let skip = usize::try_from((position - slice.start) / place.cluster).unwrap_or(usize::MAX);
            for cluster in entries.clusters(bytes).skip(skip) {
                flow = place.push(&mut map, cluster?)?;
                if flow.is_break() {
                    break;
                }
            }
        }
        let page = map.finish();
        self.check_aliases(&page.extents)?;
        Ok(page)
    }

    /// No payload lies in the tables that were used to find it. Whether two extents share bytes is
    /// seen only over the whole map: that is the host's check.
    fn check_aliases(&self, extents: &[Extent]) -> Result<(), Qcow2Error> {
        let fixed = self.header.fixed_ranges();
        for extent in extents {
            let length = match extent.kind {
                ExtentKind::Data => extent.length,
                ExtentKind::Encoded => extent.source_length.into(),
                ExtentKind::Zero | ExtentKind::Hole => continue,
            };
            let stored = ByteRange { offset: extent.source_offset, length };
            if fixed.iter().any(|table| overlap(*table, stored)) || self.l1.has_table_in(stored) {
                return Err(Qcow2Error::Aliased(format!(
                    "the disk's bytes at {:#x} lie in the image's own tables (at {:#x} of the file)",
                    extent.offset, extent.source_offset
                )));
            }
        }
        Ok(())
    }
}

/// What bounds the places of clusters.
struct Place {
    disk: u64,
    file: u64,
    cluster: u64,
}

impl Place {
    /// Adds what is left of the cluster at the map's cursor.
    fn push(&self, map: &mut MapBuilder, cluster: Cluster) -> Result<ControlFlow<()>, Qcow2Error> {
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

    fn data(&self, map: &mut MapBuilder, host: u64, length: u64) -> Result<ControlFlow<()>, Qcow2Error> {
        if host + length > self.file {
            return Err(Qcow2Error::Truncated(format!(
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
    ) -> Result<ControlFlow<()>, Qcow2Error> {
        let start = map.cursor();
        if !start.is_multiple_of(self.cluster) || start + length > map.end() {
            return Err(Qcow2Error::Request(format!(
                "the map was asked for a part of the encoded cluster around {start:#x}; ask for whole clusters"
            )));
        }
        if stored.offset >= self.file || stored.offset + stored.length > round_up(self.file, 512) {
            return Err(Qcow2Error::Truncated(format!(
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
    ) -> Result<ControlFlow<()>, Qcow2Error> {
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
