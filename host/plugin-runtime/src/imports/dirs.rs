//! `dirs`: names below granted directories, through handles that no path leads out of.

mod mounted;

use std::{io, os::fd::AsFd, sync::Arc};

use cap_std::fs::{Dir, Metadata, MetadataExt};
use imprint_ports::{
    RESERVED_NAMES,
    durable::{self, Durability, Existing},
};
use rustix::fs::{Mode, OFlags};

use crate::{
    bindings::host::imprint::{
        host::dirs::{self, Entry, Listing, Mounted, Room},
        types::types::Error,
    },
    codes::Code,
    manifest::Access,
    paths::check_relative,
    state::State,
    text::truncate,
    wit_error::{self, denied},
};

/// The longest name that file systems hold, in bytes.
const MAX_NAME: usize = 255;
/// Names of one page of a listing.
const MAX_PAGE: u32 = 1000;
/// Names of one directory. More are an error: a listing never leaves names out silently.
const MAX_NAMES: usize = 1_000_000;

impl State {
    /// Returns a granted directory, if it may be accessed in this way at this path.
    pub(super) fn dir(&self, grant: &str, path: Option<&str>, access: Access) -> Result<Arc<Dir>, Error> {
        let Some(found) = self.grants.dirs.get(grant) else {
            return Err(denied(format!("directory {:?} is not granted", truncate(grant, 100))));
        };
        if access == Access::ReadWrite && found.access == Access::ReadOnly {
            return Err(denied(format!("directory {grant} is granted for reading only")));
        }
        if let Some(path) = path {
            check_path(path)?;
        }
        Ok(found.dir.clone())
    }
}

/// Checks a path below a grant. The names of the host at its top are not the plugin's.
fn check_path(path: &str) -> Result<(), Error> {
    check_relative(path).map_err(|error| denied(error.to_string()))?;
    if path.starts_with(RESERVED_NAMES) {
        return Err(denied(format!("names that begin with {RESERVED_NAMES} belong to the host")));
    }
    // Before anything else is looked up, so that every operation answers the same.
    if path.split('/').any(|part| part.len() > MAX_NAME) {
        let text = format!("{} has a name that the file system cannot hold", truncate(path, 300));
        return Err(wit_error::new(Code::DirsName, text));
    }
    Ok(())
}

/// Runs file operations on tokio's blocking pool.
pub(super) async fn run_blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> wasmtime::Result<Result<T, Error>> {
    Ok(tokio::task::spawn_blocking(operation).await?)
}

/// Returns whether nothing has that name. A path through a file leads to nothing as well.
fn is_absent(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns a failed file operation for the plugin.
pub(super) fn io_error(path: &str, error: &io::Error) -> Error {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    let kind = error.kind();
    let (code, what) = if is_absent(kind) {
        (Code::DirsNotFound, "does not exist")
    } else if kind == io::ErrorKind::AlreadyExists {
        (Code::DirsExists, "exists already")
    } else if full.contains(&kind) {
        (Code::NoSpace, "does not fit: the file system is full")
    } else if kind == io::ErrorKind::ReadOnlyFilesystem {
        (Code::ReadOnly, "cannot be changed: the file system is mounted read-only")
    } else if kind == io::ErrorKind::IsADirectory {
        (Code::DirsIsDirectory, "is a directory")
    } else if kind == io::ErrorKind::DirectoryNotEmpty {
        (Code::DirsNotEmpty, "is not empty")
    } else if kind == io::ErrorKind::InvalidFilename {
        (Code::DirsName, "has a name that the file system cannot hold")
    } else if kind == io::ErrorKind::PermissionDenied {
        // cap-std returns this for a path that leads out of the directory.
        (Code::Denied, "is outside of its grant or not permitted")
    } else {
        return wit_error::new(Code::DirsIo, format!("{path}: {error}"));
    };
    wit_error::new(code, format!("{path} {what}"))
}

fn entry(name: &str, metadata: &Metadata) -> Entry {
    let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    Entry {
        name: name.to_owned(),
        is_directory: metadata.is_dir(),
        size: if metadata.is_dir() { 0 } else { metadata.len() },
        allocated: metadata.blocks().saturating_mul(512),
        modified_ms: since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns a page of the names after `resume`. Files that vanish meanwhile are left out, like names
/// that are not UTF-8, which no plugin created.
fn list(dir: &Dir, path: &str, resume: Option<&str>, max: u32) -> io::Result<Listing> {
    let page = usize::try_from(max.clamp(1, MAX_PAGE)).map_err(io::Error::other)?;
    let folder = if path.is_empty() { dir.try_clone()? } else { dir.open_dir(path)? };
    let mut names = Vec::new();
    for found in folder.entries()? {
        let Ok(name) = found?.file_name().into_string() else { continue };
        if path.is_empty() && name.starts_with(RESERVED_NAMES) {
            continue;
        }
        if resume.is_none_or(|after| name.as_str() > after) {
            names.push(name);
        }
        if names.len() > MAX_NAMES {
            return Err(io::Error::other(format!("the directory has more than {MAX_NAMES} names")));
        }
    }
    names.sort_unstable();
    let more = names.len() > page;
    names.truncate(page);
    let resume = if more { names.last().cloned() } else { None };
    let mut entries = Vec::with_capacity(names.len());
    for name in &names {
        match folder.symlink_metadata(name) {
            Ok(metadata) => entries.push(entry(name, &metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Listing { entries, resume })
}

/// Opens the folder of a path below the grant.
fn parent(dir: &Dir, path: &str) -> io::Result<Dir> {
    match path.rsplit_once('/') {
        Some((folder, _)) => dir.open_dir(folder),
        None => dir.try_clone(),
    }
}

/// Syncs a directory. The handles of cap-std only name it (`O_PATH`); syncing needs one that is
/// open for reading.
fn sync_dir(dir: &Dir) -> io::Result<()> {
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(dir.as_fd(), ".", open, Mode::empty())?;
    Ok(rustix::fs::fsync(readable)?)
}

impl dirs::Host for State {
    async fn stat(&mut self, grant: String, path: String) -> wasmtime::Result<Result<Entry, Error>> {
        let dir = match self.dir(&grant, Some(&path), Access::ReadOnly) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        run_blocking(move || {
            let metadata = dir.metadata(&path).map_err(|error| io_error(&path, &error))?;
            Ok(entry(base_name(&path), &metadata))
        })
        .await
    }

    async fn list(
        &mut self,
        grant: String,
        path: String,
        resume: Option<String>,
        max: u32,
    ) -> wasmtime::Result<Result<Listing, Error>> {
        let checked = if path.is_empty() { None } else { Some(path.as_str()) };
        let dir = match self.dir(&grant, checked, Access::ReadOnly) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        let listed = run_blocking(move || {
            list(&dir, &path, resume.as_deref(), max).map_err(|error| io_error(&path, &error))
        })
        .await?;
        if let Ok(listing) = &listed {
            self.plugin
                .counters
                .count_to_plugin(listing.entries.iter().map(|entry| entry.name.len() + 40).sum());
        }
        Ok(listed)
    }

    async fn create_directory(&mut self, grant: String, path: String) -> wasmtime::Result<Result<(), Error>> {
        let dir = match self.dir(&grant, Some(&path), Access::ReadWrite) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        run_blocking(move || {
            let made = dir.create_dir(&path).and_then(|()| sync_dir(&parent(&dir, &path)?));
            match made {
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && dir.metadata(&path).is_ok_and(|metadata| metadata.is_dir()) =>
                {
                    Ok(())
                }
                other => other.map_err(|error| io_error(&path, &error)),
            }
        })
        .await
    }

    async fn remove_file(&mut self, grant: String, path: String) -> wasmtime::Result<Result<(), Error>> {
        let dir = match self.dir(&grant, Some(&path), Access::ReadWrite) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        run_blocking(move || match dir.remove_file(&path) {
            Ok(()) => parent(&dir, &path)
                .and_then(|folder| sync_dir(&folder))
                .map_err(|error| io_error(&path, &error)),
            Err(error) if is_absent(error.kind()) => Ok(()),
            Err(error) => Err(io_error(&path, &error)),
        })
        .await
    }

    async fn remove_directory(&mut self, grant: String, path: String) -> wasmtime::Result<Result<(), Error>> {
        let dir = match self.dir(&grant, Some(&path), Access::ReadWrite) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        run_blocking(move || match dir.remove_dir(&path) {
            Ok(()) => parent(&dir, &path)
                .and_then(|folder| sync_dir(&folder))
                .map_err(|error| io_error(&path, &error)),
            // A file has the name: that is no directory, and is not removed.
            Err(error) if is_absent(error.kind()) && dir.symlink_metadata(&path).is_err() => Ok(()),
            Err(error) => Err(io_error(&path, &error)),
        })
        .await
    }

    async fn publish(
        &mut self,
        grant: String,
        temporary: String,
        final_: String,
        replace: bool,
    ) -> wasmtime::Result<Result<(), Error>> {
        let target = final_;
        let dir = match self.dir(&grant, Some(&temporary), Access::ReadWrite) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Err(refused) = check_path(&target) {
            return Ok(Err(refused));
        }
        run_blocking(move || {
            let existing = if replace { Existing::Replace } else { Existing::Keep };
            let source = dir.symlink_metadata(&temporary).map_err(|error| io_error(&temporary, &error))?;
            if !source.is_file() {
                // A finished file is what becomes visible: a folder or a link is none.
                return Err(io_error(&temporary, &io::ErrorKind::NotFound.into()));
            }
            // The system's own answer depends on where the folder is.
            if replace && dir.symlink_metadata(&target).is_ok_and(|found| found.is_dir()) {
                return Err(io_error(&target, &io::ErrorKind::IsADirectory.into()));
            }
            durable::publish(&dir, &temporary, &target, existing, Durability::Synced)
                .map_err(|error| io_error(&target, &error))
        })
        .await
    }

    async fn space(&mut self, grant: String) -> wasmtime::Result<Result<Room, Error>> {
        let dir = match self.dir(&grant, None, Access::ReadOnly) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        run_blocking(move || {
            let stats = rustix::fs::fstatvfs(dir.as_fd()).map_err(|error| io_error(".", &error.into()))?;
            let bytes = |blocks: u64| blocks.saturating_mul(stats.f_frsize);
            Ok(Room { total: bytes(stats.f_blocks), available: bytes(stats.f_bavail) })
        })
        .await
    }

    async fn mount(&mut self, grant: String) -> wasmtime::Result<Result<Mounted, Error>> {
        let dir = match self.dir(&grant, None, Access::ReadOnly) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        run_blocking(move || mounted::of(dir.as_fd()).map_err(|error| io_error(".", &error))).await
    }
}

#[cfg(test)]
mod tests;
