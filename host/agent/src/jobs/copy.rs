//! The data path as the agent uses it: opens disks, writes images and disks, and converts errors.

use std::{io, path::Path, sync::Arc};

use cap_std::{ambient_authority, fs::Dir};
use imprint_data_path::{
    ChainProblem, Disk, EngineError, FileSink, FileSource, Limits, OpenOptions, Progress, WriteOptions,
    Written,
    nbd::{NbdClient, NbdError, NbdOptions},
    write_image,
};
use imprint_domain::{
    image::Compression,
    task_error::{TaskError, TaskErrorCode},
};
use imprint_ports::{
    BlockSink, BlockSource, ByteRange, DiskFormat, ErrorClass, LocalFile, NbdSource as NbdLocator, PartLog,
    PortError, Props, ReadLocator, Segment, WriteTarget,
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::{JobError, StopReason},
    machine::Machine,
    sync::blocking,
};

/// The end of a copy that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Storage,
    Machine,
}

impl Place {
    /// Returns the code of an error that says that the place is full.
    const fn no_space(self) -> TaskErrorCode {
        match self {
            Self::Storage => TaskErrorCode::InsufficientStorage,
            Self::Machine => TaskErrorCode::HypervisorStorageFull,
        }
    }
}

/// Returns the job's error for a failure of the data path.
pub(crate) fn job_error(error: EngineError, destination: Place) -> JobError {
    match error {
        EngineError::Port(error) if error.class == ErrorClass::Cancelled => {
            JobError::Stopped(StopReason::Cancelled)
        }
        EngineError::Port(error) => error.into(),
        EngineError::NoSpace { .. } => JobError::failed(destination.no_space(), error.report()),
        // `Control::prefer_stop_reason` replaces it by the reason.
        EngineError::Cancelled => JobError::Stopped(StopReason::Cancelled),
        EngineError::Chain { problem: ChainProblem::Layer(ref inner), .. } => match port_error(inner) {
            Some(port) => JobError::reported(port, error.report()),
            None => reported(&error),
        },
        EngineError::Map(_)
        | EngineError::Scratch(_)
        | EngineError::Decode { .. }
        | EngineError::Read { .. }
        | EngineError::Write { .. }
        | EngineError::FileLimit { .. }
        | EngineError::TooSmall(_)
        | EngineError::Digest { .. }
        | EngineError::Open { .. }
        | EngineError::ExternalReference { .. }
        | EngineError::Chain { .. }
        | EngineError::AmbiguousContent { .. }
        | EngineError::Unsupported { .. }
        | EngineError::InvalidOption { .. }
        | EngineError::SourceChanged
        | EngineError::Mismatch
        | EngineError::Mover(_)
        | EngineError::OutOfOrder
        | EngineError::WorkerLost => reported(&error),
    }
}

fn reported(error: &EngineError) -> JobError {
    let transient = matches!(error.class(), ErrorClass::Transient);
    JobError::Failed(TaskError::reported(error.code(), transient, error.report()))
}

/// Returns the error of a port inside of an error about a layer, however deep the layer is.
fn port_error(mut error: &EngineError) -> Option<&PortError> {
    while let EngineError::Chain { problem: ChainProblem::Layer(inner), .. } = error {
        error = inner;
    }
    if let EngineError::Port(port) = error { Some(port) } else { None }
}

/// Returns a file in a folder of the agent.
pub(crate) fn local(folder: &Path, name: &str) -> Result<LocalFile, JobError> {
    let dir = Dir::open_ambient_dir(folder, ambient_authority())
        .map_err(|error| JobError::io("open the folder of the disk", &error))?;
    Ok(LocalFile { dir: Arc::new(dir), path: name.to_owned() })
}

/// Opens the disk in a file of the declared format, and returns it with the size of the file.
pub(crate) async fn open_file(
    format: &dyn DiskFormat,
    file: LocalFile,
) -> Result<(Arc<Disk>, u64), JobError> {
    let source = blocking(move || FileSource::open(&file.dir, &file.path)).await?;
    let source: Arc<dyn BlockSource> = Arc::new(source.map_err(|error| job_error(error, Place::Machine))?);
    let size = source.size();
    let disk = Disk::open(format, source, &OpenOptions::default()).await;
    Ok((Arc::new(disk.map_err(|error| job_error(error, Place::Machine))?), size))
}

/// Opens the file of an image where its storage locates it.
pub(crate) async fn open_locator(
    locator: ReadLocator,
    cancel: CancellationToken,
) -> Result<Arc<dyn BlockSource>, JobError> {
    let source = match locator {
        ReadLocator::File(file) => {
            let source = blocking(move || FileSource::open(&file.dir, &file.path)).await?;
            source.map(|source| -> Arc<dyn BlockSource> { Arc::new(source) })
        }
        ReadLocator::Remote(object) => object.open(cancel).await.map_err(EngineError::from),
    };
    source.map_err(|error| job_error(error, Place::Storage))
}

/// Opens the disk of an image, or the one inside an appliance (OVA), and returns it with the size
/// of its file.
pub(crate) async fn open_image(
    machine: &Machine,
    format: &dyn DiskFormat,
    locator: ReadLocator,
    cancel: CancellationToken,
) -> Result<(Arc<Disk>, u64), JobError> {
    let source = open_locator(locator, cancel).await?;
    let size = source.size();
    let options = OpenOptions { formats: machine.formats(), ..OpenOptions::default() };
    let disk = Disk::open(format, source, &options).await;
    Ok((Arc::new(disk.map_err(|error| job_error(error, Place::Storage))?), size))
}

/// Opens a file as the raw bytes that are stored.
pub(crate) async fn open_stored(
    locator: ReadLocator,
    cancel: CancellationToken,
) -> Result<Arc<Disk>, JobError> {
    let source = open_locator(locator, cancel).await?;
    blocking(move || Disk::from_raw(source, &Limits::default()))
        .await?
        .map(Arc::new)
        .map_err(|error| job_error(error, Place::Storage))
}

/// Opens the disk that a live export serves.
pub(crate) async fn open_export(
    locator: NbdLocator,
    cancel: CancellationToken,
) -> Result<Arc<Disk>, JobError> {
    blocking(move || {
        let options = NbdOptions { cancel, ..NbdOptions::for_capture(&locator) };
        let source = NbdClient::connect(&options).map_err(|error| {
            if matches!(error, NbdError::Cancelled) {
                return JobError::Stopped(StopReason::Cancelled);
            }
            JobError::Failed(TaskError::reported(error.code(), true, error))
        })?;
        Disk::from_raw(Arc::new(source), &Limits::default())
            .map(Arc::new)
            .map_err(|error| job_error(error, Place::Machine))
    })
    .await?
}

/// The destination of a new image or disk.
pub(crate) enum Target {
    /// An upload, and the parts of it that the storage has.
    Upload(WriteTarget, Option<Arc<dyn PartLog>>),
    Disk(LocalFile),
}

/// What is written, and how.
pub(crate) struct Request<'a> {
    pub(crate) disk: &'a Arc<Disk>,
    pub(crate) format: &'a dyn DiskFormat,
    pub(crate) target: Target,
    pub(crate) compression: Compression,
    /// The size of the new disk in bytes, where it is larger than the source.
    pub(crate) grow_to: Option<u64>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) cancel: CancellationToken,
}

/// Writes an image or a disk; its bytes are durable when this returns.
pub(crate) async fn write(request: Request<'_>) -> Result<Written, JobError> {
    let place = match request.target {
        Target::Upload(..) => Place::Storage,
        Target::Disk(_) => Place::Machine,
    };
    let (target, parts) = match request.target {
        Target::Upload(target, parts) => (target, parts),
        Target::Disk(file) => (WriteTarget::File(file), None),
    };
    let sink = open_sink(target, request.cancel.clone(), place, parts).await?;
    let options = WriteOptions {
        format_options: format_options(request.compression),
        grow_to: request.grow_to,
        cancel: request.cancel,
        progress: request.progress,
        ..WriteOptions::default()
    };
    write_image(request.disk, request.format, &sink, &options).await.map_err(|error| job_error(error, place))
}

/// Writes a disk to a sink that is open, with the options of the format.
pub(crate) async fn write_to(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Written, JobError> {
    let written = write_image(disk, format, sink, options).await;
    written.map_err(|error| job_error(error, Place::Storage))
}

/// Opens the target of an upload or a new disk for writing. Where `parts` says that the storage has
/// some of it, the upload goes on there.
pub(crate) async fn open_sink(
    target: WriteTarget,
    cancel: CancellationToken,
    place: Place,
    parts: Option<Arc<dyn PartLog>>,
) -> Result<Arc<dyn BlockSink>, JobError> {
    let sink = match target {
        WriteTarget::File(file) => {
            let kept: Vec<_> = parts.iter().flat_map(|parts| parts.known()).map(|part| part.range).collect();
            let sink = blocking(move || match kept.is_empty() {
                true => FileSink::create(&file.dir, &file.path),
                false => FileSink::resume(&file.dir, &file.path, kept),
            });
            sink.await?.map(|sink| -> Arc<dyn BlockSink> { Arc::new(sink) })
        }
        WriteTarget::Remote(upload) => upload.open(cancel, parts).await.map_err(EngineError::from),
    };
    sink.map_err(|error| job_error(error, place))
}

fn format_options(compression: Compression) -> Props {
    let name = match compression {
        Compression::None => return Props::new(),
        Compression::Zlib => "zlib",
        Compression::Zstd => "zstd",
    };
    Props::from([("compress".to_owned(), name.to_owned())])
}

/// Writes an empty image: a scratch file.
pub(crate) async fn write_empty(format: &dyn DiskFormat, file: LocalFile, size: u64) -> Result<(), JobError> {
    let disk = blocking(move || Disk::from_raw(Arc::new(Zeroes(size)), &Limits::default())).await?;
    let disk = Arc::new(disk.map_err(|error| job_error(error, Place::Machine))?);
    let request = Request {
        disk: &disk,
        format,
        target: Target::Disk(file),
        compression: Compression::None,
        grow_to: None,
        progress: Arc::default(),
        cancel: CancellationToken::new(),
    };
    write(request).await.map(|_| ())
}

/// An empty disk of that size.
struct Zeroes(u64);

impl BlockSource for Zeroes {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_exact_at(&self, buf: &mut [u8], _offset: u64) -> io::Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn segments(&self, range: ByteRange) -> io::Result<Vec<Segment>> {
        Ok(vec![Segment { range, zero: true }])
    }
}
