//! New files, written by the rules, against `qemu-img check` and `qemu-img compare`.

use std::path::Path;

use format_vmdk::Vmdk;
use imprint_plugin_sdk::{
    format::{CreateRequest, Format, FrameField, Layout as _, Placed, Rules},
    types::{Props, props},
};
use tempfile::TempDir;

use crate::{
    qemu,
    support::{Numbers, aliased, all_findings, code, open_file, whole_disk},
};

type Laid = <Vmdk as Format>::Layout;
const GRAIN: usize = 65536;

fn request(virtual_size: u64, subformat: &str) -> CreateRequest {
    CreateRequest {
        virtual_size,
        allocated: 0,
        subformat: Some(subformat.to_owned()),
        options: props([("compress", "none")]),
        append_only: false,
        parent: None,
    }
}

/// A disk with stretches of zeroes, of text and of noise; `holes` of ten grains are zero.
fn disk(size: usize, holes: u64, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let mut bytes = vec![0_u8; size];
    for piece in bytes.chunks_mut(GRAIN) {
        if numbers.below(10) < holes {
            continue;
        }
        if numbers.below(2) == 0 {
            piece.fill(u8::try_from(numbers.below(255)).unwrap() + 1);
        } else {
            piece.iter_mut().for_each(|byte| *byte = u8::try_from(numbers.below(256)).unwrap());
        }
    }
    bytes
}

fn put(file: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = usize::try_from(at).unwrap();
    file.resize(file.len().max(at + bytes.len()), 0);
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// What is stored for a unit, with its frame.
fn framed(rules: &Rules, number: u64, bytes: &[u8]) -> (Vec<u8>, u32) {
    let Some(codec) = &rules.codec else { return (bytes.to_vec(), 0) };
    assert_eq!(codec.name, "zlib");
    let mut stored = vec![0; bytes.len() * 2 + 1024];
    let mut encoder = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    let length = encoder.zlib_compress(bytes, &mut stored).unwrap();
    assert!(length <= usize::try_from(rules.max_encoded).unwrap());
    let length = u32::try_from(length).unwrap();
    let mut frame = Vec::new();
    for field in &rules.frame {
        match field {
            FrameField::Literal(bytes) => frame.extend(bytes),
            FrameField::AddressU64Le(factor) => frame.extend((number * u64::from(*factor)).to_le_bytes()),
            FrameField::StoredLengthU32Le => frame.extend(length.to_le_bytes()),
        }
    }
    frame.extend(&stored[..usize::try_from(length).unwrap()]);
    (frame, length)
}

/// Places units and asks for what goes between them, as the host does.
fn place(layout: &mut Laid, bytes: &[u8], file: &mut Vec<u8>) -> u64 {
    let rules = layout.rules();
    assert_eq!((rules.unit, rules.ascending, rules.skip_zero, rules.identity), (65536, true, true, false));
    let align = u64::from(rules.align);
    let mut end = rules.data_start;
    let mut group = None;
    let mut runs: Vec<Placed> = Vec::new();
    for (number, unit) in (0_u64..).zip(bytes.chunks(GRAIN)) {
        if unit.iter().all(|byte| *byte == 0) {
            continue;
        }
        if rules.interleave_every > 0 {
            let this = number / u64::from(rules.interleave_every);
            if group.is_some_and(|before| before != this) {
                runs.chunks(100).for_each(|runs| layout.placed(runs).unwrap());
                runs.clear();
                end = end.next_multiple_of(align);
                let between = layout.interleave(end).unwrap();
                put(file, end, &between);
                end += u64::try_from(between.len()).unwrap();
            }
            group = Some(this);
        }
        end = end.next_multiple_of(align);
        let mut whole = unit.to_vec();
        whole.resize(GRAIN, 0);
        let (stored, stored_length) = framed(&rules, number, &whole);
        put(file, end, &stored);
        let offset = number * 65536;
        match runs.last_mut() {
            Some(run) if stored_length == 0 && run.offset + run.length == offset => run.length += 65536,
            Some(_) | None => runs.push(Placed { offset, length: 65536, file_offset: end, stored_length }),
        }
        end += u64::try_from(stored.len()).unwrap();
    }
    runs.chunks(100).for_each(|runs| layout.placed(runs).unwrap());
    end
}

/// Writes the tables; the header comes last.
fn finish(layout: &mut Laid, file: &mut Vec<u8>, end: u64, page: u32) {
    let (mut start, mut header_written) = (0, false);
    loop {
        let part = layout.metadata(end, start, page).unwrap();
        let bytes: usize = part.segments.iter().map(|segment| segment.bytes.len()).sum();
        assert!(bytes <= usize::try_from(page).unwrap());
        for segment in &part.segments {
            assert!(!header_written, "nothing follows the header");
            header_written = segment.file_offset == 0;
            put(file, segment.file_offset, &segment.bytes);
        }
        if part.done {
            assert!(header_written);
            file.resize(usize::try_from(part.final_size.unwrap()).unwrap(), 0);
            return;
        }
        assert!(part.resume > start, "the tables got on");
        start = part.resume;
    }
}

fn write(subformat: &str, bytes: &[u8], page: u32) -> Vec<u8> {
    let mut layout = Vmdk::begin_layout(&request(u64::try_from(bytes.len()).unwrap(), subformat)).unwrap();
    let mut file = Vec::new();
    let end = place(&mut layout, bytes, &mut file);
    finish(&mut layout, &mut file, end, page);
    file
}

fn assert_round_trip(subformat: &str, size: usize, holes: u64, page: u32) {
    let dir = TempDir::new().unwrap();
    let (raw, path) = (dir.path().join("disk.raw"), dir.path().join("disk.vmdk"));
    let bytes = disk(size, holes, u64::try_from(size).unwrap() + holes);
    std::fs::write(&raw, &bytes).unwrap();
    let written = write(subformat, &bytes, page);
    std::fs::write(&path, &written).unwrap();
    qemu::check(&path);
    qemu::compare(&raw, "raw", &path, "vmdk");
    let info = qemu::info(&path);
    assert_eq!(info["virtual-size"].as_u64(), u64::try_from(size).ok());
    assert_eq!(info["format-specific"]["data"]["create-type"], subformat);
    let mut image = open_file(&path);
    assert!(all_findings(&mut image, 100).unwrap().is_empty());
    assert!(!aliased(&mut image).unwrap());
    assert!(whole_disk(&mut image, std::slice::from_ref(&written)) == bytes, "{subformat} {size}");
    assert!(write(subformat, &bytes, 1 << 20) == written, "the same bytes twice, in pages of any size");
}

#[test]
fn both_variants_at_every_size() {
    for subformat in ["streamOptimized", "monolithicSparse"] {
        for (size, holes, page) in [
            (512, 0, 512),
            (GRAIN, 0, 4096),
            (3 * GRAIN + 512, 3, 700),
            ((40 << 20) + 1536, 5, 5000),
            (100 << 20, 9, 65536),
            (70 << 20, 10, 512),
        ] {
            assert_round_trip(subformat, size, holes, page);
        }
    }
}

#[test]
fn the_head_of_a_stream_is_known_before_its_payload() {
    let bytes = disk(35 << 20, 3, 8);
    let asked = CreateRequest { append_only: true, ..request(35 << 20, "streamOptimized") };
    let mut layout = Vmdk::begin_layout(&asked).unwrap();
    let mut file = layout.interleave(0).unwrap();
    assert_eq!(file.len(), GRAIN);
    let head = file.clone();
    let end = place(&mut layout, &bytes, &mut file);
    finish(&mut layout, &mut file, end, 1 << 20);
    assert!(file[..GRAIN] == head, "the same header again");
    assert!(file == write("streamOptimized", &bytes, 4096));
}

#[test]
fn huge_disks_with_a_little_in_them() {
    for size in [2_u64 << 40, 16 << 40] {
        for subformat in ["streamOptimized", "monolithicSparse"] {
            let mut layout = Vmdk::begin_layout(&request(size, subformat)).unwrap();
            let rules = layout.rules();
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("huge.vmdk");
            let file = std::fs::File::create(&path).unwrap();
            let (stored, stored_length) = framed(&rules, size / 65536 - 1, &vec![7; GRAIN]);
            use std::os::unix::fs::FileExt;
            file.write_all_at(&stored, rules.data_start).unwrap();
            layout
                .placed(&[Placed {
                    offset: size - 65536,
                    length: 65536,
                    file_offset: rules.data_start,
                    stored_length,
                }])
                .unwrap();
            let mut start = 0;
            loop {
                let end = rules.data_start + u64::try_from(stored.len()).unwrap();
                let part = layout.metadata(end, start, 1 << 20).unwrap();
                for segment in &part.segments {
                    file.write_all_at(&segment.bytes, segment.file_offset).unwrap();
                }
                start = part.resume;
                if part.done {
                    file.set_len(part.final_size.unwrap()).unwrap();
                    break;
                }
            }
            assert_one_grain_at_the_end(&path, size);
        }
    }
}

fn assert_one_grain_at_the_end(path: &Path, size: u64) {
    use imprint_plugin_sdk::format::Image as _;
    assert_eq!(qemu::info(path)["virtual-size"].as_u64(), Some(size));
    let pattern = format!("read -q -P 7 {} 64k", size - 65536);
    qemu::run("qemu-io", &["-r", "-f", "vmdk", "-c", &pattern, path.to_str().unwrap()]);
    let mut image = open_file(path);
    assert!(image.extents(0, size, 10).unwrap().resume >= 8 << 30, "a call gets on");
    let page = image.extents(size - (1 << 30), size, 10).unwrap();
    let last = page.extents.last().unwrap();
    assert_eq!((page.extents.len(), last.offset, last.length), (2, size - 65536, 65536));
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let refused = |request: &CreateRequest| code(Vmdk::begin_layout(request));
    let base = || request(1 << 20, "streamOptimized");
    assert_eq!(refused(&base()), "accepted");
    for size in [0, 1000] {
        assert_eq!(refused(&request(size, "monolithicSparse")), "invalid.request");
    }
    assert_eq!(refused(&request((62 << 40) + 512, "monolithicSparse")), "limit.virtual-size");
    assert_eq!(refused(&request(1 << 20, "vmfs")), "unsupported.option");
    assert_eq!(refused(&CreateRequest { parent: Some("x".to_owned()), ..base() }), "unsupported.option");
    let with = |options: Props, subformat: Option<&str>| {
        refused(&CreateRequest { options, subformat: subformat.map(str::to_owned), ..base() })
    };
    assert_eq!(with(props([("compress", "zstd")]), None), "unsupported.option");
    assert_eq!(with(props([("compress", "zlib")]), Some("monolithicSparse")), "unsupported.option");
    assert_eq!(with(props([("compress", "zlib")]), None), "accepted");
    assert_eq!(with(props([("cluster-size", "65536")]), None), "unsupported.option");
    assert_eq!(with(props([("adapter-type", "nvme")]), None), "unsupported.option");
    assert_eq!(with(props([("adapter-type", "ide")]), None), "accepted");
}

#[test]
fn without_a_subformat_compression_decides() {
    for (compress, unit_codec) in [("none", false), ("zlib", true)] {
        let options = props([("compress", compress)]);
        let asked = CreateRequest { options, subformat: None, ..request(1 << 20, "") };
        assert_eq!(Vmdk::begin_layout(&asked).unwrap().rules().codec.is_some(), unit_codec);
    }
}

#[test]
fn placements_that_break_the_rules_are_refused() {
    let size = (64 << 20) + 512;
    for (subformat, stored_length) in [("streamOptimized", 100), ("monolithicSparse", 0)] {
        let begin = || Vmdk::begin_layout(&request(size, subformat)).unwrap();
        let start = begin().rules().data_start;
        let good = Placed { offset: 0, length: 65536, file_offset: start, stored_length };
        let bad = [
            Placed { offset: 512, ..good },
            Placed { length: 0, ..good },
            Placed { length: 512, ..good },
            Placed { offset: (64 << 20) + 65536, ..good },
            Placed { length: u64::MAX, ..good },
            Placed { file_offset: start + 7, ..good },
            Placed { file_offset: 0, ..good },
            Placed { stored_length: 100 - stored_length, ..good },
        ];
        for run in bad {
            assert_eq!(code(begin().placed(&[run])), "invalid.request", "{subformat} {run:?}");
        }
        assert_eq!(code(begin().placed(&[good, good])), "invalid.request");
        assert_eq!(code(begin().placed(&vec![good; 4097])), "invalid.request");
        let mut layout = begin();
        layout.placed(&[good]).unwrap();
        assert_eq!(code(layout.metadata(start, 0, 100)), "invalid.request");
        layout.metadata(start, 0, 4096).unwrap();
        assert_eq!(code(layout.placed(&[good])), "invalid.request");
    }
    let mut stream = Vmdk::begin_layout(&request(size, "streamOptimized")).unwrap();
    let far = Placed { offset: 0, length: 65536, file_offset: 1 << 41, stored_length: 9 };
    assert_eq!(code(stream.placed(&[far])), "limit.virtual-size");
}
