//! A virtual disk that can be read: one map over all of its layers.

use std::sync::Arc;

use imprint_ports::{BlockSource, Props};

use super::refine::refine;
use crate::{
    codec::CodecSpec,
    digest::declared::DeclaredDigest,
    error::EngineError,
    limits::Limits,
    map::{
        extent_map::{Content, ExtentMap, MapBuilder, MapError},
        scratch::Scratch,
    },
};

/// A virtual disk: one map over all layers, the sources that it points into, and their codecs.
/// Holes are resolved.
pub struct Disk {
    pub(super) map: ExtentMap,
    pub(super) sources: Vec<Arc<dyn BlockSource>>,
    pub(super) codecs: Vec<CodecSpec>,
    pub(super) format: String,
    pub(super) subformat: Option<String>,
    pub(super) unit: u32,
    pub(super) facts: Props,
    pub(super) layers: usize,
    pub(super) declared_digest: Option<DeclaredDigest>,
}

impl Disk {
    /// Returns a disk over a source whose bytes are the disk, such as a live export; holes come
    /// from the transport. Blocks while it asks the transport.
    ///
    /// # Errors
    ///
    /// [`MapError::VirtualSize`] for a disk beyond the limit, and whatever the transport reports.
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
            declared_digest: None,
        })
    }

    /// Returns a disk over a map that was validated already.
    pub(crate) fn assemble(
        map: ExtentMap,
        sources: Vec<Arc<dyn BlockSource>>,
        codecs: Vec<CodecSpec>,
        unit: u32,
    ) -> Self {
        let (format, subformat, facts) = (String::new(), None, Props::new());
        Self { map, sources, codecs, format, subformat, unit, facts, layers: 1, declared_digest: None }
    }

    pub(crate) fn sources(&self) -> &[Arc<dyn BlockSource>] {
        &self.sources
    }

    pub(crate) fn codecs(&self) -> &[CodecSpec] {
        &self.codecs
    }

    /// Returns the size in bytes of the disk that the guest sees.
    pub fn size(&self) -> u64 {
        self.map.size()
    }

    /// Returns the map over all layers. The source of a piece counts files: 0 is the image itself,
    /// then come the files with parts of it, then its parent, and so on.
    pub fn map(&self) -> &ExtentMap {
        &self.map
    }

    /// Returns the format of the image itself.
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Returns the image's variant of the format.
    pub fn subformat(&self) -> Option<&str> {
        self.subformat.as_deref()
    }

    /// Returns the size of a cluster, block or grain in bytes; 1 for byte-exact formats.
    pub fn unit(&self) -> u32 {
        self.unit
    }

    /// Returns the facts of the image itself: `dirty`, `encrypted`, `internal-snapshots`, ...
    pub fn facts(&self) -> &Props {
        &self.facts
    }

    /// Returns the algorithm of the digest that a wrapper declares for the disk in it, if it does:
    /// `sha256` and the like. Operations that read the whole disk also compare the digest.
    pub fn declared_algorithm(&self) -> Option<&'static str> {
        self.declared_digest.as_ref().map(DeclaredDigest::algorithm)
    }

    pub(crate) fn declared_digest(&self) -> Option<&DeclaredDigest> {
        self.declared_digest.as_ref()
    }

    /// Returns the number of layers.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Returns an error when a source is known to have changed since it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), EngineError> {
        for source in &self.sources {
            let unchanged = source.unchanged().map_err(|error| EngineError::read(0, source.size(), error))?;
            if !unchanged {
                return Err(EngineError::SourceChanged);
            }
        }
        Ok(())
    }

    /// Returns the longest of the sources' preferred reads, in bytes.
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
