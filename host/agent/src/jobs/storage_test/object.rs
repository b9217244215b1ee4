//! The object of a connection test: written, found, read and deleted as an image is.

use std::{path::Path, sync::Arc};

use imprint_data_path::DiskDigest;
use imprint_domain::{image::Compression, storage_test::TestStep};
use imprint_ports::{ErrorClass, Object, PortError, StorageBackend, WriteRequest};

use super::{
    key_of,
    report::{Answer, Report},
};
use crate::{
    error::JobError,
    jobs::{
        copy::{self, Target},
        job::{Job, lease},
    },
    journal::steps,
    sync::blocking,
};

/// The size of the object, in bytes.
const SIZE: usize = 1 << 20;
/// The ranges that are read: offset and length. Neither end of the second is on a block's border.
const RANGES: [(usize, usize); 3] = [(0, 4096), (300_001, 70_003), (SIZE - 513, 513)];
/// The format of the object, which is its bytes and nothing else.
const FORMAT: &str = "raw";

/// Writes the object and uses it. What was written is deleted, even when a step in between fails.
pub(super) async fn try_all(
    job: &Job,
    storage: &dyn StorageBackend,
    report: &mut Report<'_>,
) -> Result<(), JobError> {
    let key = key_of(lease(&job.journal).task_id);
    let content: Arc<[u8]> = content(&key).into();
    if report.step(TestStep::Write, write(job, storage, &key, content.clone())).await?.is_none() {
        report.skip_rest();
        return Ok(());
    }
    report.step(TestStep::Stat, stat(storage, &key)).await?;
    report.step(TestStep::List, list(storage, &key)).await?;
    report.step(TestStep::Read, read(job, storage, &key, content)).await?;
    let deleting = async {
        storage.delete(&key).await?;
        Ok(Answer::with((), None))
    };
    if report.step(TestStep::Delete, deleting).await?.is_some()
        && report.step(TestStep::Gone, gone(storage, &key)).await?.is_some()
    {
        job.note(steps::REMOVED, []).await?;
    }
    report.skip_rest();
    Ok(())
}

/// Returns bytes that differ from test to test and cannot be compressed.
fn content(key: &str) -> Vec<u8> {
    let seed = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(SIZE);
    while bytes.len() < SIZE {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Returns the failure of a part that jobs have in common.
fn of_job(error: &JobError) -> PortError {
    match error {
        JobError::Failed(failed) => {
            let class = if failed.is_transient() { ErrorClass::Transient } else { ErrorClass::Conflict };
            let error = PortError::host(class, failed.code(), failed.operator_detail());
            match &failed.context().setting {
                Some(setting) => error.about_setting(setting),
                None => error,
            }
        }
        JobError::Stopped(_) => PortError::cancelled(),
    }
}

async fn write(
    job: &Job,
    storage: &dyn StorageBackend,
    key: &str,
    content: Arc<[u8]>,
) -> Result<Answer<()>, PortError> {
    upload(job, storage, key, content).await.map(|()| Answer::with((), None))
}

async fn upload(
    job: &Job,
    storage: &dyn StorageBackend,
    key: &str,
    content: Arc<[u8]>,
) -> Result<(), PortError> {
    let of_job = |error: JobError| of_job(&error);
    let path = job.scratch_file();
    job.note(steps::SCRATCH, [("path", path.display().to_string())]).await.map_err(of_job)?;
    let file = path.clone();
    let written = blocking(move || std::fs::write(file, content)).await.map_err(of_job)?;
    written.map_err(|error| of_job(JobError::io("write the object of the test", &error)))?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let source = copy::local(path.parent().unwrap_or(Path::new("/")), name).map_err(of_job)?;
    let format = job.machine.format(FORMAT).map_err(of_job)?;
    let (disk, size) = copy::open_file(format.as_ref(), source).await.map_err(of_job)?;
    let request =
        WriteRequest { key: key.to_owned(), upper_bound: Some(size), needs_random: false, if_absent: true };
    let mut upload = storage.begin_upload(&request).await?;
    job.note(steps::UPLOAD, [("token", hex::encode(upload.token()))]).await.map_err(of_job)?;
    // A step that takes too long is dropped: its threads end then, too.
    let cancel = job.control.child_token();
    let _cancelled_when_dropped = cancel.clone().drop_guard();
    let written = copy::write(copy::Request {
        disk: &disk,
        format: format.as_ref(),
        target: Target::Upload(upload.target().clone(), None),
        compression: Compression::None,
        grow_to: None,
        progress: Arc::default(),
        cancel,
    });
    let written = written.await.map_err(of_job)?;
    job.note(steps::COMMITTING, []).await.map_err(of_job)?;
    let digests = [(DiskDigest::ALGORITHM.to_owned(), written.stored.as_bytes().to_vec())];
    check_size(&upload.commit(written.file_size, &digests).await?)?;
    job.note(steps::COMMITTED, []).await.map_err(of_job)
}

fn check_size(object: &Object) -> Result<(), PortError> {
    if usize::try_from(object.size) == Ok(SIZE) {
        return Ok(());
    }
    let text = format!("{SIZE} bytes were written, and the storage says that the object has {}", object.size);
    Err(PortError::bad_answer("storage.size", text))
}

async fn stat(storage: &dyn StorageBackend, key: &str) -> Result<Answer<()>, PortError> {
    check_size(&storage.stat(key).await?).map(|()| Answer::with((), None))
}

async fn list(storage: &dyn StorageBackend, key: &str) -> Result<Answer<()>, PortError> {
    // The whole key as the prefix: a storage may hold objects of other tests.
    let found = storage.list(key, None, 2).await?;
    match found.objects.as_slice() {
        [object] if object.key == key => check_size(object).map(|()| Answer::with((), None)),
        _ => Err(PortError::bad_answer(
            "storage.listing",
            "the object was written, and the storage does not list it; images there could not be browsed",
        )),
    }
}

async fn read(
    job: &Job,
    storage: &dyn StorageBackend,
    key: &str,
    content: Arc<[u8]>,
) -> Result<Answer<()>, PortError> {
    let locator = storage.open_read(key).await?;
    let cancel = job.control.child_token();
    let _cancelled_when_dropped = cancel.clone().drop_guard();
    let source = copy::open_locator(locator, cancel).await;
    let source = source.map_err(|error| of_job(&error))?;
    let compared = blocking(move || {
        for (offset, length) in RANGES {
            let mut buffer = vec![0; length];
            let at = u64::try_from(offset).unwrap_or(u64::MAX);
            source.read_exact_at(&mut buffer, at).map_err(|error| unread(&error))?;
            if content.get(offset..offset + length) != Some(buffer.as_slice()) {
                return Err(PortError::bad_answer(
                    "storage.content",
                    format!("{length} bytes from {offset} on are not those that were written"),
                ));
            }
        }
        Ok(Answer::with((), Some(format!("{} ranges", RANGES.len()))))
    });
    compared.await.map_err(|error| of_job(&error))?
}

/// Returns the port's failure of a read, or one of the machine.
fn unread(error: &std::io::Error) -> PortError {
    PortError::of(error).cloned().unwrap_or_else(|| {
        PortError::host(ErrorClass::Transient, "storage.read", format!("reading failed: {error}"))
    })
}

async fn gone(storage: &dyn StorageBackend, key: &str) -> Result<Answer<()>, PortError> {
    match storage.stat(key).await {
        Err(error) if error.class == ErrorClass::NotFound => Ok(Answer::with((), None)),
        Err(error) => Err(error),
        Ok(_) => Err(PortError::bad_answer(
            "storage.not-deleted",
            "the object was deleted, and the storage still has it; is there a retention rule?",
        )),
    }
}
