//! The options of opening an image.

use std::sync::Arc;

use imprint_ports::{DiskFormat, Props};

use super::resolve::{DenyReferences, Resolver};
use crate::{limits::Limits, map::scratch::Scratch};

/// The options of opening an image.
#[derive(Clone)]
pub struct OpenOptions {
    /// The limits for the image.
    pub limits: Limits,
    /// What resolves references to parents and parts; the default refuses all.
    pub resolver: Arc<dyn Resolver>,
    /// The identity of the image itself, for finding cycles, in the form that the resolver uses.
    pub identity: String,
    /// The options for the format plugin.
    pub format_options: Props,
    /// The formats that may be inside a wrapper; none by default.
    pub formats: Vec<Arc<dyn DiskFormat>>,
    /// Whether the digest that a wrapper declares for its disk is ignored.
    pub ignore_declared_digest: bool,
    /// Where a map is stored that is too large for memory.
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
