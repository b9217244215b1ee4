//! The panel's files, which are embedded in the binary.

use std::{borrow::Cow, collections::HashMap, sync::OnceLock};

use imprint_api::{Asset, Assets};
use sha2::{Digest, Sha256};

use crate::embedded::PANEL;

/// The embedded panel. A binary that was built without one serves a page that says so.
pub(super) struct Panel;

impl Assets for Panel {
    fn get(&self, path: &str) -> Option<Asset> {
        static FILES: OnceLock<HashMap<&'static str, Asset>> = OnceLock::new();
        FILES.get_or_init(files).get(path).cloned()
    }
}

fn files() -> HashMap<&'static str, Asset> {
    let mut files: HashMap<_, _> = PANEL.iter().map(|(path, bytes)| (*path, asset(path, bytes))).collect();
    files.entry("index.html").or_insert_with(|| {
        asset("index.html", b"<!doctype html><title>Imprint</title><p>This binary was built without the panel. Run <code>cargo xtask build panel</code> and build it again; the API is at <code>/api/v1</code>.")
    });
    files
}

fn asset(path: &str, bytes: &'static [u8]) -> Asset {
    Asset {
        bytes: Cow::Borrowed(bytes),
        content_type: content_type(path).to_owned(),
        etag: hex::encode(Sha256::digest(bytes)).get(..32).unwrap_or_default().to_owned(),
        // Vite puts a hash into the names of everything in this folder.
        immutable: path.starts_with("assets/"),
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("json" | "map" | "webmanifest") => "application/json",
        Some("woff2") => "font/woff2",
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_page() {
        let page = Panel.get("index.html").unwrap();
        assert!(page.content_type.starts_with("text/html") && !page.immutable);
        assert!(Panel.get("no/such/file").is_none());
    }
}
