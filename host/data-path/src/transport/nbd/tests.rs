//! Against a real `qemu-nbd`, and against hostile servers.

mod hostile;

use std::{
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use imprint_ports::BlockSink;
use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::{
    Disk, EngineError, Limits, WriteOptions,
    testing::{FakeFormat, MemorySink, Pattern},
    write_image,
};

const SIZE: u64 = (8 << 20) + 512;

/// A `qemu-nbd` over a sparse raw file.
struct Server {
    folder: tempfile::TempDir,
    child: Child,
    bytes: Vec<u8>,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bytes = Pattern { size: SIZE, seed: 3 }.bytes();
        let file = std::fs::File::create(folder.path().join("disk")).unwrap();
        file.set_len(SIZE).unwrap();
        for (number, cluster) in bytes.chunks(65536).enumerate() {
            if cluster.iter().any(|byte| *byte != 0) {
                file.write_all_at(cluster, to_u64(number) * 65536).unwrap();
            }
        }
        file.sync_all().unwrap();
        let child = Command::new("qemu-nbd")
            .args([
                "--read-only",
                "--format=raw",
                "--shared=8",
                "--persistent",
                "--export-name=disk",
                "--socket",
            ])
            .arg(folder.path().join("socket"))
            .arg(folder.path().join("disk"))
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-nbd (Debian: qemu-utils) is needed for this test");
        let server = Self { folder, child, bytes };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(server.socket()).is_err() {
            assert!(Instant::now() < deadline, "qemu-nbd does not listen");
            std::thread::yield_now();
        }
        server
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn options(&self) -> NbdOptions {
        NbdOptions::new(self.socket(), "disk")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn code(error: &io::Error) -> &'static str {
    error.get_ref().and_then(|inner| inner.downcast_ref::<NbdError>()).map_or("not from here", NbdError::code)
}

fn data_of(segments: &[Segment]) -> u64 {
    segments.iter().filter(|segment| !segment.zero).map(|segment| segment.range.length).sum()
}

#[test]
fn an_export_reads_like_its_file_from_several_threads() {
    let server = Server::start();
    let client = NbdClient::connect(&server.options()).unwrap();
    assert_eq!(client.size(), SIZE);
    assert_eq!(client.connections(), 4);
    std::thread::scope(|scope| {
        for thread in 0..6usize {
            let (client, bytes) = (&client, &server.bytes);
            scope.spawn(move || {
                for step in 0..20 {
                    let start = (thread * 1_234_567 + step * 345_678) % 7_000_000;
                    let mut buf = vec![0xEE; 1_048_576 + thread];
                    client.read_exact_at(&mut buf, to_u64(start)).unwrap();
                    assert!(buf == bytes[start..start + buf.len()], "thread {thread}, step {step}");
                }
            });
        }
    });
    assert!(client.pool.lock().unwrap().open <= 4);
    let mut last = [0; 1];
    client.read_exact_at(&mut last, SIZE - 1).unwrap();
    assert_eq!(client.read_exact_at(&mut [0; 2], SIZE - 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn block_status_knows_the_holes() {
    let server = Server::start();
    let client = NbdClient::connect(&server.options()).unwrap();
    assert!(client.has_block_status());
    let segments = client.segments(ByteRange { offset: 0, length: SIZE }).unwrap();
    let mut at = 0;
    for segment in &segments {
        assert_eq!(segment.range.offset, at);
        at += segment.range.length;
        let bytes = &server.bytes[to_usize(segment.range.offset)..to_usize(at)];
        assert!(!segment.zero || crate::is_zero(bytes), "{segment:?} is not zero");
    }
    assert_eq!(at, SIZE);
    assert!(data_of(&segments) < SIZE * 3 / 4, "clusters of zeroes are holes");
    let part = client.segments(ByteRange { offset: 100_001, length: 12_345 }).unwrap();
    assert_eq!(part[0].range.offset, 100_001);
    assert_eq!(part.iter().map(|segment| segment.range.length).sum::<u64>(), 12_345);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_export_becomes_an_image() {
    let server = Server::start();
    let client = NbdClient::connect(&server.options()).unwrap();
    let disk = Arc::new(Disk::from_raw(Arc::new(client), &Limits::default()).unwrap());
    let sink = Arc::new(MemorySink::default());
    let dynamic: Arc<dyn BlockSink> = sink.clone();
    let written = write_image(&disk, &FakeFormat::raw(), &dynamic, &WriteOptions::default()).await.unwrap();
    assert!(sink.bytes() == server.bytes);
    assert!(written.read_bytes < SIZE, "holes are not read");
}

/// Waits until the server is in a state (`proc(5)`): `T` is stopped, `Z` dead with everything
/// closed.
fn await_state(pid: u32, state: char) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    while stat().rsplit(") ").next().is_none_or(|rest| !rest.starts_with(state)) {
        assert!(Instant::now() < deadline, "the server does not become {state}");
        std::thread::yield_now();
    }
}

#[test]
fn a_server_that_hangs_costs_the_deadline_and_one_that_recovers_is_used_again() {
    let server = Server::start();
    let options = NbdOptions { timeout: Duration::from_millis(300), ..server.options() };
    let client = NbdClient::connect(&options).unwrap();
    let mut buf = vec![0; 1 << 20];
    client.read_exact_at(&mut buf, 0).unwrap();
    server.signal(Signal::STOP);
    await_state(server.child.id(), 'T');
    let start = Instant::now();
    let error = client.read_exact_at(&mut buf, 0).unwrap_err();
    assert_eq!((code(&error), error.kind()), ("nbd.timeout", io::ErrorKind::TimedOut));
    assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
    server.signal(Signal::CONT);
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = client.read_exact_at(&mut buf, 0) {
        assert!(Instant::now() < deadline, "{error}");
    }
    assert!(buf == server.bytes[..1 << 20]);
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_read_is_an_error_at_once() {
    let server = Server::start();
    let client = NbdClient::connect(&server.options()).unwrap();
    server.signal(Signal::STOP);
    await_state(server.child.id(), 'T');
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| client.read_exact_at(&mut vec![0; 4 << 20], 0));
        let deadline = Instant::now() + Duration::from_secs(10);
        while !client.pool.lock().unwrap().idle.is_empty() {
            assert!(Instant::now() < deadline, "the read does not begin");
            std::thread::yield_now();
        }
        let start = Instant::now();
        server.signal(Signal::KILL);
        let error = reading.join().unwrap().unwrap_err();
        assert_eq!(code(&error), "nbd.disconnected");
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
        let error = EngineError::read(0, 1, error);
        assert_eq!((error.code(), error.class()), ("nbd.disconnected", imprint_ports::ErrorClass::Transient));
    });
    // The connection ends first, and what listens a moment later.
    await_state(server.child.id(), 'Z');
    let error = client.read_exact_at(&mut [0; 512], 0).unwrap_err();
    assert_eq!(code(&error), "nbd.connect");
    assert!(matches!(NbdClient::connect(&server.options()), Err(NbdError::Connect { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_ends_with_a_typed_error_when_its_server_dies_or_hangs() {
    for cancelled in [false, true] {
        let server = Server::start();
        let options = NbdOptions { connections: 2, ..server.options() };
        let cancel = options.cancel.clone();
        let client = NbdClient::connect(&options).unwrap();
        let disk = Arc::new(Disk::from_raw(Arc::new(client), &Limits::default()).unwrap());
        server.signal(Signal::STOP);
        await_state(server.child.id(), 'T');
        let sink: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
        let write = WriteOptions { cancel: cancel.clone(), ..WriteOptions::default() };
        let format = FakeFormat::raw();
        let start = Instant::now();
        let (outcome, ()) = tokio::join!(write_image(&disk, &format, &sink, &write), async {
            tokio::task::yield_now().await;
            if cancelled { cancel.cancel() } else { server.signal(Signal::KILL) }
        });
        let error = outcome.unwrap_err();
        // A worker that waits for an answer loses its connection; one that opens its own after the
        // kill is refused. Either may be the first to report.
        let codes: &[&str] = if cancelled { &["cancelled"] } else { &["nbd.disconnected", "nbd.connect"] };
        assert!(codes.contains(&error.code()), "{}: {}", error.code(), error.report());
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    }
}

#[test]
fn an_export_that_does_not_exist_is_refused_and_a_stranger_is_no_server() {
    let server = Server::start();
    let error = NbdClient::connect(&NbdOptions::new(server.socket(), "other")).err().unwrap();
    assert_eq!(error.code(), "nbd.refused");
    let missing = NbdClient::connect(&NbdOptions::new(Path::new("/nonexistent/socket"), "")).err().unwrap();
    assert_eq!(missing.code(), "nbd.connect");
    assert!(missing.to_string().contains("/nonexistent/socket"));
}
