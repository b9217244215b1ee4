//! What a differencing image says about its parent ([MS-VHDX] 2.6.2.6): untrusted text.

use std::collections::BTreeMap;

use imprint_plugin_sdk::format::{
    FormatError,
    wire::{le16, le32},
};

use crate::guid::Guid;

pub(crate) const LOCATOR_TYPE: Guid = Guid::new(0xb04a_efb7_d19e_4a81_b789_25b8_e944_5913);
/// Keys of a locator; the specification knows five.
const MAX_KEYS: u16 = 64;

/// The parent of a differencing image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Locator {
    /// The parent's data write GUID when this image was made.
    pub(crate) linkage: Guid,
    /// Another GUID that the parent may have.
    pub(crate) linkage2: Option<Guid>,
    /// Where the parent is said to be: relative, else absolute, else by volume.
    pub(crate) path: String,
}

impl Locator {
    /// Reads the item.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let bad = |what: &str| FormatError::Table(format!("the parent locator {what}"));
        let kind = Guid::read(bytes, 0).ok_or_else(|| bad("is too short"))?;
        if kind != LOCATOR_TYPE {
            return Err(FormatError::Feature(format!(
                "the parent locator has the unknown type {kind}; convert the image with `Convert-VHD`"
            )));
        }
        let count = le16(bytes, 18).ok_or_else(|| bad("is too short"))?;
        if count > MAX_KEYS {
            return Err(FormatError::TableSize(format!(
                "the parent locator has {count} keys, and {MAX_KEYS} are possible"
            )));
        }
        let mut values = BTreeMap::new();
        for index in 0..usize::from(count) {
            let at = 20 + index * 12;
            let text = |offset: usize, length: usize| {
                let start = usize::try_from(le32(bytes, at + offset)?).ok()?;
                let length = usize::from(le16(bytes, at + length)?);
                utf16(bytes.get(start..start.checked_add(length)?)?)
            };
            let (Some(key), Some(value)) = (text(0, 8), text(4, 10)) else {
                return Err(bad("has a key or value that is no text inside of it"));
            };
            if values.insert(key, value).is_some() {
                return Err(bad("has a key twice"));
            }
        }
        let guid = |key: &str| match values.get(key) {
            None => Ok(None),
            Some(text) => Guid::parse(text).map(Some).ok_or_else(|| bad("names a parent by what is no GUID")),
        };
        let linkage = guid("parent_linkage")?.ok_or_else(|| bad("does not say which parent it means"))?;
        let path =
            ["relative_path", "absolute_win32_path", "volume_path"].iter().find_map(|key| values.get(*key));
        let path = path.ok_or_else(|| bad("does not say where the parent is"))?;
        Ok(Self { linkage, linkage2: guid("parent_linkage2")?, path: path.clone() })
    }
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    rest.is_empty().then(|| String::from_utf16_lossy(&units))
}
