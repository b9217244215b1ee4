//! Merging the chain of layers behind a disk into one file (S36, S50).
//!
//! ```text
//! journal: merging     the chain is written as one new file beside it, durably; read again, its content must be the chain's
//! journal: replacing   with the names of the layers; the new file takes the name of the top layer, in one step
//! journal: replaced    layers that nothing else refers to are removed when the work is settled
//! ```
//!
//! Whatever happens in between leaves the old chain or the new file: until the one rename the chain
//! is untouched, and after it nothing needs the chain. Whether the rename was done is seen by the
//! new file's temporary name.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

use imprint_agent_protocol::{CoalesceWork, InstanceRef};
use imprint_data_path::{Disk, Progress, WriteOptions, digest};
use imprint_domain::{coalesce::timed_out, image::Compression, task::Phase, task_error::TaskErrorCode};
use tracing::{info, warn};

use crate::{
    copy::{self, Place, Request, Target},
    durable,
    error::Halt,
    instance::{Home, MERGED, disk_file},
    job::{Job, instance_of},
    journal::FileJournal,
    layers::{Chain, References},
    machine::{Machine, blocking},
    step,
};

/// Room that is left free on the machine's disk, in bytes.
const RESERVE: u64 = 64 * 1024 * 1024;

/// Name of the note's list of layers.
const LAYERS: &str = "layers";

/// Merges the chain of a stopped instance, outside of a capture. A disk that is one file already is
/// left as it is.
pub(crate) async fn run(job: &Job, work: &CoalesceWork) -> Result<(), Halt> {
    job.control.phase(Phase::Preparing);
    let home = job.machine.home(work.instance.id);
    job.machine.require_recovered(work.instance.id)?;
    let of = home.clone();
    blocking(move || of.definition()).await??;
    if home.process().is_some() {
        return Err(Halt::failed(
            TaskErrorCode::InstanceRunning,
            "the hypervisor holds the layers of the disk open while the instance runs; stop the instance first",
        ));
    }
    let chain = Chain::open(job, &work.instance).await?;
    if !chain.is_chain() {
        return Ok(());
    }
    if chain.has_snapshots {
        return Err(Halt::failed(
            TaskErrorCode::CoalesceSnapshots,
            "a layer of the disk holds snapshots, which a merge would lose; remove them first",
        ));
    }
    job.control.expect(chain.disk.map().stored_bytes().saturating_mul(PASSES));
    merge(job, &work.instance, chain, Duration::from_secs(work.timeout_s.into())).await
}

/// How often a merge goes over the data: it writes, and reads what it wrote.
pub(crate) const PASSES: u64 = 2;

/// Merges a chain within a time limit. After a failure the chain is as it was.
pub(crate) async fn merge(
    job: &Job,
    instance: &InstanceRef,
    chain: Chain,
    limit: Duration,
) -> Result<(), Halt> {
    job.control.phase(Phase::Coalesce);
    let home = job.machine.home(instance.id);
    job.machine.require_room(home.folder(), chain.disk.map().stored_bytes().saturating_add(RESERVE))?;
    job.note(step::MERGING, []).await?;
    let cancel = job.control.child_token();
    let writing = write_and_verify(job, instance, &chain, cancel.clone());
    tokio::pin!(writing);
    tokio::select! {
        biased;
        done = &mut writing => done?,
        () = tokio::time::sleep(limit) => {
            // The engine's threads end before anything is taken away from under them.
            cancel.cancel();
            if writing.await.is_err() {
                job.control.check()?;
                return Err(Halt::Failed(timed_out(limit)));
            }
        }
    }
    job.control.check()?;
    replace(job, &home, instance, &chain.below).await?;
    info!(instance = %instance.id, layers = chain.below.len() + 1, "merged the layers of the disk");
    Ok(())
}

/// Writes the chain as one file under a temporary name, and reads it again without any parent.
async fn write_and_verify(
    job: &Job,
    instance: &InstanceRef,
    chain: &Chain,
    cancel: tokio_util::sync::CancellationToken,
) -> Result<(), Halt> {
    let home = job.machine.home(instance.id);
    let format = job.machine.format(instance.disk_format.as_str())?;
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let request = Request {
        disk: &chain.disk,
        format: format.as_ref(),
        target: Target::Disk(copy::local(home.folder(), MERGED)?),
        compression: Compression::None,
        grow_to: None,
        progress: progress.clone(),
        cancel: cancel.clone(),
    };
    let written = copy::write(request).await.map_err(|halt| job.control.because(halt))?;
    let (merged, _) = copy::open_file(format.as_ref(), copy::local(home.folder(), MERGED)?).await?;
    let options = WriteOptions { cancel, progress, ..WriteOptions::default() };
    let logical = digest(&merged, &options)
        .await
        .map_err(|error| job.control.because(copy::halt(error, Place::Machine)))?;
    same(&chain.disk, &merged, logical == written.logical)
}

fn same(chain: &Disk, merged: &Disk, digests: bool) -> Result<(), Halt> {
    if digests && chain.size() == merged.size() {
        return Ok(());
    }
    Err(Halt::failed(
        TaskErrorCode::CoalesceMismatch,
        "the merged disk does not hold what its layers hold, and was discarded; check the machine's memory and disk",
    ))
}

/// Puts the new file in the place of the top layer.
async fn replace(job: &Job, home: &Home, instance: &InstanceRef, below: &[String]) -> Result<(), Halt> {
    let (top, merged) = (home.file(&disk_file(instance.disk_format.as_str())), home.file(MERGED));
    let names = serde_json::to_string(below).map_err(|error| Halt::failed(TaskErrorCode::Internal, error))?;
    let (old, new) = (top.clone(), merged.clone());
    blocking(move || {
        like(&old, &new)?;
        // Its name must be durable before the note: whether it is still there says whether the
        // rename was done.
        durable::sync_parent(&new)
    })
    .await?
    .map_err(|error| Halt::io("prepare the merged disk", &error))?;
    job.note(step::REPLACING, [(LAYERS, names)]).await?;
    blocking(move || {
        fs::rename(&merged, &top)?;
        durable::sync_parent(&top)
    })
    .await?
    .map_err(|error| Halt::io("put the merged disk in its place", &error))?;
    job.note(step::REPLACED, []).await
}

/// Gives the new file the owner and the permissions of the old one, whoever the hypervisor runs as.
/// Blocks.
fn like(old: &Path, new: &Path) -> io::Result<()> {
    let (wanted, present) = (fs::metadata(old)?, fs::metadata(new)?);
    if (wanted.uid(), wanted.gid()) != (present.uid(), present.gid()) {
        std::os::unix::fs::chown(new, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    fs::set_permissions(new, wanted.permissions())?;
    fs::File::open(new)?.sync_all()
}

/// Puts away what a merge left: the half-written file, or the layers that nothing refers to any
/// more. Idempotent.
pub(crate) async fn settle(machine: &Machine, journal: &FileJournal) -> Result<(), String> {
    if journal.last(step::MERGING).is_none() {
        return Ok(());
    }
    let Some(instance) = instance_of(&journal.header().assignment.work) else { return Ok(()) };
    let home = machine.home(instance);
    let merged = home.file(MERGED);
    let Some(note) = journal.last(step::REPLACING) else {
        return durable::remove_file(&merged).map_err(|error| error.to_string());
    };
    if journal.last(step::REPLACED).is_none() && merged.exists() {
        return durable::remove_file(&merged).map_err(|error| error.to_string());
    }
    let names = note.get(LAYERS).ok_or("the layers in the journal are missing")?;
    let layers: Vec<String> = serde_json::from_str(names).map_err(|error| error.to_string())?;
    remove_unneeded(machine, &home, &layers).await.map_err(|halt| format!("{halt:?}"))
}

/// Removes the old layers that only this disk used. When in doubt they stay.
async fn remove_unneeded(machine: &Machine, home: &Home, layers: &[String]) -> Result<(), Halt> {
    let references = References::read(machine).await?;
    let unneeded = references.unneeded(home.folder(), layers);
    if unneeded.len() < layers.len() {
        warn!(
            instance = %home.id(), ?layers, removed = ?unneeded, unreadable = ?references.unknown,
            "layers of a merged disk stay: other disks refer to them, or may do so"
        );
    }
    let paths: Vec<_> = unneeded.iter().map(|name| home.file(name)).collect();
    blocking(move || paths.iter().try_for_each(|path| durable::remove_file(path)))
        .await?
        .map_err(|error| Halt::io("remove the old layers of the disk", &error))
}
