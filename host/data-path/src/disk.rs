//! A virtual disk that can be read: layers put together into one map.

pub(crate) mod detect;
pub(crate) mod granted;
pub(crate) mod layer;
pub(crate) mod reader;
pub(crate) mod stated;
mod wrapped;

use std::sync::Arc;

use async_trait::async_trait;
use imprint_ports::{BlockSource, ByteRange, DiskFormat, Props, Segment, SourceRef};

use crate::{
    codec::CodecSpec,
    disk::{
        layer::{self, Attached, Layer, LayerOptions},
        reader::DiskReader,
        stated::Stated,
    },
    error::{ChainProblem, EngineError},
    limits::Limits,
    map::{
        extent_map::{Content, ExtentMap, MapBuilder, MapError, Piece},
        scratch::Scratch,
    },
    util::num::to_u64,
};

/// Runs of data shorter than this are not looked at for holes of the transport.
const REFINE_FROM: u64 = 1 << 20;
/// Bytes that a transport is asked about at once: at most 262 144 blocks of 4 KiB, which take 6 MiB
/// as segments.
const REFINE_STEP: u64 = 1 << 30;
/// Segments after which no transport is asked any more.
const MAX_SEGMENTS: usize = 1 << 22;

/// The fact with the format of what is in a wrapper.
const CONTAINS: &str = "contains";
/// The fact with a layer's own identity.
const ID: &str = "id";
/// The facts with the identity of the layer that it was made on. A format may take two for the
/// same: VHDX has a second one for the time while a parent is changed ([MS-VHDX] 2.6.2.6.3,
/// `parent_linkage2`).
const PARENT_IDS: [&str; 2] = ["parent-id", "parent-id-2"];

fn parent_ids(facts: &Props) -> Vec<String> {
    PARENT_IDS.iter().filter_map(|key| facts.get(*key).cloned()).collect()
}

/// What a reference in an image resolves to.
pub struct Resolved {
    /// Identity of the thing, for finding cycles: two references to the same thing have the same.
    pub identity: String,
    /// Its bytes.
    pub source: Arc<dyn BlockSource>,
    /// The format that the host knows it has; never what the file claims.
    pub format: Arc<dyn DiskFormat>,
}

/// Decides what an image's reference resolves to, if anything: to a parent (role `parent`), or to a
/// file with a part of the disk (role `extent`, of which the format does not matter). The reference
/// is untrusted text.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// `None` refuses: the job ends with `denied.external-reference`.
    async fn resolve(&self, reference: &SourceRef) -> Result<Option<Resolved>, EngineError>;
}

/// Refuses every reference.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyReferences;

#[async_trait]
impl Resolver for DenyReferences {
    async fn resolve(&self, _reference: &SourceRef) -> Result<Option<Resolved>, EngineError> {
        Ok(None)
    }
}

/// How an image is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// Bounds.
    pub limits: Limits,
    /// For references to parents; the default refuses all.
    pub resolver: Arc<dyn Resolver>,
    /// Identity of the image itself, for finding cycles; whatever the resolver uses.
    pub identity: String,
    /// For the format plugin.
    pub format_options: Props,
    /// What may be inside a wrapper; the default is nothing.
    pub formats: Vec<Arc<dyn DiskFormat>>,
    /// What a wrapper states of the digest of its disk does not count.
    pub ignore_stated: bool,
    /// Where a map goes that is too large for memory.
    pub scratch: Scratch,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            resolver: Arc::new(DenyReferences),
            identity: String::new(),
            format_options: Props::new(),
            formats: Vec::new(),
            ignore_stated: false,
            scratch: Scratch::default(),
        }
    }
}

/// A virtual disk: one map over all layers, the sources that it points into, and their codecs.
/// Holes are resolved.
pub struct Disk {
    map: ExtentMap,
    sources: Vec<Arc<dyn BlockSource>>,
    codecs: Vec<CodecSpec>,
    format: String,
    subformat: Option<String>,
    unit: u32,
    facts: Props,
    layers: usize,
    stated: Option<Stated>,
}

impl Disk {
    /// Opens an image: asks its format for the map, validates it, follows parents as far as the
    /// resolver allows. Where the image is a wrapper (the fact `contains`), the disk is the one
    /// inside it.
    ///
    /// Not cancel-safe in the sense that work is lost, but nothing is left behind when the future
    /// is dropped.
    pub async fn open(
        format: &dyn DiskFormat,
        blob: Arc<dyn BlockSource>,
        options: &OpenOptions,
    ) -> Result<Self, EngineError> {
        let disk = Self::open_image(format, blob, options).await?;
        match disk.facts.contains_key(CONTAINS) {
            true => wrapped::open(disk, options).await,
            false => Ok(disk),
        }
    }

    /// As [`Self::open`]; of a wrapper, the disk is the file inside it.
    async fn open_image(
        format: &dyn DiskFormat,
        blob: Arc<dyn BlockSource>,
        options: &OpenOptions,
    ) -> Result<Self, EngineError> {
        let limits = &options.limits;
        let resolver = options.resolver.as_ref();
        let format_options = &options.format_options;
        let scratch = &options.scratch;
        let with = LayerOptions { format_options, limits, resolver, scratch };
        let mut top = layer::load(format, &blob, &with, 0, 0).await?;
        let mut sources = vec![blob];
        let mut seen = vec![options.identity.clone()];
        take_extents(&mut top, &mut sources, &mut seen)?;
        let mut codecs = std::mem::take(&mut top.codecs);
        let mut wanted = std::mem::take(&mut top.parent);
        let mut expected = parent_ids(&top.info.facts);
        let mut below: Vec<Layer> = Vec::new();
        while let Some(reference) = wanted.first().cloned() {
            let depth = below.len() + 1;
            let problem = |problem| EngineError::chain(&reference.reference, depth, problem);
            if to_u64(depth) >= u64::from(limits.chain_depth) {
                return Err(problem(ChainProblem::TooDeep));
            }
            let parent = resolve_any(resolver, &wanted).await?;
            let parent = parent.ok_or_else(|| EngineError::external(&reference.reference))?;
            if seen.contains(&parent.identity) {
                return Err(problem(ChainProblem::Cycle));
            }
            let index = |length: usize| {
                u16::try_from(length).expect("a chain has at most 16 layers of at most 64 codecs and sources")
            };
            let (source, codec_base) = (index(sources.len()), index(codecs.len()));
            let with = LayerOptions { format_options: &Props::new(), limits, resolver, scratch };
            let mut layer = layer::load(parent.format.as_ref(), &parent.source, &with, source, codec_base)
                .await
                .map_err(|error| problem(ChainProblem::Layer(Box::new(error))))?;
            let facts = &layer.info.facts;
            if let (Some(first), Some(found)) = (expected.first(), facts.get(ID))
                && !expected.contains(found)
            {
                let (expected, found) = (first.clone(), found.clone());
                return Err(problem(ChainProblem::ParentMismatch { expected, found }));
            }
            expected = parent_ids(facts);
            codecs.append(&mut layer.codecs);
            wanted = std::mem::take(&mut layer.parent);
            sources.push(parent.source);
            seen.push(parent.identity);
            take_extents(&mut layer, &mut sources, &mut seen)?;
            below.push(layer);
        }
        let layers = below.len() + 1;
        let (limits, scratch) = (*limits, scratch.clone());
        let Layer { info, map, .. } = top;
        let (map, sources) = offload(move || {
            let map = refine(flatten(map, below, &limits, &scratch)?, &sources, &limits, &scratch)?;
            Ok::<_, EngineError>((map, sources))
        })
        .await??;
        Ok(Self {
            map,
            sources,
            codecs,
            format: info.format,
            subformat: info.subformat,
            unit: info.unit,
            facts: info.facts,
            layers,
            stated: None,
        })
    }

    /// A source whose bytes are the disk, such as a live export; holes come from the transport.
    /// Blocks while it asks.
    pub fn from_raw(source: Arc<dyn BlockSource>, limits: &Limits) -> Result<Self, EngineError> {
        let size = source.size();
        if size > limits.virtual_size {
            return Err(MapError::VirtualSize { size, limit: limits.virtual_size }.into());
        }
        let mut whole = MapBuilder::new(size, limits.extents);
        whole.push_until(size, Content::Data { source: 0, at: 0 })?;
        let sources = vec![source];
        let map = refine(whole.finish()?, &sources, limits, &Scratch::default())?;
        Ok(Self {
            map,
            sources,
            codecs: Vec::new(),
            format: "raw".to_owned(),
            subformat: None,
            unit: 1,
            facts: Props::new(),
            layers: 1,
            stated: None,
        })
    }

    /// A disk whose map somebody has validated already.
    pub(crate) fn assemble(
        map: ExtentMap,
        sources: Vec<Arc<dyn BlockSource>>,
        codecs: Vec<CodecSpec>,
        unit: u32,
    ) -> Self {
        let (format, subformat, facts) = (String::new(), None, Props::new());
        Self { map, sources, codecs, format, subformat, unit, facts, layers: 1, stated: None }
    }

    pub(crate) fn sources(&self) -> &[Arc<dyn BlockSource>] {
        &self.sources
    }

    pub(crate) fn codecs(&self) -> &[CodecSpec] {
        &self.codecs
    }

    /// Bytes that the guest sees.
    pub fn size(&self) -> u64 {
        self.map.size()
    }

    /// The map over all layers. The source of a piece counts files: 0 is the image itself, then
    /// come the files with parts of it, then its parent, and so on.
    pub fn map(&self) -> &ExtentMap {
        &self.map
    }

    /// The format of the image itself.
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Its variant of the format.
    pub fn subformat(&self) -> Option<&str> {
        self.subformat.as_deref()
    }

    /// Cluster, block or grain in bytes; 1 for byte-exact formats.
    pub fn unit(&self) -> u32 {
        self.unit
    }

    /// `dirty`, `encrypted`, `internal-snapshots`, ... of the image itself.
    pub fn facts(&self) -> &Props {
        &self.facts
    }

    /// How the digest was made that a wrapper states of the disk in it, if it does: `sha256` and
    /// the like. Whoever reads the whole disk, with this crate, also compares it.
    pub fn stated_digest(&self) -> Option<&'static str> {
        self.stated.as_ref().map(Stated::algorithm)
    }

    pub(crate) fn stated(&self) -> Option<&Stated> {
        self.stated.as_ref()
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// A reader with its own buffers and decoders: make one for each thread.
    pub fn reader(&self) -> DiskReader<'_> {
        DiskReader::new(self)
    }

    /// Fills `buf` from `offset`, which must lie inside the disk. Blocks. For more than one read
    /// use [`Disk::reader`].
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), EngineError> {
        self.reader().read_at(buf, offset)
    }

    /// Fails when a source is known to have changed since it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), EngineError> {
        for source in &self.sources {
            let unchanged = source.unchanged().map_err(|error| EngineError::read(0, source.size(), error))?;
            if !unchanged {
                return Err(EngineError::SourceChanged);
            }
        }
        Ok(())
    }

    /// The longest of the reads that the sources would like.
    pub(crate) fn preferred_read(&self) -> u64 {
        self.sources.iter().map(|source| source.preferred_read()).max().unwrap_or(0)
    }

    pub(crate) fn source(&self, index: u16) -> &dyn BlockSource {
        self.sources[usize::from(index)].as_ref()
    }

    pub(crate) fn codec(&self, index: u16) -> CodecSpec {
        self.codecs[usize::from(index)]
    }
}

/// Takes the files with parts of a layer: their indices follow the one of the layer itself. A file
/// that is there already would be used twice.
fn take_extents(
    layer: &mut Layer,
    sources: &mut Vec<Arc<dyn BlockSource>>,
    seen: &mut Vec<String>,
) -> Result<(), MapError> {
    for Attached { identity, source } in layer.extents.drain(..) {
        if seen.contains(&identity) {
            return Err(MapError::Aliased { stored: 0 });
        }
        seen.push(identity);
        sources.push(source);
    }
    Ok(())
}

/// The parent by the first of its names that resolves.
async fn resolve_any(resolver: &dyn Resolver, names: &[SourceRef]) -> Result<Option<Resolved>, EngineError> {
    for name in names {
        if let Some(resolved) = resolver.resolve(name).await? {
            return Ok(Some(resolved));
        }
    }
    Ok(None)
}

/// Runs blocking work on tokio's threads for such work.
pub(crate) async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::WorkerLost)
}

/// Resolves the holes of each layer in the layers below it; what no layer has is zero. What is
/// resolved is dropped.
fn flatten(
    top: ExtentMap,
    mut below: Vec<Layer>,
    limits: &Limits,
    scratch: &Scratch,
) -> Result<ExtentMap, MapError> {
    let Some(deepest) = below.pop() else { return Ok(top) };
    let flat = below
        .into_iter()
        .rev()
        .try_fold(deepest.map, |flat, layer| layer.map.over(&flat, limits.extents, scratch))?;
    top.over(&flat, limits.extents, scratch)
}

/// Replaces holes by zeroes, and data that the transport knows to be zero too.
fn refine(
    map: ExtentMap,
    sources: &[Arc<dyn BlockSource>],
    limits: &Limits,
    scratch: &Scratch,
) -> Result<ExtentMap, EngineError> {
    if !map.has_holes() && map.longest_data() < REFINE_FROM {
        return Ok(map);
    }
    let mut refined = MapBuilder::new(map.size(), limits.extents).with_scratch(scratch);
    let mut asked = 0;
    for piece in &map {
        let piece = piece?;
        let ByteRange { offset, length } = piece.range;
        match piece.content {
            Content::Zero | Content::Hole => refined.push_until(offset + length, Content::Zero)?,
            Content::Data { source, at } if length >= REFINE_FROM => {
                let bytes = sources[usize::from(source)].as_ref();
                refine_data(
                    &mut refined,
                    (bytes, source),
                    ByteRange { offset: at, length },
                    &mut asked,
                    scratch,
                )?;
            }
            Content::Encoded(_) | Content::Data { .. } => refined.push(piece)?,
        }
    }
    Ok(refined.finish()?)
}

/// Adds a run of data, as its transport describes it. What the transport is not asked about counts
/// as data: zeroes are found later, by looking at them.
fn refine_data(
    refined: &mut MapBuilder,
    (bytes, source): (&dyn BlockSource, u16),
    stored: ByteRange,
    asked: &mut usize,
    scratch: &Scratch,
) -> Result<(), EngineError> {
    let (start, end) = (stored.offset, stored.offset + stored.length);
    let moved = refined.at();
    let mut at = start;
    while at < end {
        let enough = *asked >= MAX_SEGMENTS || (refined.is_large() && !scratch.has_files());
        let step =
            ByteRange { offset: at, length: if enough { end - at } else { (end - at).min(REFINE_STEP) } };
        let segments = match enough {
            true => vec![Segment { range: step, zero: false }],
            false => {
                bytes.segments(step).map_err(|error| EngineError::read(step.offset, step.length, error))?
            }
        };
        *asked += segments.len();
        for Segment { range, zero } in segments {
            debug_assert_eq!(range.offset, at, "transports describe without gaps");
            let offset = moved + (range.offset - start);
            let content = match zero {
                true => Content::Zero,
                false => Content::Data { source, at: range.offset },
            };
            refined.push(Piece { range: ByteRange { offset, length: range.length }, content })?;
            at += range.length;
        }
    }
    Ok(())
}
