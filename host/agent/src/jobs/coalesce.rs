//! Merging the layers of a disk into one file (S36, S50).
//!
//! ```text
//! journal: merging     the chain is written as one new file, durably; read again, its content must be the chain's
//! journal: replacing   with the names of the layers; the new file takes the name of the top layer, in one step
//! journal: replaced    layers that nothing else refers to are removed by the clean-up
//! ```
//!
//! A crash at any point leaves the old chain or the new file: until the one rename the chain is
//! untouched, and after it nothing needs the chain. Recovery knows by the new file's temporary name
//! whether the rename was done.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

use imprint_agent_protocol::{CoalesceAssignment, InstanceRef};
use imprint_data_path::{Disk, Progress, WriteOptions, digest};
use imprint_domain::{coalesce::timed_out, image::Compression, task::Phase, task_error::TaskErrorCode};
use tracing::{info, warn};

use crate::{
    durable,
    error::{CleanupError, JobError},
    jobs::{
        copy::{self, Place, Request, Target},
        job::{Job, instance_of},
        layers::{chain::Chain, references::References},
    },
    journal::{FileJournal, steps},
    machine::{
        Machine, RESERVED_BYTES,
        instance::{InstanceDir, MERGED, disk_file},
    },
    sync::blocking,
};

/// The key of the list of layers in a note.
const LAYERS: &str = "layers";

/// Merges the chain of a stopped instance, outside of a capture. A disk of one file is left as it
/// is.
pub(crate) async fn run(job: &Job, assignment: &CoalesceAssignment) -> Result<(), JobError> {
    job.control.phase(Phase::Preparing);
    let dir = job.machine.instance_dir(assignment.instance.id);
    job.machine.require_recovered(assignment.instance.id)?;
    let of = dir.clone();
    blocking(move || of.definition()).await??;
    if dir.process().is_some() {
        return Err(JobError::failed(
            TaskErrorCode::InstanceRunning,
            "the hypervisor holds the layers of the disk open while the instance runs; stop the instance first",
        ));
    }
    let chain = Chain::open(&job.machine, &assignment.instance).await?;
    if !chain.is_chain() {
        return Ok(());
    }
    if chain.has_snapshots {
        return Err(JobError::failed(
            TaskErrorCode::CoalesceSnapshots,
            "a layer of the disk holds snapshots, which a merge would lose; remove them first",
        ));
    }
    job.control.expect(chain.disk.map().stored_bytes().saturating_mul(MERGE_PASSES));
    merge(job, &assignment.instance, chain, Duration::from_secs(assignment.timeout_s.into())).await
}

/// How often a merge transfers the data: it writes, and reads what it wrote.
pub(crate) const MERGE_PASSES: u64 = 2;

/// Merges a chain within a time limit. A failure leaves the chain as it was.
pub(crate) async fn merge(
    job: &Job,
    instance: &InstanceRef,
    chain: Chain,
    limit: Duration,
) -> Result<(), JobError> {
    job.control.phase(Phase::Coalesce);
    let dir = job.machine.instance_dir(instance.id);
    job.machine.require_room(dir.folder(), chain.disk.map().stored_bytes().saturating_add(RESERVED_BYTES))?;
    job.note(steps::MERGING, []).await?;
    let cancel = job.control.child_token();
    let writing = write_and_verify(job, instance, &chain, cancel.clone());
    tokio::pin!(writing);
    tokio::select! {
        biased;
        done = &mut writing => done?,
        () = tokio::time::sleep(limit) => {
            // The threads of the data path end before the clean-up removes their files.
            cancel.cancel();
            if writing.await.is_err() {
                job.control.check()?;
                return Err(JobError::Failed(timed_out(limit)));
            }
        }
    }
    job.control.check()?;
    replace(job, &dir, instance, &chain.below).await?;
    info!(instance = %instance.id, layers = chain.below.len() + 1, "merged the layers of the disk");
    Ok(())
}

/// Writes the chain as one file under a temporary name, and verifies it by reading it without any
/// parent.
async fn write_and_verify(
    job: &Job,
    instance: &InstanceRef,
    chain: &Chain,
    cancel: tokio_util::sync::CancellationToken,
) -> Result<(), JobError> {
    let dir = job.machine.instance_dir(instance.id);
    let format = job.machine.format(instance.disk_format.as_str())?;
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let request = Request {
        disk: &chain.disk,
        format: format.as_ref(),
        target: Target::Disk(copy::local(dir.folder(), MERGED)?),
        compression: Compression::None,
        grow_to: None,
        progress: progress.clone(),
        cancel: cancel.clone(),
    };
    let written = copy::write(request).await.map_err(|error| job.control.prefer_stop_reason(error))?;
    let (merged, _) = copy::open_file(format.as_ref(), copy::local(dir.folder(), MERGED)?).await?;
    let options = WriteOptions { cancel, progress, ..WriteOptions::default() };
    let logical = digest(&merged, &options)
        .await
        .map_err(|error| job.control.prefer_stop_reason(copy::job_error(error, Place::Machine)))?;
    verify_equal(&chain.disk, &merged, logical == written.logical)
}

fn verify_equal(chain: &Disk, merged: &Disk, digests: bool) -> Result<(), JobError> {
    if digests && chain.size() == merged.size() {
        return Ok(());
    }
    Err(JobError::failed(
        TaskErrorCode::CoalesceMismatch,
        "the merged disk does not hold what its layers hold, and was discarded; check the machine's memory and disk",
    ))
}

/// Renames the new file to the name of the top layer.
async fn replace(
    job: &Job,
    dir: &InstanceDir,
    instance: &InstanceRef,
    below: &[String],
) -> Result<(), JobError> {
    let (top, merged) = (dir.file(&disk_file(instance.disk_format.as_str())), dir.file(MERGED));
    let names =
        serde_json::to_string(below).map_err(|error| JobError::failed(TaskErrorCode::Internal, error))?;
    let (old, new) = (top.clone(), merged.clone());
    blocking(move || {
        copy_ownership(&old, &new)?;
        // Its name must be durable before the note: whether it is still there says whether the
        // rename was done.
        durable::sync_parent(&new)
    })
    .await?
    .map_err(|error| JobError::io("prepare the merged disk", &error))?;
    job.note(steps::REPLACING, [(LAYERS, names)]).await?;
    blocking(move || {
        fs::rename(&merged, &top)?;
        durable::sync_parent(&top)
    })
    .await?
    .map_err(|error| JobError::io("rename the merged disk", &error))?;
    job.note(steps::REPLACED, []).await
}

/// Gives the new file the owner and the permissions of the old one, so that the hypervisor can
/// still open it. Blocks.
fn copy_ownership(old: &Path, new: &Path) -> io::Result<()> {
    let (wanted, present) = (fs::metadata(old)?, fs::metadata(new)?);
    if (wanted.uid(), wanted.gid()) != (present.uid(), present.gid()) {
        std::os::unix::fs::chown(new, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    fs::set_permissions(new, wanted.permissions())?;
    fs::File::open(new)?.sync_all()
}

/// Removes what a merge left: the unfinished file, or the layers that nothing refers to any more.
/// Idempotent.
///
/// # Errors
///
/// Fails when a file cannot be removed or the journal is damaged.
pub(crate) async fn clean_up(machine: &Machine, journal: &FileJournal) -> Result<(), CleanupError> {
    if journal.last(steps::MERGING).is_none() {
        return Ok(());
    }
    let Some(instance) = instance_of(&journal.header().assignment.kind) else { return Ok(()) };
    let dir = machine.instance_dir(instance);
    let merged = dir.file(MERGED);
    let Some(note) = journal.last(steps::REPLACING) else {
        return Ok(durable::remove_file(&merged)?);
    };
    if journal.last(steps::REPLACED).is_none() && merged.exists() {
        return Ok(durable::remove_file(&merged)?);
    }
    let names = note.get(LAYERS).ok_or(CleanupError::Journal("it has no list of layers"))?;
    let layers: Vec<String> = serde_json::from_str(names)
        .map_err(|_| CleanupError::Journal("its list of layers cannot be read"))?;
    Ok(remove_unreferenced(machine, &dir, &layers).await?)
}

/// Removes the old layers that only this disk used. Where a file cannot be read, all layers stay.
async fn remove_unreferenced(
    machine: &Machine,
    dir: &InstanceDir,
    layers: &[String],
) -> Result<(), JobError> {
    let references = References::read(machine).await?;
    let unreferenced = references.unreferenced(dir.folder(), layers);
    if unreferenced.len() < layers.len() {
        warn!(
            instance = %dir.id(), ?layers, removed = ?unreferenced, unreadable = ?references.unreadable,
            "layers of a merged disk are kept: other disks refer to them, or may do so"
        );
    }
    let paths: Vec<_> = unreferenced.iter().map(|name| dir.file(name)).collect();
    blocking(move || paths.iter().try_for_each(|path| durable::remove_file(path)))
        .await?
        .map_err(|error| JobError::io("remove the old layers of the disk", &error))
}
