//! The file that a command makes: without a name until it is whole and durable, or under a
//! temporary one where files need a name.

use std::{
    fs::{File, Metadata},
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use imprint_data_path::{EngineError, FileSink, FileSource, sha256};
use imprint_ports::{
    BlockSink,
    durable::{self, Durability, Existing},
};

use super::{
    failure::{Failure, printable},
    source,
};

/// What is read must not be written.
pub(super) fn not_a_source(found: &Metadata, sources: &[(u64, u64)], shown: &str) -> Result<(), Failure> {
    match sources.contains(&source::identity(found)) {
        true => {
            Err(Failure::usage("invalid.target", format!("{shown} is the source; write to another file")))
        }
        false => Ok(()),
    }
}

/// A file in the making. Unless it is published, nothing of it stays.
pub(super) struct Target {
    dir: Arc<Dir>,
    name: String,
    /// Where the file system wants one, or where it takes another's place.
    temporary: String,
    existing: Existing,
    /// The path as it was given, for people.
    shown: String,
    making: OnceLock<Making>,
}

/// What is being written to.
struct Making {
    file: File,
    /// It has the temporary name.
    named: bool,
}

impl Target {
    /// Decides where the file goes. `sources` are the device and inode of what is read.
    pub(super) fn new(path: &Path, force: bool, sources: &[(u64, u64)]) -> Result<Self, Failure> {
        let shown = printable(&path.to_string_lossy());
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            let text = format!("{shown} is no name of a file; name the file to write, in UTF-8");
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
        // Through a symlink, too, it would be the source that is meant.
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
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Such as a name that is too long: better now than after all the work.
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
            making: OnceLock::new(),
        })
    }

    /// The path as it was given, for people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Makes the file, with the permissions that the user's umask leaves.
    pub(super) fn sink(&self) -> Result<Arc<dyn BlockSink>, EngineError> {
        let unnamed = durable::create_unnamed(&self.dir)
            .map_err(|source| EngineError::write_open(&self.shown, source))?;
        self.sink_over(unnamed)
    }

    /// Over this file, or over a new one with the temporary name.
    fn sink_over(&self, unnamed: Option<File>) -> Result<Arc<dyn BlockSink>, EngineError> {
        let made = match unnamed {
            Some(file) => Making { file, named: false },
            None => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true);
                let file = self.dir.open_with(&self.temporary, &options);
                let file = file.map_err(|source| EngineError::write_open(&self.shown, source))?;
                Making { file: file.into_std(), named: true }
            }
        };
        self.making.get_or_init(|| made);
        Ok(Arc::new(FileSink::from_file(self.file()?, &self.shown)?))
    }

    /// The file that [`Self::sink`] made.
    fn file(&self) -> Result<File, EngineError> {
        let file =
            self.making.get().map_or(Err(io::ErrorKind::NotFound.into()), |made| made.file.try_clone());
        file.map_err(|source| EngineError::write_open(&self.shown, source))
    }

    /// SHA-256 of the file as it is now, in hex: read again.
    pub(super) async fn sha256(&self) -> Result<String, EngineError> {
        sha256(Arc::new(FileSource::from_file(self.file()?, &self.shown)?)).await
    }

    /// Gives the file its name.
    pub(super) async fn publish(mut self, durability: Durability) -> Result<(), EngineError> {
        let (dir, temporary, name) = (self.dir.clone(), self.temporary.clone(), self.name.clone());
        let existing = self.existing;
        let (file, named) = (self.file()?, self.is_named());
        let publishing = tokio::task::spawn_blocking(move || match named {
            true => durable::publish(&dir, &temporary, &name, existing, durability),
            false => durable::publish_unnamed(&dir, &file, &temporary, &name, existing, durability),
        });
        let published = publishing.await.map_err(|_| EngineError::WorkerLost)?;
        published.map_err(|source| EngineError::write_open(&self.shown, source))?;
        // Nothing is left to remove.
        self.making.take();
        Ok(())
    }

    /// Whether there is a file with the temporary name.
    fn is_named(&self) -> bool {
        self.making.get().is_some_and(|making| making.named)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.is_named()
            && let Err(error) = durable::remove(&self.dir, &self.temporary)
        {
            let error = EngineError::write_open(&self.temporary, error).report();
            tracing::error!(file = self.temporary, error, "a temporary file is left behind");
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

    /// As the file system has it, and as on one where every file needs a name.
    const SINKS: [Sink; 2] = [Target::sink, |target| target.sink_over(None)];

    #[tokio::test]
    async fn it_is_whole_or_not_there() {
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
