//! Opening the file of an import as a disk: unpacked, recognised, and with what its rules need to
//! know.

use std::{path::Path, sync::Arc};

use imprint_agent_protocol::ImportAssignment;
use imprint_data_path::{
    Disk, EngineError, FileSink, OpenOptions, PackedAs, UnpackError, Unpacked, confirm_format, detect,
    refuse_foreign, unpack,
};
use imprint_domain::{
    findings::DiskFindings,
    image::ImageFormat,
    import::{ImportFacts, Packing},
    task_error::TaskErrorCode,
    windows::DeclaredOs,
};
use imprint_ports::{BlockSource, DiskFormat, Guess};

use super::{largest_file, open_local};
use crate::{
    error::{JobError, StopReason, is_no_space},
    jobs::{
        copy::{self, Place},
        image::size_of,
        inside,
        job::Job,
    },
    journal::steps,
    sync::blocking,
};

/// The formats whose files are images of optical discs.
const OPTICAL: [&str; 2] = ["iso9660", "udf"];
/// The confidence up to which an answer only means "possible": raw gives it to anything.
const FALLBACK: u8 = 1;
/// The mark at the end of the first sector of a disk with partitions or a boot loader.
const BOOT_MARK: [u8; 2] = [0x55, 0xaa];
const BOOT_MARK_AT: u64 = 510;

/// A file that was looked at.
pub(super) struct Opened {
    pub(super) facts: ImportFacts,
    /// The disk; `None` where parts of it are in other files.
    pub(super) disk: Option<Arc<Disk>>,
    /// What was found inside of it; `None` where nothing could look.
    pub(super) findings: Option<DiskFindings>,
}

/// Opens a file.
pub(super) async fn open(
    job: &Job,
    assignment: &ImportAssignment,
    blob: Arc<dyn BlockSource>,
) -> Result<Opened, JobError> {
    let formats = job.machine.formats();
    let found = claims(&formats, &blob).await?;
    let packed = found.first().and_then(|claim| PackedAs::of_format(&claim.format));
    let (blob, claims, packing) = match packed {
        Some(packed) => {
            let (blob, packing) = unpacked(job, assignment, packed, blob).await?;
            let found = claims(&formats, &blob).await?;
            (blob, found, Some(packing))
        }
        None => (blob, found, None),
    };
    let optical = claims.iter().any(|claim| OPTICAL.contains(&claim.format.as_str()));
    if optical {
        // Whatever else it may be (a hybrid disc boots as a disk, too): S89 refuses it.
        let facts = facts(ImageFormat::Raw, packing, blob.size(), true)?;
        return Ok(Opened { facts, disk: None, findings: None });
    }
    // What an archive holds is the bytes of a disk by its own rules.
    let is_archive = packing == Some(Packing::TarGz);
    let declared = assignment.declared.or(is_archive.then_some(ImageFormat::Raw));
    let (name, format) = chosen(declared, &claims, &formats, &blob).await?;
    let options = OpenOptions { formats: formats.clone(), ..OpenOptions::default() };
    let reader = job.machine.format(&name)?;
    match Disk::open(reader.as_ref(), blob.clone(), &options).await {
        Ok(disk) => {
            let disk = Arc::new(disk);
            let findings = inside::look(job, &disk).await;
            let facts = ImportFacts {
                windows: findings.as_ref().and_then(is_windows),
                ..facts(format, packing, disk.size(), false)?
            };
            Ok(Opened { facts, disk: Some(disk), findings })
        }
        Err(EngineError::ExternalReference { .. }) => {
            let facts = ImportFacts { is_incomplete: true, ..facts(format, packing, blob.size(), false)? };
            Ok(Opened { facts, disk: None, findings: None })
        }
        Err(error) => Err(copy::job_error(error, Place::Machine)),
    }
}

/// Returns whether a disk has Windows (S80); `None` where nothing tells.
fn is_windows(found: &DiskFindings) -> Option<bool> {
    found.declared_os().map(|os| os == DeclaredOs::Windows)
}

fn facts(
    format: ImageFormat,
    packing: Option<Packing>,
    virtual_size: u64,
    is_optical: bool,
) -> Result<ImportFacts, JobError> {
    Ok(ImportFacts {
        format,
        packing,
        virtual_size: size_of(virtual_size)?,
        is_incomplete: false,
        is_optical,
        windows: None,
    })
}

/// Returns what formats recognise in a file, without those that only consider it possible.
async fn claims(
    formats: &[Arc<dyn DiskFormat>],
    blob: &Arc<dyn BlockSource>,
) -> Result<Vec<Guess>, JobError> {
    let found = detect(formats, blob).await.map_err(|error| copy::job_error(error, Place::Machine))?;
    Ok(found.into_iter().filter(|guess| guess.confidence > FALLBACK).collect())
}

/// Returns the name of the plugin's format, and the format, that a file is read as.
async fn chosen(
    declared: Option<ImageFormat>,
    claims: &[Guess],
    formats: &[Arc<dyn DiskFormat>],
    blob: &Arc<dyn BlockSource>,
) -> Result<(String, ImageFormat), JobError> {
    let failed = |error| copy::job_error(error, Place::Machine);
    if let Some(format) = declared {
        confirm_format(format.as_str(), &[], formats, blob).await.map_err(failed)?;
        return Ok((format.to_string(), format));
    }
    refuse_foreign(formats, blob).await.map_err(failed)?;
    match claims {
        [one, ..] => {
            let format = one.format.parse().map_err(|_| no_disk("no import reads its format"))?;
            Ok((one.format.clone(), format))
        }
        [] if is_bootable(blob).await? => Ok((ImageFormat::Raw.to_string(), ImageFormat::Raw)),
        [] => Err(no_disk(
            "it is of no known format, and begins like no disk; a raw disk without partitions is imported when the request \
             says that its format is raw",
        )),
    }
}

fn no_disk(detail: &str) -> JobError {
    JobError::failed(TaskErrorCode::ImportUnreadable, detail)
}

/// Returns whether a file begins like a raw disk.
async fn is_bootable(blob: &Arc<dyn BlockSource>) -> Result<bool, JobError> {
    if blob.size() < BOOT_MARK_AT + 2 || !blob.size().is_multiple_of(512) {
        return Ok(false);
    }
    let source = blob.clone();
    let mark = blocking(move || {
        let mut mark = [0; 2];
        source.read_exact_at(&mut mark, BOOT_MARK_AT).map(|()| mark)
    });
    Ok(mark.await?.map_err(|error| JobError::io("read an imported file", &error))? == BOOT_MARK)
}

/// Returns the content of a packed file.
async fn unpacked(
    job: &Job,
    assignment: &ImportAssignment,
    packed: PackedAs,
    blob: Arc<dyn BlockSource>,
) -> Result<(Arc<dyn BlockSource>, Packing), JobError> {
    job.note(steps::SCRATCH, [("path", job.scratch_file().display().to_string())]).await?;
    let path = job.scratch_file();
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let file = copy::local(folder, name)?;
    let free = job.machine.free_room(folder)?;
    let largest = largest_file(assignment);
    let limit = largest.min(free);
    let cancel = job.control.child_token();
    let unpacking = blocking(move || {
        let sink = FileSink::create(&file.dir, &file.path)
            .map_err(|error| UnpackError::Write(std::io::Error::other(error)))?;
        unpack(blob.as_ref(), packed, &sink, limit, &cancel)
    });
    let Unpacked { size, is_archive } =
        unpacking.await?.map_err(|error| unpack_error(job, error, (free, largest)))?;
    let packing = match packed {
        PackedAs::Gzip if is_archive => Packing::TarGz,
        PackedAs::Gzip => Packing::Gzip,
        PackedAs::Xz => Packing::Xz,
        PackedAs::Zstd => Packing::Zstd,
        PackedAs::Bzip2 => Packing::Bzip2,
    };
    Ok((open_local(&path, size).await?.blob, packing))
}

/// What an error means beside the free room of the agent's disk and the largest file that may be
/// imported: more room does not help with what is larger than that.
fn unpack_error(job: &Job, error: UnpackError, (free, largest): (u64, u64)) -> JobError {
    match error {
        UnpackError::Cancelled => job.control.prefer_stop_reason(JobError::Stopped(StopReason::Cancelled)),
        UnpackError::TooLarge { limit, size } if limit == free && size.is_none_or(|size| size <= largest) => {
            let needed = size.unwrap_or(limit.saturating_add(1));
            JobError::no_room(TaskErrorCode::HypervisorStorageFull, "the agent's disk", free, needed)
        }
        UnpackError::Write(error) if is_no_space(&error) => {
            JobError::failed(TaskErrorCode::HypervisorStorageFull, error)
        }
        UnpackError::TooLarge { .. } | UnpackError::Damaged(_) | UnpackError::Archive(_) => {
            JobError::failed(TaskErrorCode::ImportUnreadable, error)
        }
        UnpackError::Read(_) | UnpackError::Write(_) => JobError::failed(TaskErrorCode::AgentIo, error),
    }
}
