use std::os::unix::fs::MetadataExt as _;

use super::*;

fn folder() -> (tempfile::TempDir, Dir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
    (folder, dir)
}

fn whole(source: &FileSource) -> ByteRange {
    ByteRange { offset: 0, length: source.size() }
}

#[test]
fn holes_are_found_when_reading_and_kept_when_writing() {
    let (path, dir) = folder();
    let sink = FileSink::create(&dir, "sparse").unwrap();
    sink.set_size(10 << 20).unwrap();
    sink.write_all_at(&[1; 65536], 1 << 20).unwrap();
    sink.write_all_at(&[2; 65536], 8 << 20).unwrap();
    sink.sync().unwrap();
    assert!(std::fs::metadata(path.path().join("sparse")).unwrap().blocks() * 512 < 1 << 20);
    let source = FileSource::open(&dir, "sparse").unwrap();
    let segments = source.segments(whole(&source)).unwrap();
    let mut at = 0;
    for segment in &segments {
        assert_eq!(segment.range.offset, at);
        at += segment.range.length;
    }
    assert_eq!(at, 10 << 20);
    let data: Vec<ByteRange> =
        segments.iter().filter(|segment| !segment.zero).map(|segment| segment.range).collect();
    let range = |offset| ByteRange { offset, length: 65536 };
    assert_eq!(data, [range(1 << 20), range(8 << 20)]);
    let inside = source.segments(ByteRange { offset: (1 << 20) + 100, length: 200 }).unwrap();
    assert_eq!(inside, [Segment { range: ByteRange { offset: (1 << 20) + 100, length: 200 }, zero: false }]);
}

#[test]
fn a_file_that_shrinks_is_an_error_and_a_change() {
    let (path, dir) = folder();
    std::fs::write(path.path().join("file"), [1; 8192]).unwrap();
    let source = FileSource::open(&dir, "file").unwrap();
    assert!(source.unchanged().unwrap());
    std::fs::File::options().write(true).open(path.path().join("file")).unwrap().set_len(4096).unwrap();
    assert!(!source.unchanged().unwrap());
    let error = source.read_exact_at(&mut [0; 8192], 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(EngineError::read(0, 8192, error).code(), "corrupt.truncated");
}

#[test]
fn only_regular_files_are_opened() {
    let (path, dir) = folder();
    std::fs::create_dir(path.path().join("folder")).unwrap();
    std::fs::write(path.path().join("file"), b"x").unwrap();
    std::os::unix::fs::symlink("file", path.path().join("link")).unwrap();
    rustix::fs::mkfifoat(&dir, "fifo", Mode::RUSR | Mode::WUSR).unwrap();
    for name in ["folder", "link", "fifo", "missing", "../file", "/etc/hosts"] {
        let error = FileSource::open(&dir, name).map(|_| ()).unwrap_err();
        let expected = if name == "missing" { "io.not-found" } else { "io.open" };
        assert_eq!(error.code(), expected, "{name}");
        assert!(error.to_string().contains(name), "{name}");
    }
    assert_eq!(FileSink::create(&dir, "file").unwrap_err().code(), "io.already-exists");
    assert_eq!(FileSink::create(&dir, "link").unwrap_err().code(), "io.already-exists");
    assert!(FileSink::truncate(&dir, "link").is_err());
    assert_eq!(std::fs::read(path.path().join("file")).unwrap(), b"x");
}

#[test]
fn head_and_tail_of_short_files_are_the_file() {
    let source = MemorySource::new(vec![1, 2, 3]);
    assert_eq!(head_and_tail(&source, 2, 2).unwrap(), (vec![1, 2], vec![2, 3]));
    assert_eq!(head_and_tail(&source, 10, 10).unwrap(), (vec![1, 2, 3], vec![1, 2, 3]));
    assert_eq!(head_and_tail(&MemorySource::default(), 10, 10).unwrap(), (vec![], vec![]));
}

/// Memory that is aligned and memory that is not, at every kind of offset: the file is the same as
/// through the page cache.
#[test]
fn writes_past_the_cache_and_through_it_make_the_same_file() {
    let (path, dir) = folder();
    let sink = FileSink::create(&dir, "out").unwrap();
    let mut model = vec![0u8; 4 << 20];
    let mut buffer = crate::util::aligned::AlignedBuffer::new((1 << 20) + 4096);
    for (byte, value) in buffer.iter_mut().zip((1..=251u8).cycle()) {
        *byte = value;
    }
    let mut at = 0;
    let lengths =
        [4096, 65536, 70_001, 65_535, 1, 4095, 131_072, 100_000, 300_000, 1 << 20, 12_345, 65_536 + 1];
    for (number, length) in lengths.into_iter().enumerate() {
        let skip = [0, 1, 512, 4096 - 1][number % 4];
        let bytes = &buffer[skip..skip + length];
        sink.write_all_at(bytes, crate::util::num::to_u64(at)).unwrap();
        model[at..at + length].copy_from_slice(bytes);
        // Now and then a gap, so that the next write begins elsewhere in its page.
        at += length + if number % 3 == 2 { 10_000 } else { 0 };
    }
    model.truncate(at);
    sink.set_size(crate::util::num::to_u64(at)).unwrap();
    sink.sync().unwrap();
    assert!(std::fs::read(path.path().join("out")).unwrap() == model);
}

/// Gathered bytes are in the file however it is read.
#[test]
fn gathered_bytes_are_written_before_the_file_is_read() {
    let (path, dir) = folder();
    let sink = FileSink::create(&dir, "out").unwrap();
    let read = || std::fs::read(path.path().join("out")).unwrap();
    let bytes = vec![7; 150_001];
    sink.write_all_at(&bytes, 1).unwrap();
    sink.sync().unwrap();
    assert!(read()[1..=bytes.len()] == bytes);
    sink.write_all_at(&bytes, 200_000).unwrap();
    let back = sink.read_back().unwrap().unwrap();
    let mut found = vec![0; bytes.len()];
    back.read_exact_at(&mut found, 200_000).unwrap();
    assert!(found == bytes);
    sink.write_all_at(&bytes, 5 << 20).unwrap();
    sink.set_size((5 << 20) + 150_001).unwrap();
    assert!(read()[5 << 20..] == bytes);
}

/// Neighbours of a gap that is never written are not held back.
#[test]
fn a_gap_that_is_left_out_makes_a_block_whole() {
    let (path, dir) = folder();
    let sink = FileSink::create(&dir, "out").unwrap();
    let file = || std::fs::File::open(path.path().join("out")).unwrap();
    let mut model = vec![0; 16 << 20];
    let (mut at, mut gaps) = (0, 0);
    for (number, gap) in (1..).zip([10_000, 1, 4096, 65_535, 300_000, 69_000, 700_001, 0]) {
        // Up to the middle of the next block, which waits for what comes after the gap.
        let end = (at + 1000_usize).next_multiple_of(512 << 10) + 100_000;
        model[at..end].fill(number);
        model[at..end].chunks(300_000).zip(0..).for_each(|(bytes, piece)| {
            sink.write_all_at(bytes, crate::util::num::to_u64(at + piece * 300_000)).unwrap();
        });
        sink.leave_out(ByteRange { offset: crate::util::num::to_u64(end), length: gap }).unwrap();
        gaps += gap;
        at = end + to_usize(gap);
    }
    let whole = at / (1 << 20) * (1 << 20);
    let read = || {
        let mut found = vec![0; whole];
        file().read_exact_at(&mut found, 0).unwrap();
        found == model[..whole]
    };
    assert!(sink.direct.is_none() || read(), "all blocks that are whole are in the file");
    sink.set_size(crate::util::num::to_u64(at)).unwrap();
    assert!(read() && std::fs::read(path.path().join("out")).unwrap() == model[..at]);
    let blocks = std::os::unix::fs::MetadataExt::blocks(&file().metadata().unwrap()) * 512;
    assert!(crate::util::num::to_u64(at) - blocks > 900_000, "{gaps} bytes of gaps: the long ones are holes");
}

#[test]
fn several_threads_write_the_pages_that_they_share() {
    let (path, dir) = folder();
    let sink = FileSink::create(&dir, "out").unwrap();
    const LENGTH: usize = 100_001;
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let sink = &sink;
            scope.spawn(move || {
                for number in (thread..40).step_by(4) {
                    let bytes = vec![u8::try_from(number).unwrap() + 1; LENGTH];
                    sink.write_all_at(&bytes, crate::util::num::to_u64(number * LENGTH)).unwrap();
                }
            });
        }
    });
    sink.set_size(crate::util::num::to_u64(40 * LENGTH)).unwrap();
    let written = std::fs::read(path.path().join("out")).unwrap();
    assert_eq!(written.len(), 40 * LENGTH);
    for (number, bytes) in written.chunks(LENGTH).enumerate() {
        assert!(bytes.iter().all(|byte| usize::from(*byte) == number + 1), "piece {number}");
    }
}

/// What is written far ahead of the rest stays, although the file grows in steps; its size is the
/// one that was set.
#[test]
fn a_file_that_grows_ahead_gets_the_size_that_was_set() {
    const FAR: u64 = 200 << 20;
    let (path, dir) = folder();
    let sink = FileSink::create(&dir, "out").unwrap();
    let bytes = vec![7; 128 << 10];
    let order = [FAR, 0, 70 << 20, FAR + (64 << 20), 4096 * 3 + 5, 130 << 20];
    order.iter().for_each(|at| sink.write_all_at(&bytes, *at).unwrap());
    let end = FAR + (64 << 20) + crate::util::num::to_u64(bytes.len());
    sink.set_size(end + 10).unwrap();
    // Set too early: what comes after it makes the file longer.
    sink.write_all_at(&[9; 20], end + 100).unwrap();
    sink.set_size(end + 120).unwrap();
    let file = std::fs::File::open(path.path().join("out")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), end + 120);
    let read = |at: u64, length: usize| {
        let mut found = vec![0; length];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, at).unwrap();
        found
    };
    for at in order {
        assert!(read(at, bytes.len()) == bytes, "{at}");
    }
    assert_eq!(read(end + 100, 20), [9; 20]);
    assert_eq!(read(end, 100), [0; 100]);
}

/// A file system that keeps its files in memory has no cache to bypass.
#[test]
fn memory_file_systems_are_written_through_the_cache() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let dir = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
    let sink = FileSink::create(&dir, "out").unwrap();
    assert!(sink.direct.is_none() && sink.preferred_write() == 0);
    sink.write_all_at(&[7; 200_000], 100).unwrap();
    assert_eq!(std::fs::read(folder.path().join("out")).unwrap()[100..], [7; 200_000]);
}
