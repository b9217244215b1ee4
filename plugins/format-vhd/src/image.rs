//! An open image: footer, header, and what the image states about itself.

use imprint_plugin_sdk::{
    error::Result,
    format::{
        self, Findings, FormatError, Info, Page, Source,
        blob::{end_of, overlap, read_exact},
    },
    host::Blob,
    types::{ByteRange, Props},
};

use crate::{
    bat::Bat,
    bitmap::Bitmaps,
    blocks::Blocks,
    check::{Check, Checked},
    footer::{self, Agreement, Damaged, Footer, Kind, id_text},
    geometry::{DiskSize, MAX_DISK, SECTOR, SizeRule},
    header::{self, Header},
    locate::{Located, behind_blocks, locate},
    map, parent,
    ranges::Listing,
};

/// An open VHD.
///
/// Memory: a page of 256 KiB of the block allocation table and at most 1 MiB of sector bitmaps; a
/// check adds a word for each block, at most 16 MiB.
pub struct Image {
    blob: Box<dyn Blob>,
    footer: Footer,
    virtual_size: u64,
    /// Header, table and bitmaps; `None` for a fixed disk.
    blocks: Option<Blocks>,
    /// Where the image's tables are; without the sector bitmaps.
    tables: Vec<ByteRange>,
    listing: Listing,
    check: Check,
    size: DiskSize,
    copy: Agreement,
    trailing: u64,
    footer_missing: bool,
}

/// How an image is opened.
#[derive(Clone, Copy, Debug)]
struct Options {
    damaged: Damaged,
    size: Option<SizeRule>,
}

impl Options {
    fn parse(options: &Props) -> Result<Self, FormatError> {
        let option = |key: &str| options.get(key).map(String::as_str);
        let damaged = match option("salvage") {
            None | Some("false") => Damaged::Refuse,
            Some("true") => Damaged::Salvage,
            Some(other) => {
                return Err(FormatError::Request(format!("`salvage` is `true` or `false`, not {other:?}")));
            }
        };
        let size = match option("size") {
            None => None,
            Some("current") => Some(SizeRule::Current),
            Some("geometry") => Some(SizeRule::Geometry),
            Some(other) => {
                return Err(FormatError::Request(format!(
                    "`size` is `current` or `geometry`, not {other:?}"
                )));
            }
        };
        Ok(Self { damaged, size })
    }
}

impl Image {
    /// Opens the image and checks footer and header. The option `salvage` = `true` takes wrong
    /// checksums and a missing footer; `size` = `current` or `geometry` decides which of two sizes
    /// that disagree counts.
    pub(crate) fn open(blob: Box<dyn Blob>, options: &Props) -> Result<Self, FormatError> {
        let options = Options::parse(options)?;
        let located = locate(blob.as_ref(), options.damaged)?;
        let footer = &located.footer;
        let size = DiskSize::decide(footer.creator, footer.current_size, footer.geometry, options.size)?;
        if size.bytes > MAX_DISK {
            return Err(FormatError::VirtualSize(format!(
                "the disk has {} bytes, and a VHD has at most {MAX_DISK}; the file is damaged or forged",
                size.bytes
            )));
        }
        if !size.bytes.is_multiple_of(SECTOR) {
            return Err(FormatError::Header(format!(
                "the disk's size of {} bytes is no multiple of {SECTOR}",
                size.bytes
            )));
        }
        match footer.kind {
            Kind::Fixed => Self::fixed(blob, located, size),
            Kind::Dynamic | Kind::Differencing => Self::of_blocks(blob, located, size, options.damaged),
        }
    }

    fn fixed(blob: Box<dyn Blob>, located: Located, size: DiskSize) -> Result<Self, FormatError> {
        let place = located.place.expect("a fixed disk is found by the footer at its end");
        let Some(trailing) = place.offset.checked_sub(size.bytes) else {
            return Err(FormatError::Truncated(format!(
                "the disk has {} bytes, and the file has {} before its footer",
                size.bytes, place.offset
            )));
        };
        Ok(Self {
            blob,
            footer: located.footer,
            virtual_size: size.bytes,
            blocks: None,
            tables: vec![place],
            listing: Listing::default(),
            check: Check::default(),
            size,
            copy: located.copy,
            trailing,
            footer_missing: false,
        })
    }

    fn of_blocks(
        blob: Box<dyn Blob>,
        located: Located,
        size: DiskSize,
        damaged: Damaged,
    ) -> Result<Self, FormatError> {
        let footer = located.footer;
        let (header, mut tables) = read_header(blob.as_ref(), &footer, damaged)?;
        let room = u64::from(header.entries) * u64::from(header.block_size);
        if room < size.bytes {
            return Err(FormatError::Table(format!(
                "the block allocation table has room for {room} bytes, and the disk has {}",
                size.bytes
            )));
        }
        let mut bat = Bat::new(&header, size.bytes, blob.size(), tables.clone());
        let place = match located.place {
            Some(place) => Some(place),
            None => behind_blocks(blob.as_ref(), &mut bat, &tables, &footer)?,
        };
        if place.is_none() && damaged == Damaged::Refuse {
            return Err(FormatError::Truncated("the file has no VHD footer at its end".to_owned()));
        }
        if let Some(place) = place {
            tables.push(place);
        }
        refuse_overlaps(&tables)?;
        let data_end = place.map_or(blob.size(), |place| place.offset);
        let bat = Bat::new(&header, size.bytes, data_end, tables.clone());
        let trailing = place.map_or(0, |place| blob.size() - end_of(place));
        Ok(Self {
            blob,
            footer,
            virtual_size: size.bytes,
            blocks: Some(Blocks { header, bat, bitmaps: Bitmaps::default(), data_end }),
            tables,
            listing: Listing::default(),
            check: Check::default(),
            size,
            copy: located.copy,
            trailing,
            footer_missing: place.is_none(),
        })
    }

    /// The notes of a check.
    fn remarks(&self) -> Vec<(&'static str, String)> {
        let mut remarks = Vec::new();
        if self.copy != Agreement::Same {
            let text = "the footer and its copy at the start of the file are not the same";
            remarks.push(("vhd.footer-copies-differ", text.to_owned()));
        }
        if self.footer_missing {
            remarks.push(("vhd.footer-missing", "the file does not end with a footer".to_owned()));
        }
        if self.footer.saved_state {
            remarks
                .push(("vhd.saved-state", "the machine was suspended when the disk was closed".to_owned()));
        }
        if let Some(other) = self.size.conflict {
            let text = format!("the disk has {} bytes, and the footer also says {other}", self.virtual_size);
            remarks.push(("vhd.size-conflict", text));
        }
        if self.trailing > 0 {
            let text = format!("{} bytes of the file belong to nothing", self.trailing);
            remarks.push(("vhd.trailing-bytes", text));
        }
        remarks
    }
}

impl format::Image for Image {
    fn info(&mut self) -> Result<Info> {
        let mut facts = Props::new();
        let mut fact = |key: &str, value: String| facts.insert(key.to_owned(), value);
        let creator = String::from_utf8_lossy(&self.footer.creator);
        fact("creator", creator.chars().filter(|c| c.is_ascii_graphic()).collect());
        if self.footer.id != [0; 16] {
            fact("id", id_text(self.footer.id));
        }
        if let Some(other) = self.size.conflict {
            fact("size-conflict", other.to_string());
        }
        if self.trailing > 0 {
            fact("trailing-bytes", self.trailing.to_string());
        }
        if let Some(blocks) = self.blocks.as_ref().filter(|_| self.footer.kind == Kind::Differencing) {
            fact("has-parent", "true".to_owned());
            if blocks.header.parent_id != [0; 16] {
                fact("parent-id", id_text(blocks.header.parent_id));
            }
        }
        let flags = [
            ("saved-state", self.footer.saved_state),
            ("footer-copies-differ", self.copy != Agreement::Same),
            ("footer-missing", self.footer_missing),
        ];
        for (key, _) in flags.iter().filter(|(_, set)| *set) {
            fact(key, "true".to_owned());
        }
        Ok(Info {
            format: "vhd".to_owned(),
            subformat: Some(self.footer.kind.name().to_owned()),
            virtual_size: self.virtual_size,
            unit: self.blocks.as_ref().map_or(1, |blocks| blocks.header.block_size),
            facts,
        })
    }

    /// The file itself, and the names that a differencing disk has for its parent: all of one and
    /// the same.
    fn sources(&mut self) -> Result<Vec<Source>> {
        let mut sources = vec![Source::primary()];
        if let Some(blocks) = self.blocks.as_ref().filter(|_| self.footer.kind == Kind::Differencing) {
            // XenServer makes layers on raw disks, too: those have no id.
            let hint = (blocks.header.parent_id != [0; 16]).then(|| "vhd".to_owned());
            sources.extend(parent::names(self.blob.as_ref(), &blocks.header)?.into_iter().map(|reference| {
                Source { role: "parent".to_owned(), reference, format_hint: hint.clone(), required: true }
            }));
        }
        Ok(sources)
    }

    fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>> {
        Ok(self.listing.page(self.blob.as_ref(), &self.tables, self.blocks.as_mut(), start, max)?)
    }

    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        let (kind, size, blocks) = (self.footer.kind, self.virtual_size, self.blocks.as_mut());
        Ok(map::page(self.blob.as_ref(), kind, size, blocks, (start, end), max)?)
    }

    fn check(&mut self, start: u64, max: u32) -> Result<Findings> {
        let remarks = self.remarks();
        let (blob, blocks, tables) = (self.blob.as_ref(), self.blocks.as_mut(), &self.tables[..]);
        Ok(self.check.page(Checked { blob, blocks, tables, remarks }, start, max)?)
    }
}

/// The header, and where the image's tables are, but for the footer at the end.
fn read_header(
    blob: &dyn Blob,
    footer: &Footer,
    damaged: Damaged,
) -> Result<(Header, Vec<ByteRange>), FormatError> {
    let place = ByteRange { offset: footer.header_offset, length: header::LENGTH.into() };
    let inside =
        |range: ByteRange| range.offset.checked_add(range.length).is_some_and(|end| end <= blob.size());
    if !place.offset.is_multiple_of(SECTOR) || place.offset < footer::LENGTH {
        return Err(FormatError::Header(format!("no dynamic header can be at {:#x}", place.offset)));
    }
    if !inside(place) {
        return Err(FormatError::Truncated(format!(
            "the dynamic header is at {:#x}, and the file ends at {:#x}",
            place.offset,
            blob.size()
        )));
    }
    let header = Header::parse(&read_exact(blob, place.offset, header::LENGTH.into())?, damaged)?;
    let copy = ByteRange { offset: 0, length: footer::LENGTH };
    let mut tables = vec![copy, place, header.table()];
    if !inside(header.table()) {
        return Err(FormatError::Truncated(format!(
            "the block allocation table of {} bytes is at {:#x}, and the file ends at {:#x}",
            header.table().length,
            header.table_offset,
            blob.size()
        )));
    }
    // What the locators of other disks hold means nothing.
    for locator in header.locators.iter().filter(|_| footer.kind == Kind::Differencing) {
        let range = ByteRange { offset: locator.offset, length: locator.length.into() };
        if !inside(range) || locator.length > parent::MAX_NAME {
            return Err(FormatError::Header(format!(
                "a name of the parent has {} bytes at {:#x} of a file of {:#x}",
                locator.length,
                locator.offset,
                blob.size()
            )));
        }
        tables.push(range);
    }
    tables.retain(|range| range.length > 0);
    refuse_overlaps(&tables)?;
    Ok((header, tables))
}

/// No two of the tables share a byte.
fn refuse_overlaps(tables: &[ByteRange]) -> Result<(), FormatError> {
    for (index, one) in tables.iter().enumerate() {
        if let Some(two) = tables.iter().skip(index + 1).find(|two| overlap(*one, **two)) {
            return Err(FormatError::Aliased(format!(
                "the tables at {:#x} and {:#x} share bytes of the file",
                one.offset, two.offset
            )));
        }
    }
    Ok(())
}
