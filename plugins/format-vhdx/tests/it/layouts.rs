//! New files, written by the rules, against `qemu-img`.

use std::os::unix::fs::FileExt;

use format_vhdx::Vhdx;
use imprint_plugin_sdk::{
    format::{CreateRequest, Format, Image as _, Layout as _, Placed},
    types::{Props, props},
};
use tempfile::TempDir;

use crate::{
    qemu,
    support::{all_findings, assert_sound, code, create, disk, finish, open_file, whole_disk, write_image},
};

const MIB: u64 = 1 << 20;

fn request(virtual_size: u64, options: Props) -> CreateRequest {
    CreateRequest { virtual_size, allocated: 0, subformat: None, options, append_only: false, parent: None }
}

#[track_caller]
fn assert_round_trip(size: u64, options: &Props, page: u32) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("disk.vhdx");
    let bytes = disk(size, size);
    write_image(&request(size, options.clone()), &bytes, &path, page).unwrap();
    // QEMU does not open disks with sectors of 4 KiB.
    if !options.contains_key("sector-size") {
        assert!(qemu::disk(&path) == bytes, "{size} {options:?}: QEMU reads another disk");
        qemu::check(&path);
    }
    let mut image = open_file(&path).unwrap();
    assert!(
        whole_disk(&mut image, &path, &[]) == bytes,
        "{size} {options:?}: this reader reads another disk"
    );
    assert_eq!(all_findings(&mut image, 10).unwrap(), []);
    let file = std::fs::metadata(&path).unwrap().len();
    assert!(file.is_multiple_of(MIB));
    assert_sound(&mut image, file);
    let again = dir.path().join("again.vhdx");
    write_image(&request(size, options.clone()), &bytes, &again, 1 << 20).unwrap();
    assert!(std::fs::read(&again).unwrap() == std::fs::read(&path).unwrap(), "the same bytes twice");
}

#[test]
fn sizes_of_disks() {
    for (size, page) in
        [(512, 512), (MIB, 4096), (MIB + 512, 4096), (37 * MIB - 512, 520), (200 * MIB, 1 << 20)]
    {
        assert_round_trip(size, &props([("compress", "none")]), page);
    }
}

#[test]
fn every_block_size() {
    for bits in 20..=25 {
        let block = (1_u64 << bits).to_string();
        assert_round_trip(70 * MIB + 1536, &props([("block-size", &block)]), 65536);
    }
}

#[test]
fn sectors_of_4_kib() {
    for block in [MIB, 32 * MIB] {
        let options = props([("block-size", &block.to_string()), ("sector-size", "4096")]);
        assert_round_trip(70 * MIB + 8192, &options, 65536);
    }
}

#[test]
fn an_empty_disk_of_any_size_is_a_small_valid_file_that_a_guest_can_write_to() {
    for (size, block, most) in
        [(64 << 30, MIB, 5 * MIB), (5 << 40, 8 * MIB, 9 * MIB), (64 << 40, 32 * MIB, 20 * MIB)]
    {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("empty.vhdx");
        let mut layout = Vhdx::begin_layout(&request(size, Props::new())).unwrap();
        let rules = layout.rules();
        assert_eq!(u64::from(rules.unit), block, "the block for {size}");
        finish(&mut layout, &create(&path), rules.data_start, 1 << 20);
        assert!(std::fs::metadata(&path).unwrap().len() <= most);
        assert_eq!(qemu::info(&path)["virtual-size"].as_u64(), Some(size));
        let at = size - 512 * MIB;
        let commands = [
            format!("write -q -P 5 {at} 1M"),
            format!("read -q -P 5 {at} 1M"),
            "read -q -P 0 0 1M".to_owned(),
        ];
        let args = [
            "-f",
            "vhdx",
            "-c",
            &commands[0],
            "-c",
            &commands[1],
            "-c",
            &commands[2],
            path.to_str().unwrap(),
        ];
        qemu::run("qemu-io", &args);
        qemu::check(&path);
        let mut image = open_file(&path).unwrap();
        let page = image.extents(at, at + 512, 1).unwrap();
        assert_eq!(page.extents[0].source_offset, rules.data_start, "the guest's block is the first");
    }
}

#[test]
fn blocks_all_over_a_large_disk() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("large.vhdx");
    let size = 1 << 40;
    let mut layout = Vhdx::begin_layout(&request(size, Props::new())).unwrap();
    let start = layout.rules().data_start;
    // Payload that nobody wrote reads as zeroes: 1000 blocks, a chunk apart and a bit.
    let runs: Vec<_> = (0..1000)
        .map(|index| Placed {
            offset: index * 1025 * MIB,
            length: MIB,
            file_offset: start + index * MIB,
            stored_length: 0,
        })
        .collect();
    layout.placed(&runs).unwrap();
    let file = create(&path);
    finish(&mut layout, &file, start + 1000 * MIB, 1 << 20);
    let mut commands = Vec::new();
    for (number, run) in (1..).zip(runs.iter().step_by(9)) {
        file.write_all_at(&[number; 512], run.file_offset + MIB - 512).unwrap();
        commands.push(format!("read -q -P {number} {} 512", run.offset + MIB - 512));
        commands.push(format!("read -q -P 0 {} 512", run.offset + MIB));
    }
    qemu::check(&path);
    let mut args = vec!["-r", "-f", "vhdx"];
    commands.iter().for_each(|command| args.extend(["-c", command]));
    args.push(path.to_str().unwrap());
    let output = qemu::run("qemu-io", &args);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "QEMU finds each block where it was placed");
    assert_eq!(all_findings(&mut open_file(&path).unwrap(), 10).unwrap(), []);
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let refused = |request: &CreateRequest| code(Vhdx::begin_layout(request));
    let with = |key: &str, value: &str| refused(&request(MIB, props([(key, value)])));
    assert_eq!(refused(&request(0, Props::new())), "invalid.request");
    assert_eq!(refused(&request(1000, Props::new())), "invalid.request");
    assert_eq!(refused(&request((64 << 40) + 512, Props::new())), "limit.virtual-size");
    assert_eq!(refused(&request(u64::MAX - 511, Props::new())), "limit.virtual-size");
    assert_eq!(refused(&request(64 << 40, props([("block-size", "1048576")]))), "accepted");
    for size in ["0", "524288", "1048577", "67108864", "1M", ""] {
        assert_eq!(with("block-size", size), "invalid.request", "{size}");
    }
    assert_eq!(
        (with("sector-size", "512"), with("sector-size", "1024")),
        ("accepted".into(), "invalid.request".into())
    );
    assert_eq!(refused(&request(512, props([("sector-size", "4096")]))), "invalid.request");
    assert_eq!(with("compress", "zlib"), "unsupported.option");
    assert_eq!(with("cluster-size", "65536"), "unsupported.option");
    let base = || request(MIB, Props::new());
    assert_eq!(
        refused(&CreateRequest { subformat: Some("fixed".to_owned()), ..base() }),
        "unsupported.option"
    );
    assert_eq!(refused(&CreateRequest { subformat: Some("dynamic".to_owned()), ..base() }), "accepted");
    assert_eq!(refused(&CreateRequest { parent: Some("x".to_owned()), ..base() }), "unsupported.option");
    assert_eq!(refused(&CreateRequest { append_only: true, ..base() }), "accepted");
}
