//! An open image: its parts, and what it says of itself.

use imprint_plugin_sdk::{
    format::{Info, Source},
    host::Blob,
    types::{ByteRange, props},
};

use crate::{
    bat::{self, Shape, Used, Window, bitmap_offset},
    check::Checker,
    error::VhdxError,
    header::{Front, MIB},
    log,
    map::Bitmap,
    metadata::Metadata,
    region::Regions,
    tables::Tables,
};

/// An open VHDX image.
///
/// Memory: a bit for each MiB of the file (at most 16 MiB, twice while it is checked), what a log
/// changes (at most 16 MiB of places; its bytes stay in the file), and 1 MiB of the BAT.
pub struct Image {
    pub(crate) tables: Tables,
    pub(crate) front: Front,
    pub(crate) regions: Regions,
    pub(crate) metadata: Metadata,
    pub(crate) shape: Shape,
    pub(crate) used: Used,
    pub(crate) window: Window,
    pub(crate) bitmap: Bitmap,
    pub(crate) checker: Option<Checker>,
}

impl Image {
    /// Opens the image: headers, log, regions, metadata, and the whole BAT.
    pub(crate) fn open(blob: Box<dyn Blob>) -> Result<Self, VhdxError> {
        let front = Front::read(blob.as_ref())?;
        let overlay = log::replay(blob.as_ref(), &front.current)?;
        let tables = Tables::new(blob, overlay);
        let regions = Regions::read(&tables, front.current.log)?;
        let metadata = Metadata::read(&tables, regions.metadata)?;
        let shape = Shape::new(regions.bat, &metadata)?;
        let used = bat::scan(&tables, &shape, &regions)?;
        Ok(Self {
            tables,
            front,
            regions,
            metadata,
            shape,
            used,
            window: Window::default(),
            bitmap: Bitmap::default(),
            checker: None,
        })
    }

    /// What the image says of itself.
    pub(crate) fn info(&self) -> Info {
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
        Info {
            format: "vhdx".to_owned(),
            subformat: Some(subformat.to_owned()),
            virtual_size: metadata.virtual_size,
            unit: u32::try_from(metadata.block).expect("at most 256 MiB"),
            facts,
        }
    }

    /// The file itself, and the parent that it names.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let mut sources = vec![Source::primary()];
        sources.extend(self.metadata.parent.iter().map(|parent| Source {
            role: "parent".to_owned(),
            reference: parent.path.clone(),
            format_hint: Some("vhdx".to_owned()),
            required: true,
        }));
        sources
    }

    /// The first MiB, the log and the regions; then the bitmaps of a differencing image, at most
    /// one for each chunk of 4 GiB (or 32 GiB with sectors of 4 KiB).
    pub(crate) fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>, VhdxError> {
        let max = usize::try_from(max.clamp(1, 4096)).expect("at most 4096");
        let fixed =
            std::iter::once(ByteRange { offset: 0, length: MIB }).chain(self.regions.all.iter().copied());
        let skip = usize::try_from(start).unwrap_or(usize::MAX);
        let mut ranges: Vec<ByteRange> = fixed.skip(skip).take(max).collect();
        if !self.shape.differencing || ranges.len() == max {
            return Ok(ranges);
        }
        let known = u64::try_from(self.regions.all.len()).expect("at most 2048") + 1;
        let mut skip = start.saturating_sub(known);
        let stride = self.shape.chunk_ratio() + 1;
        for chunk in 0..self.shape.entries() / stride {
            let entry = self.window.entries(&self.tables, &self.shape, chunk * stride + stride - 1)?.next();
            let Some(offset) = bitmap_offset(chunk, entry.unwrap_or(0))? else { continue };
            if skip > 0 {
                skip -= 1;
            } else if ranges.len() < max {
                ranges.push(ByteRange { offset, length: MIB });
            } else {
                break;
            }
        }
        Ok(ranges)
    }
}
