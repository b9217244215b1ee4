//! How an image is opened.

use std::sync::Arc;

use imprint_ports::{DiskFormat, Props};

use super::resolve::{DenyReferences, Resolver};
use crate::{limits::Limits, map::scratch::Scratch};

/// How an image is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// Bounds.
    pub limits: Limits,
    /// For references to parents; the default refuses all.
    pub resolver: Arc<dyn Resolver>,
    /// Identity of the image itself, for finding cycles; whatever the resolver uses.
    pub identity: String,
    /// For the format plugin.
    pub format_options: Props,
    /// What may be inside a wrapper; the default is nothing.
    pub formats: Vec<Arc<dyn DiskFormat>>,
    /// What a wrapper states of the digest of its disk does not count.
    pub ignore_declared_digest: bool,
    /// Where a map goes that is too large for memory.
    pub scratch: Scratch,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            resolver: Arc::new(DenyReferences),
            identity: String::new(),
            format_options: Props::new(),
            formats: Vec::new(),
            ignore_declared_digest: false,
            scratch: Scratch::default(),
        }
    }
}
