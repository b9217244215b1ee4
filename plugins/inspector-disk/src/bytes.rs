//! Numbers and texts in stored structures. What is behind the end of the bytes reads as zero: the
//! callers read structures whole, and check what the numbers say.

use imprint_plugin_sdk::error::Error;

macro_rules! numbers {
    ($($name:ident $number:ident $convert:ident $doc:literal;)*) => {$(
        #[doc = $doc]
        pub(crate) fn $name(bytes: &[u8], at: usize) -> $number {
            let taken = bytes.get(at..).and_then(|rest| rest.first_chunk());
            taken.copied().map_or(0, $number::$convert)
        }
    )*};
}

numbers! {
    le16 u16 from_le_bytes "Returns the number at an offset, little endian.";
    le32 u32 from_le_bytes "Returns the number at an offset, little endian.";
    le64 u64 from_le_bytes "Returns the number at an offset, little endian.";
    be16 u16 from_be_bytes "Returns the number at an offset, big endian.";
    be32 u32 from_be_bytes "Returns the number at an offset, big endian.";
    be64 u64 from_be_bytes "Returns the number at an offset, big endian.";
}

/// Returns the byte at an offset.
pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Returns whether the bytes at an offset are these.
pub(crate) fn is_at(bytes: &[u8], at: usize, mark: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(mark))
}

/// Returns the position of a text in bytes.
pub(crate) fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len().max(1)).position(|window| window == text)
}

/// Returns the text in a field of fixed length, up to its first zero; `None` where it is empty.
pub(crate) fn text(bytes: &[u8], at: usize, length: usize) -> Option<String> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    let field = field.split(|byte| *byte == 0).next().unwrap_or_default();
    clean(&String::from_utf8_lossy(field))
}

/// Returns the text in a field of UTF-16 code units, up to its first zero; `None` where it is
/// empty.
pub(crate) fn utf16(field: &[u8]) -> Option<String> {
    let units: Vec<u16> =
        field.chunks_exact(2).map(|unit| le16(unit, 0)).take_while(|unit| *unit != 0).collect();
    clean(&String::from_utf16_lossy(&units))
}

/// The longest text of findings, in bytes.
const MAX_TEXT: usize = 256;

/// Returns a text without control characters and spaces around it, cut to what findings may have;
/// `None` where nothing is left.
pub(crate) fn clean(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    let plain = plain.trim();
    let cut = plain.get(..plain.floor_char_boundary(MAX_TEXT.min(plain.len())))?;
    (!cut.is_empty()).then(|| cut.to_owned())
}

/// Returns a UUID as systems spell it; `None` for one that is all zeroes.
pub(crate) fn uuid(bytes: &[u8], at: usize) -> Option<String> {
    let id: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
    if id.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (index, byte) in id.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

/// Returns a GUID as UEFI stores it: the first three fields are little endian.
pub(crate) fn guid(bytes: &[u8], at: usize) -> String {
    let (a, b, c) = (le32(bytes, at), le16(bytes, at + 4), le16(bytes, at + 6));
    let (d, e) = (be16(bytes, at + 8), be64(bytes, at + 8) & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}

/// Returns the error for a structure that contradicts itself.
pub(crate) fn corrupt(reason: impl Into<String>) -> Error {
    Error::corrupt("inspect.corrupt", reason)
}

/// Returns the error for what this inspector does not read.
pub(crate) fn unsupported(reason: impl Into<String>) -> Error {
    Error::unsupported("inspect.unsupported", reason)
}

/// Returns the error for what is more than an inspection reads.
pub(crate) fn budget(reason: impl Into<String>) -> Error {
    Error::limit("inspect.budget", reason)
}

/// Converts a count of memory; the largest one where it does not fit.
pub(crate) fn to_usize(count: impl TryInto<usize>) -> usize {
    count.try_into().unwrap_or(usize::MAX)
}

/// Converts a length of memory.
pub(crate) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_spelled_as_systems_do() {
        let id: Vec<u8> = (1..=16).collect();
        assert_eq!(uuid(&id, 0).as_deref(), Some("01020304-0506-0708-090a-0b0c0d0e0f10"));
        assert_eq!(guid(&id, 0), "04030201-0605-0807-090a-0b0c0d0e0f10");
        assert_eq!(uuid(&[0; 16], 0), None);
        assert_eq!(uuid(&[1; 15], 0), None);
    }

    #[test]
    fn texts_are_bounded_and_printable() {
        assert_eq!(text(b"root\0junk", 0, 9).as_deref(), Some("root"));
        assert_eq!(text(b"\x1b[31m \0", 0, 7).as_deref(), Some("[31m"));
        assert_eq!(text(b"ab", 1, usize::MAX), None);
        assert_eq!(clean(&"ä".repeat(300)).map(|text| text.len()), Some(256));
        assert_eq!(utf16(b"E\0F\0I\0\0\0x\0").as_deref(), Some("EFI"));
    }
}
