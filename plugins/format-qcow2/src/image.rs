//! An open image: the header, the active L1 table, and what the image states about itself.

use imprint_plugin_sdk::{
    error::Result,
    format::{self, Findings, FormatError, Info, Page, Source},
    host::Blob,
    types::{ByteRange, Codec, Props, props},
};

use crate::{
    check::Check,
    header::{Compression, Damaged, Header},
    l1::L1,
    map, ranges,
    slices::Slices,
    snapshot,
};

/// An open qcow2 image.
///
/// Memory: the L1 table (at most 32 MiB, in practice 8 bytes for each 512 MiB of disk), the places
/// of the refcount blocks (at most 8 MiB), and at most 1 MiB of L2 tables.
pub struct Image {
    blob: Box<dyn Blob>,
    header: Header,
    l1: L1,
    slices: Slices,
    ranges: ranges::Listing,
    check: Check,
}

impl Image {
    /// Opens the image and checks header and L1 table. The option `salvage` = `true` opens one that
    /// is marked as corrupt.
    pub(crate) fn open(blob: Box<dyn Blob>, options: &Props) -> Result<Self, FormatError> {
        let damaged = match options.get("salvage").map(String::as_str) {
            None | Some("false") => Damaged::Refuse,
            Some("true") => Damaged::Salvage,
            Some(other) => {
                return Err(FormatError::Request(format!("`salvage` is `true` or `false`, not {other:?}")));
            }
        };
        let header = Header::read(blob.as_ref(), damaged)?;
        let l1 = L1::read(blob.as_ref(), &header)?;
        let slices = Slices::new(&header);
        Ok(Self { blob, header, l1, slices, ranges: ranges::Listing::default(), check: Check::default() })
    }
}

impl format::Image for Image {
    fn info(&mut self) -> Result<Info> {
        let header = &self.header;
        let mut facts = props([]);
        let mut fact = |key: &str, value: String| facts.insert(key.to_owned(), value);
        fact("version", header.version.number().to_string());
        fact("compression", header.compression.codec_name().to_owned());
        fact("refcount-bits", (1_u32 << header.refcount_order).to_string());
        fact("internal-snapshots", header.snapshots.to_string());
        // Faults in their table are reported by the calls that depend on it.
        for (number, text) in (1..).zip(snapshot::list(self.blob.as_ref(), header).unwrap_or_default()) {
            fact(&format!("snapshot-{number:02}"), text);
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
        let virtual_size = header.virtual_size;
        Ok(Info { format: "qcow2".to_owned(), subformat: None, virtual_size, unit, facts })
    }

    /// The file itself, and the parent that it names.
    fn sources(&mut self) -> Result<Vec<Source>> {
        let mut sources = vec![Source::primary()];
        sources.extend(self.header.backing.iter().map(|backing| Source {
            role: "parent".to_owned(),
            reference: backing.name.clone(),
            format_hint: backing.format.clone(),
            required: true,
        }));
        Ok(sources)
    }

    /// The one codec of an image. A stored cluster is followed by garbage up to the end of its
    /// sector, and its zstd window is never larger than a cluster.
    fn codecs(&mut self) -> Vec<Codec> {
        let mut params = props([("tail", "garbage")]);
        if self.header.compression == Compression::Zstd {
            params.insert("window-log-max".to_owned(), self.header.cluster_bits.max(10).to_string());
        }
        vec![Codec { name: self.header.compression.codec_name().to_owned(), params }]
    }

    fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>> {
        Ok(self.ranges.page(self.blob.as_ref(), &self.header, &self.l1, start, max)?)
    }

    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        Ok(map::page(self.blob.as_ref(), &self.header, &self.l1, &mut self.slices, start..end, max)?)
    }

    fn check(&mut self, start: u64, max: u32) -> Result<Findings> {
        Ok(self.check.page(self.blob.as_ref(), &self.header, start, max)?)
    }
}
