//! New files, written by the rules, against `qemu-img` and against the reader.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use format_vhd::Vhd;
use imprint_plugin_sdk::{
    error::ErrorClass,
    format::{CreateRequest, Format, FrameField, Image as _, Layout as _, Placed},
    types::{Props, props},
};
use tempfile::TempDir;

use crate::{
    qemu,
    support::{Numbers, aliased, all_findings, code, create, open_file, whole_disk},
};

type Laid = <Vhd as Format>::Layout;
const MIB: u64 = 1 << 20;
const MAX_DISK: u64 = 2040 << 30;

fn request(virtual_size: u64, subformat: &str, options: Props) -> CreateRequest {
    CreateRequest {
        virtual_size,
        allocated: 0,
        subformat: Some(subformat.to_owned()),
        options,
        append_only: false,
        parent: None,
    }
}

fn begin(virtual_size: u64, subformat: &str, options: Props) -> Laid {
    Vhd::begin_layout(&request(virtual_size, subformat, options)).unwrap()
}

/// Places and writes the units that are not zero, as the host does; the answer is where the payload
/// ends.
fn place(layout: &mut Laid, file: &File, units: &[(u64, Vec<u8>)]) -> u64 {
    let rules = layout.rules();
    assert!(rules.skip_zero && rules.codec.is_none());
    if rules.identity {
        let mut end = 0;
        for (offset, bytes) in units {
            file.write_all_at(bytes, *offset).unwrap();
            end = offset + u64::try_from(bytes.len()).unwrap();
        }
        return end;
    }
    let [FrameField::Literal(frame)] = rules.frame.as_slice() else { panic!("a bitmap") };
    assert!(rules.ascending);
    let (frame_length, align) = (u64::try_from(frame.len()).unwrap(), u64::from(rules.align_data));
    let mut end = rules.data_start;
    let mut runs = Vec::new();
    for (offset, bytes) in units {
        let payload = (end + frame_length).next_multiple_of(align);
        let file_offset = payload - frame_length;
        assert!(file_offset.is_multiple_of(rules.align.into()));
        file.write_all_at(frame, file_offset).unwrap();
        file.write_all_at(bytes, payload).unwrap();
        end = payload + u64::from(rules.unit);
        runs.push(Placed { offset: *offset, length: rules.unit.into(), file_offset, stored_length: 0 });
    }
    runs.chunks(100).for_each(|runs| layout.placed(runs).unwrap());
    end
}

/// Writes the tables and cuts the file.
fn finish(layout: &mut Laid, file: &File, end: u64, page: u32) {
    let (mut start, mut last) = (0, u64::MAX);
    loop {
        let page_of = layout.metadata(end, start, page).unwrap();
        let bytes: usize = page_of.segments.iter().map(|segment| segment.bytes.len()).sum();
        assert!(bytes <= usize::try_from(page).unwrap());
        for segment in &page_of.segments {
            assert!(last != 0, "the copy of the footer is the last");
            last = segment.file_offset;
            file.write_all_at(&segment.bytes, segment.file_offset).unwrap();
        }
        if page_of.done {
            file.set_len(page_of.final_size.unwrap()).unwrap();
            return;
        }
        assert!(page_of.resume > start, "the tables got on");
        start = page_of.resume;
    }
}

struct Case {
    subformat: &'static str,
    options: Props,
    size: u64,
}

fn write_image(case: &Case, disk: &[u8], path: &Path) {
    let mut layout = begin(case.size, case.subformat, case.options.clone());
    let file = create(path);
    let unit = match layout.rules() {
        rules if rules.identity => MIB,
        rules => u64::from(rules.unit),
    };
    let units: Vec<(u64, Vec<u8>)> = (0..)
        .step_by(usize::try_from(unit).unwrap())
        .zip(disk.chunks(usize::try_from(unit).unwrap()))
        .filter(|(_, chunk)| chunk.iter().any(|byte| *byte != 0))
        .map(|(offset, chunk)| (offset, chunk.to_vec()))
        .collect();
    let end = place(&mut layout, &file, &units);
    finish(&mut layout, &file, end, 40_000);
}

/// A disk with blocks that are empty, full, and in between.
fn disk(size: u64, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let mut bytes = vec![0_u8; usize::try_from(size).unwrap()];
    for piece in bytes.chunks_mut(256 << 10) {
        match numbers.below(4) {
            0 | 1 => {}
            2 => {
                let at = usize::try_from(numbers.below(u64::try_from(piece.len()).unwrap())).unwrap();
                piece[at] = 1;
            }
            _ => piece.fill(u8::try_from(numbers.below(255)).unwrap() + 1),
        }
    }
    bytes
}

/// Writes, and lets QEMU and our reader say what it is. The answer is the size that QEMU sees.
fn assert_round_trip(case: &Case) -> u64 {
    let dir = TempDir::new().unwrap();
    let (raw, path) = (dir.path().join("disk.raw"), dir.path().join("disk.vhd"));
    let bytes = disk(case.size, case.size);
    std::fs::write(&raw, &bytes).unwrap();
    write_image(case, &bytes, &path);
    let what = format!("{} {} {:?}", case.subformat, case.size, case.options);
    // Not strict: where the size was rounded up, the rest is zero.
    qemu::compare(&raw, "raw", &path, "vpc");
    let mut image = open_file(&path);
    assert_eq!(all_findings(&mut image, 100).unwrap(), [], "{what}");
    assert!(!aliased(&mut image).unwrap(), "{what}");
    let written = std::fs::read(&path).unwrap();
    let read = whole_disk(&mut image, &written, &[]);
    assert!(read[..bytes.len()] == bytes && read[bytes.len()..].iter().all(|byte| *byte == 0), "{what}");
    let again = dir.path().join("again.vhd");
    write_image(case, &bytes, &again);
    assert!(std::fs::read(&again).unwrap() == written, "{what}: the same bytes twice");
    let size = qemu::virtual_size(&path);
    assert_eq!(image.info().unwrap().virtual_size, size, "{what}");
    size
}

#[test]
fn exact_sizes_of_both_subformats() {
    for subformat in ["dynamic", "fixed"] {
        for size in [512, MIB - 512, MIB, 2 * MIB + 512, 9 * MIB, (33 * MIB) + 1536] {
            let case = Case { subformat, options: Props::new(), size };
            assert_eq!(assert_round_trip(&case), size, "{subformat}");
        }
    }
}

#[test]
fn sizes_rounded_to_a_geometry_as_qemu_does() {
    let dir = TempDir::new().unwrap();
    for subformat in ["dynamic", "fixed"] {
        for size in [512, MIB, 9 * MIB + 512, 33 * MIB] {
            let case = Case { subformat, options: props([("force-size", "false")]), size };
            let rounded = assert_round_trip(&case);
            let theirs = dir.path().join("theirs.vhd");
            let options = format!("subformat={subformat}");
            qemu::run(
                "qemu-img",
                &["create", "-q", "-f", "vpc", "-o", &options, theirs.to_str().unwrap(), &size.to_string()],
            );
            assert_eq!(rounded, qemu::virtual_size(&theirs), "{subformat} {size}");
        }
    }
}

/// The footer and header of an empty disk, ours and QEMU's, but for the fields that tell who and
/// when.
#[test]
fn headers_are_those_that_qemu_writes() {
    let dir = TempDir::new().unwrap();
    let (ours, theirs) = (dir.path().join("ours.vhd"), dir.path().join("theirs.vhd"));
    for size in [MIB, 100 * MIB, 600 * MIB, 3 << 30, (20 << 30) + 512, 126 << 30, 128 << 30, 2000 << 30] {
        for force in ["true", "false"] {
            let mut layout = begin(size, "dynamic", props([("force-size", force)]));
            let end = layout.rules().data_start;
            finish(&mut layout, &create(&ours), end, 40_000);
            let options =
                format!("subformat=dynamic,force_size={}", if force == "true" { "on" } else { "off" });
            qemu::run(
                "qemu-img",
                &["create", "-q", "-f", "vpc", "-o", &options, theirs.to_str().unwrap(), &size.to_string()],
            );
            let (ours, theirs) = (std::fs::read(&ours).unwrap(), std::fs::read(&theirs).unwrap());
            let vital = |file: &[u8]| {
                [&file[..24], &file[28..32], &file[36..64], &file[512..548], &file[552..1536]].concat()
            };
            let parts = (vital(&ours), vital(&theirs));
            // QEMU allows itself another entry of the table than the disk has blocks.
            assert_eq!(parts.0[..84], parts.1[..84], "{size} {force}");
            assert_eq!(parts.0[92..], parts.1[92..], "{size} {force}");
        }
    }
}

#[test]
fn azures_rule() {
    let options = || props([("align", "1MiB")]);
    for size in [512, MIB, 5 * MIB + 512] {
        let case = Case { subformat: "fixed", options: options(), size };
        assert_eq!(assert_round_trip(&case), size.next_multiple_of(MIB));
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("azure.vhd");
    let case = Case { subformat: "fixed", options: options(), size: 3 * MIB - 512 };
    write_image(&case, &vec![1; 3 << 20][512..], &path);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), (3 << 20) + 512);
    let footer = &bytes[3 << 20..];
    assert_eq!(&footer[..8], b"conectix");
    assert_eq!(&footer[16..24], &[0xff; 8]);
    assert_eq!(&footer[28..32], b"qem2");
    assert_eq!(&footer[36..40], b"Wi2k");
    assert_eq!(&footer[48..56], &(3 * MIB).to_be_bytes());
    assert_eq!(&footer[60..64], &2_u32.to_be_bytes());
}

#[test]
fn block_sizes() {
    for (option, size) in [("512KiB", 512 << 10), ("1MiB", 1 << 20), ("2MiB", 2 << 20), ("524288", 512 << 10)]
    {
        let case =
            Case { subformat: "dynamic", options: props([("block-size", option)]), size: 7 * MIB + 512 };
        assert_round_trip(&case);
        let mut layout = begin(case.size, "dynamic", case.options);
        assert_eq!(u64::from(layout.rules().unit), size);
    }
}

#[test]
fn an_empty_disk_of_any_size_is_a_small_valid_file() {
    for (size, most) in [(0, 8192), (512, 8192), (10 << 30, 64 << 10), (MAX_DISK, 8 << 20)] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("empty.vhd");
        let file = create(&path);
        let mut layout = begin(size, "dynamic", Props::new());
        let end = layout.rules().data_start;
        finish(&mut layout, &file, end, 1 << 20);
        assert!(file.metadata().unwrap().len() <= most);
        assert_eq!(qemu::virtual_size(&path), size);
        let mut image = open_file(&path);
        assert_eq!(all_findings(&mut image, 10).unwrap(), []);
        assert_eq!(image.info().unwrap().virtual_size, size);
        if size >= 1 << 30 {
            let path = path.to_str().unwrap();
            let (write, read) = ("write -q -P 5 512M 1M", "read -q -P 5 512M 1M");
            qemu::run("qemu-io", &["-f", "vpc", "-c", write, "-c", read, path]);
        }
    }
}

#[test]
fn every_block_of_the_largest_disk() {
    let mut layout = begin(1 << 40, "dynamic", Props::new());
    let stride = (2 << 20) + 4096;
    let start = (layout.rules().data_start + 512).next_multiple_of(4096) - 512;
    for first in (0..1_u64 << 19).step_by(4096) {
        let runs: Vec<_> = (first..first + 4096)
            .map(|index| Placed {
                offset: index << 21,
                length: 2 << 20,
                file_offset: start + index * stride,
                stored_length: 0,
            })
            .collect();
        layout.placed(&runs).unwrap();
    }
    let mut position = 0;
    let mut bytes = 0;
    loop {
        let page = layout.metadata(0, position, 1 << 20).unwrap();
        bytes += page.segments.iter().map(|segment| segment.bytes.len()).sum::<usize>();
        if page.done {
            assert_eq!(page.final_size, Some(start + (1 << 19) * stride + 512 - (4096 - 512)));
            break;
        }
        position = page.resume;
    }
    assert_eq!(bytes, 512 + 1024 + (4 << 19) + 512);
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let refused = |request: &CreateRequest| code(Vhd::begin_layout(request));
    let with = |options: Props| request(1 << 30, "dynamic", options);
    assert_eq!(refused(&CreateRequest { subformat: None, ..with(Props::new()) }), "accepted");
    assert_eq!(refused(&CreateRequest { append_only: true, ..with(Props::new()) }), "accepted");
    assert_eq!(refused(&with(props([("compress", "none")]))), "accepted");
    assert_eq!(refused(&with(props([("compress", "zlib")]))), "unsupported.option");
    assert_eq!(refused(&with(props([("cluster-size", "65536")]))), "unsupported.option");
    assert_eq!(refused(&request(1 << 30, "differencing", Props::new())), "unsupported.option");
    assert_eq!(refused(&request(1 << 30, "fixed", props([("block-size", "2MiB")]))), "unsupported.option");
    assert_eq!(refused(&with(props([("align", "1MiB"), ("force-size", "false")]))), "unsupported.option");
    assert_eq!(
        refused(&CreateRequest { parent: Some("x".to_owned()), ..with(Props::new()) }),
        "unsupported.option"
    );
    for (key, values) in [
        ("block-size", &["0", "4096", "3MiB", "4MiB", "x", "", "18446744073709551616"][..]),
        ("align", &["0", "256", "3MiB", "2GiB", "x", "MiB"]),
        ("force-size", &["on", "1", ""]),
    ] {
        for value in values {
            assert_eq!(refused(&with(props([(key, value)]))), "invalid.request", "{key}={value}");
        }
    }
    for size in [1, 1000, MIB + 1] {
        assert_eq!(refused(&request(size, "fixed", Props::new())), "invalid.request", "{size}");
    }
    for size in [MAX_DISK + 512, 1 << 42, u64::MAX - 511] {
        assert_eq!(refused(&request(size, "dynamic", Props::new())), "limit.virtual-size", "{size}");
    }
    assert_eq!(refused(&request(MAX_DISK, "dynamic", Props::new())), "accepted");
    // Full, it would be longer than a VHD can be.
    let small = props([("block-size", "512KiB")]);
    assert_eq!(refused(&request(MAX_DISK, "dynamic", small.clone())), "limit.virtual-size");
    assert_eq!(refused(&request(2000 << 30, "dynamic", small)), "accepted");
}

#[test]
fn placements_that_break_the_rules_are_refused() {
    let size = (1 << 30) + 512;
    let start = begin(size, "dynamic", Props::new()).rules().data_start.next_multiple_of(512);
    let good = Placed { offset: 0, length: 2 << 20, file_offset: start, stored_length: 0 };
    let bad = [
        Placed { offset: 512, ..good },
        Placed { length: 0, ..good },
        Placed { length: 4 << 20, ..good },
        Placed { offset: (1 << 30) + (2 << 20), ..good },
        Placed { offset: u64::MAX, ..good },
        Placed { length: u64::MAX, ..good },
        Placed { file_offset: start + 1, ..good },
        Placed { file_offset: 0, ..good },
        Placed { file_offset: 1 << 41, ..good },
        Placed { file_offset: u64::from(u32::MAX) * 512, ..good },
        Placed { stored_length: 100, ..good },
    ];
    for run in bad {
        let mut layout = begin(size, "dynamic", Props::new());
        let error = layout.placed(&[run]).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.class),
            ("invalid.request", ErrorClass::InvalidInput),
            "{run:?}"
        );
    }
    let mut layout = begin(size, "dynamic", Props::new());
    let next = Placed { offset: 2 << 20, ..good };
    assert_eq!(code(layout.placed(&[good, good])), "invalid.request");
    assert_eq!(code(layout.placed(&[next])), "invalid.request", "upon the first");
    assert_eq!(code(layout.placed(&vec![good; 4097])), "invalid.request");
    let last = Placed { offset: 1 << 30, length: 512, file_offset: start + (4 << 20), stored_length: 0 };
    assert_eq!(code(layout.placed(&[last])), "accepted");
    assert_eq!(code(layout.metadata(0, 0, 100)), "invalid.request");
    assert_eq!(code(layout.placed(&[last])), "invalid.request");
    assert_eq!(code(begin(MIB, "fixed", Props::new()).placed(&[good])), "invalid.request");
}
