//! An open image: its parts, and what the image states about itself.

use imprint_plugin_sdk::{
    error::Result,
    format::{self, Findings, FormatError, Info, Page, Source},
    host::Blob,
    types::{ByteRange, props},
};

use crate::{
    bat::Shape,
    check::{Check, Checked},
    header::Front,
    log,
    map::Map,
    metadata::Metadata,
    ranges::Listing,
    region::Regions,
    tables::Tables,
    used,
};

/// An open VHDX image.
///
/// Memory: what a log changes (at most 16 MiB of places; its bytes stay in the file), and 1 MiB of
/// the BAT; while it is checked, two bits for each MiB of the file, at most 32 MiB.
pub struct Image {
    tables: Tables,
    front: Front,
    regions: Regions,
    metadata: Metadata,
    shape: Shape,
    map: Map,
    listing: Listing,
    check: Check,
}

impl Image {
    /// Opens the image: headers, log, regions and metadata. The BAT is looked at as it is needed.
    pub(crate) fn open(blob: Box<dyn Blob>) -> Result<Self, FormatError> {
        let front = Front::read(blob.as_ref())?;
        used::check_size(blob.size())?;
        let overlay = log::replay(blob.as_ref(), &front.current)?;
        let tables = Tables::new(blob, overlay);
        let regions = Regions::read(&tables, front.current.log)?;
        let metadata = Metadata::read(&tables, regions.metadata)?;
        let shape = Shape::new(regions.bat, &metadata)?;
        Ok(Self {
            tables,
            front,
            regions,
            metadata,
            shape,
            map: Map::default(),
            listing: Listing::default(),
            check: Check::default(),
        })
    }
}

impl format::Image for Image {
    fn info(&mut self) -> Result<Info> {
        let metadata = &self.metadata;
        let mut facts = props([
            ("version", "1"),
            ("id", &self.front.current.data_write.to_string()),
            ("sector-size", &metadata.logical_sector.to_string()),
        ]);
        let mut fact = |key: &str, value: String| facts.insert(key.to_owned(), value);
        if let Some(size) = metadata.physical_sector {
            fact("physical-sector-size", size.to_string());
        }
        if !self.front.creator.is_empty() {
            fact("creator", self.front.creator.clone());
        }
        if self.front.current.is_dirty() {
            fact("dirty", "true".to_owned());
            fact("log-replay", "true".to_owned());
        }
        if let Some(parent) = &metadata.parent {
            fact("has-parent", "true".to_owned());
            fact("parent-id", parent.linkage.to_string());
            if let Some(other) = parent.linkage2 {
                fact("parent-id-2", other.to_string());
            }
        }
        let subformat = match (&metadata.parent, metadata.fixed) {
            (Some(_), _) => "differencing",
            (None, true) => "fixed",
            (None, false) => "dynamic",
        };
        Ok(Info {
            format: "vhdx".to_owned(),
            subformat: Some(subformat.to_owned()),
            virtual_size: metadata.virtual_size,
            unit: u32::try_from(metadata.block).expect("at most 256 MiB"),
            facts,
        })
    }

    /// The file itself, and the parent that it names.
    fn sources(&mut self) -> Result<Vec<Source>> {
        let mut sources = vec![Source::primary()];
        sources.extend(self.metadata.parent.iter().map(|parent| Source {
            role: "parent".to_owned(),
            reference: parent.path.clone(),
            format_hint: Some("vhdx".to_owned()),
            required: true,
        }));
        Ok(sources)
    }

    fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>> {
        Ok(self.listing.page(&self.tables, &self.shape, &self.regions, start, max)?)
    }

    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        Ok(self.map.page(&self.tables, &self.shape, start, end, max)?)
    }

    fn check(&mut self, start: u64, max: u32) -> Result<Findings> {
        let Self { tables, front, regions, shape, .. } = self;
        Ok(self.check.page(&Checked { tables, front, regions, shape }, start, max)?)
    }
}
