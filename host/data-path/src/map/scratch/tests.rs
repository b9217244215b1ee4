use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

#[test]
fn what_is_written_is_read_and_has_no_name() {
    let folder = tempfile::tempdir().unwrap();
    for named in [false, true] {
        let (file, reader) = if named { open_named(folder.path()) } else { open(folder.path()) }.unwrap();
        let state = file.metadata().unwrap();
        assert_eq!((state.nlink(), state.permissions().mode() & 0o777), (0, 0o600));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        file.write_all_at(b"scratch", 0).unwrap();
        let mut read = [0; 7];
        reader.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"scratch");
        assert!(reader.write_all_at(b"x", 0).is_err(), "it is open for reading only");
    }
}

#[test]
fn long_files_are_written_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Scratch::in_folder(folder.path()).create().unwrap();
    let piece: Vec<u8> = (0..=250).cycle().take(100_000).collect();
    for number in 0..10 {
        assert_eq!(writer.position(), number * 100_000);
        writer.append(&piece).unwrap();
    }
    let file = writer.finish().unwrap();
    let mut read = vec![0; piece.len()];
    for number in 0..10 {
        file.read(&mut read, number * 100_000).unwrap();
        assert!(read == piece);
    }
    let behind = file.read(&mut read, 900_001).unwrap_err();
    assert_eq!(behind.code(), "scratch.io");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = Scratch::in_folder("/nowhere/at/all").create().unwrap_err();
    assert_eq!(error.code(), "scratch.open");
    let text = error.to_string();
    assert!(text.contains("/nowhere/at/all") && text.contains("TMPDIR"), "{text}");
    assert!(Scratch::memory_only().create().is_err());
}

#[test]
fn a_full_disk_and_a_broken_one_have_different_errors() {
    // Whatever is written to this device finds no room.
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    let reader = ScratchFile::from_file(full.try_clone().unwrap());
    let mut writer = ScratchWriter { file: full, reader, buffer: Vec::new(), at: 0 };
    writer.append(b"something").unwrap();
    let error = writer.finish().unwrap_err();
    assert_eq!(error.code(), "scratch.no-space");
    assert!(error.to_string().contains("TMPDIR"), "{error}");
}

#[test]
fn the_environment_chooses_the_folder() {
    assert_eq!(system_folder(None), Path::new("/var/tmp"));
    assert_eq!(system_folder(Some(OsStr::new(""))), Path::new("/var/tmp"));
    assert_eq!(system_folder(Some(OsStr::new("/data/tmp"))), Path::new("/data/tmp"));
}
