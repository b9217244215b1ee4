#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    fs::File,
    io,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use imprint_ports::{CreateRequest, DiskFormat as _, ErrorClass};
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    codec::DecodeError,
    digest::DigestMode,
    disk::options::OpenOptions,
    mover::{
        message::{FromMover, Preamble, Setup},
        sandbox::Isolation,
        wire,
    },
    testing::{FakeFormat, MemorySink, Pattern},
    transfer::{
        options::{Backend, WriteOptions},
        plan::WriteMode,
        write::write_image,
    },
    transport::{
        file::{FileSink, FileSource, MemorySource},
        nbd::NbdError,
    },
    util::num::{from_u32, to_u64},
};

const SIZE: u64 = (9 << 20) + 5 * 512;

/// This test's own program as a mover: one of the functions below, which the others start.
fn config(inside: &str) -> MoverConfig {
    let test = format!("mover::host::tests::{inside}");
    MoverConfig {
        program: std::env::current_exe().unwrap(),
        args: ["--ignored", "--exact", &test].map(Into::into).to_vec(),
        best_effort: false,
    }
}

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn a_mover() {
    super::super::mover_main();
}

/// A mover in the hands of an image: it says `messages`, each after one of the host.
fn say(hello: Isolation, messages: Vec<FromMover>) {
    use std::os::fd::AsFd as _;
    let mut control = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    wire::receive::<Preamble>(&mut control).unwrap().unwrap();
    wire::send(&mut control, &FromMover::Hello(Ok(hello))).unwrap();
    let Some(setup) = wire::receive::<Setup>(&mut control).unwrap() else { return };
    wire::receive_descriptors(&control, from_u32(setup.descriptors)).unwrap();
    for disk in &setup.disks {
        super::super::map::receive(&mut control, disk.size, disk.map, None).unwrap();
    }
    wire::send(&mut control, &FromMover::Ready).unwrap();
    for message in messages {
        wire::receive::<Command>(&mut control).unwrap().unwrap();
        wire::send(&mut control, &message).unwrap();
    }
    // Until the host has had enough.
    while let Ok(Some(_)) = wire::receive::<Command>(&mut control) {}
}

const FULL: Isolation = Isolation { landlock: true, seccomp: true };

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn an_open_mover() {
    say(Isolation { landlock: false, seccomp: true }, vec![]);
}

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn a_hostile_mover() {
    let placed = Placed { offset: 1 << 50, length: 65536, file_offset: 4096, stored_length: 0 };
    let reply = |reply| FromMover::Reply(Ok(reply));
    say(FULL, vec![reply(Reply::Done), reply(Reply::Event(Event::Placed(vec![placed])))]);
}

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn a_mover_that_confuses_its_answers() {
    say(FULL, vec![FromMover::Ready]);
}

fn options(inside: &str) -> WriteOptions {
    WriteOptions {
        backend: Backend::process(config(inside)),
        threads: std::num::NonZeroUsize::new(2),
        ..WriteOptions::default()
    }
}

/// An image of the pattern in a file, made in this process.
async fn image(folder: &Path, format: &FakeFormat) -> Arc<Disk> {
    let sink = Arc::new(MemorySink::default());
    let dynamic: Arc<dyn BlockSink> = sink.clone();
    let pattern = Arc::new(Pattern { size: SIZE, seed: 5 });
    let disk = Arc::new(Disk::from_raw(pattern, &Default::default()).unwrap());
    write_image(&disk, format, &dynamic, &in_process()).await.unwrap();
    let path = folder.join("image");
    std::fs::write(&path, sink.bytes()).unwrap();
    open(format, Arc::new(FileSource::from_file(File::open(path).unwrap(), "image").unwrap())).await
}

fn in_process() -> WriteOptions {
    WriteOptions { backend: Backend(Arc::new(InProcess)), ..options("a_mover") }
}

async fn open(format: &FakeFormat, source: Arc<dyn BlockSource>) -> Arc<Disk> {
    Arc::new(Disk::open(format, source, &OpenOptions::default()).await.unwrap())
}

fn target(folder: &Path, name: &str) -> Arc<dyn BlockSink> {
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).open(folder.join(name)).unwrap();
    Arc::new(FileSink::from_file(file, name).unwrap())
}

/// Processes that this one has started and not seen to their end.
fn children() -> Vec<Pid> {
    let own = rustix::process::getpid();
    let parent = |name: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).ok()?;
        let parent: i32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        (Pid::from_raw(parent) == Some(own)).then(|| Pid::from_raw(name.parse().ok()?)).flatten()
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| parent(entry.unwrap().file_name().to_str()?)).collect()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mover_writes_what_this_process_would() {
    let folder = tempfile::tempdir().unwrap();
    for (number, codec) in ["zstd", "zlib", "deflate"].into_iter().enumerate() {
        let disk = image(folder.path(), &FakeFormat::compressed(codec)).await;
        let targets = [FakeFormat::raw(), FakeFormat::plain(65536), FakeFormat::compressed("zstd")];
        for (kind, format) in targets.into_iter().enumerate() {
            let [here, there] = ["here", "there"].map(|place| format!("{place}-{number}-{kind}"));
            let sinks = [&here, &there].map(|name| target(folder.path(), name));
            let expected = write_image(&disk, &format, &sinks[0], &in_process()).await.unwrap();
            let options = options("a_mover");
            let written = write_image(&disk, &format, &sinks[1], &options).await.unwrap();
            assert_eq!(written, expected, "{codec}");
            let [first, second] =
                [&here, &there].map(|name| std::fs::read(folder.path().join(name)).unwrap());
            assert!(first == second, "{codec} {kind}: the bytes differ");
            let progress = options.progress.snapshot();
            assert_eq!(progress.done, progress.total);
            assert_eq!((progress.read, progress.written), (written.read_bytes, written.written_bytes));
            assert!(progress.total > 0);
        }
        let expected = crate::transfer::read::digest(&disk, &in_process()).await.unwrap();
        assert_eq!(crate::transfer::read::digest(&disk, &options("a_mover")).await.unwrap(), expected);
        let pattern: Arc<dyn BlockSource> = Arc::new(Pattern { size: SIZE, seed: 6 });
        let other = Arc::new(Disk::from_raw(pattern, &Default::default()).unwrap());
        let expected = crate::transfer::read::compare(&disk, &other, &in_process()).await.unwrap();
        assert!(matches!(expected, Comparison::Content { .. }));
        assert_eq!(
            crate::transfer::read::compare(&disk, &other, &options("a_mover")).await.unwrap(),
            expected
        );
    }
    wait_for("every mover is seen to its end", || children().is_empty());
}

/// The bytes of a disk here and there, as whoever looks into it reads them.
#[tokio::test(flavor = "multi_thread")]
async fn a_mover_reads_here_and_there() {
    let folder = tempfile::tempdir().unwrap();
    let disk = image(folder.path(), &FakeFormat::compressed("zstd")).await;
    let source = crate::logical_source(&disk, &options("a_mover")).await.unwrap();
    assert_eq!((source.size(), children().len()), (SIZE, 1));
    let reading = tokio::task::spawn_blocking(move || {
        let expected = Pattern { size: SIZE, seed: 5 }.bytes();
        for (offset, length) in [(0_u64, 512_usize), (65_530, 20), (SIZE - 7, 7), (100, 3 << 20)] {
            let mut bytes = vec![0; length];
            source.read_exact_at(&mut bytes, offset).unwrap();
            let from = usize::try_from(offset).unwrap();
            assert!(bytes == expected[from..from + length], "{length} bytes at {offset}");
        }
        let behind = source.read_exact_at(&mut [0; 2], SIZE - 1).unwrap_err();
        assert_eq!(imprint_ports::PortError::of(&behind).unwrap().code, "invalid.option");
        source.read_exact_at(&mut [0; 1], 0).expect("a read that failed is followed by others");
    });
    reading.await.unwrap();
    wait_for("the mover is seen to its end", || children().is_empty());
}

/// A source and a sink that are no files: the host moves the bytes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_moved_by_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let format = FakeFormat::compressed("zstd");
    image(folder.path(), &format).await;
    let bytes = std::fs::read(folder.path().join("image")).unwrap();
    let disk = open(&format, Arc::new(MemorySource::new(bytes))).await;
    let sink = Arc::new(MemorySink::default());
    let dynamic: Arc<dyn BlockSink> = sink.clone();
    write_image(&disk, &FakeFormat::raw(), &dynamic, &options("a_mover")).await.unwrap();
    assert!(sink.bytes() == Pattern { size: SIZE, seed: 5 }.bytes());
}

/// The bytes of an image, and what happens when data is read from it.
struct Trap<F> {
    bytes: Vec<u8>,
    armed: Arc<AtomicBool>,
    spring: F,
}

impl<F: Fn() -> io::Result<()> + Send + Sync> BlockSource for Trap<F> {
    fn size(&self) -> u64 {
        to_u64(self.bytes.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if self.armed.load(Ordering::SeqCst) {
            (self.spring)()?;
        }
        MemorySource::new(self.bytes.clone()).read_exact_at(buf, offset)
    }
}

async fn trap<F: Fn() -> io::Result<()> + Send + Sync + 'static>(folder: &Path, spring: F) -> Arc<Disk> {
    let format = FakeFormat::compressed("zstd");
    image(folder, &format).await;
    let bytes = std::fs::read(folder.join("image")).unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let disk = open(&format, Arc::new(Trap { bytes, armed: armed.clone(), spring })).await;
    armed.store(true, Ordering::SeqCst);
    disk
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mover_that_is_killed_fails_its_operation() {
    for (signal, class) in [(Signal::KILL, ErrorClass::Transient), (Signal::SYS, ErrorClass::Internal)] {
        let folder = tempfile::tempdir().unwrap();
        let disk = trap(folder.path(), move || {
            children().into_iter().try_for_each(|child| kill_process(child, signal))?;
            Ok(())
        })
        .await;
        let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
        let error = write_image(&disk, &FakeFormat::raw(), &sink, &options("a_mover")).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("mover.died", class), "{}", error.report());
        wait_for("the mover is seen to its end", || children().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_hosts_own_stays_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let disk = trap(folder.path(), || Err(NbdError::Protocol { what: "it mumbles" }.into())).await;
    let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
    let there = write_image(&disk, &FakeFormat::raw(), &sink, &options("a_mover")).await.unwrap_err();
    let here = write_image(&disk, &FakeFormat::raw(), &sink, &in_process()).await.unwrap_err();
    assert!(here.code().starts_with("nbd."), "{}", here.code());
    assert_eq!((there.code(), there.class()), (here.code(), here.class()));
    assert!(there.report().contains("it mumbles"), "{}", there.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_the_same_error_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    for codec in ["zstd", "zlib", "deflate"] {
        let format = FakeFormat::compressed(codec);
        image(folder.path(), &format).await;
        let mut bytes = std::fs::read(folder.path().join("image")).unwrap();
        bytes[4096..4096 + 4096].fill(0xA5);
        let disk = open(&format, Arc::new(MemorySource::new(bytes))).await;
        let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
        let options = options("a_mover");
        let here = write_image(&disk, &FakeFormat::raw(), &sink, &in_process()).await.unwrap_err();
        let there = write_image(&disk, &FakeFormat::raw(), &sink, &options).await.unwrap_err();
        let digest = crate::transfer::read::digest(&disk, &options).await.unwrap_err();
        let compared = crate::transfer::read::compare(&disk, &disk, &options).await.unwrap_err();
        for error in [&here, &there, &digest, &compared] {
            assert_eq!((error.code(), error.class()), ("corrupt.encoded", ErrorClass::Corrupt), "{codec}");
        }
        assert!(
            matches!(there, EngineError::Decode { source: DecodeError::Invalid, .. }),
            "{}",
            there.report()
        );
        assert_eq!(here.report(), there.report());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_or_dropping_an_operation_ends_its_mover() {
    let folder = tempfile::tempdir().unwrap();
    let release = CancellationToken::new();
    let reads = Arc::new(AtomicU64::new(0));
    let (waiting, counted) = (release.clone(), reads.clone());
    let runtime = tokio::runtime::Handle::current();
    let disk = trap(folder.path(), move || {
        counted.fetch_add(1, Ordering::SeqCst);
        runtime.block_on(waiting.cancelled());
        Ok(())
    })
    .await;
    let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
    let options = options("a_mover");
    let writing = {
        let (disk, sink, options) = (disk.clone(), sink.clone(), options.clone());
        tokio::spawn(async move { write_image(&disk, &FakeFormat::raw(), &sink, &options).await })
    };
    wait_for("the mover reads", || reads.load(Ordering::SeqCst) > 0);
    let started = Instant::now();
    options.cancel.cancel();
    let error = writing.await.unwrap().unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    wait_for("the mover is gone", || children().is_empty());

    let before = reads.load(Ordering::SeqCst);
    let options = WriteOptions { cancel: CancellationToken::new(), ..options };
    let writing = tokio::spawn(async move { write_image(&disk, &FakeFormat::raw(), &sink, &options).await });
    wait_for("the mover reads", || reads.load(Ordering::SeqCst) > before);
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    wait_for("the mover is gone", || children().is_empty());
    release.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_hostile_mover_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let disk = image(folder.path(), &FakeFormat::compressed("zstd")).await;
    for inside in ["a_hostile_mover", "a_mover_that_confuses_its_answers"] {
        let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
        let error = write_image(&disk, &FakeFormat::plain(65536), &sink, &options(inside)).await.unwrap_err();
        assert_eq!(error.code(), "mover.bad-answer", "{inside}: {}", error.report());
    }
    wait_for("they are gone", || children().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn weaker_isolation_is_refused_unless_the_operator_allows_it() {
    let folder = tempfile::tempdir().unwrap();
    let disk = image(folder.path(), &FakeFormat::compressed("zstd")).await;
    let error = crate::transfer::read::digest(&disk, &options("an_open_mover")).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("mover.sandbox", ErrorClass::Unsupported));
    assert!(error.report().contains("Landlock is not available"), "{}", error.report());
    let found = config("an_open_mover").probe().unwrap();
    assert_eq!(found, Isolation { landlock: false, seccomp: true });
    assert_eq!(config("a_mover").probe().unwrap(), FULL);
    let nothing = MoverConfig { program: "/nonexistent/imprint".into(), ..config("a_mover") };
    assert_eq!(nothing.probe().unwrap_err().code(), "mover.start");
    let plain = Backend::process(nothing);
    let pattern: Arc<dyn BlockSource> = Arc::new(Pattern { size: SIZE, seed: 5 });
    let disk = Arc::new(Disk::from_raw(pattern, &Default::default()).unwrap());
    let options = WriteOptions { backend: plain, ..WriteOptions::default() };
    crate::transfer::read::digest(&disk, &options).await.expect("a disk with nothing encoded needs no mover");
}

#[tokio::test]
async fn reports_of_placements_are_checked() {
    let request = CreateRequest {
        virtual_size: SIZE,
        allocated: SIZE,
        subformat: None,
        options: Default::default(),
        append_only: false,
    };
    let mut layout = FakeFormat::plain(65536).begin_layout(&request).await.unwrap();
    let layout = Layout::parse(&layout.rules().await.unwrap()).unwrap();
    let plan = WritePlan {
        layout,
        virtual_size: 10 * 65536 - 512,
        level: None,
        durable: true,
        mode: WriteMode::Sparse,
        digests: DigestMode::Computed,
    };
    let run = |offset, length, file_offset, stored_length| {
        Event::Placed(vec![Placed { offset, length, file_offset, stored_length }])
    };
    let mut checker = Checker::new(&plan);
    checker.check(&run(65536, 131_072, 65536, 0)).unwrap();
    checker.check(&run(9 * 65536, 65536, 4096, 100)).unwrap();
    checker.check(&Event::End { end: 1 << 30 }).unwrap();
    for bad in [
        run(0, 65536, 4096, 0),
        run(9 * 65536, 131_072, 4096, 0),
        run(65536, 0, 4096, 0),
        run(65536, 65535, 4096, 0),
        run(65537, 65536, 4096, 0),
        run(65536, 131_072, 4096, 7),
        run(65536, 65536, 4095, 0),
        run(65536, 65536, u64::MAX, 0),
        run(u64::MAX - 65535, 65536, 4096, 0),
        Event::Placed(Vec::new()),
        Event::End { end: 0 },
        Event::End { end: u64::MAX },
    ] {
        let mut checker = Checker::new(&plan);
        checker.check(&run(0, 65536, 65536, 0)).unwrap();
        assert!(checker.check(&bad).is_err(), "{bad:?}");
    }
    let identity = WritePlan { layout: Layout::Identity { data_start: 512 }, ..plan };
    assert!(Checker::new(&identity).check(&run(0, 65536, 65536, 0)).is_err());
    assert!(Checker::new(&identity).check(&Event::End { end: identity.virtual_size + 512 }).is_ok());
    assert!(Checker::new(&identity).check(&Event::End { end: identity.virtual_size }).is_err());
}
