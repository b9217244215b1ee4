//! Resolving the references in an image, to nothing that was not granted.

use std::sync::Arc;

use async_trait::async_trait;
use imprint_ports::{BlockSource, DiskFormat, SourceRef};

use crate::error::EngineError;

/// What a reference in an image resolves to.
pub struct Resolved {
    /// The identity of the resolved object, for finding cycles: two references to the same object
    /// have the same.
    pub identity: String,
    /// The bytes of the object.
    pub source: Arc<dyn BlockSource>,
    /// The format that the host knows the object has; never the one that the file claims.
    pub format: Arc<dyn DiskFormat>,
}

/// Decides what an image's reference resolves to, if anything: to a parent (role `parent`), or to a
/// file with a part of the disk (role `extent`, of which the format does not matter). The reference
/// is untrusted text.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Returns what a reference resolves to; `None` refuses it, and the operation ends with
    /// `denied.external-reference`.
    ///
    /// # Errors
    ///
    /// An error ends the operation.
    async fn resolve(&self, reference: &SourceRef) -> Result<Option<Resolved>, EngineError>;
}

/// A resolver that refuses every reference.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyReferences;

#[async_trait]
impl Resolver for DenyReferences {
    async fn resolve(&self, _reference: &SourceRef) -> Result<Option<Resolved>, EngineError> {
        Ok(None)
    }
}
