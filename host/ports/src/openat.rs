//! Opens names below a granted directory, without following anything that leads out of it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use cap_std::fs::Dir;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    path::Arg,
};

/// Longest path that is opened.
const MAX_PATH: usize = 4096;

/// The parts of a relative path: no `.`, no `..`, no empty ones, no leading slash.
fn parts(path: &str) -> io::Result<Vec<&str>> {
    let parts: Vec<&str> = path.split('/').collect();
    let is_forbidden = |part: &&str| part.is_empty() || *part == "." || *part == ".." || part.contains('\0');
    if path.len() > MAX_PATH || parts.iter().any(is_forbidden) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain relative path"));
    }
    Ok(parts)
}

/// Opens the folder of `path` and returns it with the last part of the path. Every folder on the
/// way is opened without following symlinks, so the walk cannot leave `dir`.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] for a path that is not plain and relative; otherwise what the
/// system reports.
pub fn open_parent<'p>(dir: &Dir, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
    let mut parts = parts(path)?;
    let name = parts.pop().ok_or(io::ErrorKind::InvalidInput)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let mut at = rustix::fs::openat(dir, ".", flags, Mode::empty())?;
    for part in parts {
        at = rustix::fs::openat(&at, part, flags, Mode::empty())?;
    }
    Ok((at, name))
}

/// Opens a file; neither the last part of the path nor a folder on the way may be a symlink.
///
/// # Errors
///
/// As [`open_parent`].
pub fn open(dir: &Dir, path: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
    let (folder, name) = open_parent(dir, path)?;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::openat(&folder, name, flags, mode)?))
}

/// Creates a file without a name in a folder, open for reading and writing: nothing of it stays
/// when its last descriptor is closed, however the process ends. `None` where the file system or
/// the kernel has no such files, or where there is no /proc to reach one by.
///
/// # Errors
///
/// Whatever the system reports when it creates the file.
pub fn create_unnamed(
    dir: impl AsFd,
    folder: impl Arg,
    flags: OFlags,
    mode: Mode,
) -> io::Result<Option<File>> {
    let flags = flags | OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, folder, flags, mode) {
        Ok(file) => Ok(rustix::fs::stat(descriptor_path(&file)).is_ok().then_some(file.into())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns a path that leads to an open file, whatever its name is.
pub fn descriptor_path(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/file"), b"x").unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink("in/file", folder.path().join("link")).unwrap();
        let open = |path| open(&dir, path, OFlags::RDONLY, Mode::empty());
        assert!(open("in/file").is_ok());
        for path in
            ["", "/etc/hosts", "../x", "in/../in/file", "in//file", "./in/file", "out/hosts", "link", "in/\0"]
        {
            assert!(open(path).is_err(), "{path:?} was opened");
        }
    }
}
