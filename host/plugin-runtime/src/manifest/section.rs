//! The manifest inside a component.
//!
//! ```text
//! component bytes, unchanged
//! 00                      custom section
//! LEB128 u32              length of everything that follows
//! 10                      length of the name: 16
//! "imprint:manifest"
//! UTF-8 TOML              the text of plugin.toml, byte for byte
//! ```
//!
//! One such section, at the end of the file: tools that do not know it skip it.

use wasmparser::{Encoding, Parser, Payload};

use super::SECTION;
use crate::error::LoadError;

/// The component with `manifest` appended as its section.
pub fn append(component: &[u8], manifest: &str) -> Vec<u8> {
    let mut body = leb128(SECTION.len());
    body.extend_from_slice(SECTION.as_bytes());
    body.extend_from_slice(manifest.as_bytes());
    let mut out = component.to_vec();
    out.push(0);
    out.extend(leb128(body.len()));
    out.extend(body);
    out
}

/// The manifest of a component.
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
            return Err(LoadError::manifest("the component has two manifests".to_owned()));
        }
        if matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) {
            depth += 1;
        } else if matches!(payload, Payload::End(_)) {
            depth = depth.saturating_sub(1);
        }
    }
    let bytes = found.ok_or(LoadError::NoManifest)?;
    std::str::from_utf8(bytes).map_err(|_| LoadError::manifest("the manifest is not UTF-8".to_owned()))
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits fit a byte");
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}
