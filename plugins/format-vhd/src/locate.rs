//! Finding the footer, and where the blocks of a dynamic disk end.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::{end_of, read_exact},
        wire::{round_up, to_u64, to_usize},
    },
    host::Blob,
    types::ByteRange,
};

use crate::{
    bat::Bat,
    footer::{Agreement, COOKIE, Damaged, Footer, Kind, LENGTH, OLD_LENGTH, agreement},
    geometry::SECTOR,
    header::NO_BLOCK,
};

/// The footer of a file.
pub(crate) struct Located {
    pub(crate) footer: Footer,
    /// Where it is at the end of the file; `None` when only the copy at the start is there.
    pub(crate) place: Option<ByteRange>,
    /// How the copy at the start agrees; always [`Agreement::Same`] for a fixed disk, which has
    /// none.
    pub(crate) copy: Agreement,
}

/// Looks at both ends of the file.
pub(crate) fn locate(blob: &dyn Blob, damaged: Damaged) -> Result<Located, FormatError> {
    let size = blob.size();
    let end = size.min(LENGTH);
    let (head, tail) = (read_exact(blob, 0, end)?, read_exact(blob, size - end, end)?);
    let at_end = [LENGTH, OLD_LENGTH].into_iter().find_map(|length| {
        let bytes = tail.get(tail.len().checked_sub(to_usize(length).ok()?)?..)?;
        bytes.starts_with(COOKIE).then_some((bytes, ByteRange { offset: size - length, length }))
    });
    let copy = head.starts_with(COOKIE).then_some(head.as_slice());
    let missing = |what: &str| Err(FormatError::Truncated(what.to_owned()));
    match (at_end, copy) {
        (None, None) => missing("the file has no VHD footer at its end"),
        (None, Some(copy)) => {
            let footer = Footer::parse(copy, damaged)?;
            if to_u64(copy.len()) < LENGTH || footer.kind == Kind::Fixed {
                return missing("the file has no VHD footer at its end");
            }
            Ok(Located { footer, place: None, copy: Agreement::Same })
        }
        (Some((bytes, place)), copy) => both(bytes, place, copy, damaged),
    }
}

fn both(
    bytes: &[u8],
    place: ByteRange,
    copy: Option<&[u8]>,
    damaged: Damaged,
) -> Result<Located, FormatError> {
    let whole = |bytes| Footer::parse(bytes, Damaged::Refuse).ok();
    let footer = match (damaged, copy.and_then(whole)) {
        // The copy is there for the case that the footer is lost.
        (Damaged::Salvage, Some(copy)) if whole(bytes).is_none() => copy,
        (Damaged::Salvage | Damaged::Refuse, _) => Footer::parse(bytes, damaged)?,
    };
    if footer.kind == Kind::Fixed {
        return Ok(Located { footer, place: Some(place), copy: Agreement::Same });
    }
    let agrees = match (damaged, copy) {
        (Damaged::Refuse, None) => {
            return Err(FormatError::Header(
                "the copy of the footer at the start of the file is missing".to_owned(),
            ));
        }
        (Damaged::Refuse, Some(copy)) => {
            Footer::parse(copy, damaged)?;
            match agreement(bytes, copy) {
                Agreement::Different => {
                    return Err(FormatError::Header(
                        "the footer and its copy at the start of the file describe different disks"
                            .to_owned(),
                    ));
                }
                agrees @ (Agreement::Same | Agreement::Nearly) => agrees,
            }
        }
        (Damaged::Salvage, copy) => copy.map_or(Agreement::Different, |copy| agreement(bytes, copy)),
    };
    Ok(Located { footer, place: Some(place), copy: agrees })
}

/// Where the footer of a dynamic disk is, when it is not at the end of the file: behind the last
/// block, with foreign bytes after it. `copy` is what is at the start.
pub(crate) fn behind_blocks(
    blob: &dyn Blob,
    bat: &mut Bat,
    tables: &[ByteRange],
    copy: &Footer,
) -> Result<Option<ByteRange>, FormatError> {
    let mut end = tables.iter().map(|table| end_of(*table)).max().unwrap_or(0);
    for index in 0..bat.blocks() {
        match bat.entry(blob, index)? {
            NO_BLOCK => {}
            sector => {
                let block = bat.place(index, sector)?;
                end = end.max(block.payload() + bat.block_size());
            }
        }
    }
    let offset = round_up(end, SECTOR);
    if offset.checked_add(LENGTH).is_none_or(|end| end > blob.size()) {
        return Ok(None);
    }
    let bytes = read_exact(blob, offset, LENGTH)?;
    let same = Footer::parse(&bytes, Damaged::Refuse).is_ok_and(|footer| footer == *copy);
    Ok(same.then_some(ByteRange { offset, length: LENGTH }))
}
