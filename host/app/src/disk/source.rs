//! The sources of images: a file, a block device, standard input, an object behind HTTP, an NBD
//! export.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use imprint_data_path::{
    DeviceSource, EngineError, FileSource,
    image_lock::{LockError, ReadLock},
    nbd::{NbdClient, NbdOptions},
};
use imprint_http_client::{Authority, HttpOptions, HttpSource, PrivateNetworks, Retries, shown_url};
use imprint_ports::BlockSource;
use rustix::fs::{Mode, OFlags};

use super::{args::ReadArgs, failure::Failure, spool, watch::Watch};
use crate::{authorities, terminal::printable};

/// The location that an argument names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// Standard input or output.
    Pipe,
    /// The URL of an object behind HTTP.
    Http(String),
    /// An export of an NBD server on this machine.
    Nbd {
        /// The path of the server's socket.
        socket: PathBuf,
        /// The name of the export; empty for the default one.
        export: String,
    },
    /// A file, or a block device.
    File(PathBuf),
}

impl Location {
    /// Parses `-`, `http://...`, `nbd+unix:///EXPORT?socket=PATH` (the NBD project's URI
    /// specification), or a path. Schemes have no case. A file whose name looks like one of these
    /// is named with `./` in front.
    ///
    /// # Errors
    ///
    /// An address of another kind.
    pub(super) fn of(argument: &Path) -> Result<Self, Failure> {
        let Some(text) = argument.to_str() else { return Ok(Self::File(argument.to_owned())) };
        if text == spool::PIPE {
            return Ok(Self::Pipe);
        }
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return Ok(Self::File(argument.to_owned()));
        };
        match scheme.to_ascii_lowercase().as_str() {
            known @ ("http" | "https") => Ok(Self::Http(format!("{known}://{rest}"))),
            "nbd+unix" => match rest.strip_prefix('/').and_then(|rest| rest.split_once("?socket=")) {
                Some((export, socket)) => {
                    Ok(Self::Nbd { socket: PathBuf::from(socket), export: export.to_owned() })
                }
                None => Err(Failure::usage(
                    "invalid.source",
                    "write an export of an NBD server as nbd+unix:///EXPORT?socket=PATH",
                )),
            },
            other => Err(unknown_scheme(other, rest, text)),
        }
    }

    /// Returns the location for messages, printable.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Pipe => spool::STDIN.to_owned(),
            // Passwords and signatures are not for logs and reports.
            Self::Http(url) => printable(&shown_url(url)),
            Self::Nbd { socket, export } => {
                printable(&format!("export '{export}' of {}", socket.to_string_lossy()))
            }
            Self::File(path) => printable(&path.to_string_lossy()),
        }
    }

    /// Returns the path whose extension can declare the format.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Pipe | Self::Nbd { .. } => None,
            Self::Http(url) => {
                let address = url.split(['?', '#']).next().unwrap_or_default();
                let (_, rest) = address.split_once("://").unwrap_or_default();
                rest.find('/').map(|start| Path::new(&rest[start..]))
            }
            Self::File(path) => Some(path),
        }
    }

    /// Returns NBD options for an export. Calls end when the command is cancelled.
    pub(super) fn nbd(socket: &Path, export: &str, watch: &Watch) -> NbdOptions {
        NbdOptions { cancel: watch.options().cancel, ..NbdOptions::new(socket, export) }
    }
}

/// An open source and its metadata.
pub(super) struct Opened {
    /// The bytes.
    pub(super) source: Arc<dyn BlockSource>,
    /// The identity of a file or device, the same under every name.
    pub(super) file: Option<(u64, u64)>,
    /// The number of bytes that a file occupies.
    pub(super) allocated: Option<u64>,
}

/// Opens the location. Only for arguments: names inside images are never opened this way.
///
/// # Errors
///
/// The file cannot be opened, a guest writes to it, or the server refuses or does not answer.
pub(super) async fn open(location: &Location, read: &ReadArgs, watch: &Watch) -> Result<Opened, Failure> {
    let shown = location.shown();
    let opened = match location {
        Location::Pipe => {
            spool::standard_input(read.spool_dir.as_deref(), watch).await.and_then(|file| local(file, &shown))
        }
        Location::File(path) => match open_file(path) {
            Ok(file) => {
                check_kind(&file, path, &shown)?;
                lock(&file, &shown)?;
                local(file, &shown)
            }
            Err(source) => Err(EngineError::Open { path: shown.clone(), source }),
        },
        Location::Http(url) => web(url, &shown, read, watch).await,
        Location::Nbd { socket, export } => {
            let options = Location::nbd(socket, export, watch);
            remote(&shown, watch, move || Ok(NbdClient::connect(&options)?)).await
        }
    };
    opened.map_err(|error| Failure::engine(&shown, &error))
}

async fn web(url: &str, shown: &str, read: &ReadArgs, watch: &Watch) -> Result<Opened, EngineError> {
    let authorities = match &read.ca_file {
        Some(path) => authorities(path)?,
        None => Vec::new(),
    };
    let cancel = watch.options().cancel;
    let retries = Retries { is_over: Arc::new(move || cancel.is_cancelled()), ..Retries::default() };
    // The user who types an address could reach it by other means, too.
    let options = HttpOptions {
        url: url.to_owned(),
        private_networks: PrivateNetworks::All,
        authorities,
        retries,
        ..HttpOptions::default()
    };
    remote(shown, watch, move || Ok(HttpSource::open(&options)?)).await
}

/// Returns an open file or device as a source.
fn local(file: File, shown: &str) -> Result<Opened, EngineError> {
    let failed = |source| EngineError::Open { path: shown.to_owned(), source };
    let metadata = file.metadata().map_err(failed)?;
    let (source, allocated): (Arc<dyn BlockSource>, _) = if metadata.file_type().is_block_device() {
        (Arc::new(DeviceSource::from_file(file, shown)?), None)
    } else {
        (Arc::new(FileSource::from_file(file, shown)?), Some(metadata.blocks().saturating_mul(512)))
    };
    Ok(Opened { source, file: Some(identity(&metadata)), allocated })
}

/// Refuses what can only be read forward: that is what standard input is for.
fn check_kind(file: &File, path: &Path, shown: &str) -> Result<(), Failure> {
    let Ok(metadata) = file.metadata() else { return Ok(()) };
    let kind = metadata.file_type();
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() {
        let is_input = path == Path::new("/dev/stdin") || path == Path::new("/dev/fd/0");
        let text = if is_input {
            format!("write `-` for standard input, instead of {shown}")
        } else {
            format!("{shown} can only be read forward; give it as standard input: `-` with `< {shown}`")
        };
        return Err(Failure::usage("invalid.source", text));
    }
    Ok(())
}

/// Locks a file against writers, as QEMU's own tools do, for as long as it is open.
fn lock(file: &File, shown: &str) -> Result<(), Failure> {
    match file.try_clone().map_err(LockError::Io).and_then(ReadLock::of) {
        Ok(_) => Ok(()),
        Err(LockError::InUse) => {
            let text = format!(
                "a running machine has {shown} open for writing; shut it down, or take a snapshot and read what is \
                 below it"
            );
            Err(Failure::failed("io.in-use", text))
        }
        Err(LockError::Io(error)) => {
            tracing::debug!(%error, shown, "the locks of a file cannot be read");
            Ok(())
        }
    }
}

/// Whether a text in front of `://` is the name of a scheme (RFC 3986, 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn unknown_scheme(scheme: &str, rest: &str, text: &str) -> Failure {
    let advice = match scheme {
        "file" => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            format!("name the file by its path: {}", printable(path))
        }
        "nbd" => "only servers on this machine are read: nbd+unix:///EXPORT?socket=PATH".to_owned(),
        "s3" | "swift" | "gs" => {
            "give an https:// address of the object (signed, where it is not public), or pipe it in with `-`"
                .to_owned()
        }
        _ => "give a path, `-` (standard input), http(s)://HOST/PATH or nbd+unix:///EXPORT?socket=PATH"
            .to_owned(),
    };
    let shown = printable(&shown_url(text));
    Failure::usage(
        "invalid.source",
        format!("{shown}: addresses with {scheme}:// are not understood; {advice}"),
    )
}

/// Returns device and inode of a file. A block device is identified by its number, whichever node
/// it was opened by; no file system has the number 0.
pub(super) fn identity(metadata: &Metadata) -> (u64, u64) {
    if metadata.file_type().is_block_device() {
        return (0, metadata.rdev());
    }
    (metadata.dev(), metadata.ino())
}

/// Reads the certificates of a file that the user trusts.
fn authorities(path: &Path) -> Result<Vec<Authority>, EngineError> {
    let shown = printable(&path.to_string_lossy());
    authorities::read(path, &shown).map_err(|source| EngineError::Open { path: shown, source })
}

/// Connects on a thread that may block.
async fn remote<S: BlockSource + 'static>(
    shown: &str,
    watch: &Watch,
    connect: impl FnOnce() -> io::Result<S> + Send + 'static,
) -> Result<Opened, EngineError> {
    let connecting = async {
        let connected = tokio::task::spawn_blocking(connect).await.map_err(|_| EngineError::WorkerLost)?;
        connected.map_err(|source| EngineError::Open { path: shown.to_owned(), source })
    };
    let source = watch.until(connecting).await?;
    Ok(Opened { source: Arc::new(source), file: None, allocated: None })
}

/// Opens a file without blocking: opening a FIFO would wait for its writer.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_files_unless_they_are_addresses() {
        let of = |text: &str| Location::of(Path::new(text)).ok().unwrap();
        assert_eq!(of("-"), Location::Pipe);
        assert_eq!(of("./-"), Location::File("./-".into()));
        assert_eq!(of("http://h/a.qcow2?x=1"), Location::Http("http://h/a.qcow2?x=1".into()));
        assert_eq!(of("http://h/a.qcow2?x=1").path(), Some(Path::new("/a.qcow2")));
        assert_eq!(of("http://user:pass.raw@h").path(), None);
        assert_eq!(of("HTTPS://h/A"), Location::Http("https://h/A".into()));
        assert_eq!(of("http://u:p@h/a?sig=x").shown(), "http://h/a?...");
        let nbd = Location::Nbd { socket: "/run/s".into(), export: "disk".into() };
        assert_eq!(of("nbd+unix:///disk?socket=/run/s"), nbd);
        assert_eq!(of("NBD+unix:///disk?socket=/run/s"), nbd);
        for file in ["nbd.raw", "./ftp://x", "a b://c", "://x", "1x://y"] {
            assert_eq!(of(file), Location::File(file.into()));
        }
        for other in ["ftp://h/x", "S3://bucket/x", "file:///x", "nbd://h/x", "nbd+unix:///x"] {
            assert!(Location::of(Path::new(other)).is_err(), "{other}");
        }
    }
}
