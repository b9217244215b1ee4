//! An open image: the header, the active L1 table, and what the image says of itself.

use imprint_plugin_sdk::{
    format::{Info, Source},
    host::Blob,
    types::{ByteRange, Codec, Props, props},
};

use crate::{
    check::Checker,
    error::Qcow2Error,
    header::{Compression, Damaged, Header},
    l2::OFFSET_MASK,
    slices::Slices,
    snapshot,
    source::{end_of, for_each_piece},
    wire::{be64s, to_usize},
};

/// Bits of an L1 entry that are neither offset nor the copied flag.
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;

/// An open qcow2 image.
///
/// Memory: the L1 table (at most 32 MiB, in practice 8 bytes for each 512 MiB of disk), half of
/// that again for finding tables by their offset, and at most 1 MiB of L2 tables.
pub struct Image {
    pub(crate) blob: Box<dyn Blob>,
    pub(crate) header: Header,
    pub(crate) l1: L1,
    pub(crate) slices: Slices,
    pub(crate) refcount_blocks: Option<Vec<u64>>,
    pub(crate) snapshot_table: Option<ByteRange>,
    pub(crate) checker: Option<Checker>,
}

impl Image {
    /// Opens the image and checks header and L1 table. The option `salvage` = `true` opens one that
    /// says that it is damaged.
    pub(crate) fn open(blob: Box<dyn Blob>, options: &Props) -> Result<Self, Qcow2Error> {
        let damaged = match options.get("salvage").map(String::as_str) {
            None | Some("false") => Damaged::Refuse,
            Some("true") => Damaged::Salvage,
            Some(other) => {
                return Err(Qcow2Error::Request(format!("`salvage` is `true` or `false`, not {other:?}")));
            }
        };
        let header = Header::read(blob.as_ref(), damaged)?;
        let l1 = L1::read(blob.as_ref(), &header)?;
        let slices = Slices::new(&header);
        Ok(Self { blob, header, l1, slices, refcount_blocks: None, snapshot_table: None, checker: None })
    }

    /// What the image says of itself.
    pub(crate) fn info(&self) -> Info {
        let header = &self.header;
        let mut facts = props([]);
        let mut fact = |key: &str, value: String| facts.insert(key.to_owned(), value);
        fact("version", header.version.number().to_string());
        fact("compression", header.compression.codec_name().to_owned());
        fact("refcount-bits", (1_u32 << header.refcount_order).to_string());
        fact("internal-snapshots", header.snapshots.to_string());
        // What is wrong with their table is told by whoever needs it.
        for (number, words) in (1..).zip(snapshot::list(self.blob.as_ref(), header).unwrap_or_default()) {
            fact(&format!("snapshot-{number:02}"), words);
        }
        if header.stated_size != header.virtual_size {
            fact("size-conflict", header.stated_size.to_string());
        }
        if let Some(bitmaps) = header.bitmaps {
            fact("bitmaps", bitmaps.count.to_string());
        }
        let flags = [
            ("dirty", header.dirty),
            ("corrupt", header.corrupt),
            ("extended-l2", header.extended_l2),
            ("lazy-refcounts", header.lazy_refcounts),
            ("has-parent", header.backing.is_some()),
        ];
        for (key, _) in flags.iter().filter(|(_, set)| *set) {
            fact(key, "true".to_owned());
        }
        let unit = u32::try_from(header.cluster()).expect("cluster_bits is at most 21");
        Info { format: "qcow2".to_owned(), subformat: None, virtual_size: header.virtual_size, unit, facts }
    }

    /// The file itself, and the parent that it names.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let mut sources = vec![Source::primary()];
        sources.extend(self.header.backing.iter().map(|backing| Source {
            role: "parent".to_owned(),
            reference: backing.name.clone(),
            format_hint: backing.format.clone(),
            required: true,
        }));
        sources
    }

    /// The one codec of an image. A stored cluster is followed by garbage up to the end of its
    /// sector, and its zstd window is never larger than a cluster.
    pub(crate) fn codecs(&self) -> Vec<Codec> {
        let mut params = props([("tail", "garbage")]);
        if self.header.compression == Compression::Zstd {
            params.insert("window-log-max".to_owned(), self.header.cluster_bits.max(10).to_string());
        }
        vec![Codec { name: self.header.compression.codec_name().to_owned(), params }]
    }
}

/// The active L1 table: where the L2 tables are.
pub(crate) struct L1 {
    /// Offset of each L2 table; 0 is none.
    tables: Vec<u64>,
    /// Indices of the tables that exist, by their offset.
    by_offset: Vec<u32>,
    cluster: u64,
}

impl L1 {
    fn read(blob: &dyn Blob, header: &Header) -> Result<Self, Qcow2Error> {
        let cluster = header.cluster();
        let mut tables = Vec::with_capacity(to_usize(header.l1_entries.into())?);
        for_each_piece(blob, header.l1.offset, header.l1.length, |piece| {
            for entry in be64s(piece) {
                tables.push(table_offset(entry, cluster, blob.size())?);
            }
            Ok(())
        })?;
        let mut by_offset: Vec<u32> = (0..header.l1_entries).collect();
        by_offset.retain(|index| offset_at(&tables, *index) != 0);
        by_offset.shrink_to_fit();
        by_offset.sort_unstable_by_key(|index| offset_at(&tables, *index));
        if let Some(pair) =
            by_offset.array_windows().find(|[one, two]| offset_at(&tables, *one) == offset_at(&tables, *two))
        {
            let [one, two] = pair;
            return Err(Qcow2Error::Aliased(format!("the L1 entries {one} and {two} share one L2 table")));
        }
        let l1 = Self { tables, by_offset, cluster };
        match header.fixed_ranges().into_iter().find(|fixed| l1.has_table_in(*fixed)) {
            Some(fixed) => {
                Err(Qcow2Error::Aliased(format!("an L2 table overlaps the table at {:#x}", fixed.offset)))
            }
            None => Ok(l1),
        }
    }

    /// Where the L2 table is; 0 is none.
    pub(crate) fn table(&self, index: u64) -> u64 {
        usize::try_from(index).ok().and_then(|index| self.tables.get(index)).copied().unwrap_or(0)
    }

    /// The first index from `index` on that has an L2 table.
    pub(crate) fn next_table(&self, index: u64) -> Option<u64> {
        let tail = self.tables.get(usize::try_from(index).ok()?..)?;
        let skip = tail.iter().position(|offset| *offset != 0)?;
        index.checked_add(u64::try_from(skip).ok()?)
    }

    /// The L2 tables in the order of their offsets, from the `skip`th on.
    pub(crate) fn tables_by_offset(&self, skip: usize) -> impl Iterator<Item = u64> + '_ {
        self.by_offset.iter().skip(skip).map(|index| offset_at(&self.tables, *index))
    }

    /// How many L2 tables there are.
    pub(crate) fn count(&self) -> usize {
        self.by_offset.len()
    }

    /// Whether an L2 table has a byte in the range.
    pub(crate) fn has_table_in(&self, range: ByteRange) -> bool {
        let first = self
            .by_offset
            .partition_point(|index| offset_at(&self.tables, *index) + self.cluster <= range.offset);
        self.by_offset.get(first).is_some_and(|index| offset_at(&self.tables, *index) < end_of(range))
    }
}

fn offset_at(tables: &[u64], index: u32) -> u64 {
    usize::try_from(index).ok().and_then(|index| tables.get(index)).copied().unwrap_or(0)
}

fn table_offset(entry: u64, cluster: u64, file: u64) -> Result<u64, Qcow2Error> {
    let offset = entry & OFFSET_MASK;
    if entry & L1_RESERVED != 0 {
        return Err(Qcow2Error::Table(format!("the L1 entry {entry:#018x} has reserved bits set")));
    }
    if !offset.is_multiple_of(cluster) {
        return Err(Qcow2Error::Table(format!("the L1 entry {entry:#018x} points between two clusters")));
    }
    if offset + cluster > file {
        return Err(Qcow2Error::Truncated(format!(
            "an L2 table ends at {}, and the file at {file}",
            offset + cluster
        )));
    }
    Ok(offset)
}
