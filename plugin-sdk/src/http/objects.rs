//! What storages of objects behind HTTP share: keys in URLs, dates, and how an upload is cut.
//!
//! ```
//! use imprint_plugin_sdk::http::objects::{encode, http_date, part_size};
//!
//! assert_eq!(encode("a b/ä", true), "a%20b/%C3%A4");
//! assert_eq!(http_date("Thu, 01 Jan 1970 00:00:01 GMT"), Some(1000));
//! // 100 GiB in at most 1,000 parts of 16 to 512 MiB:
//! assert_eq!(part_size(16 << 20, 512 << 20, 1000, Some(100 << 30)), Some(103 << 20));
//! ```

use crate::{
    error::{Error, Result},
    storage::{Features, Multipart, WriteTarget},
    types::Props,
};

/// The longest key of the host, in bytes.
pub const MAX_KEY: usize = 512;

const MIB: u64 = 1 << 20;

/// The most parts of a key.
const MAX_PARTS: usize = 32;

/// Returns whether a key is one that the host takes: relative, of at most 32 parts, without empty,
/// `.` or `..` parts, control characters and backslashes.
pub fn is_key(key: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    !key.is_empty()
        && key.len() <= MAX_KEY
        && key.split('/').count() <= MAX_PARTS
        && key.split('/').all(part)
        && !key.contains(|c: char| c.is_control() || c == '\\')
}

/// Percent-encodes a text for a URL (RFC 3986: everything but unreserved characters).
pub fn encode(text: &str, keep_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            b'/' if keep_slashes => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Undoes [`encode`]; a plus sign stands for a space. `None` for what is no encoded text.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Returns the size of parts with which an object of up to `bound` bytes fits into `max_parts`
/// parts: whole MiB, not below `smallest`. Without a bound it is `largest`. `None` where the object
/// does not fit into parts of `largest` bytes.
pub fn part_size(smallest: u64, largest: u64, max_parts: u32, bound: Option<u64>) -> Option<u64> {
    let Some(bound) = bound else { return Some(largest) };
    let needed = bound.div_ceil(u64::from(max_parts.max(1))).div_ceil(MIB) * MIB;
    (needed <= largest).then_some(needed.max(smallest))
}

/// The sizes and the number of the parts in which a service takes an object.
///
/// ```
/// use imprint_plugin_sdk::http::objects::Parts;
///
/// const MIB: u64 = 1 << 20;
/// let parts = Parts { largest: 512 * MIB, usual: 64 * MIB, most: 10_000, max_object: 1 << 42 };
/// assert_eq!(parts.size(16 * MIB, Some(1 << 30)), Some(16 * MIB));
/// assert_eq!(parts.size(16 * MIB, None), Some(64 * MIB));
/// assert_eq!(parts.size(16 * MIB, Some(1 << 43)), None);
/// assert_eq!(parts.check("example", 10_001).unwrap_err().code, "example.part");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The size of the largest part, in bytes.
    pub largest: u64,
    /// The size of parts where that of the object is not known, in bytes.
    pub usual: u64,
    /// The largest number of parts.
    pub most: u32,
    /// The size of the largest object, in bytes.
    pub max_object: u64,
}

impl Parts {
    /// Returns the size of the parts of an object of up to `bound` bytes ([`part_size`]), with
    /// `smallest` as the operator has set it; `None` for an object that is too large.
    pub fn size(&self, smallest: u64, bound: Option<u64>) -> Option<u64> {
        match bound {
            Some(bound) if bound > self.max_object => None,
            Some(bound) => part_size(smallest, self.largest, self.most, Some(bound)),
            None => Some(self.usual),
        }
    }

    /// Checks the number of a part.
    ///
    /// # Errors
    ///
    /// `invalid-input` with the code `CODE.part` for a part that no upload has.
    pub fn check(&self, code: &str, number: u32) -> Result<()> {
        if (1..=self.most).contains(&number) {
            return Ok(());
        }
        let message = format!("an upload has no part {number}; parts are 1 to {}", self.most);
        Err(Error::invalid_input(&format!("{code}.part"), message))
    }

    /// Returns the target of an upload in parts of `part_size` bytes, of which the service takes
    /// `max_parallel` at once, in any order.
    pub fn target(&self, part_size: u64, max_parallel: u16) -> WriteTarget {
        WriteTarget::Multipart(Multipart { part_size, max_parts: self.most, max_parallel, unordered: true })
    }
}

/// Returns what a storage of objects can do that takes objects of up to `max_object` bytes: they
/// are read and written at any offset, copied by the service, and replaced in one step.
pub fn features(max_object: u64) -> Features {
    Features {
        random_read: true,
        random_write: true,
        append: true,
        server_side_copy: true,
        atomic_replace: true,
        max_object: Some(max_object),
        extra: Props::new(),
    }
}

/// Parses `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7) into milliseconds since 1970.
pub fn http_date(text: &str) -> Option<u64> {
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day = parts.next()?.parse().ok()?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = parts.next()?;
    let month = u64::try_from(months.iter().position(|month| *month == name)?).ok()? + 1;
    let year = parts.next()?.parse().ok()?;
    milliseconds(year, month, day, parts.next()?)
}

/// Parses the whole seconds of `2009-10-12T17:50:30.000Z` (RFC 3339, in UTC) into milliseconds
/// since 1970.
pub fn iso_date(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    milliseconds(year, month, day, time.get(..8)?)
}

fn milliseconds(year: u64, month: u64, day: u64, time: &str) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut parts = time.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // Days since 1 March of year 0: the leap day is the last one of a year that begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(iso_date("2009-10-12T17:50:30.000Z"), Some(1_255_369_830_000));
        assert_eq!(iso_date("2024-02-29T00:00:00Z"), Some(1_709_164_800_000));
        assert_eq!(iso_date("1970-01-01T00:00:00Z"), Some(0));
        for text in ["", "yesterday", "2009-13-12T17:50:30Z", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(iso_date(text).or(http_date(text)), None, "{text}");
        }
    }

    #[test]
    fn keys_are_relative() {
        assert!(is_key("a/b") && is_key("ä ö"));
        for key in ["", "a//b", "../b", "a/", "a/./b", "a\\b", "a\nb", &"x".repeat(513), &["d"; 33].join("/")]
        {
            assert!(!is_key(key), "{key:?}");
        }
    }

    #[test]
    fn parts_grow_with_the_object() {
        let of = |bound| part_size(5 * MIB, 64 * MIB, 10_000, bound);
        assert_eq!(of(None), Some(64 * MIB));
        for (bound, size) in [(1, Some(5)), (50 << 30, Some(6)), (625 << 30, Some(64)), (1 << 40, None)] {
            assert_eq!(of(Some(bound)), size.map(|size| size * MIB), "{bound}");
        }
    }

    #[test]
    fn an_object_that_is_too_large_has_no_parts() {
        let parts = Parts { largest: 64 * MIB, usual: 32 * MIB, most: 100, max_object: 100 * 32 * MIB };
        for (bound, size) in
            [(None, Some(32)), (Some(1), Some(5)), (Some(3200 * MIB), Some(32)), (Some(3200 * MIB + 1), None)]
        {
            assert_eq!(parts.size(5 * MIB, bound), size.map(|size| size * MIB), "{bound:?}");
        }
        // Parts may bound an object more than the service does.
        let parts = Parts { max_object: u64::MAX, ..parts };
        assert_eq!(parts.size(5 * MIB, Some(6400 * MIB)), Some(64 * MIB));
        assert_eq!(parts.size(5 * MIB, Some(6400 * MIB + 1)), None);
        for (number, is_part) in [(0, false), (1, true), (100, true), (101, false), (u32::MAX, false)] {
            assert_eq!(parts.check("x", number).is_ok(), is_part, "{number}");
        }
    }

    #[test]
    fn encoded_texts_are_decoded() {
        for key in ["", "a/b c", "ä+%", "\u{10ffff}~"] {
            assert_eq!(decode(&encode(key, false)).as_deref(), Some(key));
            assert!(encode(key, true).bytes().all(|byte| byte.is_ascii_graphic()), "{key}");
        }
        assert_eq!((decode("%"), decode("%zz"), decode("%ff")), (None, None, None));
    }
}
