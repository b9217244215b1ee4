//! The panel's files, which the program passes in.

use std::borrow::Cow;

/// A file of the panel.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The content.
    pub bytes: Cow<'static, [u8]>,
    /// The media type, such as `text/html; charset=utf-8`.
    pub content_type: String,
    /// The entity tag without quotes, which changes with the content.
    pub etag: String,
    /// Whether the name holds a hash of the content, so that the content never changes.
    pub immutable: bool,
}

/// A source of the panel's files.
pub trait Assets: Send + Sync {
    /// Returns the file at a path such as `assets/index-1a2b.js`, without a leading slash.
    /// `index.html` is the panel itself.
    fn get(&self, path: &str) -> Option<Asset>;
}
