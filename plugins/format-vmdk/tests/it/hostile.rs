//! Forged files: each has its code, none is believed, none makes the reader panic or work for long.

use imprint_plugin_sdk::{
    format::{Format, Image as _},
    mock::MemBlob,
    types::Props,
};

use crate::{
    forge::{CAPACITY, DATA, Forge, GD, GRAIN, GT, RGD, RGT, at, descriptor},
    support::{aliased, all_findings, all_ranges, code, open_bytes, whole_disk, whole_map},
};

/// The code of the refusal, wherever it comes: opening, the map, or what the host finds over the
/// whole map.
fn outcome(bytes: &[u8]) -> String {
    imprint_format_kit::outcome(|| open_bytes(bytes), aliased)
}

/// Spoils a valid image and expects the code.
#[track_caller]
fn expect(mut forge: Forge, spoil: impl FnOnce(&mut Forge), expected: &str) {
    spoil(&mut forge);
    assert_eq!(outcome(&forge.bytes), expected);
}

#[track_caller]
fn sparse(spoil: impl FnOnce(&mut Forge), expected: &str) {
    expect(Forge::sparse(), spoil, expected);
}

/// As [`sparse`], without a redundant directory that could be used instead.
#[track_caller]
fn single(spoil: impl FnOnce(&mut Forge), expected: &str) {
    let mut forge = Forge::sparse();
    forge.u32(8, 1);
    expect(forge, spoil, expected);
}

#[track_caller]
fn stream(spoil: impl FnOnce(&mut Forge), expected: &str) {
    expect(Forge::stream(), spoil, expected);
}

#[track_caller]
fn text(kind: &str, lines: &str, expected: &str) {
    assert_eq!(outcome(&Forge::of_text(&descriptor(kind, lines)).bytes), expected);
}

#[test]
fn the_images_that_are_spoilt_are_good_ones() {
    for forge in [Forge::sparse(), Forge::stream()] {
        assert_eq!(outcome(&forge.bytes), "accepted");
        let mut image = open_bytes(&forge.bytes).unwrap();
        assert_eq!(image.info().unwrap().virtual_size, CAPACITY * 512);
        assert_eq!(all_findings(&mut image, 1).unwrap(), vec![]);
        let places: Vec<_> =
            whole_map(&mut image, 100).unwrap().iter().map(|extent| (extent.offset, extent.length)).collect();
        let disk = CAPACITY * 512;
        assert_eq!(
            places,
            [(0, GRAIN), (GRAIN, 4 * GRAIN), (5 * GRAIN, GRAIN), (6 * GRAIN, disk - 6 * GRAIN)]
        );
    }
    let forge = Forge::stream();
    let disk = whole_disk(&mut open_bytes(&forge.bytes).unwrap(), std::slice::from_ref(&forge.bytes));
    assert_eq!((disk[0], disk[65536], disk[5 * 65536]), (1, 0, 2));
}

#[test]
fn v01_v02_v03_names_of_other_files_are_denied() {
    text("monolithicFlat", "RW 128 FLAT \"/etc/shadow\" 0", "denied.external-reference");
    text("fullDevice", "RW 128 FLAT \"/dev/vda\" 0", "denied.external-reference");
    text("monolithicFlat", "RW 128 FLAT \"/dev/vda\" 0", "denied.external-reference");
    text("monolithicFlat", "RW 128 FLAT \"../secret\" 0", "denied.external-reference");
    text("twoGbMaxExtentSparse", "RW 128 SPARSE \"a\\\\b\"", "denied.external-reference");
    // A name beside the descriptor is text, which the host grants or not.
    let forge = Forge::of_text(&descriptor("monolithicFlat", "RW 128 FLAT \"secret\" 0"));
    let sources = open_bytes(&forge.bytes).unwrap().sources().unwrap();
    assert_eq!((sources[1].role.as_str(), sources[1].reference.as_str()), ("extent", "secret"));
    // A sparse part cannot be read without it.
    text("twoGbMaxExtentSparse", "RW 128 SPARSE \"a\"", "denied.external-reference");
}

#[test]
fn v04_header_and_descriptor_disagree() {
    let lie = |text: String| {
        sparse(
            |forge| {
                forge.text(&text);
            },
            "corrupt.header",
        );
    };
    lie(descriptor("monolithicFlat", "RW 128 FLAT \"secret\" 0"));
    lie(descriptor("streamOptimized", &format!("RW {CAPACITY} SPARSE \"a\"")));
    lie(descriptor("monolithicSparse", "RW 128 SPARSE \"a\""));
    lie(descriptor("monolithicSparse", &format!("RW {} SPARSE \"a\"", CAPACITY + 1)));
    lie(descriptor("monolithicSparse", &format!("RW {CAPACITY} FLAT \"a\" 0")));
    lie(descriptor("monolithicSparse", &format!("RW {CAPACITY} SPARSE \"a\"\nRW 1 SPARSE \"b\"")));
    stream(
        |forge| {
            forge.text(&descriptor("monolithicSparse", &format!("RW {CAPACITY} SPARSE \"a\"")));
        },
        "corrupt.header",
    );
    text("monolithicSparse", "RW 128 SPARSE \"a\"", "corrupt.header");
    // A capacity that was rounded up to a grain is common, and said.
    let mut forge = Forge::sparse();
    forge.text(&descriptor("monolithicSparse", &format!("RW {} SPARSE \"a\"", CAPACITY - 64)));
    let info = open_bytes(&forge.bytes).unwrap().info().unwrap();
    assert_eq!(info.facts["size-conflict"], ((CAPACITY - 64) * 512).to_string());
}

#[test]
fn v05_a_parent_is_named_and_never_left_out() {
    let with = |lines: &str| {
        let mut forge = Forge::sparse();
        let text = descriptor("monolithicSparse", &format!("RW {CAPACITY} SPARSE \"a\"\n{lines}"));
        forge.text(&text.replace("parentCID=ffffffff\n", ""));
        let mut image = open_bytes(&forge.bytes).unwrap();
        let parents = image.sources().unwrap().into_iter().skip(1);
        (
            parents.map(|parent| (parent.role, parent.reference)).collect::<Vec<_>>(),
            image.info().unwrap().facts.get("parent-id").cloned(),
        )
    };
    let parent = |name: &str| vec![("parent".to_owned(), name.to_owned())];
    assert_eq!(with(""), (vec![], None));
    assert_eq!(with("parentCID=ffffffff"), (vec![], None));
    assert_eq!(with("parentCID=12"), (parent(""), Some("00000012".to_owned())));
    assert_eq!(
        with("parentCID=12\nparentFileNameHint=\"/etc/passwd\""),
        (parent("/etc/passwd"), Some("00000012".to_owned()))
    );
    assert_eq!(with("parentFileNameHint=\"self.vmdk\""), (parent("self.vmdk"), None));
}

#[test]
fn v06_v07_v09_impossible_grains_and_tables() {
    for grain in [0_u64, 1, 3, 4, 2048, 1 << 40, u64::MAX] {
        sparse(
            |forge| {
                forge.u64(20, grain);
            },
            "corrupt.header",
        );
    }
    for entries in [0, 1, 100, 513, 8192, u32::MAX] {
        sparse(
            |forge| {
                forge.u32(44, entries);
            },
            "corrupt.header",
        );
    }
}

#[test]
fn v08_disks_of_impossible_size() {
    for capacity in [1_u64 << 54, u64::MAX, (62 << 31) + 1] {
        sparse(
            |forge| {
                forge.u64(12, capacity);
            },
            "limit.virtual-size",
        );
    }
    // A directory that the file cannot hold is never allocated.
    sparse(
        |forge| {
            forge.u64(12, 16 << 31);
        },
        "corrupt.truncated",
    );
    sparse(
        |forge| {
            forge.u64(12, 16 << 31).u64(20, 8);
        },
        "limit.table-size",
    );
}

#[test]
fn v10_one_grain_for_all() {
    sparse(
        |forge| {
            for index in 0..500 {
                forge.entry(GT, index, DATA);
            }
        },
        "corrupt.aliased",
    );
    sparse(
        |forge| {
            forge.entry(GT, 1, DATA + 64);
        },
        "corrupt.aliased",
    );
    stream(
        |forge| {
            let table = forge.stream_table();
            forge.u32(table + 4, 128);
        },
        "corrupt.table",
    );
    // One table for the whole disk of 1 TiB.
    let mut forge = Forge::sparse();
    let capacity = 1_u64 << 31;
    forge.u32(8, 1).u64(12, capacity).u64(56, 600);
    forge.text(&descriptor("monolithicSparse", &format!("RW {capacity} SPARSE \"a\"")));
    forge.put(600 * 512, &GT.to_le_bytes().repeat(32768));
    assert_eq!(outcome(&forge.bytes), "corrupt.aliased");
}

#[test]
fn data_in_tables_and_tables_in_tables() {
    for sector in [1, 20, RGD, RGT, GD, GT, GT + 3] {
        sparse(
            |forge| {
                forge.entry(GT, 7, sector);
            },
            "corrupt.aliased",
        );
    }
    for (field, sector) in [(28, 21), (48, u64::from(RGT))] {
        sparse(
            |forge| {
                forge.u64(field, sector);
            },
            "corrupt.aliased",
        );
    }
    for (field, sector) in [(28, 26), (56, 1), (56, u64::from(GT))] {
        single(
            |forge| {
                forge.u64(field, sector);
                if field == 56 {
                    forge.u32(sector * 512, GT);
                }
            },
            "corrupt.aliased",
        );
    }
}

#[test]
fn of_two_directories_one_may_be_damaged() {
    let good = whole_map(&mut open_bytes(&Forge::sparse().bytes).unwrap(), 100).unwrap();
    type Damage = fn(&mut Forge);
    let cases: [(&str, Damage); 8] = [
        ("the redundant", |forge| _ = forge.u32(at(RGD), 509)),
        ("the redundant", |forge| _ = forge.u32(at(RGD), u32::MAX)),
        ("the redundant", |forge| _ = forge.u64(48, 26)),
        ("the redundant", |forge| _ = forge.u64(48, 1 << 54)),
        ("the redundant", |forge| _ = forge.u32(at(GD), RGT)),
        ("the grain", |forge| _ = forge.u32(at(GD), 509)),
        ("the grain", |forge| _ = forge.u64(56, 512)),
        ("the grain", |forge| _ = forge.u64(56, 1).u32(512, GT)),
    ];
    for (number, (which, spoil)) in cases.iter().enumerate() {
        let mut forge = Forge::sparse();
        spoil(&mut forge);
        // Where the descriptor was written over, it is not read for this.
        if number == 7 {
            forge.put(512, b"# Di");
        }
        let mut image = open_bytes(&forge.bytes).unwrap();
        assert_eq!(whole_map(&mut image, 100).unwrap(), good, "{number}");
        let notes = all_findings(&mut image, 1).unwrap();
        let [note] = notes.as_slice() else { panic!("{number}: {notes:?}") };
        assert!(note.code == "vmdk.odd" && note.message.starts_with(which), "{number}: {}", note.message);
    }
    // A place where no directory can be is none.
    for sector in [0, 1 << 55] {
        let mut forge = Forge::sparse();
        forge.u64(48, sector);
        let mut image = open_bytes(&forge.bytes).unwrap();
        assert_eq!(whole_map(&mut image, 100).unwrap(), good, "{sector}");
    }
    // Both.
    sparse(|forge| _ = forge.u32(at(RGD), 509).u32(at(GD), 509), "corrupt.truncated");
}

#[test]
fn a_stream_may_be_padded_or_lack_its_end_marker() {
    let good = whole_map(&mut open_bytes(&Forge::stream().bytes).unwrap(), 100).unwrap();
    let length = Forge::stream().bytes.len();
    for (size, note) in [
        (length + 512, Some("512 bytes of zeroes")),
        (length + 100, Some("100 bytes of zeroes")),
        (length + 700_000, Some("700000 bytes of zeroes")),
        (length - 512, Some("no end marker")),
        (length - 100, Some("no end marker")),
        (length, None),
    ] {
        let mut bytes = Forge::stream().bytes;
        bytes.resize(size, 0);
        let mut image = open_bytes(&bytes).unwrap();
        assert_eq!(whole_map(&mut image, 100).unwrap(), good, "{size}");
        let notes = all_findings(&mut image, 10).unwrap();
        assert_eq!(notes.len(), usize::from(note.is_some()), "{size}: {notes:?}");
        assert!(note.is_none_or(|text| notes[0].message.contains(text)), "{size}: {notes:?}");
    }
    let mut cut = Forge::stream().bytes;
    cut.truncate(length - 513);
    assert_eq!(outcome(&cut), "corrupt.truncated", "a footer without its last byte");
    // What is behind the end and no zero, and a footer too far from the end.
    for (at, byte) in [(length, 1), (length + 5000, 1), (length + (2 << 20), 0)] {
        let mut bytes = Forge::stream().bytes;
        bytes.resize(at, 0);
        bytes.push(byte);
        assert_eq!(outcome(&bytes), "corrupt.truncated", "{at}");
    }
}

#[test]
fn descriptors_begin_in_many_ways() {
    let rest =
        "CID=00c0ffee\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 128 FLAT \"a b.vmdk\" 0\n";
    for begin in [
        "# Disk DescriptorFile\nversion=1\n",
        "#Disk DescriptorFile\nversion=1\n",
        "#  Disk  Descriptor File\nversion=1\n",
        "\u{feff}# Disk DescriptorFile\nversion=1\n",
        "# Made by a converter\n# Disk DescriptorFile\nversion=1\n",
        "# Made by a converter\n\nversion=1\n",
        "version=1\n",
        "Version = 1\n",
        "\n\nversion=1\n",
        "encoding=\"UTF-8\"\r\nversion=1\n",
        "",
    ] {
        let text = format!("{begin}{rest}");
        let mut image = open_bytes(text.as_bytes()).unwrap();
        assert_eq!(image.info().unwrap().virtual_size, 65536, "{begin:?}");
        let guess = format_vmdk::Vmdk::probe(text.as_bytes(), &[], 0).unwrap();
        assert_eq!(guess.confidence, 100, "{begin:?}");
    }
    for other in ["hello\nversion=1\n", "[main]\n", "x=1\n"] {
        let text = format!("{other}{rest}");
        assert!(format_vmdk::Vmdk::probe(text.as_bytes(), &[], 0).is_none(), "{other:?}");
        assert_eq!(outcome(text.as_bytes()), "corrupt.header");
    }
    // Settings of other programs are no descriptors.
    assert!(format_vmdk::Vmdk::probe(b"version=1\nname=x\n", &[], 0).is_none());
}

#[test]
fn a_file_may_have_another_name_by_now() {
    for name in ["C:\\VMs\\old.vmdk", "/vmfs/volumes/1/old.vmdk", "../old.vmdk", ""] {
        sparse(
            |forge| {
                forge.text(&descriptor("monolithicSparse", &format!("RW {CAPACITY} SPARSE \"{name}\"")));
            },
            "accepted",
        );
    }
}

#[test]
fn what_points_behind_the_end() {
    for sector in [512, u32::MAX, 511] {
        sparse(
            |forge| {
                forge.entry(GT, 1, sector);
            },
            "corrupt.truncated",
        );
    }
    for sector in [509, u32::MAX] {
        single(
            |forge| {
                forge.u32(at(GD), sector);
            },
            "corrupt.truncated",
        );
    }
    for (sector, expected) in [
        (0_u64, "corrupt.table"),
        (512, "corrupt.truncated"),
        (1 << 55, "corrupt.table"),
        (1 << 54, "corrupt.truncated"),
    ] {
        single(
            |forge| {
                forge.u64(56, sector);
            },
            expected,
        );
    }
    for length in [0, 3, 511, 512, 4096, at(DATA), at(DATA) + 65536] {
        let mut bytes = Forge::sparse().bytes;
        bytes.truncate(usize::try_from(length).unwrap());
        let expected = match length {
            0 | 3 => "corrupt.header",
            _ => "corrupt.truncated",
        };
        assert_eq!(outcome(&bytes), expected, "{length}");
        let mut bytes = Forge::stream().bytes;
        let length = usize::try_from(length).unwrap();
        if length < bytes.len() {
            bytes.truncate(length);
            assert_eq!(outcome(&bytes), expected, "{length}");
        }
    }
    let sparse = Forge::sparse().bytes;
    let short = MemBlob::new(sparse).short_from(at(RGD));
    assert_eq!(code(format_vmdk::Vmdk::open(Box::new(short), &Props::new())), "corrupt.truncated");
}

#[test]
fn streams_with_false_markers() {
    let data = at(DATA);
    for address in [128_u64, u64::MAX, CAPACITY, 1] {
        stream(
            |forge| {
                forge.u64(data, address);
            },
            "corrupt.table",
        );
    }
    for length in [0, u32::MAX, 135_169] {
        stream(
            |forge| {
                forge.u32(data + 8, length);
            },
            "corrupt.encoded",
        );
    }
    stream(
        |forge| {
            forge.u32(data + 8, 100_000);
        },
        "corrupt.truncated",
    );
    // A grain that reaches into the next one, and one that reaches into the table.
    stream(
        |forge| {
            forge.u32(data + 8, 600);
        },
        "corrupt.aliased",
    );
    stream(
        |forge| {
            forge.u32(data + 8, 2000);
        },
        "corrupt.aliased",
    );
    // A duplicate address, and a grain that is the marker of a table.
    stream(
        |forge| {
            let table = forge.stream_table();
            forge.u32(table + 40, 128);
        },
        "corrupt.table",
    );
    stream(
        |forge| {
            let table = forge.stream_table();
            forge.u32(table, u32::try_from(table / 512 - 1).unwrap());
        },
        "corrupt.table",
    );
}

#[test]
fn footers_that_lie() {
    for (field, value) in [(12, 8_u64), (20, 64), (28, 2), (36, 19)] {
        stream(
            |forge| {
                let footer = forge.footer();
                forge.u64(footer + field, value);
            },
            "corrupt.header",
        );
    }
    stream(
        |forge| {
            let footer = forge.footer();
            forge.u64(footer + 56, u64::MAX);
        },
        "corrupt.header",
    );
    stream(
        |forge| {
            let footer = forge.footer();
            forge.put(footer, b"XXXX");
        },
        "corrupt.header",
    );
    // The type of the marker before the footer, and the marker behind it.
    for (place, value) in [(12, 0_u32), (1024, 1), (1036, 1)] {
        stream(
            |forge| {
                let before = forge.footer() - 512;
                forge.u32(before + place, value);
            },
            "corrupt.truncated",
        );
    }
}

#[test]
fn flags_versions_and_variants_that_are_not_read() {
    for (flags, compression, expected) in [
        (3 | 1 << 5, 0, "unsupported.feature"),
        (0x10001, 1, "unsupported.feature"),
        (0x20001, 0, "unsupported.feature"),
        (3, 1, "corrupt.header"),
        (0x30001, 2, "unsupported.feature"),
        (0x30001, 1, "corrupt.header"),
    ] {
        sparse(
            |forge| {
                forge.u32(8, flags).put(77, &[compression, 0]);
            },
            expected,
        );
    }
    for version in [0, 4, u32::MAX] {
        sparse(
            |forge| {
                forge.u32(4, version);
            },
            "unsupported.version",
        );
    }
    sparse(
        |forge| {
            forge.put(73, b"\n \n\n");
        },
        "corrupt.header",
    );
    sparse(
        |forge| {
            forge.put(512, &[0; 20 * 512]);
        },
        "unsupported.subformat",
    );
    sparse(
        |forge| {
            forge.u64(36, 1000);
        },
        "limit.table-size",
    );
    assert_eq!(outcome(b"COWD\x01\0\0\0\x03\0\0\0"), "unsupported.subformat");
    assert_eq!(outcome(&0xcafe_babe_u64.to_le_bytes()), "unsupported.subformat");
    assert_eq!(outcome(b"KDMV"), "corrupt.truncated");
    assert_eq!(outcome(b"hello"), "corrupt.header");
    assert_eq!(outcome(&[]), "corrupt.header");
    let endless = format!("{}CID={}", descriptor("vmfs", ""), "f".repeat(1 << 20));
    assert_eq!(outcome(endless.as_bytes()), "limit.table-size");
}

#[test]
fn an_unclean_file_says_so() {
    let mut forge = Forge::sparse();
    forge.put(72, &[1]);
    let mut image = open_bytes(&forge.bytes).unwrap();
    assert_eq!(image.info().unwrap().facts["dirty"], "true");
    assert_eq!(all_findings(&mut image, 5).unwrap()[0].code, "dirty");
}

#[test]
fn the_check_names_what_is_wrong() {
    let codes = |spoil: &dyn Fn(&mut Forge), mut forge: Forge| {
        spoil(&mut forge);
        let findings = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 1).unwrap();
        findings.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(
        codes(
            &|forge| {
                forge.entry(RGT, 9, 77);
            },
            Forge::sparse()
        ),
        ["corrupt.redundant-table"]
    );
    assert_eq!(
        codes(
            &|forge| {
                forge.u32(at(RGD), 0);
            },
            Forge::sparse()
        ),
        ["corrupt.redundant-table"]
    );
    let both = |index, sector| {
        move |forge: &mut Forge| {
            forge.entry(GT, index, sector).entry(RGT, index, sector);
        }
    };
    assert_eq!(codes(&both(1, 511), Forge::sparse()), ["corrupt.truncated"]);
    assert_eq!(codes(&both(1, 2), Forge::sparse()), ["corrupt.aliased"]);
    assert_eq!(codes(&both(511, DATA), Forge::sparse()), ["corrupt.table"]);
    assert_eq!(
        codes(
            &|forge| {
                forge.u64(at(DATA), 5);
            },
            Forge::stream()
        ),
        ["corrupt.table"]
    );
}

#[test]
fn parts_are_opened_when_they_are_granted_and_only_then() {
    let text = descriptor(
        "twoGbMaxExtentSparse",
        &format!("RW {CAPACITY} SPARSE \"a\"\nRW 8 FLAT \"b\" 8\nRW 8 ZERO"),
    );
    let open = || open_bytes(text.as_bytes()).unwrap();
    let mut part = Forge::sparse();
    part.put(512, &[0; 20 * 512]);
    let attach = |index, bytes: &[u8]| open().attach(index, Box::new(MemBlob::new(bytes)));
    assert_eq!(code(attach(1, &part.bytes)), "accepted");
    assert_eq!(code(attach(2, &[0; 8192])), "accepted");
    assert_eq!(code(attach(2, &[0; 8191])), "corrupt.truncated");
    assert_eq!(code(attach(1, b"KDMV")), "corrupt.truncated");
    assert_eq!(code(attach(0, &part.bytes)), "invalid.request");
    assert_eq!(code(attach(3, &part.bytes)), "invalid.request");
    assert_eq!(code(attach(1, &Forge::stream().bytes)), "unsupported.feature");
    let mut smaller = part.clone();
    smaller.u64(12, CAPACITY - 1);
    assert_eq!(code(attach(1, &smaller.bytes)), "corrupt.header");
    let mut image = open();
    image.attach(1, Box::new(MemBlob::new(part.bytes.clone()))).unwrap();
    assert_eq!(all_ranges(&mut image, 10).unwrap().len(), 1, "the text");
    let sources: Vec<_> = whole_map(&mut image, 100).unwrap().iter().map(|extent| extent.source).collect();
    assert_eq!(sources, [1, 0, 1, 0, 2, 0]);
    // Data in the tables of the part, which the host does not see, is refused here.
    part.entry(GT, 3, GD);
    let mut image = open();
    image.attach(1, Box::new(MemBlob::new(part.bytes))).unwrap();
    assert_eq!(code(whole_map(&mut image, 100)), "corrupt.aliased");
    let twice = descriptor("twoGbMaxExtentSparse", "RW 128 SPARSE \"a\"\nRW 128 SPARSE \"a\"");
    assert_eq!(outcome(twice.as_bytes()), "corrupt.aliased");
}

/// Any one byte of header, descriptor, directory and footer: refused, or read within the file.
#[test]
fn every_flipped_byte_is_refused_or_bounded() {
    for (forge, places) in [
        (Forge::sparse(), (0..700).chain(10_752..10_760).chain(13_824..13_832).collect::<Vec<_>>()),
        (Forge::stream(), {
            let forge = Forge::stream();
            let end = forge.bytes.len();
            (0..700).chain(65536..65550).chain(end - 1536..end).collect()
        }),
    ] {
        for place in places {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = forge.bytes.clone();
                bytes[place] ^= flip;
                let Ok(mut image) = open_bytes(&bytes) else { continue };
                let Ok(extents) = whole_map(&mut image, 2048) else { continue };
                let file = u64::try_from(bytes.len()).unwrap();
                assert!(
                    extents
                        .iter()
                        .all(|extent| extent.source_offset + u64::from(extent.source_length) <= file)
                );
            }
        }
    }
}

#[test]
fn it_is_asked_about_every_file_that_it_knows() {
    let also = [
        b"\xbe\xba\xfe\xca\0\0\0\0".to_vec(),
        b"COWD".to_vec(),
        b"# Disk DescriptorFile\n".to_vec(),
        b"\r# DISK DescriptorFile\n".to_vec(),
        b" \t\x0c\n# disk descriptorfile\n".to_vec(),
        b"version=1\ncreateType=\"custom\"\n".to_vec(),
        b"\xef\xbb\xbf# Disk DescriptorFile\n".to_vec(),
        b"CID=1\ncreateType=\"custom\"\n".to_vec(),
    ];
    let known = imprint_format_kit::known_by_their_marks::<format_vmdk::Vmdk>(
        include_str!("../../plugin.toml"),
        &also,
    );
    assert!(known > also.len() + 5, "{known}");
}
