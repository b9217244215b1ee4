mod rules;

use std::{
    io,
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use imprint_ports::{
    BlockSource, ByteRange, CreateRequest, FormatLayout, MetadataPage, Placed, PortError, Props,
};

use super::*;
use crate::{
    disk::options::OpenOptions,
    limits::Limits,
    testing::{FakeFormat, MemorySink, Pattern},
    transfer::{
        compare::Comparison,
        read::{compare, digest},
    },
    util::num::to_u64,
};

const SIZE: u64 = (9 << 20) + 5 * 512;

fn pattern(size: u64) -> Arc<Disk> {
    Arc::new(Disk::from_raw(Arc::new(Pattern { size, seed: 5 }), &Limits::default()).unwrap())
}

fn threads(count: usize) -> WriteOptions {
    WriteOptions { threads: NonZeroUsize::new(count), ..WriteOptions::default() }
}

async fn write(disk: &Arc<Disk>, format: &FakeFormat, options: &WriteOptions) -> (Arc<MemorySink>, Written) {
    let sink = Arc::new(MemorySink::default());
    let dynamic: Arc<dyn BlockSink> = sink.clone();
    let written = write_image(disk, format, &dynamic, options).await.unwrap();
    (sink, written)
}

async fn open(format: &FakeFormat, sink: &MemorySink) -> Arc<Disk> {
    Arc::new(Disk::open(format, sink.source(), &OpenOptions::default()).await.unwrap())
}

fn formats() -> Vec<FakeFormat> {
    let keeping_zeroes = FakeFormat { skip_zero: false, ..FakeFormat::plain(65536) };
    let mut formats = vec![FakeFormat::raw(), keeping_zeroes];
    formats.extend([512, 4096, 65536, 2 << 20].map(FakeFormat::plain));
    formats.extend(["zstd", "zlib", "deflate"].map(FakeFormat::compressed));
    formats
}

#[tokio::test(flavor = "multi_thread")]
async fn every_layout_holds_the_same_disk_and_reports_its_digest() {
    let disk = pattern(SIZE);
    let expected = Pattern { size: SIZE, seed: 5 }.bytes();
    let logical = digest(&disk, &threads(2)).await.unwrap();
    for format in formats() {
        let name = format!("{:?} {} {}", format.codec, format.unit, format.identity);
        let (sink, written) = write(&disk, &format, &threads(2)).await;
        assert_eq!(written.logical, logical, "{name}");
        assert_eq!(written.file_size, to_u64(sink.bytes().len()), "{name}");
        assert_eq!((written.virtual_size, written.read_bytes), (SIZE, SIZE), "{name}");
        let image = open(&format, &sink).await;
        let mut bytes = vec![1; expected.len()];
        image.read_at(&mut bytes, 0).unwrap();
        assert!(bytes == expected, "{name}: the bytes differ");
        assert_eq!(compare(&disk, &image, &threads(1)).await.unwrap(), Comparison::Identical, "{name}");
        let file = Arc::new(Disk::from_raw(sink.source(), &Limits::default()).unwrap());
        assert_eq!(digest(&file, &threads(2)).await.unwrap(), written.stored, "{name}: the stored digest");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_do_not_depend_on_the_threads() {
    let disk = pattern(SIZE);
    for format in formats() {
        let (one, written) = write(&disk, &format, &threads(1)).await;
        for count in [2, 8] {
            let (other, again) = write(&disk, &format, &threads(count)).await;
            assert!(one.bytes() == other.bytes(), "{:?} {} with {count} threads", format.codec, format.unit);
            assert_eq!(written, again);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_digests_the_bytes_are_the_same() {
    let disk = pattern(SIZE);
    for format in formats() {
        let (sink, written) = write(&disk, &format, &threads(2)).await;
        let copy = Arc::new(MemorySink::default());
        let dynamic: Arc<dyn BlockSink> = copy.clone();
        let copied = copy_image(&disk, &format, &dynamic, &threads(2)).await.unwrap();
        let Written { virtual_size, file_size, data_bytes, written_bytes, read_bytes, .. } = written;
        assert_eq!(copied, Copied { virtual_size, file_size, data_bytes, written_bytes, read_bytes });
        assert!(copy.bytes() == sink.bytes(), "{:?} {}", format.codec, format.unit);
    }
    let verify = WriteOptions { verify: true, ..threads(2) };
    let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
    let refused = copy_image(&disk, &FakeFormat::raw(), &sink, &verify).await.unwrap_err();
    assert_eq!(refused.code(), "invalid.option");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_converted_into_each_other() {
    let disk = pattern(SIZE);
    let (zstd, first) = write(&disk, &FakeFormat::compressed("zstd"), &threads(2)).await;
    assert!(first.file_size < first.data_bytes, "it compresses");
    let from = open(&FakeFormat::compressed("zstd"), &zstd).await;
    let (zlib, second) = write(&from, &FakeFormat::compressed("zlib"), &threads(2)).await;
    assert_eq!(second.logical, first.logical);
    let back = open(&FakeFormat::compressed("zlib"), &zlib).await;
    let (raw, third) = write(&back, &FakeFormat::raw(), &threads(2)).await;
    assert!(raw.bytes() == Pattern { size: SIZE, seed: 5 }.bytes());
    assert_eq!(third.logical, third.stored, "a raw file is its disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_grows_while_it_is_copied() {
    let disk = pattern(SIZE);
    let larger = WriteOptions { grow_to: Some(SIZE + (3 << 20)), ..threads(2) };
    for format in [FakeFormat::raw(), FakeFormat::plain(65536), FakeFormat::compressed("zstd")] {
        let (sink, written) = write(&disk, &format, &larger).await;
        let image = open(&format, &sink).await;
        let sizes = Comparison::SizeOnly { first: SIZE, second: SIZE + (3 << 20) };
        assert_eq!(compare(&disk, &image, &threads(1)).await.unwrap(), sizes);
        assert_eq!(written.virtual_size, image.size());
        let file = Arc::new(Disk::from_raw(sink.source(), &Limits::default()).unwrap());
        assert_eq!(digest(&file, &threads(2)).await.unwrap(), written.stored);
    }
    let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
    let smaller = WriteOptions { grow_to: Some(SIZE - 1), ..threads(1) };
    let error = write_image(&disk, &FakeFormat::raw(), &sink, &smaller).await.unwrap_err();
    assert_eq!(error.code(), "invalid.option");
    let keeping_zeroes = FakeFormat { skip_zero: false, ..FakeFormat::plain(65536) };
    let error = write_image(&disk, &keeping_zeroes, &sink, &larger).await.unwrap_err();
    assert_eq!(error.code(), "unsupported.layout");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_and_empty_disks_are_disks() {
    for size in [0, 1, 511, 512, 65535, 65536, 65537] {
        let disk = Arc::new(Disk::from_raw(Arc::new(Pattern { size, seed: 9 }), &Limits::default()).unwrap());
        for format in formats() {
            let (sink, written) = write(&disk, &format, &threads(4)).await;
            let image = open(&format, &sink).await;
            assert_eq!(compare(&disk, &image, &threads(1)).await.unwrap(), Comparison::Identical);
            assert_eq!(written.logical, digest(&disk, &threads(1)).await.unwrap());
        }
    }
}

#[tokio::test]
async fn comparison_names_the_first_byte_that_differs() {
    let raw = |bytes: Vec<u8>| {
        Arc::new(
            Disk::from_raw(Arc::new(crate::transport::file::MemorySource::new(bytes)), &Limits::default())
                .unwrap(),
        )
    };
    let mut other = vec![0; 3 << 20];
    other[(2 << 20) + 77] = 1;
    let [zeroes, other] = [raw(vec![0; 3 << 20]), raw(other)];
    let outcome = compare(&zeroes, &other, &threads(1)).await.unwrap();
    assert_eq!(outcome, Comparison::Content { offset: (2 << 20) + 77 });
    let short = raw(vec![0; 1000]);
    assert_eq!(
        compare(&short, &zeroes, &threads(1)).await.unwrap(),
        Comparison::SizeOnly { first: 1000, second: 3 << 20 }
    );
    assert_eq!(
        compare(&short, &other, &threads(1)).await.unwrap(),
        Comparison::Content { offset: (2 << 20) + 77 }
    );
}

/// A sink with room for so many bytes.
struct Full {
    room: AtomicU64,
}

impl BlockSink for Full {
    fn write_all_at(&self, buf: &[u8], _offset: u64) -> io::Result<()> {
        let take = |room: u64| room.checked_sub(to_u64(buf.len()));
        match self.room.try_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::from_raw_os_error(28)),
        }
    }

    fn set_size(&self, _size: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_destination_has_its_own_error() {
    let disk = pattern(SIZE);
    for format in formats() {
        for room in [0, 1 << 20] {
            let sink: Arc<dyn BlockSink> = Arc::new(Full { room: AtomicU64::new(room) });
            let error = write_image(&disk, &format, &sink, &threads(4)).await.unwrap_err();
            assert_eq!(error.code(), "io.no-space", "{}", error.report());
            assert!(error.to_string().contains("free space"));
        }
    }
}

/// A source without an end in sight: each read takes a moment, and the first one notifies that it
/// was reached.
struct Slow {
    reached: tokio::sync::Notify,
}

impl BlockSource for Slow {
    fn size(&self) -> u64 {
        1 << 40
    }

    fn read_exact_at(&self, buf: &mut [u8], _offset: u64) -> io::Result<()> {
        buf.fill(1);
        self.reached.notify_one();
        std::thread::park_timeout(Duration::from_millis(5));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_an_operation_within_100_ms() {
    let source = Arc::new(Slow { reached: tokio::sync::Notify::new() });
    let disk = Arc::new(Disk::from_raw(source.clone(), &Limits::default()).unwrap());
    let sink: Arc<dyn BlockSink> = Arc::new(Full { room: AtomicU64::new(u64::MAX) });
    let options = threads(3);
    let cancel = options.cancel.clone();
    let writing = async {
        let format = FakeFormat::compressed("zstd");
        write_image(&disk, &format, &sink, &options)
            .await
            .map_err(|error| (error.code().to_owned(), Instant::now()))
    };
    let cancelling = async {
        source.reached.notified().await;
        let now = Instant::now();
        cancel.cancel();
        now
    };
    let (outcome, asked) = tokio::join!(writing, cancelling);
    let (code, ended) = outcome.unwrap_err();
    assert_eq!(code, "cancelled");
    assert!(ended - asked < Duration::from_millis(100), "it took {:?}", ended - asked);
    assert!(options.progress.snapshot().read > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_operation_stops_its_threads() {
    let source = Arc::new(Slow { reached: tokio::sync::Notify::new() });
    let disk = Arc::new(Disk::from_raw(source.clone(), &Limits::default()).unwrap());
    let sink: Arc<dyn BlockSink> = Arc::new(Full { room: AtomicU64::new(u64::MAX) });
    let options = threads(2);
    let format = FakeFormat::raw();
    tokio::select! {
        _ = write_image(&disk, &format, &sink, &options) => panic!("it has no end"),
        () = source.reached.notified() => {}
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while Arc::strong_count(&disk) > 1 {
        assert!(Instant::now() < deadline, "a worker still holds the disk");
        tokio::task::yield_now().await;
    }
}

/// Changes under the reader's hands.
struct Restless;

impl BlockSource for Restless {
    fn size(&self) -> u64 {
        4096
    }

    fn read_exact_at(&self, buf: &mut [u8], _offset: u64) -> io::Result<()> {
        buf.fill(1);
        Ok(())
    }

    fn unchanged(&self) -> io::Result<bool> {
        Ok(false)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_is_refused() {
    let disk = Arc::new(Disk::from_raw(Arc::new(Restless), &Limits::default()).unwrap());
    let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
    let error = write_image(&disk, &FakeFormat::raw(), &sink, &threads(1)).await.unwrap_err();
    assert_eq!(error.code(), "conflict.source-changed");
}

/// One way to break the contract.
type Break = fn(&mut MetadataPage);

/// Wraps the fake layout and breaks the contract in one way.
struct Rogue(Break);

struct RogueLayout(Box<dyn FormatLayout>, Break);

#[async_trait::async_trait]
impl DiskFormat for Rogue {
    fn name(&self) -> &str {
        "rogue"
    }

    fn writes(&self) -> bool {
        true
    }

    async fn probe(&self, _: &[u8], _: &[u8], _: u64) -> Result<Option<imprint_ports::Guess>, PortError> {
        Ok(None)
    }

    async fn open(
        &self,
        _: Arc<dyn BlockSource>,
        _: &Props,
    ) -> Result<Box<dyn imprint_ports::FormatImage>, PortError> {
        Err(PortError::bad_answer("rogue.open", "it cannot be read"))
    }

    async fn begin_layout(&self, request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        Ok(Box::new(RogueLayout(FakeFormat::plain(65536).begin_layout(request).await?, self.0)))
    }
}

#[async_trait::async_trait]
impl FormatLayout for RogueLayout {
    async fn rules(&mut self) -> Result<imprint_ports::Rules, PortError> {
        self.0.rules().await
    }

    async fn placed(&mut self, runs: &[Placed]) -> Result<(), PortError> {
        self.0.placed(runs).await
    }

    async fn interleave(&mut self, at: u64) -> Result<Vec<u8>, PortError> {
        self.0.interleave(at).await
    }

    async fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage, PortError> {
        let mut page = self.0.metadata(end, start, max_bytes).await?;
        (self.1)(&mut page);
        Ok(page)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_break_the_contract_are_refused() {
    let disk = pattern(1 << 20);
    let cases: [(Break, &str); 6] = [
        (|page| page.segments.iter_mut().for_each(|segment| segment.file_offset = 70_000), "plugin.metadata"),
        (
            |page| page.segments.iter_mut().for_each(|segment| segment.file_offset = u64::MAX),
            "plugin.metadata",
        ),
        (
            |page| page.segments.iter_mut().for_each(|segment| segment.bytes.resize(2 << 20, 0)),
            "plugin.metadata",
        ),
        (|page| (page.resume, page.done) = (0, false), "plugin.metadata"),
        (
            |page| page.segments.iter_mut().for_each(|segment| segment.file_offset = 0),
            "plugin.layout-overlap",
        ),
        (|page| page.final_size = Some(1), "plugin.final-size"),
    ];
    for (number, (breaks, code)) in cases.into_iter().enumerate() {
        let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
        let error = write_image(&disk, &Rogue(breaks), &sink, &threads(2)).await.unwrap_err();
        assert_eq!(error.code(), code, "case {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_what_is_stored_and_ends_at_its_total() {
    let disk = pattern(SIZE);
    let options = threads(2);
    write(&disk, &FakeFormat::compressed("zlib"), &options).await;
    let end = options.progress.snapshot();
    assert_eq!((end.total, end.done, end.read), (SIZE, SIZE, SIZE));
    assert!(end.written > 0 && end.written < SIZE);
    let mut wrong = threads(1);
    wrong.level = Some(99);
    let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
    let error = write_image(&disk, &FakeFormat::compressed("zstd"), &sink, &wrong).await.unwrap_err();
    assert_eq!(error.code(), "invalid.option");
}

/// Records which ranges were read.
struct Holes {
    read: Mutex<Vec<(u64, usize)>>,
}

impl BlockSource for Holes {
    fn size(&self) -> u64 {
        1 << 40
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.lock().unwrap().push((offset, buf.len()));
        buf.fill(1);
        Ok(())
    }

    fn segments(&self, range: ByteRange) -> io::Result<Vec<imprint_ports::Segment>> {
        let (start, end) = (range.offset, range.offset + range.length);
        let all =
            [(0, 3 << 30, true), (3 << 30, (3 << 30) + 8192, false), ((3 << 30) + 8192, self.size(), true)];
        let cut = all.map(|(from, to, zero)| (from.clamp(start, end), to.clamp(start, end), zero));
        let there = cut.iter().filter(|(from, to, _)| from < to);
        Ok(there
            .map(|(from, to, zero)| imprint_ports::Segment {
                range: ByteRange { offset: *from, length: to - from },
                zero: *zero,
            })
            .collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_of_a_huge_disk_cost_nothing() {
    let source = Arc::new(Holes { read: Mutex::default() });
    let disk = Arc::new(Disk::from_raw(source.clone(), &Limits::default()).unwrap());
    let (sink, written) = write(&disk, &FakeFormat::plain(65536), &threads(2)).await;
    assert_eq!(*source.read.lock().unwrap(), [(3 << 30, 8192)]);
    assert_eq!((written.virtual_size, written.data_bytes, written.read_bytes), (1 << 40, 65536, 8192));
    assert!(sink.bytes().len() < 200_000);
}
