//! Every placement rule, in every mode of writing: the file decodes to the disk by what was
//! reported.

use std::sync::atomic::AtomicBool;

use imprint_ports::{Codec, FormatImage, FrameField, Guess, MetadataSegment, Rules};
use proptest::prelude::*;

use super::*;
use crate::{
    codec::{CodecSpec, Decoder},
    transfer::progress::Phase,
    transport::append::AppendSink,
    util::num::{from_u32, to_usize},
};

/// Where a test layout puts its table of placements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    /// Before the payload: a stream needs two passes.
    Front,
    /// Behind the payload; the header is known in advance.
    Behind,
    /// The same, and the header that is given in advance is another one.
    Lying,
}

/// A format that has these rules, and remembers what was reported.
#[derive(Clone, Debug)]
struct Odd {
    rules: Rules,
    table: Table,
    reported: Arc<Mutex<Reported>>,
}

/// What the host reported to a layout, and its answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reported {
    placed: Vec<Placed>,
    /// Where, and how many placements were known then.
    interleaved: Vec<(u64, usize)>,
    end: u64,
}

const TABLE: u64 = 40_000;

impl Odd {
    fn new(table: Table, change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules {
            data_start: if table == Table::Front { TABLE + 1000 } else { 1024 },
            unit: 65536,
            align: 512,
            identity: false,
            skip_zero: true,
            codec: None,
            verbatim_if_larger: true,
            verbatim_align: 0,
            max_encoded: 0,
            align_data: 0,
            frame: Vec::new(),
            interleave_every: 0,
            ascending: true,
        };
        change(&mut rules);
        Self { rules, table, reported: Arc::default() }
    }

    fn codec(name: &str) -> Option<Codec> {
        Some(Codec { name: name.to_owned(), params: Props::new() })
    }

    fn reported(&self) -> Reported {
        self.reported.lock().unwrap().clone()
    }

    fn header(&self) -> Vec<u8> {
        format!("odd {:?}", self.rules.unit).into_bytes()
    }
}

fn tables_between(at: u64, known: usize) -> Vec<u8> {
    match known % 3 {
        0 => Vec::new(),
        _ => format!("tables at {at} after {known} ").repeat(known % 7 + 1).into_bytes(),
    }
}

#[async_trait::async_trait]
impl DiskFormat for Odd {
    fn name(&self) -> &str {
        "odd"
    }

    fn writes(&self) -> bool {
        true
    }

    async fn probe(&self, _: &[u8], _: &[u8], _: u64) -> Result<Option<Guess>, PortError> {
        Ok(None)
    }

    async fn open(&self, _: Arc<dyn BlockSource>, _: &Props) -> Result<Box<dyn FormatImage>, PortError> {
        Err(PortError::bad_answer("odd.open", "it cannot be read"))
    }

    async fn begin_layout(&self, _: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        *self.reported.lock().unwrap() = Reported::default();
        Ok(Box::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl FormatLayout for Odd {
    async fn rules(&mut self) -> Result<Rules, PortError> {
        Ok(self.rules.clone())
    }

    async fn placed(&mut self, runs: &[Placed]) -> Result<(), PortError> {
        self.reported.lock().unwrap().placed.extend_from_slice(runs);
        Ok(())
    }

    async fn interleave(&mut self, at: u64) -> Result<Vec<u8>, PortError> {
        if at == 0 {
            return Ok(match self.table {
                Table::Front => Vec::new(),
                Table::Behind => self.header(),
                Table::Lying => b"another".to_vec(),
            });
        }
        let mut reported = self.reported.lock().unwrap();
        let known = reported.placed.len();
        reported.interleaved.push((at, known));
        Ok(tables_between(at, known))
    }

    async fn metadata(&mut self, end: u64, start: u64, _: u32) -> Result<MetadataPage, PortError> {
        let mut reported = self.reported.lock().unwrap();
        reported.end = end;
        let table = blake3::hash(format!("{:?}", reported.placed).as_bytes()).as_bytes().repeat(20);
        let at = if self.table == Table::Front { TABLE } else { end.next_multiple_of(512) + 512 };
        let page = |file_offset, bytes, done| MetadataPage {
            segments: vec![MetadataSegment { file_offset, bytes }],
            resume: start + 1,
            done,
            final_size: done.then(|| end.max(at + 640).next_multiple_of(4096)),
        };
        Ok(if start == 0 { page(at, table, false) } else { page(0, self.header(), true) })
    }
}

/// The disk, put together from what was reported; everything else in the file is checked as well.
fn decode(odd: &Odd, file: &[u8], size: u64) -> Vec<u8> {
    let reported = odd.reported();
    let unit = to_usize(u64::from(odd.rules.unit));
    let mut disk = vec![0; to_usize(size).next_multiple_of(unit)];
    let mut decoder = Decoder::new();
    for run in &reported.placed {
        for number in 0..run.length / u64::from(odd.rules.unit) {
            let offset = run.offset + number * u64::from(odd.rules.unit);
            let mut at = to_usize(run.file_offset + number * u64::from(odd.rules.unit));
            let align = match (run.stored_length, odd.rules.verbatim_align) {
                (1.., _) | (0, 0) => odd.rules.align,
                (0, verbatim) => verbatim,
            };
            assert!(at.is_multiple_of(from_u32(align)));
            let stored = if run.stored_length == 0 { odd.rules.unit } else { run.stored_length };
            for field in &odd.rules.frame {
                let expected = match field {
                    FrameField::Literal(bytes) => bytes.clone(),
                    FrameField::AddressU64Le(factor) => {
                        (offset / u64::from(odd.rules.unit) * u64::from(*factor)).to_le_bytes().to_vec()
                    }
                    FrameField::StoredLengthU32Le => stored.to_le_bytes().to_vec(),
                };
                assert_eq!(file[at..at + expected.len()], expected, "the frame at {at}");
                at += expected.len();
            }
            assert!(at.is_multiple_of(from_u32(odd.rules.align_data.max(1))));
            let payload = &file[at..at + from_u32(stored)];
            let out = &mut disk[to_usize(offset)..to_usize(offset) + unit];
            match run.stored_length {
                0 => out.copy_from_slice(payload),
                _ => {
                    let kind = CodecSpec::parse(odd.rules.codec.as_ref().unwrap()).unwrap().kind;
                    assert_eq!(decoder.decode(kind, payload, out), Ok(unit));
                }
            }
        }
    }
    for (at, known) in &reported.interleaved {
        let expected = tables_between(*at, *known);
        assert_eq!(file[to_usize(*at)..to_usize(*at) + expected.len()], expected);
        let every = u64::from(odd.rules.interleave_every);
        let group = |run: &Placed| run.offset / u64::from(odd.rules.unit) / every;
        assert!(group(&reported.placed[known - 1]) < group(&reported.placed[*known]), "between two groups");
    }
    assert!(disk[to_usize(size)..].iter().all(|byte| *byte == 0));
    disk.truncate(to_usize(size));
    disk
}

/// A sink that held something before, and counts what it is asked to make zero.
struct Used(MemorySink, AtomicU64);

impl Used {
    fn new() -> Self {
        let used = Self(MemorySink::default(), AtomicU64::new(0));
        used.0.write_all_at(&vec![0xA5; 40 << 20], 0).unwrap();
        used
    }
}

impl BlockSink for Used {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn fresh(&self) -> bool {
        false
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        self.1.fetch_add(length, Ordering::Relaxed);
        self.0.write_all_at(&vec![0; to_usize(length)], offset)
    }
}

/// A stream that a test can look at afterwards.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn options(threads: usize) -> WriteOptions {
    WriteOptions { threads: NonZeroUsize::new(threads), ..WriteOptions::default() }
}

async fn stored_digest(bytes: Vec<u8>) -> DiskDigest {
    let source = Arc::new(crate::transport::file::MemorySource::new(bytes));
    let file = Arc::new(Disk::from_raw(source, &Limits::default()).unwrap());
    crate::transfer::read::digest(&file, &options(2)).await.unwrap()
}

async fn check(
    format: &dyn DiskFormat,
    disk: &Arc<Disk>,
    threads: usize,
    mode: WriteMode,
) -> (Vec<u8>, Written) {
    let (bytes, written) = match mode {
        WriteMode::Sparse => {
            let sink = Arc::new(MemorySink::default());
            let dynamic: Arc<dyn BlockSink> = sink.clone();
            let written = write_image(disk, format, &dynamic, &options(threads)).await.unwrap();
            (sink.bytes(), written)
        }
        WriteMode::Dense => {
            let sink = Arc::new(Used::new());
            let dynamic: Arc<dyn BlockSink> = sink.clone();
            let written = write_image(disk, format, &dynamic, &options(threads)).await.unwrap();
            (sink.0.bytes(), written)
        }
        WriteMode::Append => {
            let pipe = Pipe::default();
            let sink: Arc<dyn BlockSink> = Arc::new(AppendSink::new(pipe.clone()));
            let written = write_image(disk, format, &sink, &options(threads)).await.unwrap();
            assert_eq!(written.written_bytes, written.file_size, "a stream has no holes");
            (pipe.0.lock().unwrap().clone(), written)
        }
    };
    assert_eq!(to_u64(bytes.len()), written.file_size);
    assert_eq!(stored_digest(bytes.clone()).await, written.stored, "{mode:?}: the stored digest");
    (bytes, written)
}

const MANNERS: [WriteMode; 3] = [WriteMode::Sparse, WriteMode::Dense, WriteMode::Append];

/// Writes with 1, 2 and 8 threads in every mode. `same`: all files are the same.
async fn holds(odd: &Odd, disk: &Arc<Disk>, expected: &[u8], same: bool) {
    let mut first: Option<(Vec<u8>, Reported)> = None;
    for mode in MANNERS {
        let mut one: Option<(Vec<u8>, Written)> = None;
        for threads in [1, 2, 8] {
            let (bytes, written) = check(odd, disk, threads, mode).await;
            assert!(decode(odd, &bytes, disk.size()) == expected, "{mode:?} {threads}: the disk differs");
            assert!(bytes.starts_with(&odd.header()));
            let (one, known) = one.get_or_insert_with(|| (bytes.clone(), written));
            assert!(*one == bytes && *known == written, "{mode:?}: {threads} threads make another file");
            let (file, reported) = first.get_or_insert_with(|| (bytes.clone(), odd.reported()));
            assert!(!same || (*file == bytes && *reported == odd.reported()), "{mode:?} makes another file");
        }
    }
}

fn vhd_like(table: Table) -> Odd {
    Odd::new(table, |rules| {
        (rules.unit, rules.align, rules.align_data) = (2 << 20, 512, 4096);
        rules.frame = vec![FrameField::Literal(vec![0xFF; 512])];
    })
}

fn vmdk_like() -> Odd {
    Odd::new(Table::Behind, |rules| {
        rules.codec = Odd::codec("zlib");
        rules.verbatim_if_larger = false;
        rules.max_encoded = 2 * rules.unit + 4096;
        rules.frame = vec![FrameField::AddressU64Le(128), FrameField::StoredLengthU32Le];
        rules.interleave_every = 16;
    })
}

fn pattern(size: u64, seed: u64) -> (Arc<Disk>, Vec<u8>) {
    let source = Pattern { size, seed };
    let bytes = source.bytes();
    (Arc::new(Disk::from_raw(Arc::new(source), &Limits::default()).unwrap()), bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_tables_between_units_and_alignments_are_kept() {
    let (disk, bytes) = pattern((9 << 20) + 5 * 512, 5);
    for odd in [vhd_like(Table::Front), vhd_like(Table::Behind), vmdk_like()] {
        holds(&odd, &disk, &bytes, true).await;
    }
    assert!(vmdk_like().reported().interleaved.is_empty());
    let odd = vmdk_like();
    check(&odd, &disk, 2, WriteMode::Append).await;
    let groups: std::collections::BTreeSet<u64> =
        odd.reported().placed.iter().map(|run| run.offset >> 20).collect();
    assert_eq!(odd.reported().interleaved.len(), groups.len() - 1, "each group but the last one");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_rules_hold_any_disk(
        size in 0..(3u64 << 20),
        seed: u64,
        front: bool,
        unit in prop::sample::select(vec![512u32, 4096, 65536, 1 << 20, 2 << 20]),
        align in prop::sample::select(vec![1u32, 512, 4096]),
        verbatim_align in prop::sample::select(vec![0u32, 512, 65536]),
        align_data in prop::sample::select(vec![0u32, 4096]),
        codec in prop::sample::select(vec![None, Some("zlib"), Some("zstd"), Some("deflate")]),
        larger: bool,
        framed in 0..3usize,
        interleave_every in prop::sample::select(vec![0u32, 1, 7, 16]),
        skip_zero: bool,
    ) {
        let table = if front { Table::Front } else { Table::Behind };
        let odd = Odd::new(table, |rules| {
            rules.unit = unit;
            (rules.align, rules.verbatim_align) = (align, verbatim_align);
            rules.codec = codec.and_then(Odd::codec);
            (rules.interleave_every, rules.skip_zero) = (interleave_every, skip_zero);
            if larger {
                (rules.verbatim_if_larger, rules.max_encoded) = (false, 2 * unit + 4096);
            }
            match framed {
                0 => {}
                1 => rules.frame = vec![FrameField::AddressU64Le(7), FrameField::StoredLengthU32Le],
                _ => {
                    rules.frame = vec![FrameField::Literal(vec![0xFF; 4096])];
                    rules.align_data = align_data;
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let (disk, bytes) = pattern(size, seed);
        let fills_gaps = odd.rules.codec.is_some() && interleave_every == 0;
        runtime.block_on(holds(&odd, &disk, &bytes, !fills_gaps));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_disk_is_the_same_in_every_write_mode() {
    let (disk, bytes) = pattern((9 << 20) + 512, 7);
    for mode in MANNERS {
        for threads in [1, 2, 8] {
            let (file, written) = check(&crate::testing::FakeFormat::raw(), &disk, threads, mode).await;
            assert!(file == bytes, "{mode:?}");
            assert_eq!(written.logical, written.stored);
        }
    }
}

fn raw_disk(bytes: Vec<u8>) -> Arc<Disk> {
    let source = Arc::new(crate::transport::file::MemorySource::new(bytes));
    Arc::new(Disk::from_raw(source, &Limits::default()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_blocks_inside_of_large_units_stay_holes() {
    let mut bytes = vec![0; 6 << 20];
    bytes[(2 << 20) + 5 * 4096] = 1;
    bytes[(4 << 20) - 1] = 2;
    let disk = raw_disk(bytes);
    let odd = vhd_like(Table::Front);
    let (_, written) = check(&odd, &disk, 2, WriteMode::Sparse).await;
    assert_eq!(odd.reported().placed.len(), 1);
    let tables = to_u64(odd.header().len()) + 640;
    assert_eq!(written.written_bytes, 2 * 4096 + 512 + tables);
    assert!(written.file_size > 2 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_device_is_cleared_by_its_own_operation() {
    let mut bytes = vec![0; 8 << 20];
    bytes[3 << 20] = 1;
    let disk = raw_disk(bytes.clone());
    let sink = Arc::new(Used::new());
    let dynamic: Arc<dyn BlockSink> = sink.clone();
    let raw = crate::testing::FakeFormat::raw();
    let written = write_image(&disk, &raw, &dynamic, &options(2)).await.unwrap();
    assert!(sink.0.bytes() == bytes);
    assert_eq!(written.written_bytes, 4096);
    assert_eq!(sink.1.load(Ordering::Relaxed), (8 << 20) - 4096);
}

/// A source whose bytes become other ones when all of it was read.
struct Fickle {
    left: AtomicU64,
    then: u8,
}

const FICKLE: u64 = 1 << 20;

impl BlockSource for Fickle {
    fn size(&self) -> u64 {
        FICKLE
    }

    fn read_exact_at(&self, buf: &mut [u8], _offset: u64) -> io::Result<()> {
        let before = |left: u64| left.checked_sub(to_u64(buf.len()));
        let first = self.left.try_update(Ordering::Relaxed, Ordering::Relaxed, before).is_ok();
        buf.fill(if first { 1 } else { self.then });
        Ok(())
    }
}

fn stream() -> Arc<dyn BlockSink> {
    Arc::new(AppendSink::new(io::sink()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_between_the_passes_is_refused() {
    let odd = Odd::new(Table::Front, |_| {});
    for (then, code) in
        [(1, None), (2, Some("conflict.source-changed")), (0, Some("conflict.source-changed"))]
    {
        let source = Fickle { left: AtomicU64::new(FICKLE), then };
        let disk = Arc::new(Disk::from_raw(Arc::new(source), &Limits::default()).unwrap());
        let outcome = write_image(&disk, &odd, &stream(), &options(2)).await;
        assert_eq!(outcome.map_err(|error| error.code().to_owned()).err().as_deref(), code, "then {then}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_given_in_advance_must_not_change() {
    let (disk, _) = pattern(1 << 20, 3);
    let odd = Odd::new(Table::Lying, |_| {});
    let error = write_image(&disk, &odd, &stream(), &options(1)).await.unwrap_err();
    assert_eq!(error.code(), "plugin.metadata");
    check(&odd, &disk, 1, WriteMode::Sparse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_both_passes() {
    let size = 3 << 20;
    let (disk, _) = pattern(size, 3);
    for (table, passes) in [(Table::Front, 2), (Table::Behind, 1)] {
        let options = options(2);
        let odd = Odd::new(table, |_| {});
        let written = write_image(&disk, &odd, &stream(), &options).await.unwrap();
        let end = options.progress.snapshot();
        assert_eq!((end.total, end.done, end.read), (passes * size, passes * size, passes * size));
        assert_eq!((end.written, end.phase), (written.file_size, Phase::Moving));
    }
}

/// A file that can be read back, and loses a bit when it should.
struct Rotten {
    file: MemorySink,
    rots: bool,
}

impl BlockSink for Rotten {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_back(&self) -> io::Result<Option<Arc<dyn BlockSource>>> {
        let mut bytes = self.file.bytes();
        if self.rots {
            bytes[70_000] ^= 1;
        }
        Ok(Some(Arc::new(crate::transport::file::MemorySource::new(bytes))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_verified_is_what_was_written() {
    let (disk, _) = pattern(3 << 20, 3);
    let odd = Odd::new(Table::Front, |_| {});
    let verified = || WriteOptions { verify: true, ..options(2) };
    for (rots, code) in [(false, None), (true, Some("verify.mismatch"))] {
        let sink: Arc<dyn BlockSink> = Arc::new(Rotten { file: MemorySink::default(), rots });
        let options = verified();
        let outcome = write_image(&disk, &odd, &sink, &options).await;
        assert_eq!(outcome.map_err(|error| error.code().to_owned()).err().as_deref(), code);
        let end = options.progress.snapshot();
        assert_eq!((end.phase, end.done), (Phase::Verifying, end.total));
    }
    let error = write_image(&disk, &odd, &stream(), &verified()).await.unwrap_err();
    assert_eq!(error.code(), "invalid.option", "a stream cannot be read");
    let folder = tempfile::tempdir().unwrap();
    let dir = cap_std::fs::Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
    let sink: Arc<dyn BlockSink> = Arc::new(crate::FileSink::create(&dir, "image").unwrap());
    let written = write_image(&disk, &odd, &sink, &verified()).await.unwrap();
    assert_eq!(stored_digest(std::fs::read(folder.path().join("image")).unwrap()).await, written.stored);
}

/// Takes everything, and notifies about the first bytes.
struct Endless(Arc<tokio::sync::Notify>, AtomicBool);

impl io::Write for Endless {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.1.swap(true, Ordering::Relaxed) {
            self.0.notify_one();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk that is one hole with a block of data at its end.
struct Hole;

const HOLE: u64 = 8 << 40;

impl BlockSource for Hole {
    fn size(&self) -> u64 {
        HOLE
    }

    fn read_exact_at(&self, buf: &mut [u8], _offset: u64) -> io::Result<()> {
        buf.fill(1);
        Ok(())
    }

    fn segments(&self, range: imprint_ports::ByteRange) -> io::Result<Vec<imprint_ports::Segment>> {
        let cut = |offset, length, zero| imprint_ports::Segment {
            range: imprint_ports::ByteRange { offset, length },
            zero,
        };
        let (start, end) = (range.offset, range.offset + range.length);
        Ok(if end == HOLE {
            vec![cut(start, HOLE - 65536 - start, true), cut(HOLE - 65536, 65536, false)]
        } else {
            vec![cut(start, end - start, true)]
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_stream_of_zeroes_takes_no_longer() {
    let disk = Arc::new(Disk::from_raw(Arc::new(Hole), &Limits::default()).unwrap());
    let started = Arc::new(tokio::sync::Notify::new());
    let sink: Arc<dyn BlockSink> =
        Arc::new(AppendSink::new(Endless(started.clone(), AtomicBool::new(false))));
    let options = options(2);
    let cancel = options.cancel.clone();
    let raw = crate::testing::FakeFormat::raw();
    let writing = async {
        let error = write_image(&disk, &raw, &sink, &options).await.unwrap_err();
        (error.code().to_owned(), Instant::now())
    };
    let cancelling = async {
        started.notified().await;
        cancel.cancel();
        Instant::now()
    };
    let ((code, ended), asked) = tokio::join!(writing, cancelling);
    assert_eq!(code, "cancelled");
    assert!(ended - asked < Duration::from_millis(100), "it took {:?}", ended - asked);
}
