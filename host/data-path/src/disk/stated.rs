//! The digest that a wrapper states of the disk in it: the manifest of an OVA. Who reads the disk
//! also compares the digest, so that a damaged appliance is refused and not converted.

use std::sync::Arc;

use imprint_ports::{BlockSource, Props};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use tokio_util::sync::CancellationToken;

use crate::{
    digest::in_order,
    disk::{Disk, offload},
    error::EngineError,
};

/// How digests of manifests are made (DSP0243, section 6, names the first two; tools also write the
/// last one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// The strongest first.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha512, Algorithm::Sha256, Algorithm::Sha1];

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digest(self, source: &dyn BlockSource, cancel: &CancellationToken) -> Result<String, EngineError> {
        match self {
            Self::Sha1 => in_order::hash::<Sha1>(source, cancel),
            Self::Sha256 => in_order::hash::<Sha256>(source, cancel),
            Self::Sha512 => in_order::hash::<Sha512>(source, cancel),
        }
    }
}

/// The digest of the file in a wrapper, as the wrapper says it.
#[derive(Clone)]
pub(crate) struct Stated {
    source: Arc<dyn BlockSource>,
    algorithm: Algorithm,
    /// Lower hexadecimal digits, as far as the plugin kept its word; anything else does not match.
    value: String,
}

impl Stated {
    /// What the facts of a wrapper (`manifest-sha256` and the like) say of `source`.
    pub(crate) fn of(facts: &Props, source: &Arc<dyn BlockSource>) -> Option<Self> {
        ALGORITHMS.iter().find_map(|algorithm| {
            let value = facts.get(&format!("manifest-{}", algorithm.name()))?.clone();
            Some(Self { source: source.clone(), algorithm: *algorithm, value })
        })
    }

    /// The algorithm's name, such as `sha256`.
    pub(crate) fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    fn compare(&self, cancel: &CancellationToken) -> Result<(), EngineError> {
        let found = self.algorithm.digest(self.source.as_ref(), cancel)?;
        match found == self.value {
            true => Ok(()),
            false => Err(EngineError::Digest {
                algorithm: self.algorithm(),
                stated: self.value.chars().filter(char::is_ascii_alphanumeric).take(128).collect(),
                found,
            }),
        }
    }
}

/// Compares what the wrapper around a disk states of it with what is there, if it states anything.
/// Reads all of the file that is in the wrapper.
pub async fn check_stated(disk: &Disk, cancel: &CancellationToken) -> Result<(), EngineError> {
    let Some(stated) = disk.stated().cloned() else { return Ok(()) };
    let cancel = cancel.child_token();
    let _stop_when_dropped = cancel.clone().drop_guard();
    offload(move || stated.compare(&cancel)).await?
}

/// Does some work on a disk, and compares what is stated of it at the same time. The work's own
/// error is told unless the digest is wrong, too, which explains it.
pub(crate) async fn while_checked<T>(
    disk: &Disk,
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    if disk.stated().is_none() {
        return work.await;
    }
    let checking = check_stated(disk, cancel);
    tokio::pin!(work, checking);
    tokio::select! {
        checked = &mut checking => {
            checked?;
            work.await
        }
        made = &mut work => match made {
            Err(EngineError::Cancelled) => Err(EngineError::Cancelled),
            made => {
                checking.await?;
                made
            }
        }
    }
}
