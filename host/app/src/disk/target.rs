//! The file that `convert` makes: without a name until it is complete and durable, or under a
//! temporary name on file systems where files need one.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use imprint_data_path::{EngineError, FileSink, FileSource, image_lock, sha256};
use imprint_ports::{
    BlockSink,
    durable::{self, Durability, Existing},
};

use super::{failure::Failure, source};
use crate::terminal::printable;

/// The most symbolic links that are followed one behind the other, as in Linux.
const MAX_LINKS: usize = 40;

/// Checks that the target is not one of the files that are read, by whatever name.
///
/// # Errors
///
/// The target is the source, or a file that `--with` grants.
pub(super) fn not_a_source(found: &Metadata, sources: &[(u64, u64)], shown: &str) -> Result<(), Failure> {
    let text = match sources.iter().position(|source| *source == source::identity(found)) {
        None => return Ok(()),
        Some(0) => format!("{shown} is the source; write to another file"),
        Some(_) => format!("{shown} is one of the files that are read (--with); write to another file"),
    };
    Err(Failure::usage("invalid.target", text))
}

/// Checks that no guest uses the file, be it as a layer below its disk.
///
/// # Errors
///
/// A guest uses it.
pub(super) fn not_in_use(file: &File, shown: &str) -> Result<(), Failure> {
    match image_lock::is_in_use(file) {
        Ok(false) => Ok(()),
        Ok(true) => {
            let text =
                format!("{shown} is in use by a running machine; shut it down, or write to another file");
            Err(Failure::failed("io.in-use", text))
        }
        Err(error) => {
            tracing::debug!(%error, shown, "the locks of a file cannot be read");
            Ok(())
        }
    }
}

/// Returns the path that a chain of symbolic links leads to; the last one need not exist.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&path) {
            Ok(to) => path = path.parent().map_or_else(|| to.clone(), |folder| folder.join(&to)),
            // It is no link, or there is nothing.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "its symbolic links lead in a circle"))
}

/// Whether new files in a folder would be in the place of devices: a mistyped name of one would
/// become a file in memory.
fn is_of_devices(folder: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    let is_below = folder.canonicalize().is_ok_and(|folder| folder.starts_with("/dev"));
    is_below && device(folder).is_some() && device(folder) == device(Path::new("/dev"))
}

/// A file that is being written. Unless it is published, it is removed.
pub(super) struct Target {
    dir: Arc<Dir>,
    name: String,
    /// The name until it is published, where it needs one.
    temporary: String,
    existing: Existing,
    /// The path as it was given, printable.
    shown: String,
    file: OnceLock<NewFile>,
}

/// The open file.
struct NewFile {
    file: File,
    /// Whether it has the temporary name.
    named: bool,
}

impl Target {
    /// Chooses the directory and name of the file. `sources` are the device and inode of the files
    /// that are read.
    ///
    /// # Errors
    ///
    /// The file exists (without `force`), is a source or no regular file, or its directory cannot
    /// be opened.
    pub(super) fn new(path: &Path, force: bool, sources: &[(u64, u64)]) -> Result<Self, Failure> {
        let shown = printable(&path.to_string_lossy());
        // A link stands for what it leads to.
        let path = &followed(path)
            .map_err(|source| Failure::engine(&shown, &EngineError::Open { path: shown.clone(), source }))?;
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            let text = format!("{shown} is not the name of a file in UTF-8");
            return Err(Failure::usage("invalid.target", text));
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let failed = |source| {
            Failure::engine(&shown, &EngineError::Open { path: printable(&folder.to_string_lossy()), source })
        };
        let dir = Dir::open_ambient_dir(folder, ambient_authority()).map_err(failed)?;
        if is_of_devices(folder) && std::fs::metadata(path).is_err() {
            let text =
                format!("there is no device {shown}; check its name, or write to a file in another folder");
            return Err(Failure::usage("invalid.target", text));
        }
        if let Ok(found) = std::fs::metadata(path) {
            not_a_source(&found, sources, &shown)?;
            if !found.is_file() && !found.is_dir() {
                let text = format!(
                    "{shown} is neither a file nor a block device; write to another file, or pipe with `-`"
                );
                return Err(Failure::usage("invalid.target", text));
            }
        }
        match dir.symlink_metadata(name) {
            Ok(found) if found.is_dir() => {
                let text = format!("{shown} is a folder; name the file to write");
                return Err(Failure::usage("invalid.target", text));
            }
            Ok(_) if !force => {
                let text = format!("{shown} exists; choose another name, or replace it with --force");
                return Err(Failure::failed("io.already-exists", text));
            }
            Ok(_) => {
                // What cannot be read cannot be in use by a machine of this user.
                if let Ok(file) = File::open(path) {
                    not_in_use(&file, &shown)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Such as a name that is too long: better now than after the conversion.
            Err(error) => return Err(failed(error)),
        }
        let existing = if force { Existing::Replace } else { Existing::Keep };
        let temporary = format!(".imprint-{}-{:08x}.tmp", std::process::id(), rand::random::<u32>());
        Ok(Self {
            dir: Arc::new(dir),
            name: name.to_owned(),
            temporary,
            existing,
            shown,
            file: OnceLock::new(),
        })
    }

    /// Returns the path as it was given, printable.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Makes the file, with permissions according to the umask.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    pub(super) fn sink(&self) -> Result<Arc<dyn BlockSink>, EngineError> {
        let unnamed = durable::create_unnamed(&self.dir)
            .map_err(|source| EngineError::write_open(&self.shown, source))?;
        self.sink_over(unnamed)
    }

    /// Writes to `unnamed`, or to a new file with the temporary name.
    fn sink_over(&self, unnamed: Option<File>) -> Result<Arc<dyn BlockSink>, EngineError> {
        let made = match unnamed {
            Some(file) => NewFile { file, named: false },
            None => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true);
                let file = self.dir.open_with(&self.temporary, &options);
                let file = file.map_err(|source| EngineError::write_open(&self.shown, source))?;
                NewFile { file: file.into_std(), named: true }
            }
        };
        self.file.get_or_init(|| made);
        Ok(Arc::new(FileSink::from_file(self.handle()?, &self.shown)?))
    }

    /// Returns the file that [`Self::sink`] made.
    fn handle(&self) -> Result<File, EngineError> {
        let file = self.file.get().map_or(Err(io::ErrorKind::NotFound.into()), |made| made.file.try_clone());
        file.map_err(|source| EngineError::write_open(&self.shown, source))
    }

    /// Reads the file and returns its SHA-256 in hex.
    ///
    /// # Errors
    ///
    /// Reading the file fails.
    pub(super) async fn sha256(&self) -> Result<String, EngineError> {
        sha256(Arc::new(FileSource::from_file(self.handle()?, &self.shown)?)).await
    }

    /// Gives the file its name.
    ///
    /// # Errors
    ///
    /// The file cannot be synced or renamed, or its name is taken by now.
    pub(super) async fn publish(mut self, durability: Durability) -> Result<(), EngineError> {
        let (dir, temporary, name) = (self.dir.clone(), self.temporary.clone(), self.name.clone());
        let existing = self.existing;
        let (file, named) = (self.handle()?, self.is_named());
        let publishing = tokio::task::spawn_blocking(move || {
            if named {
                return durable::publish(&dir, &temporary, &name, existing, durability);
            }
            durable::publish_unnamed(&dir, &file, &temporary, &name, existing, durability)
        });
        let published = publishing.await.map_err(|_| EngineError::WorkerLost)?;
        published.map_err(|source| EngineError::write_open(&self.shown, source))?;
        // There is nothing to remove any more.
        self.file.take();
        Ok(())
    }

    /// Returns whether there is a file with the temporary name.
    fn is_named(&self) -> bool {
        self.file.get().is_some_and(|file| file.named)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.is_named()
            && let Err(error) = durable::remove(&self.dir, &self.temporary)
        {
            let error = EngineError::write_open(&self.temporary, error).report();
            tracing::error!(file = self.temporary, error, "a temporary file cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    type Sink = fn(&Target) -> Result<Arc<dyn BlockSink>, EngineError>;

    /// On this file system, and as on one where every file needs a name.
    const SINKS: [Sink; 2] = [Target::sink, |target| target.sink_over(None)];

    #[tokio::test]
    async fn the_file_is_complete_or_not_there() {
        for sink in SINKS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("new");
            let target = Target::new(&path, false, &[]).unwrap();
            let bytes = sink(&target).unwrap();
            bytes.write_all_at(b"half", 0).unwrap();
            drop(target);
            assert_eq!(entries(folder.path()), Vec::<String>::new());

            let target = Target::new(&path, false, &[]).unwrap();
            let bytes = sink(&target).unwrap();
            bytes.write_all_at(b"all", 0).unwrap();
            bytes.set_size(3).unwrap();
            target.publish(Durability::Synced).await.unwrap();
            assert_eq!(entries(folder.path()), ["new"]);
            assert_eq!(std::fs::read(&path).unwrap(), b"all");
        }
    }

    #[tokio::test]
    async fn a_name_that_is_taken_meanwhile_stays() {
        for sink in SINKS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("new");
            let target = Target::new(&path, false, &[]).unwrap();
            sink(&target).unwrap().write_all_at(b"ours", 0).unwrap();
            std::fs::write(&path, b"theirs").unwrap();
            assert_eq!(target.publish(Durability::Synced).await.unwrap_err().code(), "io.already-exists");
            assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
            assert_eq!(entries(folder.path()), ["new"]);
            assert!(Target::new(&path, false, &[]).is_err());
            assert!(Target::new(&path, true, &[]).is_ok());
        }
    }
}
