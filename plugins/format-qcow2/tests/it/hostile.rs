//! Forged files: each has its code, none is believed, none makes the reader panic or work for long.

use format_qcow2::Qcow2;
use imprint_corpus::qcow2::{
    CLUSTER, COMPRESSED, COPIED, DATA, Forge, L1, L2, REFCOUNT_BLOCK, REFCOUNT_TABLE, SECTORS,
};
use imprint_plugin_sdk::{
    error::ErrorClass,
    format::{ExtentKind, Format, Image as _},
    mock::MemBlob,
    types::{Props, props},
};

use crate::support::{aliased, all_findings, all_ranges, code, count, open_bytes, whole_map};

/// The code of the refusal, wherever it comes: opening, the map, or what the host finds over the
/// whole map.
fn outcome(forge: &Forge) -> String {
    outcome_of_bytes(&forge.bytes)
}

fn outcome_of_bytes(bytes: &[u8]) -> String {
    imprint_format_kit::outcome(|| open_bytes(bytes), aliased)
}

/// Spoils the valid image and expects the code.
#[track_caller]
fn expect(spoil: impl FnOnce(&mut Forge) -> &mut Forge, expected: &str) {
    let mut forge = Forge::new();
    assert_eq!(outcome(spoil(&mut forge)), expected);
}

/// Spoils a part of the valid image.
type Spoil = fn(&mut Forge) -> &mut Forge;

/// Each of these spoils the valid image, and has its code.
#[track_caller]
fn expect_all(cases: &[(Spoil, &str)]) {
    for (number, (spoil, expected)) in cases.iter().enumerate() {
        let mut forge = Forge::new();
        assert_eq!(outcome(spoil(&mut forge)), *expected, "case {number}");
    }
}

#[test]
fn the_image_that_is_spoilt_is_a_good_one() {
    assert_eq!(outcome(&Forge::new()), "accepted");
    let mut image = open_bytes(&Forge::new().bytes).unwrap();
    assert_eq!(count(&all_findings(&mut image, 10).unwrap()), (0, 0));
    let kinds: Vec<_> = whole_map(&mut image, 10).unwrap().iter().map(|extent| extent.kind).collect();
    assert_eq!(kinds, [ExtentKind::Data, ExtentKind::Hole, ExtentKind::Data, ExtentKind::Hole]);
}

#[test]
fn q01_q03_q04_q05_a_parent_is_text_and_nothing_else() {
    for name in [
        "secret.bin",
        "json:{\"driver\":\"raw\"}",
        "nbd://127.0.0.1:9/x",
        "/dev/vda",
        "self.qcow2",
        "\u{1b}[2J",
    ] {
        let mut image = open_bytes(&Forge::new().backing(name).bytes).unwrap();
        let sources = image.sources().unwrap();
        assert_eq!((sources[1].role.as_str(), sources[1].reference.as_str()), ("parent", name));
    }
    let mut latin = Forge::new();
    latin.u64(8, 512).u32(16, 2).put(512, &[0xff, 0xfe]);
    assert_eq!(open_bytes(&latin.bytes).unwrap().sources().unwrap()[1].reference, "\u{fffd}\u{fffd}");
}

#[test]
fn q02_an_external_data_file_is_denied() {
    expect(|forge| forge.u64(72, 1 << 2).extension(0x4441_5441, b"df.bin"), "denied.external-reference");
    expect(|forge| forge.u64(72, 1 << 2), "denied.external-reference");
    expect(
        |forge| {
            forge.extension(0x4441_5441, b"json:{}");
            forge
        },
        "denied.external-reference",
    );
    let mut forge = Forge::new();
    let Err(error) = open_bytes(&forge.u64(72, 1 << 2).bytes) else { panic!("opened") };
    assert_eq!(error.class, ErrorClass::Denied);
}

#[test]
fn q07_one_table_for_the_whole_disk() {
    expect(|forge| forge.u64(L1 + 8, L2 | COPIED), "corrupt.aliased");
    let mut forge = Forge::new();
    let (disk, entries) = (16_u64 << 40, 32768);
    forge.bytes.truncate(usize::try_from(CLUSTER).unwrap());
    forge.u64(24, disk).u32(36, entries).u64(40, CLUSTER).u64(48, 7 * CLUSTER);
    for index in 0..u64::from(entries) {
        forge.u64(CLUSTER + index * 8, 6 * CLUSTER);
    }
    forge.put(6 * CLUSTER, &(8 * CLUSTER).to_be_bytes().repeat(8192)).put(9 * CLUSTER - 1, &[0]);
    assert_eq!(outcome(&forge), "corrupt.aliased");
}

#[test]
fn q08_one_encoded_cluster_for_many() {
    let entry = COMPRESSED | DATA;
    expect(|forge| forge.u64(L2, entry).u64(L2 + 8, entry), "corrupt.aliased");
    expect(|forge| forge.u64(L2, entry | 3 << SECTORS).u64(L2 + 8, entry + 600), "corrupt.aliased");
    // Neighbours may share a sector.
    expect(|forge| forge.u64(L2, entry | 3 << SECTORS).u64(L2 + 8, entry + 1900).u64(L2 + 80, 0), "accepted");
}

#[test]
fn q09_clusters_behind_the_end() {
    expect_all(&[
        (|forge| forge.u64(L2, 1 << 45 | COPIED), "corrupt.truncated"),
        (|forge| forge.u64(L2, (7 * CLUSTER) | COPIED), "corrupt.truncated"),
        (|forge| forge.u64(L1, 1 << 45 | COPIED), "corrupt.truncated"),
        (|forge| forge.u64(L1, 0x00ff_ffff_ffff_0000), "corrupt.truncated"),
        (|forge| forge.u64(REFCOUNT_TABLE, 1 << 45), "corrupt.truncated"),
    ]);
}

#[test]
fn tr_a_file_that_was_cut_is_never_accepted() {
    let whole = Forge::new();
    let (data, cluster) = (usize::try_from(DATA).unwrap(), usize::try_from(CLUSTER).unwrap());
    for length in [
        0,
        3,
        4,
        8,
        71,
        72,
        100,
        103,
        104,
        111,
        112,
        512,
        65535,
        65536,
        70000,
        4 * cluster,
        data,
        data + 1,
        data + 2 * cluster - 1,
    ] {
        let outcome = outcome_of_bytes(&whole.bytes[..length]);
        let expected: &[&str] =
            if length < 4 { &["corrupt.header"] } else { &["corrupt.truncated", "corrupt.table"] };
        assert!(expected.contains(&outcome.as_str()), "{length} bytes: {outcome}");
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_truncated() {
    let bytes = Forge::new().bytes;
    for from in [0, 100, CLUSTER, L1, L1 + 8] {
        let blob = MemBlob::new(bytes.clone()).short_from(from);
        assert_eq!(code(Qcow2::open(Box::new(blob), &Props::new())), "corrupt.truncated", "{from}");
    }
    for from in [L2, L2 + 100] {
        let mut image =
            Qcow2::open(Box::new(MemBlob::new(bytes.clone()).short_from(from)), &Props::new()).unwrap();
        assert_eq!(code(image.extents(0, 1 << 30, 10)), "corrupt.truncated", "{from}");
    }
}

#[test]
fn a_failed_read_is_the_hosts_error() {
    let bytes = Forge::new().bytes;
    let blob = MemBlob::new(bytes.clone()).failing_at(L1);
    let Err(error) = Qcow2::open(Box::new(blob), &Props::new()) else { panic!("opened") };
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Transient, "blob.io"));
    let mut image = Qcow2::open(Box::new(MemBlob::new(bytes).failing_at(L2)), &Props::new()).unwrap();
    assert_eq!(code(image.extents(0, 1 << 30, 10)), "blob.io");
}

#[test]
fn q10_entries_between_two_clusters_and_reserved_bits() {
    expect_all(&[
        (|forge| forge.u64(L1, (L2 + 512) | COPIED), "corrupt.table"),
        (|forge| forge.u64(L2, (DATA + 512) | COPIED), "corrupt.table"),
    ]);
    for bit in [0, 1, 8, 56, 62] {
        expect(|forge| forge.u64(L1, L2 | COPIED | 1 << bit), "corrupt.table");
    }
    for bit in [1, 8, 56, 61] {
        expect(|forge| forge.u64(L2, DATA | COPIED | 1 << bit), "corrupt.table");
    }
    expect_all(&[
        (|forge| forge.u64(L2, COMPRESSED | COPIED | DATA), "corrupt.table"),
        (|forge| forge.u64(REFCOUNT_TABLE, REFCOUNT_BLOCK + 512), "corrupt.table"),
        (|forge| forge.u64(REFCOUNT_TABLE, REFCOUNT_BLOCK + 1), "corrupt.table"),
    ]);
}

#[test]
fn q11_a_table_that_is_another_table() {
    for other in [L1, REFCOUNT_TABLE] {
        expect(|forge| forge.u64(L1, other | COPIED), "corrupt.aliased");
    }
    expect_all(&[
        (|forge| forge.u64(40, REFCOUNT_TABLE), "corrupt.aliased"),
        (|forge| forge.u64(40, 0), "corrupt.aliased"),
        (|forge| forge.u64(48, 0), "corrupt.aliased"),
    ]);
    let no_counts = [0; 14];
    expect(|forge| forge.u64(L1, REFCOUNT_BLOCK | COPIED).put(REFCOUNT_BLOCK, &no_counts), "corrupt.aliased");
    expect_all(&[
        (|forge| forge.u64(REFCOUNT_TABLE, L2), "corrupt.aliased"),
        (|forge| forge.u64(REFCOUNT_TABLE + 8, REFCOUNT_BLOCK), "corrupt.aliased"),
    ]);
}

#[test]
fn q12_payload_that_lies_in_a_table() {
    for table in [REFCOUNT_TABLE, REFCOUNT_BLOCK, L1, L2] {
        expect(|forge| forge.u64(L2, table | COPIED), "corrupt.aliased");
        expect(|forge| forge.u64(L2, COMPRESSED | (table + 1)), "corrupt.aliased");
    }
    expect_all(&[
        (|forge| forge.u64(L2, COMPRESSED), "corrupt.aliased"),
        (|forge| forge.u64(L2 + 80, DATA | COPIED), "corrupt.aliased"),
    ]);
}

#[test]
fn q13_unknown_features_are_refused() {
    for bit in [5, 6, 31, 40, 63] {
        expect(|forge| forge.u64(72, 1 << bit), "unsupported.feature");
    }
    // Compatible and autoclear features may be unknown.
    expect(|forge| forge.u64(80, u64::MAX).u64(88, u64::MAX), "accepted");
}

#[test]
fn q14_q26_tables_that_are_too_large() {
    expect_all(&[
        (|forge| forge.u32(36, 0x7fff_ffff), "limit.table-size"),
        (|forge| forge.u32(36, (4 << 20) + 1), "limit.table-size"),
        (|forge| forge.u32(56, 0x7fff_ffff), "limit.table-size"),
        (|forge| forge.u32(56, 129), "limit.table-size"),
        (|forge| forge.u32(60, 65537), "limit.table-size"),
        // Within the limit, and larger than the file.
        (|forge| forge.u32(36, 4 << 20), "corrupt.table"),
        (|forge| forge.u32(56, 128), "corrupt.truncated"),
    ]);
}

#[test]
fn q15_tables_at_impossible_places() {
    for offset in [0xffff_ffff_ffff_f000, 0xffff_ffff_ffff_0000, 1 << 62, L1 + 512, L1 + 1] {
        expect(|forge| forge.u64(40, offset), "corrupt.table");
    }
    expect_all(&[
        (|forge| forge.u64(48, 0xffff_ffff_ffff_0000), "corrupt.table"),
        (|forge| forge.u64(48, 512), "corrupt.table"),
    ]);
}

#[test]
fn q16_cluster_sizes() {
    for bits in [0, 8, 22, 31, 32, 63, 64, u32::MAX] {
        expect(|forge| forge.u32(20, bits), "corrupt.header");
    }
}

#[test]
fn q17_q18_lengths_in_the_header() {
    for length in [0, 8, 72, 103, 105, 108, 65544, 0xffff_fff0] {
        expect(|forge| forge.u32(100, length), "corrupt.header");
    }
    for length in [65536, 0x7fff_ffff, 0xffff_fff8, u32::MAX] {
        expect(|forge| forge.extension(0x6803_f857, b"").u32(116, length), "corrupt.header");
    }
    expect(|forge| forge.backing("x").extension(0x6803_f857, b"").u32(116, 400), "corrupt.header");
    expect(|forge| forge.extension(0x1234_5678, b"who knows"), "accepted");
    for (offset, length) in [(u64::MAX, 10), (65536, 10), (65530, 10), (512, 1024), (512, u32::MAX), (64, 8)]
    {
        expect(|forge| forge.u64(8, offset).u32(16, length), "corrupt.header");
    }
}

#[test]
fn q19_snapshot_tables() {
    expect_all(&[
        (|forge| forge.u32(60, 65536).u64(64, 1 << 40), "corrupt.table"),
        (|forge| forge.u32(60, 1).u64(64, DATA + 8), "corrupt.table"),
        (|forge| forge.u32(60, 1).u64(64, L1), "corrupt.aliased"),
        // In a data cluster: its bytes are no snapshot.
        (|forge| forge.u32(60, 1).u64(64, DATA), "corrupt.table"),
    ]);
    // An entry of zeroes has an L1 table of no length at 0; the payload lies in the snapshot table.
    expect(
        |forge| {
            forge.u32(60, 1).u64(64, DATA).put(DATA, &[0; 40]);
            forge
        },
        "corrupt.aliased",
    );
    expect(|forge| forge.u32(60, 1).u64(64, DATA).u64(L2, 0), "corrupt.table");
}

#[test]
fn q20_disk_sizes() {
    for size in [(1 << 63) - 512, u64::MAX, 1 << 60] {
        expect(|forge| forge.u64(24, size), "limit.virtual-size");
    }
    expect_all(&[
        (|forge| forge.u64(24, (1 << 30) + 512), "corrupt.table"),
        (|forge| forge.u64(24, 0), "accepted"),
    ]);
    let mut image = open_bytes(&Forge::new().u64(24, 70000).bytes).unwrap();
    let info = image.info().unwrap();
    assert_eq!((info.virtual_size, info.facts["size-conflict"].as_str()), (69632, "70000"));
}

#[test]
fn q21_encryption() {
    expect_all(&[
        (|forge| forge.u32(32, 1), "unsupported.encrypted"),
        (|forge| forge.u32(32, 2), "corrupt.header"),
    ]);
    expect(
        |forge| {
            forge.u32(32, 2).extension(0x0537_be77, &[0; 16]);
            forge
        },
        "unsupported.encrypted",
    );
    expect(|forge| forge.u32(32, 3), "corrupt.header");
}

#[test]
fn q22_compression_types() {
    expect_all(&[
        (|forge| forge.put(104, &[1]), "corrupt.header"),
        (|forge| forge.u64(72, 8), "corrupt.header"),
        (|forge| forge.u64(72, 8).put(104, &[2]), "unsupported.feature"),
        (|forge| forge.put(104, &[2]), "corrupt.header"),
        (|forge| forge.u64(72, 8).put(104, &[1]), "accepted"),
        (|forge| forge.u32(100, 104).put(104, &[0]), "accepted"),
    ]);
}

#[test]
fn q23_versions() {
    for version in [0, 1, 4, u32::MAX] {
        expect(|forge| forge.u32(4, version), "unsupported.version");
    }
    expect(|forge| forge.u32(0, 0x5146_49fc), "corrupt.header");
}

#[test]
fn q24_the_corrupt_flag_is_refused_unless_it_is_salvaged() {
    expect(|forge| forge.u64(72, 2), "denied.corrupt-flag");
    let bytes = Forge::new().u64(72, 2).bytes.clone();
    let open = |options: &Props| Qcow2::open(Box::new(MemBlob::new(bytes.clone())), options);
    let mut image = open(&props([("salvage", "true")])).unwrap();
    assert_eq!(image.info().unwrap().facts["corrupt"], "true");
    assert_eq!(code(open(&props([("salvage", "false")]))), "denied.corrupt-flag");
    assert_eq!(code(open(&props([("salvage", "perhaps")]))), "invalid.request");
}

#[test]
fn q25_encoded_clusters_at_the_end() {
    let end = 7 * CLUSTER;
    expect(|forge| forge.u64(L2, COMPRESSED | end), "corrupt.truncated");
    expect(|forge| forge.u64(L2, COMPRESSED | (end - 512) | 1 << SECTORS), "corrupt.truncated");
    expect_all(&[
        (|forge| forge.u64(L2, COMPRESSED | 1 << 50), "corrupt.truncated"),
        (|forge| forge.u64(L2, COMPRESSED | ((1 << SECTORS) - 1)), "corrupt.truncated"),
    ]);
    expect(|forge| forge.u64(L2, COMPRESSED | (end - 512)).u64(L2 + 80, 0), "accepted");
    // The rest of the last sector may be missing; the bound ends with the file.
    let mut forge = Forge::new();
    forge.u64(L2, COMPRESSED | end).u64(L2 + 80, 0).put(end, &[1; 100]);
    let mut image = open_bytes(&forge.bytes).unwrap();
    let first = image.extents(0, CLUSTER, 10).unwrap().extents[0];
    assert_eq!((first.kind, first.source_offset, first.source_length), (ExtentKind::Encoded, end, 100));
}

#[test]
fn q27_a_frame_with_a_huge_window_is_bounded_by_the_codec() {
    let mut forge = Forge::new();
    forge.u64(72, 8).put(104, &[1]).u64(L2, COMPRESSED | DATA).put(DATA, &[0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8]);
    let mut image = open_bytes(&forge.bytes).unwrap();
    let codec = image.codecs().remove(0);
    assert_eq!((codec.name.as_str(), codec.params["tail"].as_str()), ("zstd", "garbage"));
    assert_eq!(codec.params["window-log-max"], "16");
    let first = image.extents(0, CLUSTER, 1).unwrap().extents[0];
    assert_eq!((first.kind, first.length), (ExtentKind::Encoded, CLUSTER));
}

#[test]
fn subclusters() {
    let extended = |entry: u64, bitmap: u64| {
        let mut forge = Forge::new();
        forge.u64(72, 1 << 4).u32(36, 4).u64(L2 + 80, 0).u64(L2, entry).u64(L2 + 8, bitmap);
        outcome(&forge)
    };
    let all = u64::from(u32::MAX);
    assert_eq!(extended(DATA | COPIED, all), "accepted");
    assert_eq!(extended(DATA | COPIED, 0x0000_000f_ffff_fff0), "accepted");
    assert_eq!(extended(DATA | COPIED, 1 << 32 | 1), "corrupt.table");
    assert_eq!(extended(DATA | COPIED, u64::MAX), "corrupt.table");
    assert_eq!(extended(DATA | COPIED | 1, all), "corrupt.table");
    assert_eq!(extended(0, 1), "corrupt.table");
    assert_eq!(extended(0, all << 32), "accepted");
    assert_eq!(extended(COMPRESSED | DATA, 1), "corrupt.table");
    assert_eq!(extended(COMPRESSED | DATA, 0), "accepted");
    assert_eq!(extended(7 * CLUSTER, 1), "corrupt.truncated");
    expect(|forge| forge.u64(72, 1 << 4).u32(20, 13), "corrupt.header");
}

#[test]
fn refcounts_bitmaps_and_version_2() {
    expect_all(&[(|forge| forge.u32(96, 7), "corrupt.header"), (|forge| forge.u32(56, 0), "corrupt.header")]);
    let bitmaps = |count: u32, size: u64, offset: u64| {
        let data = [&count.to_be_bytes()[..], &[0; 4], &size.to_be_bytes(), &offset.to_be_bytes()].concat();
        let mut forge = Forge::new();
        forge.u64(88, 1).extension(0x2385_2875, &data);
        outcome(&forge)
    };
    assert_eq!(bitmaps(1, 64, 1 << 40), "corrupt.table");
    assert_eq!(bitmaps(1, 64, L1), "corrupt.aliased");
    assert_eq!(bitmaps(0, 64, DATA), "corrupt.header");
    assert_eq!(bitmaps(65536, 64, DATA), "corrupt.header");
    assert_eq!(bitmaps(1, 1 << 40, DATA), "limit.table-size");
    assert_eq!(bitmaps(1, 64, DATA), "corrupt.aliased");
    expect(
        |forge| {
            forge.u64(88, 1).extension(0x2385_2875, &[0; 23]);
            forge
        },
        "corrupt.header",
    );
    expect_all(&[
        (|forge| forge.u32(4, 2).u64(72, 0).u32(96, 0).u32(100, 0), "accepted"),
        (|forge| forge.u32(4, 2).u32(96, 0).u32(100, 0).u64(L2, 1), "corrupt.table"),
    ]);
}

#[test]
fn the_table_of_a_bitmap_is_no_longer_than_a_bitmap_may_be() {
    let found = |entries: u32| {
        let directory = 7 * CLUSTER;
        let data = [&1_u32.to_be_bytes()[..], &[0; 4], &24_u64.to_be_bytes(), &directory.to_be_bytes()];
        let mut forge = Forge::new();
        forge.u64(88, 1).extension(0x2385_2875, &data.concat());
        forge.u64(directory, 8 * CLUSTER).u32(directory + 8, entries).put(10 * CLUSTER, &[0]);
        all_findings(&mut open_bytes(&forge.bytes).unwrap(), 10)
    };
    assert!(found(8192).is_ok(), "512 MiB in clusters of 64 KiB");
    assert_eq!(code(found(8193)), "corrupt.table");
}

#[test]
fn the_check_distinguishes_leaks_from_errors() {
    let found = |spoil: fn(&mut Forge)| {
        let mut forge = Forge::new();
        spoil(&mut forge);
        let findings = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 1).unwrap();
        (count(&findings), findings.into_iter().map(|finding| finding.code).collect::<Vec<_>>())
    };
    let leak = found(|forge| {
        forge.u64(L2, 0);
    });
    assert_eq!((leak.0, leak.1), ((0, 1), vec!["qcow2.leak".to_owned()]));
    let shared = found(|forge| {
        forge.u64(L2 + 8, DATA | COPIED);
    });
    assert_eq!((shared.0, shared.1), ((1, 0), vec!["qcow2.refcount".to_owned()]));
    let flag = found(|forge| {
        forge.u64(L2, DATA);
    });
    assert_eq!((flag.0, flag.1), ((1, 0), vec!["qcow2.copied-flag".to_owned()]));
    let outside = found(|forge| {
        forge.u64(L2 + 8, 1 << 40);
    });
    assert_eq!((outside.0, outside.1), ((1, 0), vec!["corrupt.truncated".to_owned()]));
    let wrong = found(|forge| {
        forge.u64(L2 + 8, 2);
    });
    assert_eq!((wrong.0, wrong.1), ((1, 0), vec!["corrupt.table".to_owned()]));
    let many = found(|forge| {
        (100..600).for_each(|index| {
            forge.u64(L2 + index * 8, 2);
        });
    });
    assert_eq!(many.0, (500, 0));
}

#[test]
fn a_check_goes_on_in_a_fresh_instance() {
    let mut forge = Forge::new();
    (0..100).for_each(|cluster| {
        forge.u16(REFCOUNT_BLOCK + 2 * cluster, 2);
    });
    forge.put(99 * CLUSTER, &[0; 512]);
    let (mut at, mut found) = (0, 0);
    loop {
        let page = open_bytes(&forge.bytes).unwrap().check(at, 10).unwrap();
        found += page.items.len();
        at = page.resume;
        if page.done {
            break;
        }
    }
    let whole = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 4000).unwrap();
    assert_eq!(found, whole.len());
    assert_eq!(
        count(&whole),
        (2 + 1, 100),
        "two clusters and a table whose copied flag is wrong, and every refcount"
    );
    assert_eq!(code(open_bytes(&forge.bytes).unwrap().check(1 << 63, 10)), "invalid.request");
}

#[test]
fn a_fresh_instance_that_compares_steps_over_nothing() {
    let mut forge = Forge::new();
    (0..100).for_each(|cluster| {
        forge.u16(REFCOUNT_BLOCK + 2 * cluster, 2);
    });
    forge.put(99 * CLUSTER, &[0; 512]);
    let mut known = open_bytes(&forge.bytes).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    loop {
        // One finding a page: what the walk finds fills the page before the walk is done.
        let page = known.check(at, 1).unwrap();
        found.extend(page.items.iter().map(|finding| finding.message.clone()));
        if page.done {
            break;
        }
        at = page.resume;
        let comparing = at & 1 << 39 != 0;
        let fresh = open_bytes(&forge.bytes).unwrap().check(at, 1);
        if comparing {
            known = open_bytes(&forge.bytes).unwrap();
        } else {
            assert_eq!(code(fresh), "invalid.request", "in the middle of a walk that it does not know");
        }
    }
    let whole = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 4000).unwrap();
    assert_eq!(found, whole.into_iter().map(|finding| finding.message).collect::<Vec<_>>());
}

#[test]
fn the_ranges_are_where_the_tables_are() {
    let mut image = open_bytes(&Forge::new().bytes).unwrap();
    let whole = all_ranges(&mut image, 100).unwrap();
    let starts: Vec<_> = whole.iter().map(|range| range.offset).collect();
    assert_eq!(starts, [0, L1, REFCOUNT_TABLE, L2, REFCOUNT_BLOCK]);
    assert_eq!(all_ranges(&mut image, 1).unwrap(), whole);
    assert_eq!(all_ranges(&mut image, 2).unwrap(), whole);
    assert!(image.metadata_ranges(u64::MAX, 10).unwrap().is_empty());
}

#[test]
fn probing_looks_at_the_magic_alone() {
    let bytes = Forge::new().bytes;
    let guess = Qcow2::probe(&bytes[..65536], &[], 1).unwrap();
    assert_eq!((guess.confidence, guess.format.as_str()), (100, "qcow2"));
    let mut old = Forge::new();
    assert_eq!(Qcow2::probe(&old.u32(4, 1).bytes, &[], 1).unwrap().confidence, 60);
    assert_eq!(Qcow2::probe(&bytes[..7], &[], 1), None);
    assert_eq!(Qcow2::probe(&[0; 65536], &[], 1), None);
}

#[test]
fn it_is_asked_about_every_file_that_it_knows() {
    let known = imprint_format_kit::known_by_their_marks::<format_qcow2::Qcow2>(
        include_str!("../../plugin.toml"),
        &[],
    );
    assert!(known > 5, "{known}");
}
