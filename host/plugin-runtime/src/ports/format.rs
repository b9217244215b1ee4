//! Disk formats over components.

mod followers;

use std::sync::Arc;

use async_trait::async_trait;
use imprint_ports::{
    BlockSource, ByteRange, CheckPage, Codec, CreateRequest, DiskFormat, ExtentPage, Finding, FormatImage,
    FormatLayout, FrameField, Guess, ImageInfo, MetadataPage, MetadataSegment, Placed, PortError, Props,
    Rules, Severity, SourceRef,
};
use wasmtime::{
    Engine,
    component::{Resource, ResourceAny},
};

use super::bounds::{bounded_list, bounded_text, props_from_plugin, props_to_plugin, to_usize};
use crate::{
    bindings::{
        format::{
            FormatFull,
            exports::imprint::format::{checker, reader, writer},
        },
        host::imprint::types::types,
    },
    blob_cache::{BlobHandle, CachedSource},
    codes::Code,
    instance::{PluginInstance, call},
    plugin::{FormatCode, Plugin, PluginCode},
    state::Grants,
    text::truncate,
};

/// The memory for reading a file, in bytes: the bound for hostile images. Writing may use what the
/// manifest requests.
const READ_MEMORY: u64 = 64 << 20;
const MAX_NAME: usize = 64;
const MAX_REFERENCE: usize = 4096;
const MAX_SOURCES: usize = 64;
const MAX_CODECS: usize = 16;
const MAX_FRAME: usize = 16;
const MAX_INTERLEAVE: usize = 1 << 20;
/// The bytes of an extent on its way through the sandbox, and of the other records.
const EXTENT_BYTES: usize = 40;
const PLACED_BYTES: usize = 32;
const SEGMENT_BYTES: usize = 24;

/// A disk format of a plugin.
pub(crate) struct ComponentFormat {
    plugin: Arc<Plugin>,
    code: FormatCode,
    engine: Engine,
}

/// A new instance of a format plugin.
struct Session {
    instance: PluginInstance,
    bindings: FormatFull,
}

impl ComponentFormat {
    /// Returns the format of a plugin; `None` when it is of another kind.
    pub(crate) fn new(plugin: &Arc<Plugin>, engine: &Engine) -> Option<Self> {
        let PluginCode::Format(code) = &plugin.code else { return None };
        Some(Self { plugin: plugin.clone(), code: code.clone(), engine: engine.clone() })
    }

    /// Starts an instance for reading a file, which may be hostile: a plugin gets [`READ_MEMORY`],
    /// whatever its manifest requests.
    async fn start_reader(&self) -> Result<Session, PortError> {
        self.start_within(READ_MEMORY).await
    }

    async fn start(&self) -> Result<Session, PortError> {
        self.start_within(u64::MAX).await
    }

    async fn start_within(&self, memory: u64) -> Result<Session, PortError> {
        let code = self.code.get().await?;
        let mut instance = PluginInstance::start(&self.plugin, &self.engine, Grants::default()).await?;
        instance.store.data_mut().memory.lower_limit(memory);
        let bindings = call!(instance, "start", |store| code.instantiate_async(store))?;
        Ok(Session { instance, bindings })
    }
}

/// Passes a file to the plugin.
fn push_blob(
    instance: &mut PluginInstance,
    source: Arc<dyn BlockSource>,
) -> Result<Resource<BlobHandle>, PortError> {
    let blob = BlobHandle(Arc::new(CachedSource::new(source)));
    instance.store.data_mut().table.push(blob).map_err(|error| Code::Handles.error(error))
}

fn range(range: types::ByteRange) -> ByteRange {
    ByteRange { offset: range.offset, length: range.length }
}

fn codec(codec: types::Codec) -> Result<Codec, PortError> {
    Ok(Codec {
        name: bounded_text("a codec's name", codec.name, MAX_NAME)?,
        params: props_from_plugin("a codec", codec.params)?,
    })
}

#[async_trait]
impl DiskFormat for ComponentFormat {
    fn name(&self) -> &str {
        &self.plugin.manifest.provides
    }

    fn reads(&self) -> bool {
        self.plugin.manifest.recognises.is_empty()
    }

    fn writes(&self) -> bool {
        !self.plugin.manifest.read_only
    }

    async fn probe(&self, head: &[u8], tail: &[u8], size: u64) -> Result<Option<Guess>, PortError> {
        let wanted = &self.plugin.manifest.probe;
        let head = &head[..head.len().min(wanted.head)];
        let tail = &tail[tail.len().saturating_sub(wanted.tail)..];
        if !wanted.admits(head, tail) {
            return Ok(None);
        }
        let Session { mut instance, bindings } = self.start_reader().await?;
        instance.count_to_plugin(head.len() + tail.len());
        let guess = call!(instance, "probe", |store| bindings
            .imprint_format_reader()
            .call_probe(store, head, tail, size))?;
        let Some(guess) = guess else { return Ok(None) };
        if guess.confidence > 100 {
            let message = format!("a confidence of {} is above 100", guess.confidence);
            return Err(Code::BadGuess.error(message));
        }
        let subformat =
            guess.subformat.map(|text| bounded_text("a subformat", text, MAX_NAME)).transpose()?;
        let format = bounded_text("a format", guess.format, MAX_NAME)?;
        let manifest = &self.plugin.manifest;
        if format != manifest.provides && !manifest.recognises.contains(&format) {
            let message = format!("the format {format:?} is not one that the plugin's manifest names");
            return Err(Code::BadGuess.error(message));
        }
        Ok(Some(Guess { confidence: guess.confidence, format, subformat }))
    }

    async fn open(
        &self,
        primary: Arc<dyn BlockSource>,
        options: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError> {
        let Session { mut instance, bindings } = self.start_reader().await?;
        let blob = push_blob(&mut instance, primary)?;
        let options = props_to_plugin(options);
        let reader = bindings.imprint_format_reader().image();
        let opened = call!(instance, "open", |store| reader.call_open(store, blob, &options))?;
        let image = opened.map_err(|error| instance.port_error(&error))?;
        Ok(Box::new(ComponentImage { instance, bindings, image }))
    }

    async fn begin_layout(&self, request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        let Session { mut instance, bindings } = self.start().await?;
        let request = writer::CreateRequest {
            virtual_size: request.virtual_size,
            allocated: request.allocated,
            subformat: request.subformat.clone(),
            options: props_to_plugin(&request.options),
            append_only: request.append_only,
            parent: None,
        };
        let writer = bindings.imprint_format_writer().layout();
        let started = call!(instance, "begin", |store| writer.call_begin(store, &request))?;
        let layout = started.map_err(|error| instance.port_error(&error))?;
        Ok(Box::new(ComponentLayout { instance, bindings, layout }))
    }
}

struct ComponentImage {
    instance: PluginInstance,
    bindings: FormatFull,
    image: ResourceAny,
}

fn info(info: reader::Info) -> Result<ImageInfo, PortError> {
    if info.unit == 0 || info.virtual_size > i64::MAX.unsigned_abs() {
        let message =
            format!("a disk of {} bytes in units of {} is impossible", info.virtual_size, info.unit);
        return Err(Code::BadInfo.error(message));
    }
    Ok(ImageInfo {
        format: bounded_text("a format", info.format, MAX_NAME)?,
        subformat: info.subformat.map(|text| bounded_text("a subformat", text, MAX_NAME)).transpose()?,
        virtual_size: info.virtual_size,
        unit: info.unit,
        facts: props_from_plugin("the facts", info.facts)?,
    })
}

fn source(source: reader::Source) -> Result<SourceRef, PortError> {
    Ok(SourceRef {
        role: bounded_text("a role", source.role, MAX_NAME)?,
        reference: bounded_text("a reference", source.reference, MAX_REFERENCE)?,
        format_hint: source.format_hint.map(|text| bounded_text("a format", text, MAX_NAME)).transpose()?,
        required: source.required,
    })
}

/// Checks that a page describes `[start, resume)` in order, without gaps, and makes progress. The
/// data path, which knows the sources, checks what the extents refer to.
fn check_page(page: &ExtentPage, start: u64, end: u64) -> Result<(), PortError> {
    let bad = |message: String| Err(Code::BadExtents.error(message));
    let mut cursor = start;
    for extent in &page.extents {
        if extent.offset != cursor || extent.length == 0 {
            return bad(format!(
                "the extent of {} bytes at {} does not follow the one that ends at {cursor}",
                extent.length, extent.offset
            ));
        }
        let Some(after) = cursor.checked_add(extent.length) else {
            return bad("an extent ends beyond the largest offset".to_owned());
        };
        cursor = after;
    }
    if cursor != page.resume {
        return bad(format!("the page declares its end at {}, but its extents end at {cursor}", page.resume));
    }
    if page.done != (cursor >= end) || (!page.done && cursor == start) {
        return bad(format!("the page from {start} to {cursor} of {end} makes no progress"));
    }
    Ok(())
}

fn finding(finding: checker::Finding) -> Result<Finding, PortError> {
    let severity = match finding.severity.as_str() {
        "error" => Severity::Error,
        "leak" => Severity::Leak,
        "note" => Severity::Note,
        other => {
            let message = format!("severity {:?} is unknown", truncate(other, MAX_NAME));
            return Err(Code::BadSeverity.error(message));
        }
    };
    Ok(Finding {
        severity,
        code: bounded_text("a code", finding.code, 100)?,
        message: bounded_text("a message", finding.message, 2000)?,
        offset: finding.offset,
    })
}

#[async_trait]
impl FormatImage for ComponentImage {
    async fn info(&mut self) -> Result<ImageInfo, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let answer = call!(self.instance, "info", |store| reader.call_info(store, self.image))?;
        let answer = answer.map_err(|error| self.instance.port_error(&error))?;
        self.instance.record(info(answer))
    }

    async fn sources(&mut self) -> Result<Vec<SourceRef>, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let answer = call!(self.instance, "sources", |store| reader.call_sources(store, self.image))?;
        let sources = answer.map_err(|error| self.instance.port_error(&error))?;
        let checked = bounded_list("the list of sources", sources, MAX_SOURCES)
            .and_then(|sources| sources.into_iter().map(source).collect::<Result<Vec<_>, _>>())
            .and_then(|sources| match sources.first() {
                Some(first) if first.role == "primary" => Ok(sources),
                Some(_) | None => {
                    let message = "the first source is not the primary one";
                    Err(Code::BadSources.error(message))
                }
            });
        self.instance.record(checked)
    }

    async fn attach(&mut self, index: u16, bytes: Arc<dyn BlockSource>) -> Result<(), PortError> {
        let blob = push_blob(&mut self.instance, bytes)?;
        let reader = self.bindings.imprint_format_reader().image();
        let answer =
            call!(self.instance, "attach", |store| reader.call_attach(store, self.image, index, blob))?;
        answer.map_err(|error| self.instance.port_error(&error))
    }

    async fn codecs(&mut self) -> Result<Vec<Codec>, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let codecs = call!(self.instance, "codecs", |store| reader.call_codecs(store, self.image))?;
        let checked = bounded_list("the list of codecs", codecs, MAX_CODECS)
            .and_then(|codecs| codecs.into_iter().map(codec).collect());
        self.instance.record(checked)
    }

    async fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let answer = call!(self.instance, "metadata-ranges", |store| {
            reader.call_metadata_ranges(store, self.image, start, max)
        })?;
        let ranges = answer.map_err(|error| self.instance.port_error(&error))?;
        self.instance.count_from_plugin(ranges.len().saturating_mul(16));
        let checked = bounded_list("the list of metadata ranges", ranges, to_usize(max));
        self.instance.record(checked.map(|ranges| ranges.into_iter().map(range).collect()))
    }

    async fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<ExtentPage, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let answer =
            call!(self.instance, "extents", |store| reader.call_extents(store, self.image, start, end, max))?;
        let page = answer.map_err(|error| self.instance.port_error(&error))?;
        self.instance.count_from_plugin(page.extents.len() * EXTENT_BYTES + page.followers.len());
        let checked = followers::extents(&page, to_usize(max)).and_then(|extents| {
            let page = ExtentPage { extents, resume: page.resume, done: page.done };
            check_page(&page, start, end)?;
            Ok(page)
        });
        self.instance.record(checked)
    }

    async fn check(&mut self, start: u64, max: u32) -> Result<CheckPage, PortError> {
        let checker = self.bindings.imprint_format_checker();
        let answer =
            call!(self.instance, "check", |store| checker.call_check(store, self.image, start, max))?;
        let page = answer.map_err(|error| self.instance.port_error(&error))?;
        let checked = bounded_list("the page of findings", page.items, to_usize(max)).and_then(|items| {
            let items = items.into_iter().map(finding).collect::<Result<Vec<_>, _>>()?;
            if !page.done && page.resume == start {
                return Err(Code::BadCheck.error("the check makes no progress"));
            }
            Ok(CheckPage { items, resume: page.resume, done: page.done })
        });
        self.instance.record(checked)
    }
}

struct ComponentLayout {
    instance: PluginInstance,
    bindings: FormatFull,
    layout: ResourceAny,
}

fn rules(rules: writer::Rules) -> Result<Rules, PortError> {
    if rules.unit == 0 || rules.align == 0 {
        let message = format!("units of {} bytes aligned to {} are impossible", rules.unit, rules.align);
        return Err(Code::BadRules.error(message));
    }
    Ok(Rules {
        data_start: rules.data_start,
        unit: rules.unit,
        align: rules.align,
        identity: rules.identity,
        skip_zero: rules.skip_zero,
        codec: rules.codec.map(codec).transpose()?,
        verbatim_if_larger: rules.verbatim_if_larger,
        verbatim_align: rules.verbatim_align,
        max_encoded: rules.max_encoded,
        align_data: rules.align_data,
        frame: bounded_list("the frame", rules.frame, MAX_FRAME)?
            .into_iter()
            .map(frame)
            .collect::<Result<_, _>>()?,
        interleave_every: rules.interleave_every,
        ascending: rules.ascending,
    })
}

fn frame(field: writer::FrameField) -> Result<FrameField, PortError> {
    Ok(match field {
        writer::FrameField::Literal(bytes) => FrameField::Literal(bounded_list("a literal", bytes, 4096)?),
        writer::FrameField::AddressU64Le(factor) => FrameField::AddressU64Le(factor),
        writer::FrameField::StoredLengthU32Le => FrameField::StoredLengthU32Le,
    })
}

fn metadata_page(page: writer::MetadataPage, start: u64, max_bytes: u32) -> Result<MetadataPage, PortError> {
    let lengths = page.segments.iter().map(|segment| segment.bytes.len() + to_usize(segment.zeroes));
    let total = lengths.fold(0, usize::saturating_add);
    if total > to_usize(max_bytes) {
        let message =
            format!("a page of {total} bytes of tables is longer than the {max_bytes} that were requested");
        return Err(Code::BadMetadata.error(message));
    }
    if !page.done && page.resume == start {
        return Err(Code::BadMetadata.error("the tables make no progress"));
    }
    if page.done && page.final_size.is_none() {
        return Err(Code::BadMetadata.error("the last page lacks the file's length"));
    }
    let segments = segments(page.segments);
    Ok(MetadataPage { segments, resume: page.resume, done: page.done, final_size: page.final_size })
}

/// Returns the segments with their zeroes, and joined where one starts at the end of the one
/// before. Their lengths are checked.
fn segments(parts: Vec<writer::Segment>) -> Vec<MetadataSegment> {
    let mut whole: Vec<MetadataSegment> = Vec::new();
    let mut end = None;
    for writer::Segment { file_offset, bytes, zeroes } in parts {
        match whole.last_mut().filter(|_| end == Some(file_offset)) {
            Some(last) => last.bytes.extend(bytes),
            None => whole.push(MetadataSegment { file_offset, bytes }),
        }
        if let Some(MetadataSegment { file_offset, bytes }) = whole.last_mut() {
            bytes.resize(bytes.len() + to_usize(zeroes), 0);
            end = u64::try_from(bytes.len()).ok().and_then(|length| file_offset.checked_add(length));
        }
    }
    whole
}

#[async_trait]
impl FormatLayout for ComponentLayout {
    async fn rules(&mut self) -> Result<Rules, PortError> {
        let writer = self.bindings.imprint_format_writer().layout();
        let answer = call!(self.instance, "rules", |store| writer.call_rules(store, self.layout))?;
        self.instance.record(rules(answer))
    }

    async fn placed(&mut self, runs: &[Placed]) -> Result<(), PortError> {
        let (runs, followers) = followers::placements(runs);
        self.instance.count_to_plugin(runs.len() * PLACED_BYTES + followers.len());
        let writer = self.bindings.imprint_format_writer().layout();
        let answer = call!(self.instance, "placed", |store| {
            writer.call_placed(store, self.layout, &runs, &followers)
        })?;
        answer.map_err(|error| self.instance.port_error(&error))
    }

    async fn interleave(&mut self, at: u64) -> Result<Vec<u8>, PortError> {
        let writer = self.bindings.imprint_format_writer().layout();
        let answer =
            call!(self.instance, "interleave", |store| writer.call_interleave(store, self.layout, at))?;
        let bytes = answer.map_err(|error| self.instance.port_error(&error))?;
        self.instance.count_from_plugin(bytes.len());
        let checked = bounded_list("the interleaved tables", bytes, MAX_INTERLEAVE);
        self.instance.record(checked)
    }

    async fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage, PortError> {
        let writer = self.bindings.imprint_format_writer().layout();
        let answer = call!(self.instance, "metadata", |store| {
            writer.call_metadata(store, self.layout, end, start, max_bytes)
        })?;
        let page = answer.map_err(|error| self.instance.port_error(&error))?;
        self.instance
            .count_from_plugin(page.segments.iter().map(|segment| segment.bytes.len() + SEGMENT_BYTES).sum());
        let checked = metadata_page(page, start, max_bytes);
        self.instance.record(checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(parts: &[(u64, &[u8], u32)]) -> writer::MetadataPage {
        let part = |(file_offset, bytes, zeroes): &(u64, &[u8], u32)| writer::Segment {
            file_offset: *file_offset,
            bytes: bytes.to_vec(),
            zeroes: *zeroes,
        };
        writer::MetadataPage {
            segments: parts.iter().map(part).collect(),
            resume: 1,
            done: true,
            final_size: Some(9),
        }
    }

    #[test]
    fn zeroes_follow_their_bytes() {
        let parts = [
            (8, &[1, 2][..], 3),
            (13, &[4], 0),
            (14, &[], 2),
            (17, &[5], 1),
            (u64::MAX, &[6], 1),
            (0, &[], 0),
        ];
        let page = metadata_page(page(&parts), 0, 100).unwrap();
        let shape: Vec<_> =
            page.segments.iter().map(|segment| (segment.file_offset, segment.bytes.as_slice())).collect();
        let whole: [(u64, &[u8]); 4] =
            [(8, &[1, 2, 0, 0, 0, 4, 0, 0]), (17, &[5, 0]), (u64::MAX, &[6, 0]), (0, &[])];
        assert_eq!(shape, whole);
    }

    #[test]
    fn zeroes_count_as_bytes_of_a_page() {
        assert!(metadata_page(page(&[(0, &[1], 99)]), 0, 100).is_ok());
        for parts in [&[(0, &[1][..], 100)][..], &[(0, &[], u32::MAX), (0, &[], u32::MAX)]] {
            let error = metadata_page(page(parts), 0, 100).unwrap_err();
            assert_eq!(error.code, "plugin.bad-answer.metadata");
        }
    }
}
