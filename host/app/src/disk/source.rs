//! Where an image's bytes come from: a file, a block device, standard input, an object behind HTTP,
//! an NBD export.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use imprint_data_path::{
    DeviceSource, EngineError, FileSource,
    http::{Authority, HttpOptions, HttpSource},
    nbd::{NbdClient, NbdOptions},
};
use imprint_ports::BlockSource;
use rustix::fs::{Mode, OFlags};

use super::{ReadArgs, failure::printable, spool, watch::Watch};

/// What an argument names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// Standard input or output.
    Pipe,
    /// An object behind HTTP.
    Http(String),
    /// An export of an NBD server on this machine.
    Nbd {
        /// The server's socket.
        socket: PathBuf,
        /// Its name; empty is the default one.
        export: String,
    },
    /// A file, or a block device.
    File(PathBuf),
}

impl Location {
    /// `-`, `http://...`, `nbd+unix:///EXPORT?socket=PATH` (the NBD project's URI specification),
    /// or a path. A file whose name looks like one of these is named with `./` in front.
    pub(super) fn of(argument: &Path) -> Self {
        let Some(text) = argument.to_str() else { return Self::File(argument.to_owned()) };
        if text == spool::PIPE {
            return Self::Pipe;
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Self::Http(text.to_owned());
        }
        let export = text.strip_prefix("nbd+unix:///").and_then(|rest| rest.split_once("?socket="));
        match export {
            Some((export, socket)) => Self::Nbd { socket: PathBuf::from(socket), export: export.to_owned() },
            None => Self::File(argument.to_owned()),
        }
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Pipe => spool::STDIN.to_owned(),
            Self::Http(url) => printable(url),
            Self::Nbd { socket, export } => {
                printable(&format!("export '{export}' of {}", socket.to_string_lossy()))
            }
            Self::File(path) => printable(&path.to_string_lossy()),
        }
    }

    /// What its ending may tell the format by.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Pipe | Self::Nbd { .. } => None,
            Self::Http(url) => Some(Path::new(url.split(['?', '#']).next().unwrap_or_default())),
            Self::File(path) => Some(path),
        }
    }

    /// NBD options for this export, whose calls end when the command is cancelled.
    pub(super) fn nbd(socket: &Path, export: &str, watch: &Watch) -> NbdOptions {
        NbdOptions { cancel: watch.options().cancel, ..NbdOptions::new(socket, export) }
    }
}

/// An open source, with what the system says of it.
pub(super) struct Opened {
    pub(super) source: Arc<dyn BlockSource>,
    /// What finds a file or a device again under another name.
    pub(super) file: Option<(u64, u64)>,
    /// Bytes that a file occupies.
    pub(super) allocated: Option<u64>,
}

/// Opens what the argument names. Nothing that an image says is ever opened this way.
pub(super) async fn open(location: &Location, read: &ReadArgs, watch: &Watch) -> Result<Opened, EngineError> {
    let shown = location.shown();
    let failed = |source| EngineError::Open { path: shown.clone(), source };
    let file = match location {
        Location::Pipe => spool::standard_input(read.spool_dir.as_deref(), watch).await?,
        Location::File(path) => open_file(path).map_err(failed)?,
        Location::Http(url) => {
            // Whoever types an address may reach it by other means, too.
            let authorities = match &read.ca_file {
                Some(path) => authorities(path)?,
                None => Vec::new(),
            };
            let options = HttpOptions { url: url.clone(), private_networks: true, authorities };
            return remote(&shown, watch, move || Ok(HttpSource::open(&options)?)).await;
        }
        Location::Nbd { socket, export } => {
            let options = Location::nbd(socket, export, watch);
            return remote(&shown, watch, move || Ok(NbdClient::connect(&options)?)).await;
        }
    };
    let metadata = file.metadata().map_err(failed)?;
    let (source, allocated): (Arc<dyn BlockSource>, _) = match metadata.file_type().is_block_device() {
        true => (Arc::new(DeviceSource::from_file(file, &shown)?), None),
        false => {
            (Arc::new(FileSource::from_file(file, &shown)?), Some(metadata.blocks().saturating_mul(512)))
        }
    };
    Ok(Opened { source, file: Some(identity(&metadata)), allocated })
}

/// Device and inode of a file. Of a block device its number, by whichever node it was opened; no
/// file system has the number 0.
pub(super) fn identity(metadata: &Metadata) -> (u64, u64) {
    match metadata.file_type().is_block_device() {
        true => (0, metadata.rdev()),
        false => (metadata.dev(), metadata.ino()),
    }
}

/// The certificates of a file that the user trusts.
fn authorities(path: &Path) -> Result<Vec<Authority>, EngineError> {
    let shown = printable(&path.to_string_lossy());
    let failed = |source| EngineError::Open { path: shown.clone(), source };
    let mut pem = Vec::new();
    // One byte more than is taken, so that a longer file is refused and not cut off.
    let most = Authority::MAX_PEM + 1;
    open_file(path).and_then(|file| file.take(most).read_to_end(&mut pem)).map_err(failed)?;
    Authority::of_pem(&pem, &shown).map_err(|error| failed(error.into()))
}

/// Connects on a thread that may wait.
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

/// Never waits, whatever is there: a FIFO without a writer would be waited for.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_files_unless_they_are_addresses() {
        let of = |text: &str| Location::of(Path::new(text));
        assert_eq!(of("-"), Location::Pipe);
        assert_eq!(of("./-"), Location::File("./-".into()));
        assert_eq!(of("http://h/a.qcow2?x=1"), Location::Http("http://h/a.qcow2?x=1".into()));
        assert_eq!(of("http://h/a.qcow2?x=1").path(), Some(Path::new("http://h/a.qcow2")));
        let nbd = Location::Nbd { socket: "/run/s".into(), export: "disk".into() };
        assert_eq!(of("nbd+unix:///disk?socket=/run/s"), nbd);
        assert_eq!(of("nbd.raw"), Location::File("nbd.raw".into()));
    }
}
