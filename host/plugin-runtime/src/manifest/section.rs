//! The manifest inside a component.
//!
//! ```text
//! component bytes, unchanged
//! 00                      custom section
//! LEB128 u32              length of everything that follows
//! 10                      length of the name: 16
//! "imprint:manifest"
//! UTF-8 TOML              the text of plugin.toml, with the settings' schema in it
//! ```
//!
//! There is one such section, at the end of the file. Tools that do not know it skip it.

use wasmparser::{Encoding, Parser, Payload};

use crate::{error::LoadError, numbers};

/// The name of the custom section.
pub const SECTION: &str = "imprint:manifest";

/// The id of custom sections (WebAssembly binary format, "Sections").
const CUSTOM_SECTION: u8 = 0;

/// Returns the component with `manifest` appended as its section.
pub fn append(component: &[u8], manifest: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_length(&mut body, SECTION.len());
    body.extend_from_slice(SECTION.as_bytes());
    body.extend_from_slice(manifest.as_bytes());
    let mut out = component.to_vec();
    out.push(CUSTOM_SECTION);
    put_length(&mut out, body.len());
    out.extend(body);
    out
}

/// Returns the manifest of a component.
///
/// # Errors
///
/// The bytes are not a component, or it has no manifest, two, or one that is not UTF-8.
pub fn find(component: &[u8]) -> Result<&str, LoadError> {
    let mut found = None;
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(|error| LoadError::NotAComponent(error.to_string()))?;
        if let Payload::Version { encoding, .. } = &payload
            && depth == 0
            && *encoding != Encoding::Component
        {
            return Err(LoadError::NotAComponent("it is a core module".to_owned()));
        }
        if let Payload::CustomSection(section) = &payload
            && depth == 0
            && section.name() == SECTION
            && found.replace(section.data()).is_some()
        {
            return Err(LoadError::manifest("the component has two manifests"));
        }
        if matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) {
            depth += 1;
        } else if matches!(payload, Payload::End(_)) {
            depth = depth.saturating_sub(1);
        }
    }
    let bytes = found.ok_or(LoadError::NoManifest)?;
    std::str::from_utf8(bytes).map_err(|_| LoadError::manifest("the manifest is not UTF-8"))
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    numbers::put(bytes, u32::try_from(length).expect("a section is shorter than 4 GiB"));
}
