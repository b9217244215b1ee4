//! Reads the map of one layer from a format plugin, believing nothing.

use std::{pin::Pin, sync::Arc};

use crate::{
    codec::{CodecSpec, Tail},
    disk::offload,
    error::EngineError,
    extent_map::{Content, EncodedUnit, ExtentMap, MapBuilder, MapError, Piece},
    io::BlockSource,
    limits::{EXPANSION_FLOOR, Limits, MAX_METADATA_RANGES, MAX_UNIT, PAGE_EXTENTS, PAGE_RANGES},
    ports::{
        ByteRange, DiskFormat, Extent, ExtentKind, ExtentPage, FormatImage, ImageInfo, Origin, PortError,
        Props, SourceRef,
    },
};

/// Sector that a garbage-tailed unit may share with its neighbour.
const SECTOR: u64 = 512;
/// Most sources and codecs that an image may list.
const MAX_LISTED: usize = 64;

/// A layer as its plugin described it, validated. Indices of sources and codecs count from the given bases.
pub(crate) struct Layer {
    pub(crate) info: ImageInfo,
    pub(crate) map: ExtentMap,
    pub(crate) codecs: Vec<CodecSpec>,
    /// What it calls its parent, the most useful name first; empty without one.
    pub(crate) parent: Vec<SourceRef>,
}

type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send + 'a>>;

/// An open image that survives traps: after one it is opened afresh, and the call is made again.
struct Reopening<'a> {
    format: &'a dyn DiskFormat,
    primary: &'a Arc<dyn BlockSource>,
    options: &'a Props,
    image: Box<dyn FormatImage>,
    restarts_left: u32,
}

impl<'a> Reopening<'a> {
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
        Ok(Self { format, primary, options, image, restarts_left })
    }

    async fn call<T>(
        &mut self,
        call: impl for<'c> Fn(&'c mut dyn FormatImage) -> Call<'c, T>,
    ) -> Result<T, PortError> {
        loop {
            match call(self.image.as_mut()).await {
                Err(error) if error.origin == Origin::Trap && self.restarts_left > 0 => {
                    self.restarts_left -= 1;
                    tracing::warn!(format = self.format.name(), error = %error, "format plugin trapped, going on with a fresh instance");
                    self.image = self.format.open(self.primary.clone(), self.options).await?;
                }
                answer => return answer,
            }
        }
    }
}

/// Describes one image. `source` and `codec_base` are the indices that its extents get.
pub(crate) async fn load(
    format: &dyn DiskFormat,
    primary: &Arc<dyn BlockSource>,
    options: &Props,
    limits: &Limits,
    source: u16,
    codec_base: u16,
) -> Result<Layer, EngineError> {
    let mut image = Reopening::open(format, primary, options, limits.restarts).await?;
    let info = image.call(|image| image.info()).await?;
    if info.virtual_size > limits.virtual_size {
        return Err(MapError::VirtualSize { size: info.virtual_size, limit: limits.virtual_size }.into());
    }
    let sources = image.call(|image| image.sources()).await?;
    let parent = parent_of(&sources)?;
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
    let mut used = StoredIntervals::new(primary.size());
    read_metadata_ranges(&mut image, &mut used).await?;
    let mut checker = PageChecker {
        builder: MapBuilder::new(info.virtual_size, limits.extents),
        unit: u64::from(info.unit.max(1)),
        codecs: &codecs,
        source,
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
    Ok(Layer { info, map, codecs, parent })
}

/// The names that an image has for its parent. Other references (external extents, data files, logs) are never followed.
fn parent_of(sources: &[SourceRef]) -> Result<Vec<SourceRef>, EngineError> {
    let Some((primary, others)) = sources.split_first().filter(|_| sources.len() <= MAX_LISTED) else {
        return Err(PortError::bad_answer(
            "plugin.sources",
            "the format plugin lists no primary source; report this to its author",
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
    match others.iter().find(|other| other.role != "parent") {
        None => Ok(others.to_vec()),
        Some(other) => Err(EngineError::external(&other.reference)),
    }
}

async fn read_metadata_ranges(
    image: &mut Reopening<'_>,
    used: &mut StoredIntervals,
) -> Result<(), EngineError> {
    let mut start = 0u64;
    loop {
        let page = image.call(|image| image.metadata_ranges(start, PAGE_RANGES)).await?;
        if page.is_empty() {
            return Ok(());
        }
        start += crate::num::to_u64(page.len());
        if page.len() > crate::num::from_u32(PAGE_RANGES) || crate::num::to_usize(start) > MAX_METADATA_RANGES
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
    source: u16,
    codec_base: u16,
    used: StoredIntervals,
    /// Decoded and stored bytes of encoded extents.
    encoded: (u64, u64),
    limits: Limits,
}

impl PageChecker<'_> {
    fn page(&mut self, page: &ExtentPage) -> Result<(), MapError> {
        let start = self.builder.at();
        if page.extents.is_empty() || page.extents.len() > crate::num::from_u32(PAGE_EXTENTS) {
            return Err(MapError::Stuck { offset: start });
        }
        for extent in &page.extents {
            let content = self.extent(extent)?;
            let range = ByteRange { offset: extent.offset, length: extent.length };
            self.builder.push(Piece { range, content })?;
        }
        match page.resume == self.builder.at() {
            true => Ok(()),
            false => Err(MapError::Order { offset: page.resume }),
        }
    }

    fn extent(&mut self, extent: &Extent) -> Result<Content, MapError> {
        let offset = extent.offset;
        match extent.kind {
            ExtentKind::Zero => Ok(Content::Zero),
            ExtentKind::Hole => Ok(Content::Hole),
            ExtentKind::Data => {
                self.known_source(extent)?;
                self.used.add(offset, extent.source_offset, extent.length, Tail::Exact)?;
                Ok(Content::Data { source: self.source, at: extent.source_offset })
            }
            ExtentKind::Encoded => self.encoded(extent),
        }
    }

    /// An encoded extent is one whole unit; only the last one of the disk may be cut by the disk's end.
    fn encoded(&mut self, extent: &Extent) -> Result<Content, MapError> {
        let offset = extent.offset;
        self.known_source(extent)?;
        let codec = self
            .codecs
            .get(usize::from(extent.codec))
            .ok_or(MapError::UnknownIndex { what: "codec", offset })?;
        let cut = self.builder.size() == offset.saturating_add(extent.length) && extent.length < self.unit;
        let unit = if cut { self.unit } else { extent.length };
        let stored = u64::from(extent.source_length);
        let fits = unit <= MAX_UNIT && stored > 0 && stored <= 2 * unit + 4096;
        let unit = u32::try_from(unit).ok().filter(|_| fits).ok_or(MapError::EncodedLength { offset })?;
        self.used.add(offset, extent.source_offset, stored, codec.tail)?;
        self.encoded = (self.encoded.0 + u64::from(unit), self.encoded.1 + stored);
        Ok(Content::Encoded(EncodedUnit {
            source: self.source,
            codec: self.codec_base + extent.codec,
            at: extent.source_offset,
            stored: extent.source_length,
            unit,
            skip: 0,
        }))
    }

    fn known_source(&self, extent: &Extent) -> Result<(), MapError> {
        match extent.source {
            0 => Ok(()),
            _ => Err(MapError::UnknownIndex { what: "source", offset: extent.offset }),
        }
    }

    /// What can only be judged over the whole map; on another thread, because large maps take a while.
    async fn finish(self) -> Result<ExtentMap, EngineError> {
        let (decoded, stored) = self.encoded;
        if decoded > EXPANSION_FLOOR && decoded / self.limits.expansion.max(1) > stored {
            return Err(MapError::Expansion { limit: self.limits.expansion }.into());
        }
        let Self { builder, used, .. } = self;
        let map = offload(move || {
            used.check_disjoint()?;
            builder.finish()
        });
        Ok(map.await??)
    }
}

/// The stored ranges of one layer: tables, data and encoded units. No byte may belong to two of them.
///
/// Of a unit with a garbage tail, the last sector is left out, because its neighbour may begin there; its first byte
/// always counts. What remains possible is that units within one sector overlap, which the bound on expansion covers.
struct StoredIntervals {
    size: u64,
    intervals: Vec<(u64, u64)>,
}

impl StoredIntervals {
    fn new(size: u64) -> Self {
        Self { size, intervals: Vec::new() }
    }

    fn add(&mut self, offset: u64, at: u64, length: u64, tail: Tail) -> Result<(), MapError> {
        if length == 0 {
            return Ok(());
        }
        let truncated = |stored| MapError::Truncated { offset, stored, size: self.size };
        let end = at.checked_add(length).ok_or(truncated(u64::MAX))?;
        let end = match tail {
            Tail::Exact => end,
            Tail::Garbage => {
                if at >= self.size || end - self.size.min(end) >= SECTOR {
                    return Err(truncated(end));
                }
                ((end - 1) / SECTOR * SECTOR).max(at + 1)
            }
        };
        if end > self.size {
            return Err(truncated(end));
        }
        match self.intervals.last_mut() {
            Some(last) if last.1 == at && tail == Tail::Exact => last.1 = end,
            Some(_) | None => self.intervals.push((at, end)),
        }
        Ok(())
    }

    fn check_disjoint(mut self) -> Result<(), MapError> {
        self.intervals.sort_unstable();
        match self.intervals.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            Some(pair) => Err(MapError::Aliased { stored: pair[1].0 }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
