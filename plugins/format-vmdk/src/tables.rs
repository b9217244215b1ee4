//! The grain directories of a sparse extent, and the tables that they name.
//!
//! There may be two directories with tables of their own. Where one of them is damaged in a way
//! that shows (it is outside of the file, or upon something else), the other one is used.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::{end_of, inside, overlap, read_exact},
        wire::le32s,
    },
    host::Blob,
    types::ByteRange,
};

use crate::{header::Header, sector::sector};

/// The directories of an extent. No two structures share bytes.
pub(crate) struct Tables {
    /// Sector of each grain table; 0 is none.
    pub(crate) directory: Vec<u32>,
    /// The same of the redundant tables; empty when there are none.
    pub(crate) redundant: Vec<u32>,
    /// The sectors of all tables, in order.
    pub(crate) sectors: Vec<u32>,
    /// Where the directories are.
    pub(crate) ranges: Vec<ByteRange>,
}

/// A directory and where it is.
type Directory = (ByteRange, Vec<u32>);

impl Tables {
    /// Reads both directories, the primary one at `at`; with a remark where one of them is damaged.
    pub(crate) fn read(
        blob: &dyn Blob,
        header: &Header,
        fixed: &[ByteRange],
        at: u64,
    ) -> Result<(Self, Option<String>), FormatError> {
        let length = header.directory_entries() * 4;
        let place = |offset| ByteRange { offset, length };
        let primary = directory(blob, header, place(at));
        let redundant = header.redundant.map(|offset| directory(blob, header, place(offset)));
        let built = |one: &Directory, two: Option<&Directory>| Self::new(header, fixed, one, two);
        let error = match (&primary, &redundant) {
            (Ok(one), None) => return Ok((built(one, None)?, None)),
            (Ok(one), Some(Ok(two))) => match built(one, Some(two)) {
                Ok(tables) => return Ok((tables, None)),
                Err(error) => error,
            },
            (Ok(_), Some(Err(error))) | (Err(error), _) => error.clone(),
        };
        if let (Ok(one), Some(_)) = (&primary, &redundant)
            && let Ok(tables) = built(one, None)
        {
            let remark = format!("the redundant grain directory is damaged, and not used: {error}");
            return Ok((tables, Some(remark)));
        }
        if let Some(Ok(two)) = &redundant
            && let Ok(tables) = built(two, None)
        {
            let remark = format!("the grain directory is damaged; the redundant one is used: {error}");
            return Ok((tables, Some(remark)));
        }
        Err(error)
    }

    fn new(
        header: &Header,
        fixed: &[ByteRange],
        directory: &Directory,
        redundant: Option<&Directory>,
    ) -> Result<Self, FormatError> {
        let all = || [Some(directory), redundant].into_iter().flatten();
        let mut sectors: Vec<u32> =
            all().flat_map(|(_, tables)| tables).copied().filter(|table| *table != 0).collect();
        sectors.shrink_to_fit();
        sectors.sort_unstable();
        let ranges: Vec<ByteRange> = all().map(|(range, _)| *range).collect();
        check_own_ranges(header.table(), &sectors, &[fixed, &ranges].concat())?;
        let redundant = redundant.map_or_else(Vec::new, |(_, tables)| tables.clone());
        Ok(Self { directory: directory.1.clone(), redundant, sectors, ranges })
    }
}

/// A grain directory: every table that it names lies inside the file.
fn directory(blob: &dyn Blob, header: &Header, range: ByteRange) -> Result<Directory, FormatError> {
    inside(blob, "a grain directory", range)?;
    let entries: Vec<u32> = le32s(&read_exact(blob, range.offset, range.length)?).collect();
    for table in entries.iter().copied().filter(|table| *table != 0) {
        inside(blob, "a grain table", ByteRange { offset: sector(table), length: header.table() })?;
    }
    Ok((range, entries))
}

/// No two of the extent's own structures share bytes.
fn check_own_ranges(length: u64, tables: &[u32], fixed: &[ByteRange]) -> Result<(), FormatError> {
    if let Some([one, _]) = tables.array_windows().find(|[one, two]| sector(*one) + length > sector(*two)) {
        return Err(FormatError::Aliased(format!("two grain tables share sector {one}")));
    }
    let fixed: Vec<ByteRange> = fixed.iter().copied().filter(|range| range.length > 0).collect();
    for (index, range) in fixed.iter().enumerate() {
        let others = fixed.iter().skip(index + 1);
        if has_table_in(tables, length, *range) || others.into_iter().any(|other| overlap(*range, *other)) {
            return Err(FormatError::Aliased(format!(
                "the image's own tables overlap at {:#x} of the file",
                range.offset
            )));
        }
    }
    Ok(())
}

/// Whether one of the tables, which are in order, has a byte in the range.
pub(crate) fn has_table_in(tables: &[u32], length: u64, range: ByteRange) -> bool {
    let first = tables.partition_point(|table| sector(*table) + length <= range.offset);
    tables.get(first).is_some_and(|table| sector(*table) < end_of(range))
}
