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

use super::{at_most, bounded, count, props_in, props_out};
use crate::{
    bindings::{
        format::{
            FormatFull,
            exports::imprint::format::{checker, reader, writer},
        },
        host::imprint::types::types as shapes,
    },
    host::{BlobHandle, CachedSource},
    plugin::{Code, FormatCode, Plugin},
    state::Grants,
    work::{Work, call, plugin_error},
};

/// Memory for reading a file: the bound for hostile images. Writing may take what the manifest asks
/// for.
const READ_MEMORY: u64 = 64 << 20;
const MAX_NAME: usize = 64;
const MAX_REFERENCE: usize = 4096;
const MAX_SOURCES: usize = 64;
const MAX_CODECS: usize = 16;
const MAX_FRAME: usize = 16;
const MAX_INTERLEAVE: usize = 1 << 20;
/// Bytes of an extent on its way through the sandbox, and of the other records.
const EXTENT_BYTES: usize = 40;
const PLACED_BYTES: usize = 32;
const SEGMENT_BYTES: usize = 24;

/// A disk format of a plugin.
pub(crate) struct ComponentFormat {
    plugin: Arc<Plugin>,
    code: FormatCode,
    engine: Engine,
}

/// A fresh instance.
struct Session {
    work: Work,
    bindings: FormatFull,
}

impl ComponentFormat {
    /// `None` when the plugin is something else.
    pub(crate) fn new(plugin: &Arc<Plugin>, engine: &Engine) -> Option<Self> {
        let Code::Format(code) = &plugin.code else { return None };
        Some(Self { plugin: plugin.clone(), code: code.clone(), engine: engine.clone() })
    }

    /// For reading a file, which may be anybody's: whatever the manifest asks for, a plugin that
    /// cannot read it in [`READ_MEMORY`] has been made to take more.
    async fn reading(&self) -> Result<Session, PortError> {
        self.session_within(READ_MEMORY).await
    }

    async fn session(&self) -> Result<Session, PortError> {
        self.session_within(u64::MAX).await
    }

    async fn session_within(&self, memory: u64) -> Result<Session, PortError> {
        let code = self.code.get().await?;
        let mut work = Work::start(&self.plugin, &self.engine, Grants::default()).await?;
        work.store.data_mut().memory.at_most(memory);
        let bindings = call!(work, "start", |store| code.instantiate_async(store))?;
        Ok(Session { work, bindings })
    }
}

fn range(range: shapes::ByteRange) -> ByteRange {
    ByteRange { offset: range.offset, length: range.length }
}

fn codec(codec: shapes::Codec) -> Result<Codec, PortError> {
    Ok(Codec {
        name: bounded("a codec's name", codec.name, MAX_NAME)?,
        params: props_in("a codec", codec.params)?,
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
        let Session { mut work, bindings } = self.reading().await?;
        self.plugin.counters.sent(head.len() + tail.len());
        let guess = call!(work, "probe", |store| bindings
            .imprint_format_reader()
            .call_probe(store, head, tail, size))?;
        let Some(guess) = guess else { return Ok(None) };
        if guess.confidence > 100 {
            let message = format!("a confidence of {} is over 100", guess.confidence);
            return Err(PortError::bad_answer("plugin.bad-answer.guess", message));
        }
        let subformat = guess.subformat.map(|text| bounded("a subformat", text, MAX_NAME)).transpose()?;
        let format = bounded("a format", guess.format, MAX_NAME)?;
        let manifest = &self.plugin.manifest;
        if format != manifest.provides && !manifest.recognises.contains(&format) {
            let message = format!("the format {format:?} is none that the plugin's manifest names");
            return Err(PortError::bad_answer("plugin.bad-answer.guess", message));
        }
        Ok(Some(Guess { confidence: guess.confidence, format, subformat }))
    }

    async fn open(
        &self,
        primary: Arc<dyn BlockSource>,
        options: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError> {
        let Session { mut work, bindings } = self.reading().await?;
        let blob = BlobHandle(Arc::new(CachedSource::new(primary)));
        let blob: Resource<BlobHandle> = work.store.data_mut().table.push(blob).map_err(|error| {
            PortError::host(imprint_ports::ErrorClass::LimitExceeded, "plugin.handles", error)
        })?;
        let options = props_out(options);
        let reader = bindings.imprint_format_reader().image();
        let opened = call!(work, "open", |store| reader.call_open(store, blob, &options))?;
        let image = opened.map_err(|error| plugin_error(&self.plugin, error))?;
        Ok(Box::new(ComponentImage { work, bindings, image }))
    }

    async fn begin_layout(&self, request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        let Session { mut work, bindings } = self.session().await?;
        let request = writer::CreateRequest {
            virtual_size: request.virtual_size,
            allocated: request.allocated,
            subformat: request.subformat.clone(),
            options: props_out(&request.options),
            append_only: request.append_only,
            parent: None,
        };
        let writer = bindings.imprint_format_writer().layout();
        let begun = call!(work, "begin", |store| writer.call_begin(store, &request))?;
        let layout = begun.map_err(|error| plugin_error(&self.plugin, error))?;
        Ok(Box::new(ComponentLayout { work, bindings, layout }))
    }
}

struct ComponentImage {
    work: Work,
    bindings: FormatFull,
    image: ResourceAny,
}

impl ComponentImage {
    /// Hands an answer on, and ends the work when it breaks the contract.
    fn judge<T>(&mut self, judged: Result<T, PortError>) -> Result<T, PortError> {
        if let Err(error) = &judged {
            self.work.end(error);
        }
        judged
    }

    fn said(&self, error: shapes::Error) -> PortError {
        plugin_error(&self.work.plugin, error)
    }
}

fn info(info: reader::Info) -> Result<ImageInfo, PortError> {
    if info.unit == 0 || info.virtual_size > i64::MAX.unsigned_abs() {
        let message =
            format!("a disk of {} bytes in units of {} is impossible", info.virtual_size, info.unit);
        return Err(PortError::bad_answer("plugin.bad-answer.info", message));
    }
    Ok(ImageInfo {
        format: bounded("a format", info.format, MAX_NAME)?,
        subformat: info.subformat.map(|text| bounded("a subformat", text, MAX_NAME)).transpose()?,
        virtual_size: info.virtual_size,
        unit: info.unit,
        facts: props_in("the facts", info.facts)?,
    })
}

fn source(source: reader::Source) -> Result<SourceRef, PortError> {
    Ok(SourceRef {
        role: bounded("a role", source.role, MAX_NAME)?,
        reference: bounded("a reference", source.reference, MAX_REFERENCE)?,
        format_hint: source.format_hint.map(|text| bounded("a format", text, MAX_NAME)).transpose()?,
        required: source.required,
    })
}

/// A page describes `[start, resume)` in order, without gaps, and gets further. What the extents
/// point to is checked by the data path, which knows the sources.
fn check_page(page: &ExtentPage, start: u64, end: u64) -> Result<(), PortError> {
    let bad = |message: String| Err(PortError::bad_answer("plugin.bad-answer.extents", message));
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
        return bad(format!(
            "the page says that it ends at {}, but its extents end at {cursor}",
            page.resume
        ));
    }
    if page.done != (cursor >= end) || (!page.done && cursor == start) {
        return bad(format!("the page from {start} to {cursor} of {end} does not get further"));
    }
    Ok(())
}

fn finding(finding: checker::Finding) -> Result<Finding, PortError> {
    let severity = match finding.severity.as_str() {
        "error" => Severity::Error,
        "leak" => Severity::Leak,
        "note" => Severity::Note,
        other => {
            let message = format!("severity {:?} is unknown", crate::log::clip(other, MAX_NAME));
            return Err(PortError::bad_answer("plugin.bad-answer.severity", message));
        }
    };
    Ok(Finding {
        severity,
        code: bounded("a code", finding.code, 100)?,
        message: bounded("a message", finding.message, 2000)?,
        offset: finding.offset,
    })
}

#[async_trait]
impl FormatImage for ComponentImage {
    async fn info(&mut self) -> Result<ImageInfo, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let answer = call!(self.work, "info", |store| reader.call_info(store, self.image))?;
        let judged = answer.map_err(|error| self.said(error))?;
        self.judge(info(judged))
    }

    async fn sources(&mut self) -> Result<Vec<SourceRef>, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let answer = call!(self.work, "sources", |store| reader.call_sources(store, self.image))?;
        let sources = answer.map_err(|error| self.said(error))?;
        let judged = at_most("the list of sources", sources, MAX_SOURCES)
            .and_then(|sources| sources.into_iter().map(source).collect::<Result<Vec<_>, _>>())
            .and_then(|sources| match sources.first() {
                Some(first) if first.role == "primary" => Ok(sources),
                Some(_) | None => {
                    let message = "the first source is not the primary one";
                    Err(PortError::bad_answer("plugin.bad-answer.sources", message))
                }
            });
        self.judge(judged)
    }

    async fn attach(&mut self, index: u16, bytes: Arc<dyn BlockSource>) -> Result<(), PortError> {
        let blob = BlobHandle(Arc::new(CachedSource::new(bytes)));
        let blob: Resource<BlobHandle> = self.work.store.data_mut().table.push(blob).map_err(|error| {
            PortError::host(imprint_ports::ErrorClass::LimitExceeded, "plugin.handles", error)
        })?;
        let reader = self.bindings.imprint_format_reader().image();
        let answer = call!(self.work, "attach", |store| reader.call_attach(store, self.image, index, blob))?;
        answer.map_err(|error| self.said(error))
    }

    async fn codecs(&mut self) -> Result<Vec<Codec>, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let codecs = call!(self.work, "codecs", |store| reader.call_codecs(store, self.image))?;
        let judged = at_most("the list of codecs", codecs, MAX_CODECS)
            .and_then(|codecs| codecs.into_iter().map(codec).collect());
        self.judge(judged)
    }

    async fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let answer = call!(self.work, "metadata-ranges", |store| {
            reader.call_metadata_ranges(store, self.image, start, max)
        })?;
        let ranges = answer.map_err(|error| self.said(error))?;
        self.work.plugin.counters.received(ranges.len().saturating_mul(16));
        let judged = at_most("the list of metadata ranges", ranges, count(max));
        self.judge(judged.map(|ranges| ranges.into_iter().map(range).collect()))
    }

    async fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<ExtentPage, PortError> {
        let reader = self.bindings.imprint_format_reader().image();
        let answer =
            call!(self.work, "extents", |store| reader.call_extents(store, self.image, start, end, max))?;
        let page = answer.map_err(|error| self.said(error))?;
        self.work.plugin.counters.received(page.extents.len() * EXTENT_BYTES + page.followers.len());
        let judged = followers::extents(&page, count(max)).and_then(|extents| {
            let page = ExtentPage { extents, resume: page.resume, done: page.done };
            check_page(&page, start, end)?;
            Ok(page)
        });
        self.judge(judged)
    }

    async fn check(&mut self, start: u64, max: u32) -> Result<CheckPage, PortError> {
        let checker = self.bindings.imprint_format_checker();
        let answer = call!(self.work, "check", |store| checker.call_check(store, self.image, start, max))?;
        let page = answer.map_err(|error| self.said(error))?;
        let judged = at_most("the page of findings", page.items, count(max)).and_then(|items| {
            let items = items.into_iter().map(finding).collect::<Result<Vec<_>, _>>()?;
            if !page.done && page.resume == start {
                return Err(PortError::bad_answer(
                    "plugin.bad-answer.check",
                    "the check does not get further",
                ));
            }
            Ok(CheckPage { items, resume: page.resume, done: page.done })
        });
        self.judge(judged)
    }
}

struct ComponentLayout {
    work: Work,
    bindings: FormatFull,
    layout: ResourceAny,
}

impl ComponentLayout {
    fn judge<T>(&mut self, judged: Result<T, PortError>) -> Result<T, PortError> {
        if let Err(error) = &judged {
            self.work.end(error);
        }
        judged
    }

    fn said(&self, error: shapes::Error) -> PortError {
        plugin_error(&self.work.plugin, error)
    }
}

fn rules(rules: writer::Rules) -> Result<Rules, PortError> {
    if rules.unit == 0 || rules.align == 0 {
        let message = format!("units of {} bytes aligned to {} are impossible", rules.unit, rules.align);
        return Err(PortError::bad_answer("plugin.bad-answer.rules", message));
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
        frame: at_most("the frame", rules.frame, MAX_FRAME)?
            .into_iter()
            .map(frame)
            .collect::<Result<_, _>>()?,
        interleave_every: rules.interleave_every,
        ascending: rules.ascending,
    })
}

fn frame(field: writer::FrameField) -> Result<FrameField, PortError> {
    Ok(match field {
        writer::FrameField::Literal(bytes) => FrameField::Literal(at_most("a literal", bytes, 4096)?),
        writer::FrameField::AddressU64Le(factor) => FrameField::AddressU64Le(factor),
        writer::FrameField::StoredLengthU32Le => FrameField::StoredLengthU32Le,
    })
}

fn metadata_page(page: writer::MetadataPage, start: u64, max_bytes: u32) -> Result<MetadataPage, PortError> {
    let lengths = page.segments.iter().map(|segment| segment.bytes.len() + count(segment.zeroes));
    let total = lengths.fold(0, usize::saturating_add);
    if total > count(max_bytes) {
        let message =
            format!("a page of {total} bytes of tables is over the {max_bytes} that were asked for");
        return Err(PortError::bad_answer("plugin.bad-answer.metadata", message));
    }
    if !page.done && page.resume == start {
        return Err(PortError::bad_answer("plugin.bad-answer.metadata", "the tables do not get further"));
    }
    if page.done && page.final_size.is_none() {
        return Err(PortError::bad_answer(
            "plugin.bad-answer.metadata",
            "the last page does not say the file's length",
        ));
    }
    let segments = segments(page.segments);
    Ok(MetadataPage { segments, resume: page.resume, done: page.done, final_size: page.final_size })
}

/// The segments with their zeroes, and in one piece where one goes on where the one before ends.
/// Their lengths are checked.
fn segments(parts: Vec<writer::Segment>) -> Vec<MetadataSegment> {
    let mut whole: Vec<MetadataSegment> = Vec::new();
    let mut end = None;
    for writer::Segment { file_offset, bytes, zeroes } in parts {
        match whole.last_mut().filter(|_| end == Some(file_offset)) {
            Some(last) => last.bytes.extend(bytes),
            None => whole.push(MetadataSegment { file_offset, bytes }),
        }
        if let Some(MetadataSegment { file_offset, bytes }) = whole.last_mut() {
            bytes.resize(bytes.len() + count(zeroes), 0);
            end = u64::try_from(bytes.len()).ok().and_then(|length| file_offset.checked_add(length));
        }
    }
    whole
}

#[async_trait]
impl FormatLayout for ComponentLayout {
    async fn rules(&mut self) -> Result<Rules, PortError> {
        let writer = self.bindings.imprint_format_writer().layout();
        let answer = call!(self.work, "rules", |store| writer.call_rules(store, self.layout))?;
        self.judge(rules(answer))
    }

    async fn placed(&mut self, runs: &[Placed]) -> Result<(), PortError> {
        let (runs, followers) = followers::placements(runs);
        self.work.plugin.counters.sent(runs.len() * PLACED_BYTES + followers.len());
        let writer = self.bindings.imprint_format_writer().layout();
        let answer = call!(self.work, "placed", |store| {
            writer.call_placed(store, self.layout, &runs, &followers)
        })?;
        answer.map_err(|error| self.said(error))
    }

    async fn interleave(&mut self, at: u64) -> Result<Vec<u8>, PortError> {
        let writer = self.bindings.imprint_format_writer().layout();
        let answer = call!(self.work, "interleave", |store| writer.call_interleave(store, self.layout, at))?;
        let bytes = answer.map_err(|error| self.said(error))?;
        self.work.plugin.counters.received(bytes.len());
        let judged = at_most("what is interleaved", bytes, MAX_INTERLEAVE);
        self.judge(judged)
    }

    async fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage, PortError> {
        let writer = self.bindings.imprint_format_writer().layout();
        let answer = call!(self.work, "metadata", |store| {
            writer.call_metadata(store, self.layout, end, start, max_bytes)
        })?;
        let page = answer.map_err(|error| self.said(error))?;
        self.work
            .plugin
            .counters
            .received(page.segments.iter().map(|segment| segment.bytes.len() + SEGMENT_BYTES).sum());
        let judged = metadata_page(page, start, max_bytes);
        self.judge(judged)
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
    fn zeroes_come_back_behind_their_bytes() {
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
