//! Extended records (POSIX.1-2017 `pax`): `LENGTH KEY=VALUE\n`, one behind the other.

use imprint_plugin_sdk::format::FormatError;

use crate::{
    member::refused,
    name::{clip, until_nul},
};

/// Keys that change neither name nor place nor size.
const HARMLESS: [&str; 9] =
    ["mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment", "hdrcharset"];

/// What stands in records for the next member.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
}

/// Reads records for the next member.
pub(crate) fn next(bytes: &[u8], pending: &mut Overrides) -> Result<(), FormatError> {
    each(bytes, |key, value| match key {
        // An empty value takes an earlier one back.
        "path" => {
            pending.name = (!value.is_empty()).then(|| value.to_vec());
            Ok(())
        }
        "size" => {
            let digits = std::str::from_utf8(value)
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
            let size =
                digits.and_then(|text| text.parse().ok()).filter(|size| *size <= i64::MAX.unsigned_abs());
            pending.size = Some(size.ok_or_else(|| {
                FormatError::Header("the size in an extended record is impossible".to_owned())
            })?);
            Ok(())
        }
        other => harmless(other),
    })
}

/// Reads records for all members that follow: none of them may change a member.
pub(crate) fn global(bytes: &[u8]) -> Result<(), FormatError> {
    each(bytes, |key, _| harmless(key))
}

/// Returns a long name as GNU tar writes it: up to a NUL.
pub(crate) fn long_name(bytes: &[u8]) -> Vec<u8> {
    until_nul(bytes).to_vec()
}

/// Records of vendors (`SCHILY.xattr...`) are about properties of files. Those of GNU describe
/// sparse files.
fn harmless(key: &str) -> Result<(), FormatError> {
    let of_vendor = key.contains('.') && !key.starts_with("GNU.");
    if HARMLESS.contains(&key) || of_vendor {
        return Ok(());
    }
    Err(refused(format!("an extended record overrides `{}`", clip(key))))
}

fn each(
    bytes: &[u8],
    mut visit: impl FnMut(&str, &[u8]) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let bad = || FormatError::Header("an extended record cannot be parsed".to_owned());
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
        let length = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse::<usize>().ok());
        let length = length.filter(|length| *length > space + 1).ok_or_else(bad)?;
        let record =
            rest.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(bad)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
        visit(&String::from_utf8_lossy(&record[..equals]), &record[equals + 1..])?;
        rest = &rest[length..];
    }
    Ok(())
}
