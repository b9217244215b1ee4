//! What the references in an image resolve to: nothing that was not granted.

use std::sync::Arc;

use async_trait::async_trait;
use imprint_ports::{BlockSource, DiskFormat, SourceRef};

use crate::error::EngineError;

/// What a reference in an image resolves to.
pub struct Resolved {
    /// Identity of the thing, for finding cycles: two references to the same thing have the same.
    pub identity: String,
    /// Its bytes.
    pub source: Arc<dyn BlockSource>,
    /// The format that the host knows it has; never what the file claims.
    pub format: Arc<dyn DiskFormat>,
}

/// Decides what an image's reference resolves to, if anything: to a parent (role `parent`), or to a
/// file with a part of the disk (role `extent`, of which the format does not matter). The reference
/// is untrusted text.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// `None` refuses: the job ends with `denied.external-reference`.
    async fn resolve(&self, reference: &SourceRef) -> Result<Option<Resolved>, EngineError>;
}

/// Refuses every reference.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyReferences;

#[async_trait]
impl Resolver for DenyReferences {
    async fn resolve(&self, _reference: &SourceRef) -> Result<Option<Resolved>, EngineError> {
        Ok(None)
    }
}
