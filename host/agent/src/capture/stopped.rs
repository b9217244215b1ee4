//! Capturing a stopped instance: its file is read through its format, while a lock keeps others from starting it.

use std::sync::Arc;

use imprint_agent_protocol::{CaptureResult, CaptureWork};
use imprint_data_path::ports::StorageBackend;
use imprint_domain::{consistency::Consistency, error::Code};

use crate::{
    copy,
    error::Halt,
    instance::disk_file,
    job::Job,
    lock_probe::{LockError, ReadLock},
    machine::blocking,
};

pub(super) async fn run(
    job: &Job,
    work: &CaptureWork,
    storage: Arc<dyn StorageBackend>,
) -> Result<CaptureResult, Halt> {
    let home = job.machine.home(work.instance.id);
    let name = disk_file(&work.instance.disk_format);
    let path = home.file(&name);
    let lock = blocking(move || ReadLock::take(&path)).await?.map_err(|error| match error {
        LockError::InUse => Halt::transient(Code::InstanceBusy.as_str(), error),
        LockError::Io(error) => Halt::io("look at the disk's locks", &error),
    })?;
    let format = job.machine.format(&work.instance.disk_format)?;
    let (disk, _) = copy::open_file(format.as_ref(), copy::local(home.folder(), &name)?).await?;
    let written = super::store(job, work, storage.as_ref(), &disk, job.control.child_token()).await?;
    drop(lock);
    Ok(CaptureResult {
        image: super::stored_image(work, &written, Consistency::Stopped)?,
        consistency: Consistency::Stopped,
        downgraded_because: None,
        method: "stopped-file".to_owned(),
        frozen_ms: 0,
        stopped_ms: 0,
    })
}
