//! Files that were granted by name: all that an image's references can resolve to.

use std::sync::Arc;

use async_trait::async_trait;
use imprint_ports::{BlockSource, DiskFormat, SourceRef};

use crate::{
    disk::{
        detect::confirm_format,
        resolve::{Resolved, Resolver},
    },
    error::EngineError,
};

/// The largest number of files that can be granted: more than any chain has layers.
const MAX_GRANTED: usize = 64;

/// Resolves references by name among files that were granted, and opened, beforehand: whatever an
/// image refers to, nothing else is opened, and its paths are not followed.
///
/// A reference matches the granted file whose name is exactly its last part, behind the last
/// separator of either kind: `base.vhd`, `./base.vhd`, `C:\disks\base.vhd` and
/// `file:///disks/base.vhd` all mean a granted `base.vhd`. References to anything but files
/// (`nbd://host/base.vhd`, `json:{...}`) match nothing.
#[derive(Default)]
pub struct GrantedFiles {
    files: Vec<Granted>,
}

struct Granted {
    name: String,
    identity: String,
    source: Arc<dyn BlockSource>,
    format: Arc<dyn DiskFormat>,
}

impl GrantedFiles {
    /// Returns a resolver without any files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Grants an open file under the last part of `path`, as an image of the format `declared`,
    /// which its content has to confirm. `identity` is the same for the same file under any name
    /// (device and inode, for one), and for the image itself it is
    /// [`crate::OpenOptions::identity`].
    ///
    /// # Errors
    ///
    /// `invalid.option` for an unknown format, for a name that is taken, and for more than 64
    /// files; `denied.ambiguous-content` when the content is not of the format; whatever reading
    /// the file reports.
    pub async fn grant(
        &mut self,
        path: &str,
        identity: String,
        source: Arc<dyn BlockSource>,
        declared: &str,
        formats: &[Arc<dyn DiskFormat>],
    ) -> Result<(), EngineError> {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let refuse = |what: String| Err(EngineError::InvalidOption { what });
        if self.files.len() >= MAX_GRANTED {
            return refuse(format!("at most {MAX_GRANTED} files can be granted to one image"));
        }
        if self.files.iter().any(|file| file.name == name) {
            return refuse(format!(
                "two of the granted files are called '{name}'; grant the one that is meant"
            ));
        }
        let Some(format) = formats.iter().find(|format| format.name() == declared) else {
            return refuse(format!("there is no format '{declared}' for the granted file '{name}'"));
        };
        confirm_format(declared, &[], formats, &source).await?;
        self.files.push(Granted { name, identity, source, format: format.clone() });
        Ok(())
    }

    fn find(&self, reference: &str) -> Option<&Granted> {
        let name = last_part(reference)?;
        self.files.iter().find(|file| file.name == name)
    }
}

#[async_trait]
impl Resolver for GrantedFiles {
    async fn resolve(&self, reference: &SourceRef) -> Result<Option<Resolved>, EngineError> {
        let Some(file) = self.find(&reference.reference) else { return Ok(None) };
        // An image that refers to another format than the granted one would show another disk than
        // it was made for.
        let hint = reference.format_hint.as_deref().map(product_name).filter(|_| reference.role == "parent");
        if let Some(hint) = hint.filter(|hint| *hint != file.format.name()) {
            return Err(EngineError::AmbiguousContent {
                declared: file.format.name().to_owned(),
                found: format!("'{}' to the image that refers to it", hint.escape_debug()),
                advice: "grant the file in the format that the image means (imprint disk: --with FORMAT:FILE), or make the image anew"
                    .to_owned(),
            });
        }
        Ok(Some(Resolved {
            identity: file.identity.clone(),
            source: file.source.clone(),
            format: file.format.clone(),
        }))
    }
}

/// Returns the name of the file in a reference; `None` when the reference is not to a file.
fn last_part(reference: &str) -> Option<&str> {
    let scheme = reference.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| scheme != "file") || reference.starts_with("json:") {
        return None;
    }
    let last = reference.rsplit(['/', '\\']).next()?;
    (!last.is_empty()).then_some(last)
}

/// Returns the product's name of a format for QEMU's name of it.
fn product_name(hint: &str) -> &str {
    match hint {
        "vpc" => "vhd",
        other => other,
    }
}

#[cfg(test)]
mod tests;
