//! Reads the map of one layer from a format plugin, which is not trusted.

mod intervals;

use std::{pin::Pin, sync::Arc};

use imprint_ports::{
    BlockSource, ByteRange, DiskFormat, Extent, ExtentKind, ExtentPage, FormatImage, ImageInfo, Origin,
    PortError, Props, SourceRef,
};

use crate::{
    codec::{CodecSpec, Tail},
    disk::resolve::{Resolved, Resolver},
    error::EngineError,
    limits::{EXPANSION_FLOOR, Limits, MAX_METADATA_RANGES, MAX_UNIT, PAGE_EXTENTS, PAGE_RANGES},
    map::{
        extent_map::{Content, EncodedUnit, ExtentMap, MapBuilder, MapError, Piece},
        scratch::Scratch,
    },
    util::blocking::run_blocking,
};
use intervals::StoredIntervals;

/// The largest number of sources and codecs that an image may list.
const MAX_LISTED: usize = 64;

/// A layer as its plugin described it, validated. Indices of sources and codecs count from the
/// given bases.
pub(crate) struct Layer {
    pub(crate) info: ImageInfo,
    pub(crate) map: ExtentMap,
    pub(crate) codecs: Vec<CodecSpec>,
    /// The references to its parent, the most useful name first; empty without one.
    pub(crate) parent: Vec<SourceRef>,
    /// Files with parts of the disk in addition to the image's own; their indices follow its own.
    pub(crate) extents: Vec<AttachedExtent>,
}

/// A granted file with a part of the disk.
pub(crate) struct AttachedExtent {
    pub(crate) identity: String,
    pub(crate) source: Arc<dyn BlockSource>,
}

type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send + 'a>>;

/// An open image that survives traps: after one it is opened afresh, and the call is repeated.
struct RestartingImage<'a> {
    format: &'a dyn DiskFormat,
    primary: &'a Arc<dyn BlockSource>,
    options: &'a Props,
    image: Box<dyn FormatImage>,
    attached: Vec<(u16, Arc<dyn BlockSource>)>,
    restarts_left: u32,
}

impl<'a> RestartingImage<'a> {
    async fn open(
        format: &'a dyn DiskFormat,
        primary: &'a Arc<dyn BlockSource>,
        options: &'a Props,
        mut restarts_left: u32,
    ) -> Result<Self, PortError> {
        let image = loop {
            match format.open(primary.clone(), options).await {
                Err(error) if error.origin == Origin::Trap && restarts_left > 0 => restarts_left -= 1,
                answer => break answer?,
            }
        };
        Ok(Self { format, primary, options, image, attached: Vec::new(), restarts_left })
    }

    /// Hands the image another source, which it keeps after a restart.
    async fn attach(&mut self, index: u16, source: &Arc<dyn BlockSource>) -> Result<(), PortError> {
        self.call(|image| image.attach(index, source.clone())).await?;
        self.attached.push((index, source.clone()));
        Ok(())
    }

    async fn call<T>(
        &mut self,
        call: impl for<'c> Fn(&'c mut dyn FormatImage) -> Call<'c, T>,
    ) -> Result<T, PortError> {
        loop {
            match call(self.image.as_mut()).await {
                Err(error) if error.origin == Origin::Trap && self.restarts_left > 0 => {
                    self.restarts_left -= 1;
                    tracing::warn!(format = self.format.name(), error = %error, "format plugin trapped; continuing with a fresh instance");
                    self.image = self.format.open(self.primary.clone(), self.options).await?;
                    for (index, source) in &self.attached {
                        self.image.attach(*index, source.clone()).await?;
                    }
                }
                answer => return answer,
            }
        }
    }
}

/// Loads one layer. `source` and `codec_base` are the indices that its extents get; those of the
/// files that `resolver` grants as parts of it follow.
pub(crate) async fn load(
    format: &dyn DiskFormat,
    primary: &Arc<dyn BlockSource>,
    options: &LayerOptions<'_>,
    source: u16,
    codec_base: u16,
) -> Result<Layer, EngineError> {
    let limits = options.limits;
    let mut image = RestartingImage::open(format, primary, options.format_options, limits.restarts).await?;
    let mut info = read_info(&mut image, limits).await?;
    let listed = image.call(|image| image.sources()).await?;
    let References { parent, extents: wanted } = references(&listed)?;
    let mut indices = vec![None; listed.len()];
    indices[0] = Some(source);
    // They share the memory for sorting.
    let room = options.scratch.sort_buffer() / (wanted.len() + 1);
    let stored = |size| StoredIntervals::new(size, options.scratch, room);
    let mut used = vec![stored(primary.size())];
    let mut extents = Vec::new();
    for (index, reference) in wanted {
        let granted = options.resolver.resolve(&reference).await?;
        let Resolved { identity, source: bytes, .. } =
            granted.ok_or_else(|| EngineError::external(&reference.reference))?;
        image.attach(index, &bytes).await?;
        extents.push(AttachedExtent { identity, source: bytes.clone() });
        used.push(stored(bytes.size()));
        indices[usize::from(index)] = source.checked_add(listed_index(extents.len()));
    }
    if !extents.is_empty() {
        info = read_info(&mut image, limits).await?;
    }
    let codecs = image.call(|image| image.codecs()).await?;
    if codecs.len() > MAX_LISTED {
        return Err(PortError::bad_answer(
            "plugin.codecs",
            "the format plugin lists too many codecs; report this to its author",
        )
        .into());
    }
    let codecs = codecs
        .iter()
        .map(|codec| {
            CodecSpec::parse(codec).ok_or_else(|| EngineError::Unsupported {
                what: format!("the codec '{}'", codec.name.escape_debug()),
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    read_metadata_ranges(&mut image, &mut used[0]).await?;
    let mut checker = PageChecker {
        builder: MapBuilder::new(info.virtual_size, limits.extents).with_scratch(options.scratch),
        unit: u64::from(info.unit.max(1)),
        codecs: &codecs,
        indices: &indices,
        first_source: source,
        codec_base,
        used,
        encoded: (0, 0),
        limits: *limits,
    };
    while checker.builder.at() < info.virtual_size {
        let start = checker.builder.at();
        let page = image.call(|image| image.extents(start, info.virtual_size, PAGE_EXTENTS)).await?;
        checker.page(&page)?;
    }
    let map = checker.finish().await?;
    Ok(Layer { info, map, codecs, parent, extents })
}

/// The options of loading a layer.
pub(crate) struct LayerOptions<'a> {
    pub(crate) format_options: &'a Props,
    pub(crate) limits: &'a Limits,
    pub(crate) resolver: &'a dyn Resolver,
    pub(crate) scratch: &'a Scratch,
}

/// Returns the image's description, within the limits.
async fn read_info(image: &mut RestartingImage<'_>, limits: &Limits) -> Result<ImageInfo, EngineError> {
    let info = image.call(|image| image.info()).await?;
    if info.virtual_size > limits.virtual_size {
        Err(MapError::VirtualSize { size: info.virtual_size, limit: limits.virtual_size }.into())
    } else {
        Ok(info)
    }
}

/// The references of an image: to its parent by all of its names, and to files with parts of the
/// disk by their positions in the list.
struct References {
    parent: Vec<SourceRef>,
    extents: Vec<(u16, SourceRef)>,
}

fn listed_index(index: usize) -> u16 {
    u16::try_from(index).expect("an image lists at most 64 sources")
}

/// Returns the parent and the parts that an image names. Other references (data files, logs) are
/// never followed.
fn references(sources: &[SourceRef]) -> Result<References, EngineError> {
    let Some((primary, others)) = sources.split_first().filter(|_| sources.len() <= MAX_LISTED) else {
        return Err(PortError::bad_answer(
            "plugin.sources",
            "the format plugin lists no primary source, or too many; report this to its author",
        )
        .into());
    };
    if primary.role != "primary" {
        return Err(PortError::bad_answer(
            "plugin.sources",
            "the format plugin's first source is not the primary; report this to its author",
        )
        .into());
    }
    let mut found = References { parent: Vec::new(), extents: Vec::new() };
    for (index, source) in others.iter().enumerate() {
        match source.role.as_str() {
            "extent" => found.extents.push((listed_index(index + 1), source.clone())),
            "parent" => found.parent.push(source.clone()),
            _ => return Err(EngineError::external(&source.reference)),
        }
    }
    Ok(found)
}

async fn read_metadata_ranges(
    image: &mut RestartingImage<'_>,
    used: &mut StoredIntervals,
) -> Result<(), EngineError> {
    let mut start = 0u64;
    loop {
        let page = image.call(|image| image.metadata_ranges(start, PAGE_RANGES)).await?;
        if page.is_empty() {
            return Ok(());
        }
        start += crate::util::num::to_u64(page.len());
        if page.len() > crate::util::num::from_u32(PAGE_RANGES)
            || crate::util::num::to_usize(start) > MAX_METADATA_RANGES
        {
            return Err(PortError::bad_answer(
                "plugin.metadata-ranges",
                "the format plugin lists too many tables; report this to its author",
            )
            .into());
        }
        for range in page {
            used.add(0, range.offset, range.length, Tail::Exact)?;
        }
    }
}

/// Checks page after page and builds the map.
struct PageChecker<'a> {
    builder: MapBuilder,
    unit: u64,
    codecs: &'a [CodecSpec],
    /// The disk's index of each source that the image lists; `None` for a source that no extent may
    /// refer to.
    indices: &'a [Option<u16>],
    /// The disk's index of the image itself.
    first_source: u16,
    codec_base: u16,
    /// The stored ranges of each source of this layer.
    used: Vec<StoredIntervals>,
    /// The numbers of decoded and of stored bytes of encoded extents.
    encoded: (u64, u64),
    limits: Limits,
}

impl PageChecker<'_> {
    fn page(&mut self, page: &ExtentPage) -> Result<(), MapError> {
        let start = self.builder.at();
        if page.extents.is_empty() || page.extents.len() > crate::util::num::from_u32(PAGE_EXTENTS) {
            return Err(MapError::Stuck { offset: start });
        }
        for extent in &page.extents {
            let content = self.extent(extent)?;
            let range = ByteRange { offset: extent.offset, length: extent.length };
            self.builder.push(Piece { range, content })?;
        }
        if page.resume == self.builder.at() { Ok(()) } else { Err(MapError::Order { offset: page.resume }) }
    }

    fn extent(&mut self, extent: &Extent) -> Result<Content, MapError> {
        let offset = extent.offset;
        match extent.kind {
            ExtentKind::Zero => Ok(Content::Zero),
            ExtentKind::Hole => Ok(Content::Hole),
            ExtentKind::Data => {
                let source = self.known_source(extent)?;
                self.stored_in(source).add(offset, extent.source_offset, extent.length, Tail::Exact)?;
                Ok(Content::Data { source, at: extent.source_offset })
            }
            ExtentKind::Encoded => self.encoded(extent),
        }
    }

    /// An encoded extent is one whole unit; only the last one of the disk may be cut by the disk's
    /// end.
    fn encoded(&mut self, extent: &Extent) -> Result<Content, MapError> {
        let offset = extent.offset;
        let source = self.known_source(extent)?;
        let codec = self
            .codecs
            .get(usize::from(extent.codec))
            .ok_or(MapError::UnknownIndex { what: "codec", offset })?;
        let cut = self.builder.size() == offset.saturating_add(extent.length) && extent.length < self.unit;
        let unit = if cut { self.unit } else { extent.length };
        let stored = u64::from(extent.source_length);
        let fits = unit <= MAX_UNIT && stored > 0 && stored <= 2 * unit + 4096;
        let unit = u32::try_from(unit).ok().filter(|_| fits).ok_or(MapError::EncodedLength { offset })?;
        let head = u64::from(codec.head);
        let start = extent.source_offset.checked_sub(head).ok_or(MapError::EncodedLength { offset })?;
        let tail = codec.tail;
        self.stored_in(source).add(offset, start, head + stored, tail)?;
        self.encoded = (self.encoded.0 + u64::from(unit), self.encoded.1 + stored);
        Ok(Content::Encoded(EncodedUnit {
            source,
            codec: self.codec_base + extent.codec,
            at: extent.source_offset,
            stored: extent.source_length,
            unit,
            skip: 0,
        }))
    }

    /// Returns the disk's index of the extent's source.
    fn known_source(&self, extent: &Extent) -> Result<u16, MapError> {
        let index = self.indices.get(usize::from(extent.source)).copied().flatten();
        index.ok_or(MapError::UnknownIndex { what: "source", offset: extent.offset })
    }

    fn stored_in(&mut self, source: u16) -> &mut StoredIntervals {
        &mut self.used[usize::from(source - self.first_source)]
    }

    /// Checks what depends on the whole map; on another thread, because large maps take a while.
    async fn finish(self) -> Result<ExtentMap, EngineError> {
        let (decoded, claimed) = self.encoded;
        // Many units may claim the same sector, of which each has a few bytes only.
        let stored = claimed.min(self.used.iter().map(StoredIntervals::size).sum());
        if decoded > EXPANSION_FLOOR && decoded / self.limits.expansion.max(1) > stored {
            return Err(MapError::Expansion { limit: self.limits.expansion }.into());
        }
        let Self { builder, used, .. } = self;
        let map = run_blocking(move || {
            used.into_iter().try_for_each(StoredIntervals::check_disjoint)?;
            builder.finish()
        });
        Ok(map.await??)
    }
}

#[cfg(test)]
mod tests;
