//! GUIDs, as they are stored and as text.

use std::fmt;

/// A GUID as it is stored: the first three fields little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Guid(pub(crate) [u8; 16]);

impl Guid {
    /// No GUID.
    pub(crate) const ZERO: Self = Self([0; 16]);

    /// Of the number that the usual text form spells.
    pub(crate) const fn new(text: u128) -> Self {
        let mut bytes = text.to_be_bytes();
        let swaps = [(0, 3), (1, 2), (4, 5), (6, 7)];
        let mut index = 0;
        while index < swaps.len() {
            let (one, two) = swaps[index];
            (bytes[one], bytes[two]) = (bytes[two], bytes[one]);
            index += 1;
        }
        Self(bytes)
    }

    /// The GUID at `at`, unless the bytes end before it.
    pub(crate) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        bytes.get(at..)?.first_chunk().copied().map(Self)
    }

    /// Reads the text form, with or without braces.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
        let dashes = [8, 13, 18, 23];
        let formed = inner.len() == 36
            && inner
                .bytes()
                .enumerate()
                .all(|(at, byte)| if dashes.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() });
        let digits = inner.replace('-', "");
        u128::from_str_radix(&digits, 16).ok().filter(|_| formed).map(Self::new)
    }
}

impl fmt::Display for Guid {
    /// Lower-case hex with dashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, rest @ ..] = self.0;
        let (a, b, c) = (
            u32::from_le_bytes([a0, a1, a2, a3]),
            u16::from_le_bytes([b0, b1]),
            u16::from_le_bytes([c0, c1]),
        );
        let rest = u64::from_be_bytes(rest);
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", rest >> 48, rest & 0xffff_ffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_are_stored_with_three_little_endian_fields() {
        let guid = Guid::new(0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08);
        assert_eq!(guid.0[..9], [0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d]);
        assert_eq!(guid.to_string(), "2dc27766-f623-4200-9d64-115e9bfd4a08");
        assert_eq!(Guid::parse("{2DC27766-F623-4200-9D64-115E9BFD4A08}"), Some(guid));
        assert_eq!(Guid::parse("2dc27766-f623-4200-9d64-115e9bfd4a08"), Some(guid));
        for bad in ["", "{}", "2dc27766f62342009d64115e9bfd4a08", "2dc27766-f623-4200-9d64-115e9bfd4a0é"] {
            assert_eq!(Guid::parse(bad), None, "{bad}");
        }
    }
}
