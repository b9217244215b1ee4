//! Files that were not closed: what the log says is what is read, as QEMU plays it back.

use std::path::Path;

use imprint_plugin_sdk::format::{ExtentKind, Image as _};
use tempfile::TempDir;

use crate::{
    forge::{BAT, Change, DATA, Entry, Forge, HEADERS, LOG, METADATA, MIB, guid, sealed},
    hostile::outcome,
    qemu,
    support::{all_findings, open_bytes, open_file, whole_disk, whole_map},
};

/// The BAT's first sector, with an entry changed.
fn bat(changes: &[(u64, u64)]) -> Vec<u8> {
    let mut forge = Forge::new();
    for (index, entry) in changes {
        forge.bat(*index, *entry);
    }
    let at = usize::try_from(BAT).unwrap();
    forge.bytes[at..at + 4096].to_vec()
}

fn data(changes: &[(u64, u64)]) -> Change {
    Change::Data(BAT, bat(changes))
}

const SIXTH: (u64, u64) = (6, (6 * MIB) | 6);
const SEVENTH: (u64, u64) = (7, (7 * MIB) | 6);

/// A dirty image with these entries, from that place of the ring on, each with the tail of the
/// first.
fn dirty(start: u64, entries: Vec<Entry>) -> Forge {
    let mut forge = Forge::new();
    forge.dirty();
    let mut at = start;
    for entry in entries {
        at = forge.log(at, &entry.bytes());
    }
    forge.seal()
}

/// The blocks are in these MiB, and what QEMU reads after it played the log back is what is read
/// without playing it back.
#[track_caller]
fn assert_replayed(forge: &Forge, blocks: &[(u64, u64)]) {
    let dir = TempDir::new().unwrap();
    let (path, played) = (dir.path().join("dirty.vhdx"), dir.path().join("played.vhdx"));
    forge.write(&played);
    let disk = assert_read(forge, blocks, &path);
    // Opened for writing, it plays the log back.
    qemu::run("qemu-io", &["-f", "vhdx", "-c", "read -q 0 512", played.to_str().unwrap()]);
    assert!(qemu::disk(&played) == disk, "QEMU reads another disk");
    let mut image = open_file(&played).unwrap();
    assert!(!image.info().unwrap().facts.contains_key("log-replay"), "QEMU closed it");
    assert!(whole_disk(&mut image, &played, &[]) == disk);
}

/// The blocks are in these MiB; the answer is the disk.
#[track_caller]
fn assert_read(forge: &Forge, blocks: &[(u64, u64)], path: &Path) -> Vec<u8> {
    forge.write(path);
    let mut image = open_file(path).unwrap();
    assert_eq!(image.info().unwrap().facts["log-replay"], "true");
    let stored: Vec<_> = whole_map(&mut image, 100)
        .unwrap()
        .into_iter()
        .filter(|extent| extent.kind == ExtentKind::Data)
        .flat_map(|extent| {
            (0..extent.length / MIB)
                .map(move |at| (extent.offset / MIB + at, extent.source_offset / MIB + at))
        })
        .collect();
    assert_eq!(stored, blocks);
    assert!(all_findings(&mut image, 10).unwrap().iter().any(|finding| finding.code == "vhdx.log"));
    let disk = whole_disk(&mut image, path, &[]);
    assert!(std::fs::read(path).unwrap() == forge.bytes, "the file is as it was");
    disk
}

/// Where QEMU refuses, or does not look, and the specification is clear.
#[track_caller]
fn assert_read_alone(forge: &Forge, blocks: &[(u64, u64)]) {
    let dir = TempDir::new().unwrap();
    assert_read(forge, blocks, &dir.path().join("dirty.vhdx"));
}

#[test]
fn one_entry() {
    let forge = dirty(0, vec![Entry::new(5, 0, vec![data(&[SIXTH])])]);
    assert_replayed(&forge, &[(0, 5), (2, 4), (6, 6)]);
    let forge = dirty(64 << 10, vec![Entry::new(5, 64 << 10, vec![data(&[SIXTH])])]);
    assert_replayed(&forge, &[(0, 5), (2, 4), (6, 6)]);
}

#[test]
fn several_entries_are_applied_in_order() {
    let entries = vec![
        Entry::new(5, 0, vec![data(&[(0, 0), SIXTH])]),
        Entry::new(6, 0, vec![data(&[SEVENTH])]),
        Entry::new(7, 0, vec![data(&[SIXTH, SEVENTH])]),
    ];
    assert_replayed(&dirty(0, entries), &[(0, 5), (2, 4), (6, 6), (7, 7)]);
}

#[test]
fn entries_before_the_tail_are_not_applied() {
    let entries = vec![
        // Would put block 6 into MiB 6 and leave it there.
        Entry::new(5, 0, vec![Change::Data(METADATA + 8 * 65536, vec![1; 4096])]),
        Entry::new(6, 8192, vec![data(&[SEVENTH])]),
    ];
    let forge = dirty(0, entries);
    assert_replayed(&forge, &[(0, 5), (2, 4), (7, 7)]);
}

#[test]
fn an_entry_and_a_sequence_go_around_the_end_of_the_ring() {
    let start = MIB - 4096;
    // The data sector of the first entry is the first of the ring.
    let entries = vec![
        Entry::new(9, start, vec![data(&[SIXTH])]),
        Entry::new(10, start, vec![Change::Zero(BAT, 4096), data(&[SEVENTH])]),
    ];
    assert_replayed(&dirty(start, entries), &[(0, 5), (2, 4), (7, 7)]);
}

#[test]
fn zero_descriptors() {
    // The second sector of the BAT held nothing but would be read.
    let forge =
        dirty(0, vec![Entry::new(5, 0, vec![Change::Zero(BAT, 8192), data(&[(0, 0), (2, 0), SIXTH])])]);
    assert_replayed(&forge, &[(6, 6)]);
    let forge = dirty(0, vec![Entry::new(5, 0, vec![data(&[SIXTH]), Change::Zero(BAT, 8192)])]);
    assert_replayed(&forge, &[]);
}

#[test]
fn many_descriptors_in_several_sectors() {
    let entry = |count: u64| {
        let zero = |index: u64| Change::Zero(METADATA + 0x4_0000 + index * 4096, 4096);
        let mut changes: Vec<Change> = (0..count).map(zero).collect();
        changes.push(data(&[SIXTH]));
        dirty(12 << 10, vec![Entry::new(5, 12 << 10, changes)])
    };
    // 126 descriptors share the sector of the header.
    assert_read_alone(&entry(125), &[(0, 5), (2, 4), (6, 6)]);
    assert_read_alone(&entry(126), &[(0, 5), (2, 4), (6, 6)]);
    assert_read_alone(&entry(180), &[(0, 5), (2, 4), (6, 6)]);
}

#[test]
fn a_torn_last_entry_does_not_count() {
    let mut forge = Forge::new();
    forge.dirty();
    let at = forge.log(0, &Entry::new(5, 0, vec![data(&[SIXTH])]).bytes());
    let mut torn = Entry::new(6, 0, vec![data(&[SEVENTH])]).bytes();
    torn[4096 + 100] ^= 1;
    forge.log(at, &torn);
    assert_replayed(&forge.clone().seal(), &[(0, 5), (2, 4), (6, 6)]);
    // Not even when the checksum is right and a data sector has another number.
    let mut wrong = Entry::new(6, 0, vec![data(&[SEVENTH])]).bytes();
    wrong[8188] ^= 1;
    forge.log(at, &sealed(wrong));
    assert_read_alone(&forge.seal(), &[(0, 5), (2, 4), (6, 6)]);
}

#[test]
fn a_stale_sequence_does_not_count() {
    let mut forge = Forge::new();
    forge.dirty();
    forge.log(0, &Entry::new(5, 0, vec![data(&[SIXTH])]).bytes());
    forge.log(512 << 10, &Entry::new(99, 512 << 10, vec![data(&[SEVENTH])]).bytes());
    // Another log's entry, with a larger number.
    let mut other = Entry::new(1000, 768 << 10, vec![data(&[])]);
    other.guid = 1;
    forge.log(768 << 10, &other.bytes());
    assert_replayed(&forge.seal(), &[(0, 5), (2, 4), (7, 7)]);
}

#[test]
fn a_sequence_with_an_overwritten_tail_does_not_count() {
    let mut forge = Forge::new();
    forge.dirty();
    forge.log(0, &Entry::new(5, 0, vec![data(&[SIXTH])]).bytes());
    forge.log(512 << 10, &Entry::new(99, 504 << 10, vec![data(&[SEVENTH])]).bytes());
    // QEMU does not look for the tail.
    assert_read_alone(&forge.seal(), &[(0, 5), (2, 4), (6, 6)]);
}

#[test]
fn logs_that_cannot_be_played_back() {
    let refused = |entry: Entry| outcome(&dirty(0, vec![entry]).bytes);
    let with = |change: Change| refused(Entry::new(5, 0, vec![change]));
    assert_eq!(outcome(&dirty(0, Vec::new()).bytes), "corrupt.log");
    assert_eq!(refused(Entry::new(5, 4096, vec![data(&[])])), "corrupt.log", "the tail is no entry");
    assert_eq!(refused(Entry::new(0, 0, vec![data(&[])])), "corrupt.log", "entries count from 1");
    assert_eq!(with(Change::Zero(0, 4096)), "corrupt.log", "the mark");
    assert_eq!(with(Change::Zero(HEADERS[0], 4096)), "corrupt.log");
    assert_eq!(with(Change::Zero(HEADERS[1] - 4096, 8192)), "corrupt.log");
    assert_eq!(with(Change::Zero(LOG, 4096)), "corrupt.log");
    assert_eq!(with(Change::Zero(256 << 10, MIB)), "corrupt.log", "reaches into the log");
    assert_eq!(with(Change::Zero(BAT + 512, 4096)), "corrupt.log");
    assert_eq!(with(Change::Zero(BAT, 100)), "corrupt.log");
    assert_eq!(with(Change::Zero(BAT, u64::MAX - 4095)), "corrupt.log");
    assert_eq!(with(Change::Zero(8 * MIB, 4096)), "corrupt.truncated");
    assert_eq!(with(Change::Data(DATA, vec![1; 4096])), "unsupported.log", "payload");
    assert_eq!(with(Change::Data(DATA + MIB - 4096, vec![1; 4096])), "unsupported.log");
    assert_eq!(with(Change::Data(6 * MIB, vec![1; 4096])), "accepted", "nobody's bytes");
    assert_eq!(refused(Entry { last: 9 * MIB, ..Entry::new(5, 0, vec![data(&[])]) }), "corrupt.truncated");
    assert_eq!(refused(Entry { flushed: 9 * MIB, ..Entry::new(5, 0, vec![data(&[])]) }), "corrupt.truncated");
    let mut large = Forge::new();
    large.dirty();
    large.bytes.resize(usize::try_from(80 * MIB).unwrap(), 0);
    for header in HEADERS {
        large.u32(header + 68, 65 << 20).u64(header + 72, 8 * MIB);
    }
    assert_eq!(outcome(&large.seal().bytes), "limit.log");
}

#[test]
fn a_log_may_change_regions_and_metadata_and_bats() {
    // The metadata's sizes: the disk becomes shorter.
    let mut shorter = Forge::new();
    shorter.u64(METADATA + 65536 + 16, 7 * MIB);
    let at = usize::try_from(METADATA + 65536).unwrap();
    let sector = shorter.bytes[at..at + 4096].to_vec();
    let forge = dirty(0, vec![Entry::new(5, 0, vec![Change::Data(METADATA + 65536, sector)])]);
    assert_replayed(&forge, &[(0, 5), (2, 4)]);
    assert_eq!(open_bytes(&forge.bytes).unwrap().info().unwrap().virtual_size, 7 * MIB);
    // The region tables: both are gone by the log.
    let gone = vec![Change::Zero(192 << 10, 64 << 10), Change::Zero(256 << 10, 64 << 10)];
    assert_eq!(outcome(&dirty(0, vec![Entry::new(5, 0, gone)]).bytes), "corrupt.checksum");
}

#[test]
fn entries_that_lie_across_each_other_are_not_worked_on_forever() {
    let mut forge = Forge::new();
    forge.dirty();
    let mut entry = vec![0; 4096];
    entry[..4].copy_from_slice(b"loge");
    entry[8..12].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    entry[16] = 1;
    entry[32..48].copy_from_slice(&guid(crate::forge::LOG_GUID));
    for at in (0..MIB).step_by(4096) {
        forge.log(at, &entry);
    }
    assert_eq!(outcome(&forge.seal().bytes), "limit.log");
}

#[test]
fn a_log_that_qemu_wrote() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("image.vhdx");
    let name = path.to_str().unwrap();
    qemu::run("qemu-img", &["create", "-q", "-f", "vhdx", "-o", "block_size=1M", name, "64M"]);
    let mut image = open_file(&path).unwrap();
    let regions = image.metadata_ranges(0, 100).unwrap();
    let before = std::fs::read(&path).unwrap();
    let writes = ["-c", "write -q -P 7 5M 3M", "-c", "write -q -P 9 20M 64k"];
    qemu::run("qemu-io", &[&["-f", "vhdx"][..], &writes, &[name]].concat());
    let expected = qemu::disk(&path);
    let mut forge = Forge { bytes: std::fs::read(&path).unwrap() };
    // The tables as they were before: only the log, which is QEMU's first region, knows the blocks.
    for region in regions.iter().filter(|region| region.offset > LOG) {
        let place = |at| usize::try_from(at).unwrap();
        let range = place(region.offset)..place(region.offset + region.length);
        forge.put(region.offset, &before[range]);
    }
    let log = usize::try_from(LOG).unwrap();
    // QEMU begins a log anew with each entry; the last one holds the whole table.
    let entries = forge.bytes[log..2 * log].chunks(4096).take_while(|sector| sector[0] != 0);
    let last = entries.filter(|sector| sector.starts_with(b"loge")).last().unwrap();
    let guid = last[32..48].to_vec();
    for header in HEADERS {
        forge.put(header + 48, &guid);
    }
    forge.seal().write(&path);
    let mut image = open_file(&path).unwrap();
    assert_eq!(image.info().unwrap().facts["log-replay"], "true");
    assert!(whole_disk(&mut image, &path, &[]) == expected);
    assert!(expected.contains(&7) && expected.contains(&9));
}
