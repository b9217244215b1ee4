//! The digest that a wrapper declares for the disk in it: the manifest of an OVA.

use std::sync::Arc;

use imprint_ports::{BlockSource, Props};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use tokio_util::sync::CancellationToken;

use super::sha256::hash_in_order;
use crate::error::EngineError;

/// The algorithms of digests in manifests (DSP0243, section 6, names the first two; tools also
/// write the last one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// All algorithms, the strongest first.
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
            Self::Sha1 => hash_in_order::<Sha1>(source, cancel),
            Self::Sha256 => hash_in_order::<Sha256>(source, cancel),
            Self::Sha512 => hash_in_order::<Sha512>(source, cancel),
        }
    }
}

/// The digest that a wrapper declares for the file in it.
#[derive(Clone)]
pub(crate) struct DeclaredDigest {
    source: Arc<dyn BlockSource>,
    algorithm: Algorithm,
    /// The digest in lower-case hexadecimal digits, if the plugin keeps to the contract; anything
    /// else does not match.
    value: String,
}

impl DeclaredDigest {
    /// Returns the digest that the facts of a wrapper (`manifest-sha256` and the like) declare for
    /// `source`.
    pub(crate) fn of(facts: &Props, source: &Arc<dyn BlockSource>) -> Option<Self> {
        ALGORITHMS.iter().find_map(|algorithm| {
            let value = facts.get(&format!("manifest-{}", algorithm.name()))?.clone();
            Some(Self { source: source.clone(), algorithm: *algorithm, value })
        })
    }

    /// Returns the algorithm's name, such as `sha256`.
    pub(crate) fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    pub(crate) fn verify(&self, cancel: &CancellationToken) -> Result<(), EngineError> {
        let found = self.algorithm.digest(self.source.as_ref(), cancel)?;
        if found == self.value {
            Ok(())
        } else {
            Err(EngineError::Digest {
                algorithm: self.algorithm(),
                declared: self.value.chars().filter(char::is_ascii_alphanumeric).take(128).collect(),
                found,
            })
        }
    }
}
