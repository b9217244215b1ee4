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
fn holes_are_found_and_left() {
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
