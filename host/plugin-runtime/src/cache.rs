//! Compiled components on disk.
//!
//! Compiling takes a hundred milliseconds and more, loading compiled code takes a fraction of one.
//! Compiled code is run without further checks, so anyone who can change a file here controls the
//! process: the folder is 0700, and every file carries a keyed BLAKE3 tag over its name and bytes
//! that is checked before the code is used. A damaged or foreign file is a cache miss, never an
//! error. Each new version of a plugin leaves a file of the old one behind, so the oldest files are
//! removed when there are many; a file that is removed too early is compiled again.
//!
//! ```text
//! cache.key                       32 random bytes, 0600
//! <sha256>-<compatibility>.cwasm  32 bytes tag, then wasmtime's serialized component
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tracing::{debug, warn};
use wasmtime::{Engine, component::Component};

use crate::error::LoadError;

/// The length of a tag in bytes.
const TAG_LENGTH: usize = 32;
/// The largest file in bytes. Compiled code is three to four times the size of a component, and
/// components are bounded.
const MAX_FILE_SIZE: u64 = 512 << 20;
/// The files that are kept: those of the last few versions of all plugins of a host.
const MAX_FILES: usize = 128;
/// The age at which a temporary file is considered abandoned.
const ABANDONED_AFTER: Duration = Duration::from_hours(24);

/// The cache: a folder and the key of its tags.
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; 32],
}

impl Cache {
    /// Opens the folder, and creates it and its key when they do not exist.
    pub(crate) fn open(dir: &Path) -> Result<Self, LoadError> {
        let failed = |source| LoadError::Io { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(failed)?;
        let key = read_or_create_key(dir).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), key })
    }

    /// Returns the compiled form of a component, if it is cached and unchanged.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let name = file_name(engine, digest);
        let bytes = match read_bounded(&self.dir.join(&name)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(name, %error, "compiled plugin cannot be read and is compiled again");
                return None;
            }
        };
        let Some((tag, code)) = bytes.split_first_chunk::<TAG_LENGTH>() else {
            warn!(name, "compiled plugin is truncated and is compiled again");
            return None;
        };
        if self.tag(&name, code) != blake3::Hash::from_bytes(*tag) {
            warn!(name, "compiled plugin was changed on disk and is compiled again");
            return None;
        }
        match deserialize(engine, code) {
            Ok(component) => Some(component),
            Err(error) => {
                debug!(name, %error, "compiled plugin is for another engine and is compiled again");
                None
            }
        }
    }

    /// Stores the compiled form. A failure is logged, and costs the next start some time.
    #[expect(clippy::disallowed_methods, reason = "the age of a file is by the file system's clock")]
    pub(crate) fn store(&self, engine: &Engine, digest: &str, component: &Component) {
        let name = file_name(engine, digest);
        let stored = component
            .serialize()
            .map_err(|error| io::Error::other(error.to_string()))
            .and_then(|code| self.write(&name, &code));
        if let Err(error) = stored {
            warn!(name, %error, "compiled plugin cannot be stored and will be compiled again");
        }
        if let Err(error) = self.prune(MAX_FILES, SystemTime::now()) {
            warn!(%error, "old compiled plugins cannot be removed");
        }
    }

    fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let mut temporary = tempfile_in(&self.dir, name)?;
        let written = temporary
            .file
            .write_all(self.tag(name, code).as_bytes())
            .and_then(|()| temporary.file.write_all(code))
            .and_then(|()| temporary.file.sync_all())
            .and_then(|()| fs::rename(&temporary.path, self.dir.join(name)));
        if written.is_err() {
            // A temporary file that cannot be removed now is removed when it is abandoned.
            let _removed = fs::remove_file(&temporary.path);
        }
        written?;
        File::open(&self.dir)?.sync_all()
    }

    /// Removes all but the newest compiled files, and temporary files of killed processes.
    fn prune(&self, kept: usize, now: SystemTime) -> io::Result<()> {
        let mut compiled = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            // Another process may have removed it meanwhile.
            let Ok(modified) = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified()) else {
                continue;
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let temporary = name.starts_with('.') && (name.contains(".cwasm.") || name.contains(".key."));
            if path.extension().is_some_and(|extension| extension == "cwasm") {
                compiled.push((modified, path));
            } else if temporary && now.duration_since(modified).is_ok_and(|age| age > ABANDONED_AFTER) {
                remove(&path)?;
            }
        }
        compiled.sort_unstable();
        let surplus = compiled.len().saturating_sub(kept);
        compiled[..surplus].iter().try_for_each(|(_, path)| remove(path))
    }

    /// Returns the tag of a file. Comparing `blake3::Hash` values takes constant time.
    fn tag(&self, name: &str, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(name.as_bytes()).update(b"\n").update(code);
        hasher.finalize()
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[expect(unsafe_code, reason = "wasmtime trusts what it deserializes; the caller has checked the keyed tag")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` was written by this host: its tag was computed with the key that only this
    // user can read.
    unsafe { Component::deserialize(engine, code) }
}

fn file_name(engine: &Engine, digest: &str) -> String {
    let mut hasher = Compatibility(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{}.cwasm", &hasher.0.finalize().to_hex()[..16])
}

struct Compatibility(blake3::Hasher);

impl Hasher for Compatibility {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.finalize();
        u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

struct Temporary {
    file: File,
    path: PathBuf,
}

fn tempfile_in(dir: &Path, name: &str) -> io::Result<Temporary> {
    let path = dir.join(format!(".{name}.{:016x}", rand::random::<u64>()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok(Temporary { file, path })
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > MAX_FILE_SIZE {
        return Err(io::Error::other(format!("{size} bytes are more than a compiled plugin can have")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(io::Error::other)?);
    file.take(MAX_FILE_SIZE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the key, or creates one. A key of the wrong length is replaced: every file becomes a miss.
fn read_or_create_key(dir: &Path) -> io::Result<[u8; 32]> {
    let path = dir.join("cache.key");
    match fs::read(&path) {
        Ok(bytes) => {
            if let Ok(key) = bytes.try_into() {
                return Ok(key);
            }
            warn!("the key of the plugin cache has the wrong length and is replaced");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key: [u8; 32] = rand::random();
    let mut temporary = tempfile_in(dir, "cache.key")?;
    temporary.file.write_all(&key)?;
    temporary.file.sync_all()?;
    fs::rename(&temporary.path, &path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "tests hold no clock of their own, and run what they test in the background"
    )]
    fn the_oldest_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let now = SystemTime::now();
        for (name, hours) in [
            ("a.cwasm", 900),
            ("b.cwasm", 2),
            ("c.cwasm", 800),
            ("d.cwasm", 1),
            (".b.cwasm.0123456789abcdef", 25),
            (".d.cwasm.0123456789abcdef", 23),
            (".cache.key.0123456789abcdef", 30),
            (".unrelated", 5000),
        ] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(now - Duration::from_hours(hours)).unwrap();
        }
        cache.prune(3, now).unwrap();
        let left: BTreeSet<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected =
            [".unrelated", ".d.cwasm.0123456789abcdef", "b.cwasm", "c.cwasm", "cache.key", "d.cwasm"];
        assert_eq!(left, expected.map(str::to_owned).into());
        cache.prune(3, now).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), expected.len());
    }
}
