//! Units that follow each other on the disk, as they cross the sandbox (`followers` in the
//! contract).

use imprint_ports::{Extent, ExtentKind, Placed, PortError};

use crate::{
    bindings::{format::exports::imprint::format::writer, host::imprint::types::block_map},
    codes::Code,
    numbers::{self, Numbers},
    ports::bounds::{check_length, to_usize},
};

/// Returns all extents of a page, followers included, at most `max`.
pub(super) fn extents(page: &block_map::Page, max: usize) -> Result<Vec<Extent>, PortError> {
    let bad = |message: &str| Code::BadExtents.error(message);
    let followers = page.extents.iter().map(|first| to_usize(first.followers));
    let length = followers.fold(page.extents.len(), usize::saturating_add);
    check_length("the page of extents", length, max)?;
    let mut followers = Numbers::new(&page.followers);
    let mut all = Vec::with_capacity(length);
    for first in &page.extents {
        let mut last = extent(first);
        all.push(last);
        if first.followers > 0 && last.kind != ExtentKind::Encoded {
            return Err(bad("an extent that is not encoded has followers"));
        }
        for _ in 0..first.followers {
            let next = followers.signed().zip(followers.unsigned());
            let (gap, source_length) =
                next.ok_or_else(|| bad("an extent has more followers than the page"))?;
            let end = last.source_offset.checked_add(u64::from(last.source_length));
            let at =
                end.and_then(|end| end.checked_add_signed(gap)).zip(last.offset.checked_add(last.length));
            let (source_offset, offset) =
                at.ok_or_else(|| bad("a follower is outside of any file or disk"))?;
            last = Extent { offset, source_offset, source_length, ..last };
            all.push(last);
        }
    }
    if followers.is_empty() { Ok(all) } else { Err(bad("the page has followers of no extent")) }
}

fn extent(extent: &block_map::Extent) -> Extent {
    Extent {
        offset: extent.offset,
        length: extent.length,
        kind: match extent.kind {
            block_map::ExtentKind::Data => ExtentKind::Data,
            block_map::ExtentKind::Zero => ExtentKind::Zero,
            block_map::ExtentKind::Hole => ExtentKind::Hole,
            block_map::ExtentKind::Encoded => ExtentKind::Encoded,
        },
        source: extent.source,
        codec: extent.codec,
        source_offset: extent.source_offset,
        source_length: extent.source_length,
    }
}

/// Returns placements for the plugin: units that follow each other on the disk take some four bytes
/// each.
pub(super) fn placements(all: &[Placed]) -> (Vec<writer::Placed>, Vec<u8>) {
    let mut runs: Vec<writer::Placed> = Vec::new();
    let mut followers = Vec::new();
    let mut before: Option<&Placed> = None;
    for next in all {
        match (before.and_then(|before| gap(before, next)), runs.last_mut()) {
            (Some(gap), Some(first)) => {
                first.followers += 1;
                numbers::put_signed(&mut followers, gap);
                numbers::put(&mut followers, next.stored_length);
            }
            (None, _) | (_, None) => {
                let Placed { offset, length, file_offset, stored_length } = *next;
                runs.push(writer::Placed { offset, length, file_offset, stored_length, followers: 0 });
            }
        }
        before = Some(next);
    }
    (runs, followers)
}

/// Returns the bytes between two stored units, if the second can follow the first.
fn gap(before: &Placed, next: &Placed) -> Option<i64> {
    let stored = if before.stored_length == 0 { before.length } else { u64::from(before.stored_length) };
    let follows =
        before.length == next.length && before.offset.checked_add(before.length) == Some(next.offset);
    let end = before.file_offset.checked_add(stored).filter(|_| follows)?;
    next.file_offset.checked_signed_diff(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(first: block_map::Extent, followers: &[(i64, u32)]) -> block_map::Page {
        let mut list = Vec::new();
        for (gap, source_length) in followers {
            numbers::put_signed(&mut list, *gap);
            numbers::put(&mut list, *source_length);
        }
        block_map::Page { extents: vec![first], followers: list, resume: 0, done: true }
    }

    fn unit(kind: block_map::ExtentKind, followers: u32) -> block_map::Extent {
        block_map::Extent {
            offset: 100,
            length: 10,
            kind,
            source: 0,
            codec: 0,
            source_offset: 1000,
            source_length: 5,
            followers,
        }
    }

    fn encoded(followers: u32) -> block_map::Extent {
        unit(block_map::ExtentKind::Encoded, followers)
    }

    #[test]
    fn followers_are_extents_of_their_own() {
        let all = extents(&page(encoded(2), &[(12, 6), (-1000, 7)]), 3).unwrap();
        let shape: Vec<_> =
            all.iter().map(|extent| (extent.offset, extent.source_offset, extent.source_length)).collect();
        assert_eq!(shape, [(100, 1000, 5), (110, 1017, 6), (120, 23, 7)]);
        let too_many = extents(&page(encoded(2), &[(12, 6), (-1000, 7)]), 2).unwrap_err();
        assert_eq!(too_many.code, "plugin.bad-answer.list");
    }

    #[test]
    fn impossible_followers_are_a_bad_answer() {
        let far = block_map::Extent { offset: u64::MAX - 5, ..encoded(1) };
        let cut = block_map::Page { followers: vec![0x80], ..page(encoded(1), &[]) };
        let endless = block_map::Page { followers: vec![0xFF; 40], ..page(encoded(1), &[]) };
        let bad = [
            page(encoded(2), &[(0, 1)]),
            page(encoded(0), &[(0, 1)]),
            page(unit(block_map::ExtentKind::Data, 1), &[(0, 1)]),
            page(encoded(1), &[(-1006, 1)]),
            page(encoded(1), &[(i64::MIN, 1)]),
            page(far, &[(0, 1)]),
            cut,
            endless,
        ];
        for page in bad {
            assert_eq!(extents(&page, 10).unwrap_err().code, "plugin.bad-answer.extents");
        }
        let endless = page(encoded(u32::MAX), &[(0, 1)]);
        assert_eq!(extents(&endless, 10).unwrap_err().code, "plugin.bad-answer.list");
    }

    proptest! {
        /// The SDK has the counterpart of this test; both follow the text of the contract.
        #[test]
        fn placements_describe_every_unit(
            units in prop::collection::vec((0u64..3, 0u64..1 << 40, 0u32..4), 0..50)
        ) {
            let mut offset = 0;
            let all: Vec<Placed> = units
                .into_iter()
                .map(|(skip, file_offset, stored_length)| {
                    offset += (skip / 2 + 1) * 10;
                    Placed { offset, length: 10, file_offset, stored_length }
                })
                .collect();
            let (runs, followers) = placements(&all);
            let mut rest = Numbers::new(&followers);
            let mut back = Vec::new();
            for run in runs {
                let writer::Placed { offset, length, file_offset, stored_length, followers } = run;
                let mut last = Placed { offset, length, file_offset, stored_length };
                back.push(last);
                for _ in 0..followers {
                    let stored = if last.stored_length == 0 { length } else { last.stored_length.into() };
                    let file_offset =
                        (last.file_offset + stored).checked_add_signed(rest.signed().unwrap()).unwrap();
                    let stored_length = rest.unsigned().unwrap();
                    last = Placed { offset: last.offset + length, length, file_offset, stored_length };
                    back.push(last);
                }
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(back, all);
        }
    }
}
