//! An image and its chain of parents as one disk.

use std::sync::Arc;

use imprint_ports::{BlockSource, DiskFormat, Props, SourceRef};

use super::{
    layer::{self, AttachedExtent, Layer, LayerOptions},
    options::OpenOptions,
    refine::refine,
    resolve::{Resolved, Resolver},
    virtual_disk::Disk,
};
use crate::{
    error::{ChainProblem, EngineError},
    limits::Limits,
    map::{
        extent_map::{ExtentMap, MapError},
        scratch::Scratch,
    },
    util::{blocking::run_blocking, num::to_u64},
};

/// The fact that holds a layer's own identity.
const ID: &str = "id";
/// The facts that hold the identity of the layer below. A format may accept two: VHDX has a second
/// one for the time while a parent is changed ([MS-VHDX] 2.6.2.6.3, `parent_linkage2`).
const PARENT_IDS: [&str; 2] = ["parent-id", "parent-id-2"];

fn parent_ids(facts: &Props) -> Vec<String> {
    PARENT_IDS.iter().filter_map(|key| facts.get(*key).cloned()).collect()
}

/// Opens an image with its chain of parents. Of a wrapper, the disk is the file inside it.
pub(super) async fn open_image(
    format: &dyn DiskFormat,
    blob: Arc<dyn BlockSource>,
    options: &OpenOptions,
) -> Result<Disk, EngineError> {
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
    let (map, sources) = run_blocking(move || {
        let map = refine(flatten(map, below, &limits, &scratch)?, &sources, &limits, &scratch)?;
        Ok::<_, EngineError>((map, sources))
    })
    .await??;
    Ok(Disk {
        map,
        sources,
        codecs,
        format: info.format,
        subformat: info.subformat,
        unit: info.unit,
        facts: info.facts,
        layers,
        declared_digest: None,
    })
}

/// Takes the files with parts of a layer: their indices follow that of the layer itself. A file
/// that is in the list already would be used twice.
fn take_extents(
    layer: &mut Layer,
    sources: &mut Vec<Arc<dyn BlockSource>>,
    seen: &mut Vec<String>,
) -> Result<(), MapError> {
    for AttachedExtent { identity, source } in layer.extents.drain(..) {
        if seen.contains(&identity) {
            return Err(MapError::Aliased { stored: 0 });
        }
        seen.push(identity);
        sources.push(source);
    }
    Ok(())
}

/// Returns the parent by the first of its names that resolves.
async fn resolve_any(resolver: &dyn Resolver, names: &[SourceRef]) -> Result<Option<Resolved>, EngineError> {
    for name in names {
        if let Some(resolved) = resolver.resolve(name).await? {
            return Ok(Some(resolved));
        }
    }
    Ok(None)
}

/// Resolves the holes of each layer in the layers below it; what no layer has is zero. Drops what
/// is resolved.
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
