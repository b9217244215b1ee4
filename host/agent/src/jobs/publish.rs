//! Publishing an upload: its bytes are complete, and only the last step is left. When that fails
//! for a passing reason it is tried again by itself, because what comes before it is expensive: the
//! guest of a capture was frozen for it.

use std::time::Duration;

use imprint_data_path::{DiskDigest, Progress};
use imprint_ports::{ErrorClass, Origin, PortError, StorageBackend, Upload};
use tracing::{info, warn};

use crate::{
    error::JobError,
    jobs::{copy, image::read_digest, job::Job},
    journal::steps,
};

/// The pauses between the attempts to commit.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];

/// The longest pause that a storage may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// What an upload has to be once it is visible.
pub(crate) struct Expected<'a> {
    pub(crate) key: &'a str,
    pub(crate) size: u64,
    pub(crate) digest: DiskDigest,
}

/// Makes the bytes of an upload visible under their key, and notes it in the journal.
///
/// The answer to a commit can be lost although the object is visible: the object then counts, if it
/// has the bytes that were written. Whatever else is visible after a failure is removed by the
/// clean-up.
pub(crate) async fn publish(
    job: &Job,
    storage: &dyn StorageBackend,
    upload: &mut dyn Upload,
    expected: &Expected<'_>,
) -> Result<(), JobError> {
    job.note(steps::COMMITTING, []).await?;
    let digests = [(DiskDigest::ALGORITHM.to_owned(), expected.digest.as_bytes().to_vec())];
    let mut pauses = PAUSES.iter();
    loop {
        let error = match upload.commit(expected.size, &digests).await {
            Ok(_) => break,
            Err(error) => error,
        };
        // Boxed: it is rarely needed, and would make the future of every capture larger.
        if may_be_visible(&error) && Box::pin(is_visible(job, storage, expected)).await {
            info!(key = expected.key, %error, "the answer to the commit was lost; the object is complete");
            break;
        }
        let Some(pause) = pauses.next().filter(|_| passes(&error)) else { return Err(error.into()) };
        let asked = Duration::from_millis(error.retry_after_ms.unwrap_or_default().into());
        let pause = asked.min(MAX_PAUSE).max(*pause);
        warn!(key = expected.key, %error, ?pause, "the image cannot be published yet");
        job.control.unless_stopped(tokio::time::sleep(pause)).await?;
    }
    job.note(steps::COMMITTED, []).await
}

/// Returns whether the same commit may succeed later.
fn passes(error: &PortError) -> bool {
    error.class == ErrorClass::Transient || matches!(error.origin, Origin::Trap | Origin::Timeout)
}

/// Returns whether the plugin may have published the object before it failed.
fn may_be_visible(error: &PortError) -> bool {
    match error.origin {
        Origin::Trap | Origin::Timeout | Origin::Host => true,
        Origin::Plugin => matches!(error.class, ErrorClass::Transient | ErrorClass::AlreadyExists),
        // It described another object than the uploaded one.
        Origin::BadAnswer | Origin::Denied => false,
    }
}

/// Returns whether the object is visible with exactly the bytes that were written.
async fn is_visible(job: &Job, storage: &dyn StorageBackend, expected: &Expected<'_>) -> bool {
    let read = async {
        if storage.stat(expected.key).await?.size != expected.size {
            return Ok(false);
        }
        let locator = storage.open_read(expected.key).await?;
        let file = copy::open_stored(locator, job.control.child_token()).await?;
        Ok::<_, JobError>(read_digest(job, &file, &Progress::default().into()).await? == expected.digest)
    };
    match read.await {
        Ok(visible) => visible,
        Err(error) => {
            warn!(key = expected.key, %error, "cannot see whether the object is visible");
            false
        }
    }
}
