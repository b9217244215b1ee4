//! What packs files here are the usual programs; the archives are those of `tests/corpus`.

use std::{io::Write as _, process::Command};

use imprint_corpus::archive::{self, Outcome};

use super::*;
use crate::transport::file::{FileSink, MemorySource};

const LIMIT: u64 = 64 << 20;

/// Content with zeroes, repetitions and noise.
fn content() -> Vec<u8> {
    let mut bytes = vec![0; 3 << 20];
    let mut state = 7_u32;
    for byte in &mut bytes[1 << 20..(1 << 20) + 300_000] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = state.to_le_bytes()[3];
    }
    bytes.extend_from_slice(&b"imprint ".repeat(5_000));
    bytes
}

fn pack(program: &str, bytes: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("content");
    std::fs::write(&path, bytes).unwrap();
    let output =
        Command::new(program).arg("-c").arg(&path).output().expect("install gzip, xz-utils, zstd, bzip2");
    assert!(output.status.success(), "{program}");
    output.stdout
}

fn unpacked(packed: Vec<u8>, by: PackedAs, limit: u64) -> Result<Vec<u8>, UnpackError> {
    let dir = tempfile::tempdir().unwrap();
    let folder = cap_std::fs::Dir::open_ambient_dir(dir.path(), cap_std::ambient_authority()).unwrap();
    let sink = FileSink::create(&folder, "out").unwrap();
    let Unpacked { size, .. } =
        unpack(&MemorySource::new(packed), by, &sink, limit, &CancellationToken::new())?;
    let bytes = std::fs::read(dir.path().join("out")).unwrap();
    assert_eq!(u64::try_from(bytes.len()).unwrap(), size);
    Ok(bytes)
}

const ALL: [(&str, PackedAs); 4] =
    [("gzip", PackedAs::Gzip), ("xz", PackedAs::Xz), ("zstd", PackedAs::Zstd), ("bzip2", PackedAs::Bzip2)];

#[test]
fn what_the_usual_programs_pack_is_unpacked() {
    let content = content();
    for (program, by) in ALL {
        let packed = pack(program, &content);
        assert!(unpacked(packed.clone(), by, LIMIT).unwrap() == content, "{program}");
        // Two streams one after the other are one file.
        let twice = [packed.clone(), packed].concat();
        assert!(unpacked(twice, by, LIMIT).unwrap() == content.repeat(2), "{program}");
    }
}

#[test]
fn a_file_that_is_cut_off_or_changed_is_refused() {
    let content = content();
    for (program, by) in ALL {
        let packed = pack(program, &content);
        let cut = packed[..packed.len() - packed.len() / 3].to_vec();
        assert!(matches!(unpacked(cut, by, LIMIT), Err(UnpackError::Damaged(_))), "{program}");
        let mut changed = packed;
        let middle = changed.len() / 2;
        changed[middle] ^= 0x10;
        assert!(unpacked(changed, by, LIMIT).is_err(), "{program}");
    }
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let bomb = vec![0; 256 << 20];
    for (program, by) in ALL {
        let packed = pack(program, &bomb);
        assert!(packed.len() < 1 << 20, "{program}: {}", packed.len());
        let refused = unpacked(packed, by, 10 << 20);
        assert!(matches!(refused, Err(UnpackError::TooLarge { limit: 10_485_760, .. })), "{program}");
    }
}

#[test]
fn skippable_frames_are_skipped_and_must_be_whole() {
    let content = content();
    let mut packed = Vec::new();
    packed.write_all(&0x184D_2A50_u32.to_le_bytes()).unwrap();
    packed.write_all(&5_u32.to_le_bytes()).unwrap();
    packed.extend_from_slice(b"notes");
    packed.extend(pack("zstd", &content));
    assert!(unpacked(packed.clone(), PackedAs::Zstd, LIMIT).unwrap() == content);
    packed.extend_from_slice(&0x184D_2A50_u32.to_le_bytes());
    packed.extend_from_slice(&500_u32.to_le_bytes());
    assert!(unpacked(packed, PackedAs::Zstd, LIMIT).is_err());
}

#[test]
fn a_cancelled_one_says_so() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let dir = tempfile::tempdir().unwrap();
    let folder = cap_std::fs::Dir::open_ambient_dir(dir.path(), cap_std::ambient_authority()).unwrap();
    let sink = FileSink::create(&folder, "out").unwrap();
    let source = MemorySource::new(pack("gzip", b"content"));
    let outcome = unpack(&source, PackedAs::Gzip, &sink, LIMIT, &cancel);
    assert!(matches!(outcome, Err(UnpackError::Cancelled)), "{outcome:?}");
}

/// Cancels at the first piece that is written.
#[derive(Debug)]
struct Cancelling {
    cancel: CancellationToken,
    pieces: std::sync::atomic::AtomicUsize,
}

impl BlockSink for Cancelling {
    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        self.cancel.cancel();
        self.pieces.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn set_size(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn one_that_unpacks_to_much_is_cancelled_in_the_middle() {
    let bomb = vec![b'a'; 32 << 20];
    for (program, by) in ALL {
        let cancel = CancellationToken::new();
        let sink = Cancelling { cancel: cancel.clone(), pieces: 0.into() };
        let source = MemorySource::new(pack(program, &bomb));
        let outcome = unpack(&source, by, &sink, LIMIT, &cancel);
        assert!(matches!(outcome, Err(UnpackError::Cancelled)), "{program}: {outcome:?}");
        assert_eq!(sink.pieces.into_inner(), 1, "{program}");
    }
}

/// What comes of each archive, and the disk.
fn of_archive(file: Vec<u8>, limit: u64) -> Result<(Unpacked, Vec<u8>), UnpackError> {
    let dir = tempfile::tempdir().unwrap();
    let folder = cap_std::fs::Dir::open_ambient_dir(dir.path(), cap_std::ambient_authority()).unwrap();
    let sink = FileSink::create(&folder, "out").unwrap();
    let source = MemorySource::new(file);
    let unpacked = unpack(&source, PackedAs::Gzip, &sink, limit, &CancellationToken::new())?;
    Ok((unpacked, std::fs::read(dir.path().join("out")).unwrap()))
}

#[test]
fn archives_are_read_or_refused_as_a_whole() {
    for case in archive::cases() {
        let found = of_archive(case.file, LIMIT);
        match (case.outcome, found) {
            (Outcome::Read, Ok((unpacked, disk))) => {
                assert_eq!(unpacked, Unpacked { size: archive::SIZE, is_archive: true }, "{}", case.id);
                assert!(disk == archive::disk().to_vec(), "{}", case.id);
            }
            (Outcome::Refused(text), Err(error)) => {
                assert!(error.to_string().contains(text), "{}: {error}", case.id);
            }
            (Outcome::NotRecognised, Ok((unpacked, _))) => assert!(!unpacked.is_archive, "{}", case.id),
            (expected, found) => panic!("{}: {expected:?}, {found:?}", case.id),
        }
    }
}

#[test]
fn every_cut_of_an_archive_is_refused() {
    let sparse = archive::cases().into_iter().find(|case| case.id == "sparse").unwrap().file;
    for length in 18..sparse.len() {
        let cut = of_archive(sparse[..length].to_vec(), LIMIT);
        assert!(matches!(cut, Err(UnpackError::Damaged(_) | UnpackError::Archive(_))), "{length}: {cut:?}");
    }
}

#[test]
fn a_disk_in_an_archive_is_bounded() {
    let sparse = archive::cases().into_iter().find(|case| case.id == "sparse").unwrap().file;
    assert!(of_archive(sparse.clone(), archive::SIZE).is_ok());
    let refused = of_archive(sparse, archive::SIZE - 1);
    assert!(matches!(refused, Err(UnpackError::TooLarge { limit: 1_048_575, .. })), "{refused:?}");
}

/// S82: as the programs make them that customers have.
#[test]
fn archives_of_gnu_tar_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("disk.raw")).unwrap();
    file.set_len(16 << 20).unwrap();
    for piece in 0..40 {
        let at = piece * 300_000_u64;
        std::os::unix::fs::FileExt::write_all_at(&file, &content()[1 << 20..(1 << 20) + 5000], at).unwrap();
    }
    let disk = std::fs::read(dir.path().join("disk.raw")).unwrap();
    for options in [&["--format=oldgnu", "-S"][..], &["--format=gnu"], &["--format=ustar"], &["--format=pax"]]
    {
        let mut tar = Command::new("tar");
        tar.args(options).args(["-czf", "-", "-C"]).arg(dir.path()).arg("disk.raw");
        let output = tar.output().expect("install tar");
        assert!(output.status.success(), "{options:?}");
        let (unpacked, found) = of_archive(output.stdout, LIMIT).unwrap();
        assert!(unpacked.is_archive && found == disk, "{options:?}");
    }
}
