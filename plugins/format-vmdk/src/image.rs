//! An open image: its descriptor, and the parts that the disk is made of.

use imprint_plugin_sdk::{
    error::Result,
    format::{
        self, Findings, FormatError, Info, Page, Source,
        blob::{inside, read_exact},
        marks,
        wire::{le32, le64, to_u64, to_usize},
    },
    host::Blob,
    types::{ByteRange, Codec, props},
};

use crate::{
    check,
    descriptor::{CreateType, Descriptor, ExtentFile, Names},
    header::{CONVERT, COWD, Grains, MAGIC, MARKER, MAX_DESCRIPTOR, SESPARSE},
    map,
    part::{Part, PartKind},
    sector::SECTOR,
    sparse::Sparse,
};

/// The most ranges of an answer, whatever is asked for.
const MAX_RANGES: u32 = 8192;

/// An open VMDK image.
pub struct Image {
    descriptor: Descriptor,
    size: u64,
    parts: Vec<Part>,
    /// Names of the sources from index 1 on.
    names: Vec<String>,
    /// Where a text descriptor is; empty for an embedded one, which is among its extent's ranges.
    text: ByteRange,
}

impl Image {
    /// Opens the image: a sparse extent with its descriptor, or a text descriptor.
    pub(crate) fn open(blob: Box<dyn Blob>) -> Result<Self, FormatError> {
        let head = read_exact(blob.as_ref(), 0, to_u64(marks::DESCRIPTOR_START).min(blob.size()))?;
        if le32(&head, 0) == Some(MAGIC) {
            return Self::monolithic(blob);
        }
        if le32(&head, 0) == Some(COWD) {
            return Err(FormatError::Subformat(
                "this is a vmfsSparse (COWD) extent of an ESX host; consolidate the disk there, or export it as streamOptimized"
                    .to_owned(),
            ));
        }
        if le64(&head, 0) == Some(SESPARSE) {
            return Err(FormatError::Subformat(
                "this is a seSparse extent of an ESX host; consolidate the disk there, or export it as streamOptimized"
                    .to_owned(),
            ));
        }
        if marks::is_vmdk_text(&head) {
            return Self::described(blob.as_ref());
        }
        Err(FormatError::Header("the file is neither a sparse VMDK nor a VMDK descriptor".to_owned()))
    }

    /// One file with everything in it.
    fn monolithic(blob: Box<dyn Blob>) -> Result<Self, FormatError> {
        let sparse = Sparse::open(blob)?;
        let place = sparse.header.descriptor;
        let bytes = read_exact(sparse.blob.as_ref(), place.offset, place.length)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(FormatError::Subformat(
                "this is one part of a split disk, without a descriptor; open the small .vmdk file that describes the whole disk"
                    .to_owned(),
            ));
        }
        let descriptor = Descriptor::parse(&bytes, Names::Own)?;
        let disagree = |what: String| Err(FormatError::Header(what));
        let kind = descriptor.create_type;
        if !kind.is_monolithic_sparse() {
            return disagree(format!("the file is a sparse extent, and its descriptor says {}", kind.name()));
        }
        let framed = sparse.header.grains == Grains::Framed;
        if framed != (kind == CreateType::StreamOptimized) {
            return disagree(format!(
                "the descriptor says {}, and the header says otherwise about compression",
                kind.name()
            ));
        }
        let [line] = descriptor.extents.as_slice() else {
            return disagree(format!("a disk in one file has {} extents", descriptor.extents.len()));
        };
        let ExtentFile::Sparse { .. } = line.file else {
            return disagree("the descriptor's extent is not sparse, and the file is".to_owned());
        };
        let size = sparse.header.capacity;
        if line.length > size || size - line.length >= sparse.header.grain {
            return disagree(format!(
                "the descriptor's extent has {} bytes, and the header's {size}",
                line.length
            ));
        }
        let kind = PartKind::Sparse { source: 0, extent: Some(Box::new(sparse)) };
        let parts = vec![Part { start: 0, length: size, kind }];
        let text = ByteRange { offset: 0, length: 0 };
        Ok(Self { descriptor, size, parts, names: Vec::new(), text })
    }

    /// A text that names the files with the data.
    fn described(blob: &dyn Blob) -> Result<Self, FormatError> {
        let text = ByteRange { offset: 0, length: blob.size() };
        if text.length > MAX_DESCRIPTOR {
            return Err(FormatError::TableSize(format!(
                "the descriptor has {} bytes; at most {MAX_DESCRIPTOR} are read",
                text.length
            )));
        }
        let descriptor = Descriptor::parse(&read_exact(blob, text.offset, text.length)?, Names::Files)?;
        if descriptor.create_type.is_monolithic_sparse() {
            return Err(FormatError::Header(format!(
                "the descriptor says {}, which is in the same file as its data",
                descriptor.create_type.name()
            )));
        }
        let size = descriptor.size()?;
        let mut parts = Vec::with_capacity(descriptor.extents.len());
        let mut names: Vec<String> = Vec::new();
        let mut start = 0;
        for line in &descriptor.extents {
            let kind = match &line.file {
                ExtentFile::Zero => PartKind::Zero,
                ExtentFile::Flat { name, offset } => {
                    PartKind::Flat { source: numbered(&mut names, name), offset: *offset }
                }
                ExtentFile::Sparse { name } if names.contains(name) => {
                    return Err(FormatError::Aliased("two extents are in the same sparse file".to_owned()));
                }
                ExtentFile::Sparse { name } => {
                    PartKind::Sparse { source: numbered(&mut names, name), extent: None }
                }
            };
            parts.push(Part { start, length: line.length, kind });
            start += line.length;
        }
        Ok(Self { descriptor, size, parts, names, text })
    }

    fn sparse_parts(&self) -> impl Iterator<Item = &Sparse> {
        self.parts.iter().filter_map(|part| match &part.kind {
            PartKind::Sparse { extent, .. } => extent.as_deref(),
            PartKind::Zero | PartKind::Flat { .. } => None,
        })
    }

    fn unit(&self) -> u32 {
        let grain = self.sparse_parts().next().map_or(SECTOR, |sparse| sparse.header.grain);
        u32::try_from(grain).expect("a grain is at most 512 KiB")
    }
}

impl format::Image for Image {
    /// Takes the bytes of an extent: a sparse one is opened, a flat one is measured.
    fn attach(&mut self, index: u16, bytes: Box<dyn Blob>) -> Result<()> {
        let mut bytes = Some(bytes);
        let mut known = false;
        for part in &mut self.parts {
            match &mut part.kind {
                PartKind::Flat { source, offset } if *source == index => {
                    known = true;
                    if let Some(bytes) = &bytes {
                        inside(
                            bytes.as_ref(),
                            "a flat extent",
                            ByteRange { offset: *offset, length: part.length },
                        )?;
                    }
                }
                PartKind::Sparse { source, extent } if *source == index => {
                    known = true;
                    if let Some(bytes) = bytes.take() {
                        *extent = Some(Box::new(attached(bytes, part.length)?));
                    }
                }
                PartKind::Zero | PartKind::Flat { .. } | PartKind::Sparse { .. } => {}
            }
        }
        if known {
            return Ok(());
        }
        Err(FormatError::Request(format!("source {index} is no extent of this image")).into())
    }

    fn info(&mut self) -> Result<Info> {
        let mut facts = props([]);
        let mut fact = |key: &str, value: String| facts.insert(key.to_owned(), value);
        if let Some(cid) = self.descriptor.cid {
            fact("id", format!("{cid:08x}"));
        }
        if let Some(cid) = self.descriptor.parent_cid {
            fact("parent-id", format!("{cid:08x}"));
        }
        if self.descriptor.has_parent() {
            fact("has-parent", "true".to_owned());
        }
        if let Some(adapter) = &self.descriptor.adapter {
            fact("adapter-type", adapter.clone());
        }
        if let Some(hardware) = &self.descriptor.hardware {
            fact("hardware-version", hardware.clone());
        }
        if !self.names.is_empty() {
            fact("extents", self.parts.len().to_string());
        }
        if let Some(sparse) = self.sparse_parts().next() {
            fact("version", sparse.header.version.to_string());
        }
        if self.sparse_parts().any(|sparse| sparse.header.unclean) {
            fact("dirty", "true".to_owned());
        }
        if let ([line], true) = (self.descriptor.extents.as_slice(), self.names.is_empty())
            && line.length != self.size
        {
            fact("size-conflict", line.length.to_string());
        }
        let subformat = Some(self.descriptor.create_type.name().to_owned());
        Ok(Info { format: "vmdk".to_owned(), subformat, virtual_size: self.size, unit: self.unit(), facts })
    }

    /// The file itself, the files with the data, and the parent.
    fn sources(&mut self) -> Result<Vec<Source>> {
        let mut sources = vec![Source::primary()];
        sources.extend(self.names.iter().map(|name| Source {
            role: "extent".to_owned(),
            reference: name.clone(),
            format_hint: None,
            required: true,
        }));
        if self.descriptor.has_parent() {
            sources.push(Source {
                role: "parent".to_owned(),
                reference: self.descriptor.parent_hint.clone().unwrap_or_default(),
                format_hint: Some("vmdk".to_owned()),
                required: true,
            });
        }
        Ok(sources)
    }

    /// The one codec: a zlib stream whose length the marker in front of it says exactly.
    fn codecs(&mut self) -> Vec<Codec> {
        let framed = self.sparse_parts().any(|sparse| sparse.header.grains == Grains::Framed);
        let params = props([("tail", "exact"), ("head", &MARKER.to_string())]);
        let codec = Codec { name: "zlib".to_owned(), params };
        framed.then_some(codec).into_iter().collect()
    }

    /// The ranges of the tables of the file itself, from the `start`th on; an empty answer ends the
    /// list. Those of attached files are kept free of data by this plugin.
    fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>> {
        let most = to_usize(max.min(MAX_RANGES).into())?;
        let skip = to_usize(start)?;
        match self.parts.first().map(|part| &part.kind) {
            Some(PartKind::Sparse { source: 0, extent: Some(sparse) }) => {
                Ok(sparse.own_ranges(skip).take(most).collect())
            }
            Some(_) | None => {
                Ok([self.text].into_iter().filter(|range| range.length > 0).skip(skip).take(most).collect())
            }
        }
    }

    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        Ok(map::page(&mut self.parts, self.size, start, end, max)?)
    }

    /// Parts in other files are checked when they are opened by themselves.
    fn check(&mut self, start: u64, max: u32) -> Result<Findings> {
        match self.parts.first_mut().map(|part| &mut part.kind) {
            Some(PartKind::Sparse { source: 0, extent: Some(sparse) }) => {
                Ok(check::page(sparse, start, max)?)
            }
            Some(_) | None => Ok(Findings { items: Vec::new(), resume: start, done: true }),
        }
    }
}

/// The source of a name: a new one, or the one it has already.
fn numbered(names: &mut Vec<String>, name: &str) -> u16 {
    let index = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    u16::try_from(index + 1).expect("a descriptor has at most 62 extents")
}

/// A part of a split disk.
fn attached(bytes: Box<dyn Blob>, length: u64) -> Result<Sparse, FormatError> {
    let sparse = Sparse::open(bytes)?;
    if sparse.header.grains == Grains::Framed {
        return Err(FormatError::Feature(format!("a part of the split disk is compressed; {CONVERT}")));
    }
    if sparse.header.capacity < length || sparse.header.capacity - length >= sparse.header.grain {
        return Err(FormatError::Header(format!(
            "the descriptor says that an extent has {length} bytes, and the extent's header says {}",
            sparse.header.capacity
        )));
    }
    Ok(sparse)
}
