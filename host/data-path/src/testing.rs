//! Formats and sources for the tests of this crate.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use imprint_ports::{
    BlockSink, BlockSource, ByteRange, CheckPage, Codec, CreateRequest, DiskFormat, ErrorClass, Extent,
    ExtentKind, ExtentPage, FormatImage, FormatLayout, Guess, ImageInfo, MetadataPage, MetadataSegment,
    Origin, Placed, PortError, Props, Rules, Segment as Stretch, SourceRef,
};

use crate::{
    transport::file::MemorySource,
    util::num::{from_u32, to_u64, to_usize},
};

/// A small real format: a header of 4 KiB, payload, then a table of placements. All numbers are 64
/// bits, little endian.
///
/// Header: `FAKE`, virtual size, unit, offset of the table, entries. Entry: offset, length, file
/// offset, stored length.
pub(crate) struct FakeFormat {
    pub(crate) codec: Option<&'static str>,
    pub(crate) unit: u32,
    pub(crate) identity: bool,
    pub(crate) skip_zero: bool,
}

impl FakeFormat {
    pub(crate) fn plain(unit: u32) -> Self {
        Self { codec: None, unit, identity: false, skip_zero: true }
    }

    pub(crate) fn compressed(codec: &'static str) -> Self {
        Self { codec: Some(codec), ..Self::plain(65536) }
    }

    pub(crate) fn raw() -> Self {
        Self { identity: true, ..Self::plain(512) }
    }
}

#[async_trait]
impl DiskFormat for FakeFormat {
    fn name(&self) -> &str {
        if self.identity { "raw" } else { "fake" }
    }

    fn writes(&self) -> bool {
        true
    }

    async fn probe(&self, head: &[u8], _tail: &[u8], _size: u64) -> Result<Option<Guess>, PortError> {
        let confidence = if self.identity {
            1
        } else if head.starts_with(b"FAKE") {
            100
        } else {
            return Ok(None);
        };
        Ok(Some(Guess { confidence, format: self.name().to_owned(), subformat: None }))
    }

    async fn open(
        &self,
        primary: Arc<dyn BlockSource>,
        _options: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError> {
        if self.identity {
            let size = primary.size();
            let placed = vec![Placed { offset: 0, length: size, file_offset: 0, stored_length: 0 }];
            return Ok(Box::new(FakeImage { size, unit: 1, codec: None, placed, tables: Vec::new() }));
        }
        let read = |offset, length| {
            let mut bytes = vec![0; length];
            primary
                .read_exact_at(&mut bytes, offset)
                .map_err(|e| PortError::host(ErrorClass::Corrupt, "fake.read", e))?;
            Ok::<_, PortError>(numbers(&bytes))
        };
        let header = read(8, 32)?;
        let [size, unit, table, entries] = header.try_into().unwrap();
        let placed = read(table, to_usize(entries) * 32)?
            .chunks(32 / 8)
            .map(|n| Placed {
                offset: n[0],
                length: n[1],
                file_offset: n[2],
                stored_length: u32::try_from(n[3]).unwrap(),
            })
            .collect();
        let tables =
            vec![ByteRange { offset: 0, length: 4096 }, ByteRange { offset: table, length: entries * 32 }];
        Ok(Box::new(FakeImage {
            size,
            unit: u32::try_from(unit).unwrap(),
            codec: self.codec,
            placed,
            tables,
        }))
    }

    async fn begin_layout(&self, request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        let codec = self.codec.map(|name| Codec { name: name.to_owned(), params: Props::new() });
        let rules = Rules {
            data_start: if self.identity { 0 } else { 4096 },
            unit: self.unit,
            align: if codec.is_some() { 1 } else { self.unit },
            identity: self.identity,
            skip_zero: self.skip_zero,
            verbatim_if_larger: true,
            verbatim_align: self.unit,
            max_encoded: 0,
            align_data: 0,
            frame: Vec::new(),
            interleave_every: 0,
            ascending: true,
            codec,
        };
        Ok(Box::new(FakeLayout { rules, size: request.virtual_size, placed: Vec::new() }))
    }
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks(8).map(|n| u64::from_le_bytes(n.try_into().unwrap())).collect()
}

struct FakeImage {
    size: u64,
    unit: u32,
    codec: Option<&'static str>,
    placed: Vec<Placed>,
    tables: Vec<ByteRange>,
}

#[async_trait]
impl FormatImage for FakeImage {
    async fn info(&mut self) -> Result<ImageInfo, PortError> {
        let format = if self.unit == 1 { "raw" } else { "fake" };
        Ok(info(format, self.size, self.unit))
    }

    async fn sources(&mut self) -> Result<Vec<SourceRef>, PortError> {
        Ok(vec![primary()])
    }

    async fn codecs(&mut self) -> Result<Vec<Codec>, PortError> {
        Ok(self.codec.map(|name| Codec { name: name.to_owned(), params: Props::new() }).into_iter().collect())
    }

    async fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>, PortError> {
        Ok(self.tables.iter().skip(to_usize(start)).take(from_u32(max)).copied().collect())
    }

    async fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<ExtentPage, PortError> {
        let mut extents = Vec::new();
        let mut at = start;
        let hole = |offset, length| extent(offset, length, ExtentKind::Hole, 0, 0);
        for placed in self.placed.iter().filter(|placed| placed.offset >= start) {
            if extents.len() + 2 > from_u32(max) {
                return Ok(ExtentPage { extents, resume: at, done: false });
            }
            if placed.offset > at {
                extents.push(hole(at, placed.offset - at));
            }
            let length = placed.length.min(self.size - placed.offset);
            let kind = if placed.stored_length == 0 { ExtentKind::Data } else { ExtentKind::Encoded };
            extents.push(extent(placed.offset, length, kind, placed.file_offset, placed.stored_length));
            at = placed.offset + length;
        }
        if at < end {
            extents.push(hole(at, end - at));
        }
        Ok(ExtentPage { extents, resume: end, done: true })
    }

    async fn check(&mut self, _start: u64, _max: u32) -> Result<CheckPage, PortError> {
        Ok(CheckPage { items: Vec::new(), resume: 0, done: true })
    }
}

struct FakeLayout {
    rules: Rules,
    size: u64,
    placed: Vec<Placed>,
}

#[async_trait]
impl FormatLayout for FakeLayout {
    async fn rules(&mut self) -> Result<Rules, PortError> {
        Ok(self.rules.clone())
    }

    async fn placed(&mut self, runs: &[Placed]) -> Result<(), PortError> {
        assert!(runs.len() <= 4096 && !runs.is_empty());
        self.placed.extend_from_slice(runs);
        assert!(self.placed.is_sorted_by(|a, b| a.offset + a.length <= b.offset), "placements are ascending");
        Ok(())
    }

    async fn interleave(&mut self, _at: u64) -> Result<Vec<u8>, PortError> {
        Ok(Vec::new())
    }

    async fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage, PortError> {
        if self.rules.identity {
            return Ok(MetadataPage { segments: Vec::new(), resume: 0, done: true, final_size: Some(end) });
        }
        let table: Vec<u8> = self
            .placed
            .iter()
            .flat_map(|run| [run.offset, run.length, run.file_offset, u64::from(run.stored_length)])
            .flat_map(u64::to_le_bytes)
            .collect();
        let rest = &table[to_usize(start)..];
        if !rest.is_empty() {
            let bytes = rest[..rest.len().min(from_u32(max_bytes))].to_vec();
            let resume = start + to_u64(bytes.len());
            let segments = vec![MetadataSegment { file_offset: end + start, bytes }];
            return Ok(MetadataPage { segments, resume, done: false, final_size: None });
        }
        let mut header = b"FAKE\0\0\0\0".to_vec();
        for number in [self.size, u64::from(self.rules.unit), end, to_u64(self.placed.len())] {
            header.extend(number.to_le_bytes());
        }
        let segments = vec![MetadataSegment { file_offset: 0, bytes: header }];
        let final_size = Some((end + to_u64(table.len())).next_multiple_of(512));
        Ok(MetadataPage { segments, resume: start, done: true, final_size })
    }
}

/// A format with answers that a test chooses.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) info: ImageInfo,
    pub(crate) sources: Vec<SourceRef>,
    pub(crate) codecs: Vec<Codec>,
    pub(crate) tables: Vec<ByteRange>,
    /// Answers to calls of `extents`, in this order, over all instances.
    pub(crate) pages: Arc<Mutex<VecDeque<Result<ExtentPage, PortError>>>>,
    /// Starts of the calls of `extents`.
    pub(crate) asked: Arc<Mutex<Vec<u64>>>,
    /// Indices and sizes of what was attached.
    pub(crate) attached: Arc<Mutex<Vec<(u16, u64)>>>,
}

impl Script {
    pub(crate) fn new(size: u64, pages: Vec<Result<ExtentPage, PortError>>) -> Self {
        let codec = |name: &str, tail: &str| Codec {
            name: name.to_owned(),
            params: Props::from([("tail".to_owned(), tail.to_owned())]),
        };
        Self {
            info: info("script", size, 65536),
            sources: vec![primary()],
            codecs: vec![codec("zstd", "exact"), codec("deflate", "garbage")],
            tables: Vec::new(),
            pages: Arc::new(Mutex::new(pages.into())),
            asked: Arc::default(),
            attached: Arc::default(),
        }
    }
}

#[async_trait]
impl DiskFormat for Script {
    fn name(&self) -> &str {
        "script"
    }

    fn writes(&self) -> bool {
        false
    }

    async fn probe(&self, _head: &[u8], _tail: &[u8], _size: u64) -> Result<Option<Guess>, PortError> {
        Ok(None)
    }

    async fn open(
        &self,
        _primary: Arc<dyn BlockSource>,
        _options: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError> {
        Ok(Box::new(self.clone()))
    }

    async fn begin_layout(&self, _request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        Err(PortError::host(ErrorClass::Unsupported, "script.read-only", "it cannot be written"))
    }
}

#[async_trait]
impl FormatImage for Script {
    async fn info(&mut self) -> Result<ImageInfo, PortError> {
        Ok(self.info.clone())
    }

    async fn sources(&mut self) -> Result<Vec<SourceRef>, PortError> {
        Ok(self.sources.clone())
    }

    async fn attach(&mut self, index: u16, bytes: Arc<dyn BlockSource>) -> Result<(), PortError> {
        self.attached.lock().unwrap().push((index, bytes.size()));
        Ok(())
    }

    async fn codecs(&mut self) -> Result<Vec<Codec>, PortError> {
        Ok(self.codecs.clone())
    }

    async fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>, PortError> {
        Ok(self.tables.iter().skip(to_usize(start)).take(from_u32(max)).copied().collect())
    }

    async fn extents(&mut self, start: u64, _end: u64, _max: u32) -> Result<ExtentPage, PortError> {
        self.asked.lock().unwrap().push(start);
        self.pages.lock().unwrap().pop_front().unwrap_or_else(|| Err(trap()))
    }

    async fn check(&mut self, _start: u64, _max: u32) -> Result<CheckPage, PortError> {
        Ok(CheckPage { items: Vec::new(), resume: 0, done: false })
    }
}

pub(crate) fn trap() -> PortError {
    PortError { origin: Origin::Trap, ..PortError::bad_answer("plugin.trap", "it trapped") }
}

pub(crate) fn info(format: &str, virtual_size: u64, unit: u32) -> ImageInfo {
    ImageInfo { format: format.to_owned(), subformat: None, virtual_size, unit, facts: Props::new() }
}

pub(crate) fn primary() -> SourceRef {
    SourceRef { role: "primary".to_owned(), reference: String::new(), format_hint: None, required: true }
}

pub(crate) fn parent(reference: &str) -> SourceRef {
    SourceRef {
        role: "parent".to_owned(),
        reference: reference.to_owned(),
        format_hint: None,
        required: true,
    }
}

pub(crate) fn extent(
    offset: u64,
    length: u64,
    kind: ExtentKind,
    source_offset: u64,
    source_length: u32,
) -> Extent {
    Extent { offset, length, kind, source: 0, codec: 0, source_offset, source_length }
}

/// A page whose `resume` is right.
pub(crate) fn page(extents: Vec<Extent>, done: bool) -> Result<ExtentPage, PortError> {
    let resume = extents.last().map_or(0, |last| last.offset.wrapping_add(last.length));
    Ok(ExtentPage { extents, resume, done })
}

/// A file in memory. A range that is left out must be written neither before nor after.
#[derive(Default)]
pub(crate) struct MemorySink {
    bytes: Mutex<Vec<u8>>,
    left_out: Mutex<Vec<(u64, u64)>>,
}

impl MemorySink {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    pub(crate) fn source(&self) -> Arc<dyn BlockSource> {
        Arc::new(MemorySource::new(self.bytes()))
    }
}

impl BlockSink for MemorySink {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let overlaps = |(start, end): &(u64, u64)| *start < offset + to_u64(buf.len()) && offset < *end;
        assert!(!self.left_out.lock().unwrap().iter().any(overlaps), "{offset} was left out");
        let mut bytes = self.bytes.lock().unwrap();
        let end = to_usize(offset) + buf.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[to_usize(offset)..end].copy_from_slice(buf);
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().resize(to_usize(size), 0);
        Ok(())
    }

    fn leave_out(&self, range: ByteRange) -> io::Result<()> {
        let written = self.bytes.lock().unwrap();
        let mut there = written.iter().skip(to_usize(range.offset)).take(to_usize(range.length));
        assert!(there.all(|byte| *byte == 0), "{} was written", range.offset);
        self.left_out.lock().unwrap().push((range.offset, range.offset + range.length));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A source that computes its bytes: clusters of 64 KiB that are zero, compress well, or do not
/// compress, in turn.
pub(crate) struct Pattern {
    pub(crate) size: u64,
    pub(crate) seed: u64,
}

impl Pattern {
    fn cluster(&self, number: u64) -> Vec<u8> {
        let kind = (number ^ self.seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61;
        let mut state = number.wrapping_mul(self.seed | 1) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        match kind {
            0..3 => vec![0; 65536],
            3..6 => (0..8192).flat_map(|_| (next() % 4).to_le_bytes()).collect(),
            6 => (0..8192).flat_map(|_| next().to_le_bytes()).collect(),
            _ => (0..16u64)
                .flat_map(|block| if block == number % 16 { vec![7; 4096] } else { vec![0; 4096] })
                .collect(),
        }
    }

    /// Returns all bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..self.size.div_ceil(65536)).flat_map(|number| self.cluster(number)).collect();
        bytes.truncate(to_usize(self.size));
        bytes
    }
}

impl BlockSource for Pattern {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let cluster = self.cluster(at / 65536);
            let within = to_usize(at % 65536);
            let length = rest.len().min(65536 - within);
            let (now, later) = rest.split_at_mut(length);
            now.copy_from_slice(&cluster[within..within + length]);
            at += to_u64(length);
            rest = later;
        }
        Ok(())
    }

    fn segments(&self, range: ByteRange) -> io::Result<Vec<Stretch>> {
        Ok(vec![Stretch { range, zero: false }])
    }
}
