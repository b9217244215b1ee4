//! Files that are either complete and durable under their name, or not there at all.

use std::{fs::File, io, io::Write as _};

use cap_std::fs::Dir;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RenameFlags},
    io::Errno,
};

use crate::openat;

/// What to do when the final name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Replace the file in one step.
    Replace,
    /// Keep the file; publishing fails with [`io::ErrorKind::AlreadyExists`].
    Keep,
}

/// Whether a step is on stable storage when its call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is: a power cut cannot undo it.
    Synced,
    /// It is in the page cache: a power cut may undo it.
    Unsynced,
}

/// Makes a finished file visible under its final name: syncs the file, renames it, syncs the
/// folders of both names. When this returns, a power cut leaves the file under its final name,
/// whole; without the syncs ([`Durability::Unsynced`]) it may undo the step. Blocks.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] where the name is taken and [`Existing::Keep`] was asked for;
/// otherwise what the system reports.
pub fn publish(
    dir: &Dir,
    temporary: &str,
    name: &str,
    existing: Existing,
    durability: Durability,
) -> io::Result<()> {
    if durability == Durability::Synced {
        openat::open(dir, temporary, OFlags::RDONLY, Mode::empty())?.sync_all()?;
    }
    let (from, from_name) = openat::open_parent(dir, temporary)?;
    let (to, to_name) = openat::open_parent(dir, name)?;
    match existing {
        Existing::Replace => rustix::fs::renameat(&from, from_name, &to, to_name)?,
        Existing::Keep => {
            match rustix::fs::renameat_with(&from, from_name, &to, to_name, RenameFlags::NOREPLACE) {
                Ok(()) => {}
                // File systems without that flag (NFS): a hard link fails on a name that is taken,
                // too.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    rustix::fs::linkat(&from, from_name, &to, to_name, AtFlags::empty())?;
                    rustix::fs::unlinkat(&from, from_name, AtFlags::empty())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    match durability {
        Durability::Synced => {
            sync_folder(&to)?;
            sync_folder(&from)
        }
        Durability::Unsynced => Ok(()),
    }
}

/// Creates a file in `dir` that has no name yet, with the permissions that the umask leaves:
/// nothing of it stays when the process is killed. `None` where that is not possible (NFS).
///
/// # Errors
///
/// Whatever the system reports when it creates the file.
pub fn create_unnamed(dir: &Dir) -> io::Result<Option<File>> {
    openat::create_unnamed(dir, ".", OFlags::empty(), Mode::from_raw_mode(0o666))
}

/// Publishes a file of [`create_unnamed`] as [`publish`] does. `aside` is a name that nothing else
/// uses: where another file is replaced, this one has it for a moment, because a hard link cannot
/// replace a name.
///
/// # Errors
///
/// As [`publish`].
pub fn publish_unnamed(
    dir: &Dir,
    file: &File,
    aside: &str,
    name: &str,
    existing: Existing,
    durability: Durability,
) -> io::Result<()> {
    if durability == Durability::Synced {
        file.sync_all()?;
    }
    let (folder, last) = openat::open_parent(dir, name)?;
    let link_as = |name: &str| {
        rustix::fs::linkat(CWD, openat::descriptor_path(file), &folder, name, AtFlags::SYMLINK_FOLLOW)
    };
    match link_as(last) {
        Err(Errno::EXIST) if existing == Existing::Replace => {
            link_as(aside)?;
            rustix::fs::renameat(&folder, aside, &folder, last).inspect_err(|_| {
                // The error that counts is the first one.
                let _ = rustix::fs::unlinkat(&folder, aside, AtFlags::empty());
            })?;
        }
        linked => linked?,
    }
    match durability {
        Durability::Synced => sync_folder(&folder),
        Durability::Unsynced => Ok(()),
    }
}

/// Writes a small file durably: under `.NAME.tmp`, synced, renamed over `name`, folder synced.
/// Blocks.
///
/// # Errors
///
/// Whatever the system reports; the temporary file is removed then.
pub fn write(dir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = match name.rsplit_once('/') {
        Some((folder, last)) => format!("{folder}/.{last}.tmp"),
        None => format!(".{name}.tmp"),
    };
    let written = write_temporary(dir, &temporary, bytes)
        .and_then(|()| publish(dir, &temporary, name, Existing::Replace, Durability::Synced));
    written.inspect_err(|_| {
        // The error that counts is the first one.
        let _ = remove(dir, &temporary);
    })
}

fn write_temporary(dir: &Dir, path: &str, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let mut file: File = openat::open(dir, path, flags, Mode::RUSR | Mode::WUSR)?;
    file.write_all(bytes)
}

/// Removes a file durably. Removing a file that does not exist succeeds. Blocks.
///
/// # Errors
///
/// Whatever the system reports.
pub fn remove(dir: &Dir, path: &str) -> io::Result<()> {
    let (folder, name) = match openat::open_parent(dir, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) => sync_folder(&folder),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn sync_folder(folder: &std::os::fd::OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(folder)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
        (folder, dir)
    }

    #[test]
    fn a_name_that_is_taken_stays_when_asked_to() {
        let (path, dir) = folder();
        std::fs::write(path.path().join("t"), b"new").unwrap();
        std::fs::write(path.path().join("final"), b"old").unwrap();
        let publish = |existing| publish(&dir, "t", "final", existing, Durability::Synced);
        assert_eq!(publish(Existing::Keep).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(path.path().join("final")).unwrap(), b"old");
        publish(Existing::Replace).unwrap();
        assert_eq!(std::fs::read(path.path().join("final")).unwrap(), b"new");
        assert!(!path.path().join("t").exists());
    }

    #[test]
    fn publishing_moves_between_folders() {
        let (path, dir) = folder();
        for name in ["tmp", "final"] {
            std::fs::create_dir(path.path().join(name)).unwrap();
        }
        for durability in [Durability::Synced, Durability::Unsynced] {
            std::fs::write(path.path().join("tmp/one"), b"one").unwrap();
            publish(&dir, "tmp/one", "final/image", Existing::Replace, durability).unwrap();
            std::fs::write(path.path().join("tmp/two"), b"two").unwrap();
            let error = publish(&dir, "tmp/two", "final/image", Existing::Keep, durability).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(path.path().join("final/image")).unwrap(), b"one");
            assert_eq!(std::fs::read(path.path().join("tmp/two")).unwrap(), b"two");
        }
    }

    #[test]
    fn an_unnamed_file_gets_its_name_when_it_is_whole() {
        let (path, dir) = folder();
        let path = path.path();
        let count = || std::fs::read_dir(path).unwrap().count();
        let Some(mut file) = create_unnamed(&dir).unwrap() else { return };
        file.write_all(b"dropped").unwrap();
        drop(file);
        assert_eq!(count(), 0);
        for (existing, durability) in
            [(Existing::Keep, Durability::Synced), (Existing::Replace, Durability::Unsynced)]
        {
            let mut file = create_unnamed(&dir).unwrap().unwrap();
            write!(file, "{existing:?}").unwrap();
            publish_unnamed(&dir, &file, "aside", "final", existing, durability).unwrap();
            assert_eq!(std::fs::read_to_string(path.join("final")).unwrap(), format!("{existing:?}"));
            assert_eq!(count(), 1);
        }
        let file = create_unnamed(&dir).unwrap().unwrap();
        let publish =
            |name: &str, existing| publish_unnamed(&dir, &file, "aside", name, existing, Durability::Synced);
        assert_eq!(publish("final", Existing::Keep).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(path.join("final")).unwrap(), b"Replace");
        // A folder that has the name stays, and nothing is left of the attempt.
        std::fs::create_dir(path.join("folder")).unwrap();
        assert!(publish("folder", Existing::Replace).is_err());
        assert_eq!(count(), 2);
    }

    #[test]
    fn small_files_are_replaced_whole_and_removed_twice() {
        let (path, dir) = folder();
        std::fs::create_dir(path.path().join("sub")).unwrap();
        for bytes in [b"one".as_slice(), b"two"] {
            write(&dir, "sub/file", bytes).unwrap();
            assert_eq!(std::fs::read(path.path().join("sub/file")).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(path.path().join("sub")).unwrap().count(), 1);
        remove(&dir, "sub/file").unwrap();
        remove(&dir, "sub/file").unwrap();
        assert_eq!(std::fs::read_dir(path.path().join("sub")).unwrap().count(), 0);
    }
}
