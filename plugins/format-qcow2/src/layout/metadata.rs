//! Tables and header, in pages.
//!
//! What is to be written is one stream of bytes: L2 tables, refcount blocks, refcount table, L1
//! table, header. A page is a part of the stream, and its token is the position in it.

use std::ops::Range;

use imprint_plugin_sdk::format::{
    Budget, FormatError, MetadataPage, Segment,
    wire::{round_up, to_u64, to_usize},
};

use super::{
    groups::{Group, Groups},
    request::Geometry,
};
use crate::{
    header::{Compression, MAGIC},
    l2::{COPIED, compressed_entry, plain_entry},
};

/// What of cluster 0 is written; the rest is never read.
const HEADER_BYTES: u64 = 4 << 10;
const HEADER_LENGTH: u32 = 112;
const REFCOUNT_ORDER: u32 = 4;
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
const MIN_PAGE: u32 = 512;
/// Pages are whole words, so no entry is ever cut.
const WORD: u64 = 8;
/// The most of a page, whatever is asked for.
const MAX_PAGE: u32 = 1 << 20;

/// Where everything is in the finished file, in clusters unless said otherwise.
pub(super) struct Plan {
    l2_start: u64,
    l2_tables: u64,
    blocks_start: u64,
    blocks: u64,
    table_start: u64,
    table_clusters: u64,
    end: u64,
}

/// A part of the stream.
#[derive(Clone, Copy, Debug)]
enum Part {
    L2Tables,
    RefcountBlocks,
    RefcountTable,
    L1Table,
    Header,
}

impl Plan {
    /// Plans the tables behind a payload that ends at `payload_end`, a multiple of the cluster
    /// size.
    pub(super) fn new(
        geometry: &Geometry,
        groups: &Groups,
        front_tables: Option<u64>,
        payload_end: u64,
    ) -> Result<Self, FormatError> {
        let l2_tables = to_u64(groups.list().len());
        let payload_end = payload_end >> geometry.cluster_bits;
        let (l2_start, before) = match front_tables {
            Some(offset) => (offset >> geometry.cluster_bits, payload_end),
            None => (payload_end, payload_end + l2_tables),
        };
        let per_block = geometry.cluster() / 2;
        let (mut blocks, mut table_clusters) = (0, 0);
        loop {
            let clusters = before + blocks + table_clusters;
            let wanted = clusters.div_ceil(per_block);
            let wanted_table = round_up(wanted * 8, geometry.cluster()) >> geometry.cluster_bits;
            if (wanted, wanted_table) == (blocks, table_clusters) {
                break;
            }
            (blocks, table_clusters) = (wanted, wanted_table);
        }
        if table_clusters << geometry.cluster_bits > MAX_REFCOUNT_TABLE_BYTES {
            return Err(FormatError::VirtualSize(
                "the file is too large for clusters of this size; ask for a larger `cluster-size`".to_owned(),
            ));
        }
        let table_start = before + blocks;
        let end = table_start + table_clusters;
        Ok(Self { l2_start, l2_tables, blocks_start: before, blocks, table_start, table_clusters, end })
    }

    /// A page of the stream from `start` on.
    pub(super) fn page(
        &self,
        geometry: &Geometry,
        groups: &Groups,
        start: u64,
        max_bytes: u32,
    ) -> Result<MetadataPage, FormatError> {
        if max_bytes < MIN_PAGE {
            return Err(FormatError::Request(format!(
                "a page of {max_bytes} bytes; at least {MIN_PAGE} are needed"
            )));
        }
        if !start.is_multiple_of(WORD) {
            return Err(FormatError::Request(
                "the tables cannot continue from there; start again from 0".to_owned(),
            ));
        }
        let mut room = u64::from(max_bytes.min(MAX_PAGE)) / WORD * WORD;
        let mut segments = Vec::new();
        let (mut resume, mut part_start) = (start, 0);
        for (part, file_offset, length) in self.parts(geometry) {
            let part_end = part_start + length;
            if resume < part_end && room > 0 {
                let from = resume - part_start;
                let mut range = from..length.min(from + room);
                if matches!(part, Part::RefcountBlocks) {
                    let end = counted_in_a_call(geometry, groups.list(), range.clone());
                    if end < range.end {
                        (range.end, room) = (end, end - from);
                    }
                }
                room -= range.end - range.start;
                resume = part_start + range.end;
                let bytes = self.bytes(part, geometry, groups, range)?;
                segments.push(Segment { file_offset: file_offset + from, bytes });
            }
            part_start = part_end;
        }
        let done = resume >= part_start;
        Ok(MetadataPage {
            segments,
            resume,
            done,
            final_size: done.then(|| self.end << geometry.cluster_bits),
        })
    }

    /// The parts in the order of the stream, with their place and length in bytes.
    fn parts(&self, geometry: &Geometry) -> [(Part, u64, u64); 5] {
        let bytes = |clusters: u64| clusters << geometry.cluster_bits;
        [
            (Part::L2Tables, bytes(self.l2_start), bytes(self.l2_tables)),
            (Part::RefcountBlocks, bytes(self.blocks_start), bytes(self.blocks)),
            (Part::RefcountTable, bytes(self.table_start), bytes(self.table_clusters)),
            (Part::L1Table, geometry.l1_offset(), round_up(geometry.l1_bytes(), geometry.cluster())),
            (Part::Header, 0, HEADER_BYTES),
        ]
    }

    fn bytes(
        &self,
        part: Part,
        geometry: &Geometry,
        groups: &Groups,
        range: Range<u64>,
    ) -> Result<Vec<u8>, FormatError> {
        match part {
            Part::L2Tables => l2_tables(geometry, groups.list(), range),
            Part::RefcountBlocks => self.refcounts(geometry, groups.list(), range),
            Part::RefcountTable => {
                let entry = |index| {
                    if index < self.blocks { (self.blocks_start + index) << geometry.cluster_bits } else { 0 }
                };
                Ok((range.start / WORD..range.end / WORD)
                    .flat_map(|index| entry(index).to_be_bytes())
                    .collect())
            }
            Part::L1Table => Ok(self.l1_table(geometry, groups.list(), range)),
            Part::Header => {
                let header = self.header(geometry);
                Ok(header.get(to_usize(range.start)?..to_usize(range.end)?).unwrap_or_default().to_vec())
            }
        }
    }

    fn l1_table(&self, geometry: &Geometry, groups: &[Group], range: Range<u64>) -> Vec<u8> {
        let mut next = groups.partition_point(|group| group.number < range.start / WORD);
        let entries = (range.start / WORD..range.end / WORD).map(|index| {
            if groups.get(next).is_none_or(|group| group.number != index) {
                return 0;
            }
            next += 1;
            COPIED | (self.l2_start + to_u64(next) - 1) << geometry.cluster_bits
        });
        entries.flat_map(u64::to_be_bytes).collect()
    }

    /// Refcounts of header, tables and payload. A cluster that several encoded clusters touch
    /// counts each of them.
    fn refcounts(
        &self,
        geometry: &Geometry,
        groups: &[Group],
        range: Range<u64>,
    ) -> Result<Vec<u8>, FormatError> {
        let mut window =
            Counts { first: range.start / 2, counts: vec![0; to_usize((range.end - range.start) / 2)?] };
        window.add(0..geometry.head_clusters())?;
        window.add(self.l2_start..self.l2_start + self.l2_tables)?;
        window.add(self.blocks_start..self.end)?;
        let bits = geometry.cluster_bits;
        let bytes = in_the_file(geometry, range);
        for group in
            groups.iter().filter(|group| group.place.start < bytes.end && bytes.start < group.place.end)
        {
            for stored in group.clusters(geometry.cluster()) {
                let last = (stored.end(geometry.cluster()) - 1) >> bits;
                window.add(stored.offset >> bits..last + 1)?;
            }
        }
        Ok(window.counts.into_iter().flat_map(u16::to_be_bytes).collect())
    }

    fn header(&self, geometry: &Geometry) -> Vec<u8> {
        let (incompatible, kind) = match geometry.compression {
            None | Some(Compression::Deflate) => (0, 0),
            Some(Compression::Zstd) => (INCOMPATIBLE_COMPRESSION, 1),
        };
        let l1_entries = u32::try_from(geometry.l1_entries).expect("checked against the L1 limit");
        let table_clusters =
            u32::try_from(self.table_clusters).expect("checked against the refcount table limit");
        let mut header = Vec::new();
        let u32s = |header: &mut Vec<u8>, values: &[u32]| {
            values.iter().for_each(|value| header.extend(value.to_be_bytes()))
        };
        let u64s = |header: &mut Vec<u8>, values: &[u64]| {
            values.iter().for_each(|value| header.extend(value.to_be_bytes()))
        };
        u32s(&mut header, &[MAGIC, 3]);
        // No backing name.
        u64s(&mut header, &[0]);
        u32s(&mut header, &[0, geometry.cluster_bits]);
        u64s(&mut header, &[geometry.virtual_size]);
        // Not encrypted.
        u32s(&mut header, &[0, l1_entries]);
        u64s(&mut header, &[geometry.l1_offset(), self.table_start << geometry.cluster_bits]);
        // No snapshots.
        u32s(&mut header, &[table_clusters, 0]);
        u64s(&mut header, &[0, incompatible, 0, 0]);
        u32s(&mut header, &[REFCOUNT_ORDER, HEADER_LENGTH]);
        header.push(kind);
        header.resize(usize::try_from(HEADER_BYTES).expect("a few KiB"), 0);
        header
    }
}

/// Returns where a range of refcounts ends, so that the clusters that are counted for it stay
/// within the budget of a call: thousands of encoded clusters may lie in one cluster of the file.
fn counted_in_a_call(geometry: &Geometry, groups: &[Group], range: Range<u64>) -> u64 {
    let mut end = range.end;
    loop {
        let bytes = in_the_file(geometry, range.start..end);
        let overlaps = |group: &&Group| group.place.start < bytes.end && bytes.start < group.place.end;
        let clusters: u64 = groups.iter().filter(overlaps).map(|group| u64::from(group.count)).sum();
        let half = range.start + (end - range.start) / 2 / WORD * WORD;
        if clusters <= Budget::ENTRIES || half == range.start {
            return end;
        }
        end = half;
    }
}

/// Returns the bytes of the file that a range of refcounts is about.
fn in_the_file(geometry: &Geometry, range: Range<u64>) -> Range<u64> {
    let bits = geometry.cluster_bits;
    (range.start / 2) << bits..(range.end / 2) << bits
}

/// The refcounts of a part of the file.
struct Counts {
    /// The first cluster of the part.
    first: u64,
    counts: Vec<u16>,
}

impl Counts {
    /// Counts one reference to each of the clusters that are in the part.
    fn add(&mut self, clusters: Range<u64>) -> Result<(), FormatError> {
        let end = clusters.end.min(self.first + to_u64(self.counts.len()));
        for cluster in clusters.start.max(self.first)..end {
            let Some(count) = self.counts.get_mut(to_usize(cluster - self.first)?) else { continue };
            *count = count.checked_add(1).ok_or_else(|| {
                FormatError::TableSize(format!(
                    "more than {} encoded clusters share a cluster of the file",
                    u16::MAX
                ))
            })?;
        }
        Ok(())
    }
}

fn l2_tables(geometry: &Geometry, groups: &[Group], range: Range<u64>) -> Result<Vec<u8>, FormatError> {
    let bits = geometry.cluster_bits;
    let mut bytes = Vec::with_capacity(to_usize(range.end - range.start)?);
    for table in range.start >> bits..range.end.div_ceil(geometry.cluster()) {
        let Some(group) = groups.get(to_usize(table)?) else { break };
        let start = table << bits;
        let first = (range.start.max(start) - start) / WORD;
        let end = (range.end.min(start + geometry.cluster()) - start) / WORD;
        let clusters = group.clusters(geometry.cluster());
        let mut clusters = clusters.into_iter().skip_while(|stored| stored.index < first).peekable();
        let entries = (first..end).map(|index| {
            let stored = clusters.next_if(|stored| stored.index == index);
            stored.map_or(0, |stored| match stored.length {
                0 => plain_entry(stored.offset),
                length => compressed_entry(bits, stored.offset, length).expect("checked when it was placed"),
            })
        });
        bytes.extend(entries.flat_map(u64::to_be_bytes));
    }
    Ok(bytes)
}
