//! The layout of a new file: version 3, the same bytes for the same placements.
//!
//! ```text
//! header | L1 | L2 tables | payload | refcount blocks | refcount table      when the L2 tables are small in comparison
//! header | L1 | payload | L2 tables | refcount blocks | refcount table      otherwise, and for an empty disk
//! ```
//!
//! All L2 tables are together, and only those that hold something exist. They are written in this
//! order: L2 tables, refcounts, L1, and the header last, so that a file whose writing was
//! interrupted is no image. Refcounts are 16 bits wide. There are no times, no ids and no
//! extensions in it.

mod groups;
mod metadata;
mod request;

use imprint_plugin_sdk::{
    error::Result,
    format::{self, CreateRequest, FormatError, MetadataPage, Placed, Rules, wire::round_up},
    types::{Codec, props},
};

use crate::{header::Compression, l2::compressed_entry};
use groups::Groups;
use metadata::Plan;
use request::Geometry;

/// The most runs of one report.
const MAX_RUNS: usize = 4096;
/// L2 tables go before the payload when all that the disk could need are at most this part of the
/// payload.
const FRONT_SHARE: u64 = 128;

/// The layout of a file being written.
///
/// Memory: two or three bytes for each encoded cluster or run of plain ones, and at most one bit
/// for each entry of the tables where plain clusters follow each other in the file: 32 MiB for any
/// plain disk of 16 TiB with clusters of 64 KiB. More than 80 MiB is refused.
pub struct Layout {
    geometry: Geometry,
    /// Where the L2 tables are; `None` is behind the payload.
    front_tables: Option<u64>,
    data_start: u64,
    groups: Groups,
    /// No placement may start before this virtual byte.
    next: u64,
    /// Where the payload ends, as far as it was reported.
    payload_end: u64,
    plan: Option<Plan>,
}

impl Layout {
    /// Checks the request and decides where payload begins.
    pub(crate) fn begin(request: &CreateRequest) -> Result<Self, FormatError> {
        let geometry = Geometry::new(request)?;
        let tables_start = geometry.l1_offset() + round_up(geometry.l1_bytes(), geometry.cluster());
        let all_tables = geometry.l1_entries << geometry.cluster_bits;
        let in_front = all_tables <= request.allocated.min(request.virtual_size) / FRONT_SHARE;
        let (front_tables, data_start) =
            if in_front { (Some(tables_start), tables_start + all_tables) } else { (None, tables_start) };
        let groups = Groups::new(geometry.cluster_bits);
        Ok(Self { geometry, front_tables, data_start, groups, next: 0, payload_end: data_start, plan: None })
    }

    fn take(&mut self, run: &Placed) -> Result<(), FormatError> {
        let cluster = self.geometry.cluster();
        let disk_end = round_up(self.geometry.virtual_size, cluster);
        let end = run
            .offset
            .checked_add(run.length)
            .filter(|end| *end <= disk_end)
            .ok_or_else(|| bad_run("ends after the end of the disk", run))?;
        if run.offset < self.next {
            return Err(bad_run("is not in ascending order", run));
        }
        let whole = end.is_multiple_of(cluster) || end == self.geometry.virtual_size;
        if run.length == 0 || !run.offset.is_multiple_of(cluster) || !whole {
            return Err(bad_run("is not made of whole clusters", run));
        }
        if run.file_offset < self.data_start {
            return Err(bad_run("is in front of the payload", run));
        }
        self.next = round_up(end, cluster);
        if run.stored_length == 0 { self.take_plain(run) } else { self.take_encoded(run) }
    }

    fn take_plain(&mut self, run: &Placed) -> Result<(), FormatError> {
        let cluster = self.geometry.cluster();
        let length = round_up(run.length, cluster);
        let end = run.file_offset.checked_add(length).filter(|end| end >> 56 == 0);
        let Some(end) = end.filter(|_| run.file_offset.is_multiple_of(cluster)) else {
            return Err(bad_run("is not stored at a cluster of the file", run));
        };
        let bits = self.geometry.cluster_bits;
        self.groups.push_plain(run.offset >> bits, run.file_offset, length >> bits)?;
        self.payload_end = self.payload_end.max(end);
        Ok(())
    }

    fn take_encoded(&mut self, run: &Placed) -> Result<(), FormatError> {
        if self.geometry.compression.is_none() {
            return Err(bad_run("is encoded, and the image is not compressed", run));
        }
        if run.length > self.geometry.cluster() || run.stored_length > self.geometry.max_encoded() {
            return Err(bad_run("is no encoded cluster, or one that is too long", run));
        }
        compressed_entry(self.geometry.cluster_bits, run.file_offset, run.stored_length)
            .ok_or_else(|| bad_run("is where no entry can point", run))?;
        let end = run.file_offset + u64::from(run.stored_length);
        let number = run.offset >> self.geometry.cluster_bits;
        self.groups.push_encoded(number, run.file_offset, run.stored_length)?;
        self.payload_end = self.payload_end.max(end);
        Ok(())
    }
}

impl format::Layout for Layout {
    /// Whole clusters; plain ones at clusters, encoded ones byte to byte.
    fn rules(&mut self) -> Rules {
        let unit = u32::try_from(self.geometry.cluster()).expect("a cluster is at most 2 MiB");
        let rules = Rules { ascending: true, ..Rules::units(self.data_start, unit) };
        let Some(compression) = self.geometry.compression else { return rules };
        let codec = Codec { name: compression.codec_name().to_owned(), params: props([("tail", "garbage")]) };
        Rules {
            align: 1,
            codec: Some(codec),
            verbatim_if_larger: true,
            verbatim_align: unit,
            max_encoded: self.geometry.max_encoded(),
            ..rules
        }
    }

    /// Takes the next placements, in ascending virtual order.
    fn placed(&mut self, runs: &[Placed]) -> Result<()> {
        if runs.len() > MAX_RUNS {
            let text = format!("{} runs in one report; {MAX_RUNS} are possible", runs.len());
            return Err(FormatError::Request(text).into());
        }
        if self.plan.is_some() {
            let text = "a placement came after the tables were asked for".to_owned();
            return Err(FormatError::Request(text).into());
        }
        Ok(runs.iter().try_for_each(|run| self.take(run))?)
    }

    /// A page of tables, at most `max_bytes`; `start` is the `resume` of the page before.
    fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage> {
        if self.plan.is_none() {
            self.groups.finish()?;
            let payload_end = round_up(end.max(self.payload_end), self.geometry.cluster());
            self.plan = Some(Plan::new(&self.geometry, &self.groups, self.front_tables, payload_end)?);
        }
        let plan = self.plan.as_ref().expect("made above");
        Ok(plan.page(&self.geometry, &self.groups, start, max_bytes)?)
    }
}

fn bad_run(what: &str, run: &Placed) -> FormatError {
    let Placed { offset, length, file_offset, stored_length } = run;
    FormatError::Request(format!(
        "the placement of {length} bytes at {offset:#x} ({stored_length} encoded) at {file_offset:#x} of the file {what}"
    ))
}

impl Compression {
    /// From the option's value.
    fn from_option(value: &str) -> Result<Option<Self>, FormatError> {
        match value {
            "none" => Ok(None),
            "zlib" => Ok(Some(Self::Deflate)),
            "zstd" => Ok(Some(Self::Zstd)),
            other => Err(FormatError::Unsupported(format!(
                "`compress` is `none`, `zlib` or `zstd`, not {other:?}"
            ))),
        }
    }
}
