//! Forged files: each has its code, none is believed, none makes the reader panic or work for long.

use std::{cell::Cell, rc::Rc};

use format_vhdx::Vhdx;
use imprint_plugin_sdk::{
    format::{ExtentKind, Format, Image as _, Severity},
    mock::MemBlob,
    types::Props,
};

use crate::{
    forge::{BAT, DATA, Flipped, Forge, HEADERS, ITEMS, LOG, METADATA, MIB, REGIONS, guid},
    support::{all_findings, code, open_bytes, whole_map},
};

/// The code of the refusal, by opening or by the map.
pub(crate) fn outcome(bytes: &[u8]) -> String {
    imprint_format_kit::outcome(|| open_bytes(bytes), imprint_format_kit::aliased)
}

/// Spoils the valid image, makes its checksums right, and expects the code.
#[track_caller]
fn expect(spoil: impl FnOnce(&mut Forge), expected: &str) {
    expect_of(Forge::new(), spoil, expected);
}

#[track_caller]
fn expect_of(mut forge: Forge, spoil: impl FnOnce(&mut Forge), expected: &str) {
    spoil(&mut forge);
    assert_eq!(outcome(&forge.seal().bytes), expected);
}

/// Spoils both copies of the region table.
fn regions(forge: &mut Forge, spoil: impl Fn(&mut Forge, u64)) {
    REGIONS.into_iter().for_each(|at| spoil(forge, at));
}

#[test]
fn the_image_that_is_spoilt_is_a_good_one() {
    let mut image = open_bytes(&Forge::new().bytes).unwrap();
    let info = image.info().unwrap();
    assert_eq!(
        (info.virtual_size, info.unit, info.subformat.as_deref()),
        (8 << 20, 1 << 20, Some("dynamic"))
    );
    let facts = ["id", "creator", "sector-size", "physical-sector-size", "version"]
        .map(|key| info.facts[key].as_str());
    assert_eq!(facts, ["00000000-0000-0000-0000-000000000042", "forge", "512", "4096", "1"]);
    assert_eq!(info.facts.len(), 5);
    let map = whole_map(&mut image, 10).unwrap();
    let shape: Vec<_> =
        map.iter().map(|extent| (extent.kind, extent.length / MIB, extent.source_offset)).collect();
    let data = ExtentKind::Data;
    let expected = [
        (data, 1, 5 * MIB),
        (ExtentKind::Hole, 1, 0),
        (data, 1, DATA),
        (ExtentKind::Zero, 1, 0),
        (ExtentKind::Hole, 4, 0),
    ];
    assert_eq!(shape, expected);
    let leaks = all_findings(&mut image, 10).unwrap();
    assert_eq!(leaks.len(), 1, "MiB 6 and 7: {leaks:?}");
    assert_eq!((leaks[0].severity, leaks[0].offset), (Severity::Leak, Some(6 * MIB)));
    assert_eq!(image.sources().unwrap().len(), 1);
}

#[test]
fn the_current_header_is_the_valid_one_with_the_larger_number() {
    let id = |forge: Forge| open_bytes(&forge.bytes).unwrap().info().unwrap().facts["id"].clone();
    let mut forge = Forge::new();
    forge.put(HEADERS[0] + 32, &guid(1)).put(HEADERS[1] + 32, &guid(2));
    let mut forge = forge.seal();
    assert!(id(forge.clone()).ends_with('2'));
    forge.u64(HEADERS[0] + 8, 9);
    assert!(id(forge.clone()).ends_with('2'), "a header with a wrong checksum does not count");
    let mut forge = forge.seal();
    assert!(id(forge.clone()).ends_with('1'));
    forge.u64(HEADERS[1] + 8, 9);
    let mut forge = forge.seal();
    assert_eq!(outcome(&forge.bytes), "corrupt.header", "two that differ with one number");
    forge.put(HEADERS[1] + 32, &guid(1));
    let mut forge = forge.seal();
    assert!(id(forge.clone()).ends_with('1'), "two that are the same");
    forge.put(HEADERS[0] + 100, &[1]);
    assert!(id(forge.clone()).ends_with('1'));
    forge.put(HEADERS[1] + 100, &[1]);
    assert_eq!(outcome(&forge.bytes), "corrupt.checksum");
    forge.put(HEADERS[0], b"daeh").put(HEADERS[1], b"daeh");
    assert_eq!(outcome(&forge.bytes), "corrupt.header");
}

#[test]
fn headers_that_contradict_themselves() {
    let both = |at: u64, bytes: &'static [u8]| {
        move |forge: &mut Forge| {
            forge.put(HEADERS[0] + at, bytes).put(HEADERS[1] + at, bytes);
        }
    };
    expect(both(66, &[2, 0]), "unsupported.version");
    expect(both(64, &[1, 0]), "accepted");
    expect(both(68, &[1, 0, 0, 0]), "corrupt.header");
    expect(both(68, &[0, 0, 0, 0]), "accepted");
    expect(both(68, &[0, 0, 0, 0xf0]), "corrupt.truncated");
    expect(both(72, &[0; 8]), "corrupt.header");
    expect(both(72, &[0, 0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff]), "corrupt.truncated");
    expect(both(72, &[0, 0, 0x20]), "corrupt.aliased");
    // Block 2 would be in the log.
    expect(both(72, &[0, 0, 0x40]), "corrupt.aliased");
    expect(both(48, &[1]), "corrupt.log");
    expect(
        |forge| {
            forge.put(0, b"vhdxfilf");
        },
        "corrupt.header",
    );
    let mut forge = Forge::new();
    forge.dirty();
    both(64, &[1, 0])(&mut forge);
    assert_eq!(outcome(&forge.seal().bytes), "unsupported.version");
}

#[test]
fn region_tables() {
    let count = |count: u32| {
        move |forge: &mut Forge| {
            regions(forge, |forge, at| {
                forge.u32(at + 8, count);
            });
        }
    };
    expect(count(2048), "corrupt.table");
    expect(count(1), "corrupt.table");
    let second = |id: u128, required: u32| {
        move |forge: &mut Forge| {
            regions(forge, |forge, at| {
                forge.put(at + 48, &guid(id)).u32(at + 76, required);
            });
        }
    };
    expect(second(5, 1), "unsupported.feature");
    expect(second(5, 0), "corrupt.table");
    expect(second(0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08, 1), "corrupt.table");
    for (offset, expected) in [
        (BAT, "corrupt.aliased"),
        (LOG, "corrupt.aliased"),
        (0, "corrupt.table"),
        (METADATA + 4096, "corrupt.table"),
        (8 * MIB, "corrupt.truncated"),
        (u64::MAX - MIB + 1, "corrupt.truncated"),
    ] {
        expect(
            |forge| {
                regions(forge, |forge, at| {
                    forge.u64(at + 64, offset);
                });
            },
            expected,
        );
    }
    for (length, expected) in [(0, "corrupt.table"), (4096, "corrupt.table"), (2 << 20, "corrupt.aliased")] {
        expect(
            |forge| {
                regions(forge, |forge, at| {
                    forge.u32(at + 40, length);
                });
            },
            expected,
        );
    }
}

#[test]
fn regions_that_are_not_known() {
    // A region that nobody must know is none of our business, but its bytes are its own.
    let third = |offset: u64, required: u32| {
        move |forge: &mut Forge| {
            regions(forge, |forge, at| {
                forge.u32(at + 8, 3).put(at + 80, &guid(5)).u64(at + 96, offset);
                forge.u32(at + 104, 1 << 20).u32(at + 108, required);
            });
        }
    };
    expect(third(6 * MIB, 0), "accepted");
    expect(third(6 * MIB, 1), "unsupported.feature");
    expect(third(METADATA, 0), "corrupt.aliased");
    expect(third(DATA, 0), "corrupt.aliased");
}

#[test]
fn one_region_table_is_enough_and_the_check_says_so() {
    let mut forge = Forge::new();
    forge.put(REGIONS[0] + 1000, &[1]);
    let codes = |forge: &Forge| -> Vec<String> {
        let findings = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 1).unwrap();
        findings.into_iter().map(|finding| finding.code).filter(|code| code != "vhdx.leak").collect()
    };
    assert_eq!(codes(&forge), ["vhdx.region-table"]);
    let findings = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 10).unwrap();
    let table = findings.iter().find(|finding| finding.code == "vhdx.region-table").unwrap();
    assert_eq!(table.severity, Severity::Note, "it is read well");
    let mut differing = forge.clone().seal();
    assert_eq!(codes(&differing), ["vhdx.region-table"]);
    differing.put(HEADERS[0] + 1000, &[1]);
    assert_eq!(codes(&differing), ["vhdx.header", "vhdx.region-table"]);
    forge.put(REGIONS[1] + 1000, &[1]);
    assert_eq!(outcome(&forge.bytes), "corrupt.checksum");
}

#[test]
fn metadata_items() {
    let item = |index: u64, field: u64, value: u32| {
        move |forge: &mut Forge| {
            forge.u32(METADATA + 32 + index * 32 + field, value);
        }
    };
    expect(
        |forge| {
            forge.put(METADATA, b"metadatb");
        },
        "corrupt.table",
    );
    expect(
        |forge| {
            forge.u16(METADATA + 10, 2048);
        },
        "corrupt.table",
    );
    expect(
        |forge| {
            forge.u16(METADATA + 10, 2);
        },
        "corrupt.table",
    );
    // The page 83 id is not needed for reading.
    expect(
        |forge| {
            forge.u16(METADATA + 10, 4);
        },
        "accepted",
    );
    for index in 0..4 {
        let name = if index == 3 { "accepted" } else { "corrupt.table" };
        // An unknown item that nobody must know; without the one that it was.
        expect(
            |forge| {
                forge.item(index, 77, 65536 + 1024, 8, 0);
            },
            name,
        );
    }
    expect(
        |forge| {
            forge.item(4, 77, 65536 + 1024, 8, 4);
        },
        "unsupported.feature",
    );
    expect(
        |forge| {
            forge.item(4, 77, 65536 + 1024, 8, 5);
        },
        "unsupported.feature",
    );
    expect(
        |forge| {
            forge.item(4, 77, 65536 + 1024, 8, 1);
        },
        "accepted",
    );
    expect(item(0, 16, 65535), "corrupt.table");
    expect(item(0, 16, (1 << 20) - 7), "corrupt.table");
    expect(item(0, 16, u32::MAX), "corrupt.table");
    expect(item(0, 20, u32::MAX), "corrupt.table");
    expect(item(0, 20, 4), "corrupt.table");
    expect(item(0, 20, 17), "corrupt.aliased");
    expect(
        |forge| {
            forge.item(4, 0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8, 65536 + 1024, 8, 6);
        },
        "corrupt.table",
    );
}

#[test]
fn sizes_of_blocks() {
    for block in [0, 1, 1 << 19, (1 << 20) + 1, 3 << 20, 1 << 29] {
        expect(
            |forge| {
                forge.u32(ITEMS, block);
            },
            "corrupt.header",
        );
    }
    expect(
        |forge| {
            forge.u32(ITEMS + 4, 4);
        },
        "unsupported.feature",
    );
    expect(
        |forge| {
            forge.u32(ITEMS + 4, 1);
        },
        "accepted",
    );
    expect(
        |forge| {
            forge.u32(ITEMS + 4, 2);
        },
        "corrupt.table",
    );
}

#[test]
fn sizes_of_sectors_and_disks() {
    for sector in [0, 511, 1024, 8192] {
        expect(
            |forge| {
                forge.u32(ITEMS + 32, sector);
            },
            "corrupt.header",
        );
        expect(
            |forge| {
                forge.u32(ITEMS + 48, sector);
            },
            "corrupt.header",
        );
    }
    expect(
        |forge| {
            forge.u32(ITEMS + 32, 4096);
        },
        "accepted",
    );
    expect(
        |forge| {
            forge.u64(ITEMS + 16, (64 << 40) + 512);
        },
        "limit.virtual-size",
    );
    expect(
        |forge| {
            forge.u64(ITEMS + 16, u64::MAX - 511);
        },
        "limit.virtual-size",
    );
    expect(
        |forge| {
            forge.u64(ITEMS + 16, 8 * MIB - 1);
        },
        "corrupt.header",
    );
    expect(
        |forge| {
            forge.u32(ITEMS + 32, 4096).u64(ITEMS + 16, 8 * MIB - 512);
        },
        "corrupt.header",
    );
    // The BAT is too short.
    expect(
        |forge| {
            forge.u64(ITEMS + 16, 1 << 40);
        },
        "corrupt.table",
    );
    expect(
        |forge| {
            forge.u64(ITEMS + 16, 64 << 40);
        },
        "corrupt.table",
    );
    expect(
        |forge| {
            forge.u64(ITEMS + 16, 0);
        },
        "accepted",
    );
}

#[test]
fn states_of_blocks() {
    for state in [4, 5, 7] {
        expect(
            |forge| {
                forge.bat(1, (6 * MIB) | state);
            },
            "corrupt.table",
        );
    }
    for state in [0, 1, 2, 3] {
        expect(
            |forge| {
                forge.bat(1, state);
            },
            "accepted",
        );
        expect(
            |forge| {
                forge.bat(1, u64::MAX << 20 | state);
            },
            "accepted",
        );
    }
    for bit in 3..20 {
        expect(
            |forge| {
                forge.bat(1, 1 << bit);
            },
            "corrupt.table",
        );
    }
}

#[test]
fn places_of_blocks() {
    expect(
        |forge| {
            forge.bat(1, DATA | 6);
        },
        "corrupt.aliased",
    );
    for place in [0, LOG, METADATA, BAT] {
        expect(
            |forge| {
                forge.bat(1, place | 6);
            },
            "corrupt.aliased",
        );
    }
    expect(
        |forge| {
            forge.bat(1, (8 * MIB) | 6);
        },
        "corrupt.truncated",
    );
    expect(
        |forge| {
            forge.bat(1, u64::MAX << 20 | 6);
        },
        "corrupt.truncated",
    );
    // What lies behind the disk's last block is nothing.
    expect(
        |forge| {
            forge.bat(8, u64::MAX);
        },
        "accepted",
    );
    // Larger blocks reach into each other.
    expect(
        |forge| {
            forge.u32(ITEMS, 2 << 20).bat(3, 0);
        },
        "corrupt.aliased",
    );
    // The last block of the disk is cut, and so may be the file.
    let mut forge = Forge::new();
    forge.u64(ITEMS + 16, 8 * MIB - 4096).bat(7, (7 * MIB) | 6);
    let forge = forge.seal();
    assert_eq!(outcome(&forge.bytes[..usize::try_from(8 * MIB - 4096).unwrap()]), "accepted");
    assert_eq!(outcome(&forge.bytes[..usize::try_from(8 * MIB - 4097).unwrap()]), "corrupt.truncated");
}

#[test]
fn files_that_end_early() {
    let forge = Forge::new();
    for length in
        [0, 7, 8, 520, 4096, 65536, MIB - 1, MIB, 2 * MIB - 1, 3 * MIB, 4 * MIB - 1, 4 * MIB, 6 * MIB - 1]
    {
        let outcome = outcome(&forge.bytes[..usize::try_from(length).unwrap()]);
        let expected = if length < 8 { "corrupt.header" } else { "corrupt.truncated" };
        assert_eq!(outcome, expected, "{length}");
    }
    let blob = MemBlob::new(forge.bytes.clone()).short_from(METADATA + 100);
    assert_eq!(code(Vhdx::open(Box::new(blob), &Props::new())), "corrupt.truncated");
    let blob = MemBlob::new(forge.bytes).with_size(u64::MAX);
    assert_eq!(code(Vhdx::open(Box::new(blob), &Props::new())), "limit.table-size");
}

#[test]
fn space_that_is_set_aside_for_zeroes_is_no_leak() {
    let mut forge = Forge::new();
    forge.bat(3, (6 * MIB) | 3).bat(4, (7 * MIB) | 1);
    assert_eq!(all_findings(&mut open_bytes(&forge.bytes).unwrap(), 10).unwrap(), []);
}

#[test]
fn every_call_is_short_however_large_the_disk_is() {
    // 16 TiB of which nothing is stored: a BAT of 128 MiB, behind everything else.
    for mut forge in [Forge::new(), Forge::differencing()] {
        forge.bytes[usize::try_from(BAT).unwrap()..usize::try_from(DATA).unwrap()].fill(0);
        let length = 129 * MIB;
        forge.u64(ITEMS + 16, 16 << 40);
        regions(&mut forge, |forge, at| {
            forge.u64(at + 32, 8 * MIB).u32(at + 40, u32::try_from(length).unwrap());
        });
        let blob = MemBlob::new(forge.seal().bytes).with_size(8 * MIB + length);
        imprint_format_kit::assert_calls_are_short::<Vhdx>(Box::new(blob));
    }
}

#[test]
fn a_check_reports_what_a_map_refuses() {
    let mut forge = Forge::new();
    // Upon another block, behind the file, with a state that does not exist; the first is where a
    // block of zeroes keeps its space, which is no fault.
    forge.bat(1, DATA | 6).bat(3, (8 * MIB) | 6).bat(4, (6 * MIB) | 4).bat(5, (7 * MIB) | 3);
    forge.bat(6, (7 * MIB) | 6);
    let findings = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 2).unwrap();
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let codes: Vec<_> = errors.map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["corrupt.aliased", "corrupt.truncated", "corrupt.table"]);
}

#[test]
fn a_creator_cannot_steer_a_terminal() {
    let mut forge = Forge::new();
    forge.put(8, &[0x1b, 0, b'[', 0, 0x00, 0xd8, b'x', 0]);
    let info = open_bytes(&forge.bytes).unwrap().info().unwrap();
    assert_eq!(info.facts["creator"], "\u{fffd}[\u{fffd}xe");
}

/// Opens with one byte changed, and asks for everything that is bounded.
fn exercise_flip(bytes: &Rc<Vec<u8>>, at: usize, mask: u8) -> bool {
    let blob = Flipped { bytes: bytes.clone(), at, mask, read: Cell::new(0) };
    let Ok(mut image) = Vhdx::open(Box::new(blob), &Props::new()) else { return false };
    let file = u64::try_from(bytes.len()).unwrap();
    let Ok(map) = whole_map(&mut image, 100) else { return false };
    for extent in map {
        assert!(extent.kind != ExtentKind::Data || extent.source_offset + extent.length <= file);
    }
    let Ok(ranges) = image.metadata_ranges(0, 100) else { return false };
    assert!(ranges.iter().all(|range| range.offset + range.length <= file));
    true
}

#[test]
fn every_flipped_byte_of_the_fields_of_mark_and_headers_is_refused_or_bounded() {
    let bytes = Rc::new(Forge::new().bytes);
    for at in (0..32).chain((32..520).step_by(29)) {
        assert_eq!(exercise_flip(&bytes, at, 0xff), at >= 8, "{at}");
    }
    for start in HEADERS {
        let start = usize::try_from(start).unwrap();
        for at in (start..start + 96).chain((start + 96..start + 4096).step_by(29)) {
            assert!(exercise_flip(&bytes, at, 0x81), "the other header is still valid");
        }
    }
}

#[test]
fn every_flipped_byte_of_regions_metadata_and_bat_is_refused_or_bounded() {
    let bytes = Rc::new(Forge::differencing().seal().bytes);
    for start in REGIONS {
        let start = usize::try_from(start).unwrap();
        for at in (start..start + 100).chain((start..start + 65536).step_by(1009)) {
            assert!(exercise_flip(&bytes, at, 0x81), "the other table is still valid");
        }
    }
    let metadata = usize::try_from(METADATA).unwrap();
    let items = usize::try_from(ITEMS).unwrap();
    let bat = usize::try_from(BAT).unwrap();
    let places = (metadata..metadata + 256)
        .chain(items..items + 80)
        .chain(items + 4096..items + 4400)
        .chain(bat..bat + 72);
    let accepted = places
        .flat_map(|at| [1, 0x80, 0xff].map(|mask| (at, mask)))
        .filter(|(at, mask)| exercise_flip(&bytes, *at, *mask))
        .count();
    assert!(accepted > 0 && accepted < 1500, "{accepted}");
}

#[test]
fn probing_wants_the_mark() {
    let probe = |head: &[u8]| Vhdx::probe(head, &[], 0).map(|guess| (guess.confidence, guess.format));
    assert_eq!(probe(&Forge::new().bytes[..65536]), Some((100, "vhdx".to_owned())));
    assert_eq!((probe(b"vhdxfil"), probe(b"")), (None, None));
}

#[test]
fn it_is_asked_about_every_file_that_it_knows() {
    let known =
        imprint_format_kit::known_by_their_marks::<format_vhdx::Vhdx>(include_str!("../../plugin.toml"), &[]);
    assert!(known > 5, "{known}");
}
