//! Records of the table, and their attributes.

use imprint_plugin_sdk::error::Result;

use super::stream::{Stream, runs};
use crate::bytes::{byte, corrupt, is_at, le16, le32, le64, to_usize};

/// The bytes that the last two of are replaced, so that a torn write is noticed.
const STRIDE: usize = 512;
/// The most attributes of a record.
const MAX_ATTRIBUTES: usize = 128;
/// The mark behind the last attribute.
const END: u32 = u32::MAX;
/// Flags of attributes whose content is not stored as it is.
const COMPRESSED: u16 = 0x00ff;
const ENCRYPTED: u16 = 0x4000;

/// Checks the mark of a record or a block, and puts back the bytes that were replaced in it.
pub(super) fn fix(bytes: &mut [u8], mark: &[u8]) -> Result<()> {
    if !is_at(bytes, 0, mark) {
        return Err(corrupt(format!("there is no {} record", String::from_utf8_lossy(mark))));
    }
    let (list, count) = (usize::from(le16(bytes, 4)), usize::from(le16(bytes, 6)));
    let written = le16(bytes, list);
    for index in 1..count {
        let (end, original) = (index * STRIDE, list + index * 2);
        let Some(original) = bytes.get(original..original + 2).map(<[u8]>::to_vec) else { break };
        let Some(place) = bytes.get_mut(end - 2..end) else { break };
        if place != written.to_le_bytes() {
            return Err(corrupt("a record was not written whole"));
        }
        place.copy_from_slice(&original);
    }
    Ok(())
}

/// A record of the table.
pub(super) struct Record(pub(super) Vec<u8>);

/// An attribute of a record.
pub(super) struct Attribute<'a>(&'a [u8]);

impl Record {
    /// Returns whether it is in use, and a folder.
    pub(super) fn is_folder(&self) -> bool {
        le16(&self.0, 22) & 3 == 3
    }

    /// Returns the first attribute of a type and a name.
    pub(super) fn attribute(&self, kind: u32, name: &str) -> Result<Option<Attribute<'_>>> {
        Ok(self.attributes()?.into_iter().find(|attribute| attribute.is(kind, name)))
    }

    fn attributes(&self) -> Result<Vec<Attribute<'_>>> {
        let mut at = usize::from(le16(&self.0, 20));
        let mut found = Vec::new();
        while found.len() < MAX_ATTRIBUTES && at + 8 <= self.0.len() && le32(&self.0, at) != END {
            let length = to_usize(le32(&self.0, at + 4));
            let attribute =
                at.checked_add(length).filter(|_| length >= 24).and_then(|end| self.0.get(at..end));
            found
                .push(Attribute(attribute.ok_or_else(|| corrupt("an attribute is longer than its record"))?));
            at += length;
        }
        Ok(found)
    }
}

impl<'a> Attribute<'a> {
    fn is(&self, kind: u32, name: &str) -> bool {
        let length = usize::from(byte(self.0, 9)) * 2;
        let at = usize::from(le16(self.0, 10));
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let own = if length == 0 { Some(&[][..]) } else { self.0.get(at..at + length) };
        le32(self.0, 0) == kind && own == Some(units.as_slice())
    }

    /// Returns the content of an attribute that is in the record.
    pub(super) fn inline(&self) -> Option<&'a [u8]> {
        let (length, at) = (to_usize(le32(self.0, 16)), usize::from(le16(self.0, 20)));
        if byte(self.0, 8) == 0 { self.0.get(at..at.checked_add(length)?) } else { None }
    }

    /// Returns the number of the first cluster of the file that it describes.
    pub(super) fn first(&self) -> u64 {
        if byte(self.0, 8) == 0 { 0 } else { le64(self.0, 16) }
    }

    /// Returns where the content is.
    pub(super) fn stream(&self) -> Result<Stream> {
        if byte(self.0, 8) == 0 {
            let content = self.inline().ok_or_else(|| corrupt("an attribute is longer than its record"))?;
            return Ok(Stream::Inline(content.to_vec()));
        }
        if le16(self.0, 12) & (COMPRESSED | ENCRYPTED) != 0 {
            return Err(crate::bytes::unsupported("a file is compressed or encrypted by NTFS"));
        }
        let list = self.0.get(usize::from(le16(self.0, 32))..).unwrap_or_default();
        Ok(Stream::Runs { runs: runs(list, self.first())?, length: le64(self.0, 48) })
    }
}
