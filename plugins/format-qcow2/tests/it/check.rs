//! The check of refcounts over large files and large numbers.

use std::os::unix::fs::FileExt;

use imprint_corpus::qcow2::{
    CLUSTER, COMPRESSED, COPIED, DATA, Forge, L1, L2, REFCOUNT_BLOCK, REFCOUNT_TABLE,
};
use imprint_plugin_sdk::{format::Image as _, mock::MemBlob};

use crate::support::{all_findings, count, create, open_bytes, open_file};

#[test]
fn every_call_is_short_however_large_the_file_is() {
    // 2 TiB whose refcount blocks are all one and the same, which says that every cluster is free.
    let (size, clusters_of_a_block) = (2_u64 << 40, 32_768);
    let table = 16 * CLUSTER;
    let mut forge = Forge::new();
    forge.put(6 * CLUSTER, &[0; 65536]);
    forge.u64(48, table).u32(56, 1);
    for number in 0..size / CLUSTER / clusters_of_a_block {
        forge.u64(table + 8 * number, 6 * CLUSTER);
    }
    let blob = MemBlob::new(forge.bytes).with_size(size);
    imprint_format_kit::assert_calls_are_short::<format_qcow2::Qcow2>(Box::new(blob));
}

/// What is found, as text.
fn messages(forge: &Forge) -> Vec<String> {
    let findings = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 10).unwrap();
    findings.into_iter().map(|finding| finding.message).collect()
}

/// `count` compressed clusters in the cluster behind the data; its refcount is `stored`.
fn compressed(count: u64, stored: u16) -> Forge {
    let place = 7 * CLUSTER;
    let mut forge = Forge::new();
    forge.put(place, &[0; 65536]).u16(REFCOUNT_BLOCK + 2 * (place / CLUSTER), stored);
    for index in 0..count {
        // 512 bytes each, at odd places, so that none is the last one of the file.
        forge.u64(L2 + 8 * (100 + index), COMPRESSED | (place + 500 * index + 3));
    }
    forge
}

#[test]
fn large_refcounts_are_counted_exactly() {
    for references in [14, 15, 16, 100] {
        let stored = u16::try_from(references).unwrap();
        let shared = |stored| messages(&compressed(references, stored));
        let spans = shared(stored).len();
        assert_eq!(spans, 0, "{references}: {:?}", shared(stored));
        let behind =
            format!("the cluster at 0x70000 has the refcount {}, and {references} references", stored + 1);
        assert_eq!(shared(stored + 1), [behind]);
        if stored > 15 {
            let short = format!(
                "the cluster at 0x70000 has the refcount {}, and {references} references",
                stored - 1
            );
            assert_eq!(shared(stored - 1), [short]);
        }
    }
    assert_eq!(
        messages(&compressed(100, 1)),
        ["the cluster at 0x70000 has the refcount 1, and 15 or more references"]
    );
}

#[test]
fn a_large_file_is_checked_window_by_window() {
    // An L1 table that leaves the check memory for the narrowest windows only.
    let entries: u32 = 4_194_304;
    let table = 16 * CLUSTER;
    let far = 1536 << 30;
    let mut forge = Forge::new();
    forge.u32(36, entries).u64(40, table).u64(L2 + 8, far | COPIED);
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("large.qcow2");
    let file = create(&path);
    file.set_len(far + CLUSTER).unwrap();
    file.write_all_at(&forge.bytes, 0).unwrap();
    file.write_all_at(&(L2 | COPIED).to_be_bytes(), table).unwrap();

    let mut image = open_file(&path);
    let findings = all_findings(&mut image, 4096).unwrap();
    let found = |offset: u64| {
        findings
            .iter()
            .filter(|finding| finding.offset == Some(offset))
            .map(|finding| &*finding.code)
            .collect::<Vec<_>>()
    };
    assert_eq!(found(far), ["qcow2.copied-flag", "qcow2.refcount"], "a cluster in the last window");
    assert_eq!(found(L1), ["qcow2.leak"], "where the table was");
    let clusters = (u64::from(entries) * 8).div_ceil(CLUSTER);
    let without = (0..clusters).filter(|index| found(table + index * CLUSTER) == ["qcow2.refcount"]).count();
    assert_eq!(u64::try_from(without).unwrap(), clusters, "the table's own clusters, once each");
    assert!(found(DATA).is_empty(), "a cluster that is still referred to once");
    assert_eq!(count(&findings), (without + 2, 1), "nothing else; the leak is the old table");
    let mut starts = vec![0];
    loop {
        let page = image.check(*starts.last().unwrap(), 4096).unwrap();
        if page.done {
            break;
        }
        starts.push(page.resume);
    }
    let windows = starts.iter().filter(|start| *start & ((1 << 40) - 1) == 0).count();
    assert_eq!(windows, 4, "1.5 TiB in windows of 512 GiB, and a cluster more");
}

#[test]
fn a_window_is_as_wide_as_large_refcounts_leave_memory_for() {
    let (unit, block) = (1 << 20, 32_768_u64);
    let clusters = 6 * unit;
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("shared.qcow2");
    let file = create(&path);
    file.set_len(clusters * CLUSTER).unwrap();
    let mut forge = Forge::new();
    for number in 0..5 * unit / block {
        forge.u64(REFCOUNT_TABLE + 8 * number, (1 << 30) + number * CLUSTER);
        file.write_all_at(&20_u16.to_be_bytes().repeat(32_768), (1 << 30) + number * CLUSTER).unwrap();
    }
    file.write_all_at(&forge.bytes, 0).unwrap();
    let mut image = open_file(&path);
    // From the last position of a window's comparison: what is next?
    let mut next = |start: u64| {
        let mut token = start;
        while token & (1 << 39) == 0 {
            token = image.check(token, 10).unwrap().resume;
        }
        let page = image.check(start | ((1 << 40) - 1), 10).unwrap();
        assert!(page.items.is_empty());
        (page.resume >> 40, page.done)
    };
    // 36 MiB of 40: one unit more would be 45. The sixth unit has small numbers only.
    assert_eq!(next(0), (4, false));
    assert_eq!(next(4 << 40), (6, true));
}
