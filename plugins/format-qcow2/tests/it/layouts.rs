//! New files, written by the rules, against `qemu-img check` and `qemu-img compare`.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use format_qcow2::Qcow2;
use imprint_plugin_sdk::{
    error::ErrorClass,
    format::{CreateRequest, Format, Layout as _, Placed, Rules},
    types::{Props, props},
};
use tempfile::TempDir;

use crate::{
    qemu,
    support::{Numbers, aliased, all_findings, code, create, open_file, whole_disk},
};

type Laid = <Qcow2 as Format>::Layout;

fn request(virtual_size: u64, allocated: u64, options: Props) -> CreateRequest {
    CreateRequest { virtual_size, allocated, subformat: None, options, append_only: false, parent: None }
}

fn begin(virtual_size: u64, allocated: u64, options: Props) -> Laid {
    Qcow2::begin_layout(&request(virtual_size, allocated, options)).unwrap()
}

/// Places and writes payload as the rules say.
struct Placer<'a> {
    rules: Rules,
    file: &'a File,
    end: u64,
    runs: Vec<Placed>,
}

impl Placer<'_> {
    fn up(&self, value: u64, align: u32) -> u64 {
        value.next_multiple_of(u64::from(align))
    }

    /// One batch: encoded units first, then those that are stored as they are; reported in the
    /// order of the disk.
    fn batch(&mut self, units: &[(u64, Vec<u8>)]) {
        let mut placed = Vec::new();
        let mut plain = Vec::new();
        for (offset, bytes) in units {
            match self.encode(bytes) {
                Some(encoded) => {
                    self.end = self.up(self.end, self.rules.align);
                    self.file.write_all_at(&encoded, self.end).unwrap();
                    placed.push((*offset, self.end, u32::try_from(encoded.len()).unwrap()));
                    self.end += u64::try_from(encoded.len()).unwrap();
                }
                None => plain.push((offset, bytes)),
            }
        }
        for (offset, bytes) in plain {
            let align =
                if self.rules.verbatim_align == 0 { self.rules.align } else { self.rules.verbatim_align };
            self.end = self.up(self.end, align);
            self.file.write_all_at(bytes, self.end).unwrap();
            placed.push((*offset, self.end, 0));
            self.end += u64::from(self.rules.unit);
        }
        placed.sort_unstable();
        let unit = u64::from(self.rules.unit);
        for (offset, file_offset, stored_length) in placed {
            match self.runs.last_mut() {
                Some(run)
                    if stored_length == 0
                        && run.stored_length == 0
                        && run.offset + run.length == offset
                        && run.file_offset + run.length == file_offset =>
                {
                    run.length += unit;
                }
                _ => self.runs.push(Placed { offset, length: unit, file_offset, stored_length }),
            }
        }
    }

    fn encode(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let codec = self.rules.codec.as_ref()?;
        let mut encoded = vec![0; bytes.len() * 2 + 1024];
        let length = match codec.name.as_str() {
            "deflate" => {
                let mut encoder = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
                encoder.deflate_compress(bytes, &mut encoded).unwrap()
            }
            "zstd" => zstd_safe::compress(encoded.as_mut_slice(), bytes, 1).unwrap(),
            other => panic!("codec {other}"),
        };
        encoded.truncate(length);
        (length <= usize::try_from(self.rules.max_encoded).unwrap()).then_some(encoded)
    }
}

/// Writes the tables and cuts the file.
fn finish(layout: &mut Laid, file: &File, end: u64, page: u32) {
    let (mut start, mut header_written) = (0, false);
    loop {
        let page_of = layout.metadata(end, start, page).unwrap();
        let bytes: usize = page_of.segments.iter().map(|segment| segment.bytes.len()).sum();
        assert!(bytes <= usize::try_from(page).unwrap());
        for segment in &page_of.segments {
            assert!(!header_written || segment.file_offset > 0, "nothing but the header follows the header");
            header_written |= segment.file_offset == 0;
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

/// A disk with stretches of zeroes, of text and of noise.
fn disk(size: u64, cluster: u64, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let mut bytes = vec![0_u8; usize::try_from(size).unwrap()];
    for piece in bytes.chunks_mut(usize::try_from(cluster).unwrap()) {
        match numbers.below(4) {
            0 | 1 => {}
            2 => piece
                .iter_mut()
                .zip(b"a cluster that is easily encoded ".iter().cycle())
                .for_each(|(to, from)| *to = *from),
            _ => piece.iter_mut().for_each(|byte| *byte = u8::try_from(numbers.below(256)).unwrap()),
        }
        if numbers.below(2) == 0 && piece[0] != 0 {
            piece[0] = u8::try_from(numbers.below(255)).unwrap() + 1;
        }
    }
    bytes
}

struct Case {
    compress: &'static str,
    cluster: u64,
    size: u64,
    allocated: u64,
    page: u32,
}

fn write_image(case: &Case, bytes: &[u8], path: &Path) {
    let options = props([("compress", case.compress), ("cluster-size", &case.cluster.to_string())]);
    let mut layout = begin(case.size, case.allocated, options);
    let rules = layout.rules();
    assert_eq!(
        (u64::from(rules.unit), rules.ascending, rules.skip_zero, rules.identity),
        (case.cluster, true, true, false)
    );
    let file = create(path);
    let end = rules.data_start;
    let mut placer = Placer { rules, file: &file, end, runs: Vec::new() };
    let cluster = usize::try_from(case.cluster).unwrap();
    let units: Vec<(u64, Vec<u8>)> = (0..)
        .step_by(cluster)
        .zip(bytes.chunks(cluster))
        .filter(|(_, chunk)| chunk.iter().any(|byte| *byte != 0))
        .map(|(offset, chunk)| (offset, [chunk, &vec![0; cluster - chunk.len()]].concat()))
        .collect();
    units.chunks(16).for_each(|batch| placer.batch(batch));
    let (runs, end) = (placer.runs, placer.end);
    runs.chunks(100).for_each(|runs| layout.placed(runs).unwrap());
    finish(&mut layout, &file, end, case.page);
}

fn assert_round_trip(case: &Case) {
    let dir = TempDir::new().unwrap();
    let (raw, path) = (dir.path().join("disk.raw"), dir.path().join("disk.qcow2"));
    let bytes = disk(case.size, case.cluster, case.cluster + case.size);
    std::fs::write(&raw, &bytes).unwrap();
    write_image(case, &bytes, &path);
    let checked = qemu::check(&path);
    assert_eq!((checked.corruptions, checked.leaks), (0, 0), "{} {}", case.compress, case.cluster);
    qemu::compare(&raw, "raw", &path, "qcow2");
    let mut image = open_file(&path);
    assert!(all_findings(&mut image, 100).unwrap().is_empty());
    assert!(!aliased(&mut image).unwrap());
    let written = std::fs::read(&path).unwrap();
    assert!(whole_disk(&mut image, &written, &[]) == bytes);
    let again = dir.path().join("again.qcow2");
    write_image(case, &bytes, &again);
    assert!(std::fs::read(&again).unwrap() == written, "the same bytes twice");
}

#[test]
fn plain_at_every_cluster_size() {
    for bits in 12..=21 {
        let size = (1_u64 << bits) * 70 + 1536;
        assert_round_trip(&Case {
            compress: "none",
            cluster: 1 << bits,
            size,
            allocated: size / 2,
            page: 65536,
        });
    }
}

#[test]
fn zlib_at_every_cluster_size() {
    for bits in 12..=21 {
        let size = (1_u64 << bits) * 50 + 512;
        assert_round_trip(&Case {
            compress: "zlib",
            cluster: 1 << bits,
            size,
            allocated: size / 2,
            page: 1 << 20,
        });
    }
}

#[test]
fn zstd_at_every_cluster_size() {
    for bits in 12..=21 {
        let size = (1_u64 << bits) * 50;
        assert_round_trip(&Case { compress: "zstd", cluster: 1 << bits, size, allocated: 0, page: 512 });
    }
}

#[test]
fn many_tables_in_front_and_behind() {
    for allocated in [0, 24 << 20] {
        for compress in ["none", "zlib", "zstd"] {
            assert_round_trip(&Case { compress, cluster: 4096, size: 24 << 20, allocated, page: 5000 });
        }
    }
}

#[test]
fn sizes_of_disks() {
    for size in [512, 65536 - 512, 65536, 65536 + 512, (1 << 20) - 512] {
        for compress in ["none", "zlib", "zstd"] {
            assert_round_trip(&Case { compress, cluster: 65536, size, allocated: size, page: 4096 });
        }
    }
}

#[test]
fn an_empty_disk_of_any_size_is_a_small_valid_file() {
    for (size, most) in [(0, 1 << 20), (512, 1 << 20), (10 << 30, 1 << 20), (16 << 40, 1 << 20)] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("empty.qcow2");
        let file = create(&path);
        let mut layout = begin(size, 0, Props::new());
        let end = layout.rules().data_start;
        finish(&mut layout, &file, end, 1 << 20);
        let length = file.metadata().unwrap().len();
        assert!(length <= most && length.is_multiple_of(65536), "{length} bytes for a disk of {size}");
        let checked = qemu::check(&path);
        assert_eq!((checked.corruptions, checked.leaks), (0, 0));
        let mut image = open_file(&path);
        assert!(all_findings(&mut image, 10).unwrap().is_empty());
        let info = qemu::run("qemu-img", &["info", "--output=json", "-f", "qcow2", path.to_str().unwrap()]);
        let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
        assert_eq!(info["virtual-size"].as_u64(), Some(size));
        if size >= 1 << 30 {
            qemu::run(
                "qemu-io",
                &[
                    "-f",
                    "qcow2",
                    "-c",
                    "write -q -P 5 512M 1M",
                    "-c",
                    "read -q -P 5 512M 1M",
                    path.to_str().unwrap(),
                ],
            );
            assert_eq!(qemu::check(&path).corruptions, 0, "a guest can write to it");
        }
    }
}

#[test]
fn a_huge_disk_with_a_little_in_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("huge.qcow2");
    let file = create(&path);
    let mut layout = begin(16 << 40, 4 << 30, props([("compress", "zstd")]));
    let start = layout.rules().data_start;
    // Payload that nobody wrote reads as zeroes: 256 pieces of 16 MiB all over the disk.
    let runs: Vec<_> = (0..256_u64)
        .map(|index| Placed {
            offset: index << 36,
            length: 16 << 20,
            file_offset: start + (index << 24),
            stored_length: 0,
        })
        .collect();
    layout.placed(&runs).unwrap();
    finish(&mut layout, &file, start + (4 << 30), 1 << 20);
    let checked = qemu::check(&path);
    assert_eq!((checked.corruptions, checked.leaks), (0, 0));
    let mut image = open_file(&path);
    assert!(all_findings(&mut image, 100).unwrap().is_empty());
    assert!(!aliased(&mut image).unwrap());
}

#[test]
fn encoded_clusters_that_share_a_cluster_of_the_file_are_counted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("tiny.qcow2");
    let case = Case { compress: "zstd", cluster: 65536, size: 64 << 20, allocated: 64 << 20, page: 1 << 20 };
    let bytes: Vec<u8> =
        (0..case.size).map(|at| u8::try_from(at / case.cluster % 255 + 1).unwrap()).collect();
    write_image(&case, &bytes, &path);
    assert_eq!((qemu::check(&path).corruptions, qemu::check(&path).leaks), (0, 0));
    assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20, "1024 encoded clusters in a few clusters");
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let refused = |request: &CreateRequest| code(Qcow2::begin_layout(request));
    let base = |options: Props| request(1 << 30, 0, options);
    assert_eq!(refused(&request(1000, 0, Props::new())), "invalid.request");
    for size in ["0", "512", "2048", "65537", "4194304", "64k", "-1", ""] {
        assert_eq!(refused(&base(props([("cluster-size", size)]))), "invalid.request", "{size}");
    }
    assert_eq!(refused(&base(props([("compress", "lzma")]))), "unsupported.option");
    assert_eq!(refused(&base(props([("clustersize", "65536")]))), "unsupported.option");
    assert_eq!(
        refused(&CreateRequest { subformat: Some("x".to_owned()), ..base(Props::new()) }),
        "unsupported.option"
    );
    assert_eq!(
        refused(&CreateRequest { parent: Some("x".to_owned()), ..base(Props::new()) }),
        "unsupported.option"
    );
    let streamed = CreateRequest { append_only: true, ..base(props([("compress", "zlib")])) };
    assert_eq!(refused(&streamed), "accepted");
    assert_eq!(refused(&CreateRequest { append_only: true, ..base(Props::new()) }), "accepted");
    assert_eq!(refused(&request(16 << 40, 0, props([("cluster-size", "4096")]))), "limit.virtual-size");
    assert_eq!(refused(&request(u64::MAX - 511, 0, Props::new())), "limit.virtual-size");
}

#[test]
fn placements_that_break_the_rules_are_refused() {
    let size = (1 << 30) + 512;
    let start = begin(size, 0, props([("compress", "zlib")])).rules().data_start;
    let good = Placed { offset: 0, length: 65536, file_offset: start, stored_length: 0 };
    let bad = [
        Placed { offset: 512, ..good },
        Placed { length: 0, ..good },
        Placed { length: 512, ..good },
        Placed { offset: (1 << 30) + 65536, ..good },
        Placed { offset: 1 << 30, length: 131_072, ..good },
        Placed { length: u64::MAX, ..good },
        Placed { file_offset: start + 512, ..good },
        Placed { file_offset: 0, ..good },
        Placed { file_offset: 1 << 57, ..good },
        Placed { stored_length: 65535, ..good },
        Placed { stored_length: 100, file_offset: 1 << 55, ..good },
        Placed { stored_length: 100, length: 131_072, ..good },
    ];
    for run in bad {
        let mut layout = begin(size, 0, props([("compress", "zlib")]));
        let error = layout.placed(&[run]).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.class),
            ("invalid.request", ErrorClass::InvalidInput),
            "{run:?}"
        );
    }
    let mut layout = begin(size, 0, Props::new());
    assert_eq!(code(layout.placed(&[Placed { stored_length: 100, ..good }])), "invalid.request");
    assert_eq!(code(layout.placed(&[good, good])), "invalid.request");
    assert_eq!(code(layout.placed(&vec![good; 4097])), "invalid.request");
    let last = Placed { offset: 1 << 30, length: 512, file_offset: start + 65536, stored_length: 0 };
    assert_eq!(code(layout.placed(&[last])), "accepted");
    assert_eq!(code(layout.metadata(start, 0, 100)), "invalid.request");
    assert_eq!(code(layout.metadata(start, 3, 4096)), "invalid.request");
    assert_eq!(code(layout.placed(&[last])), "invalid.request");
}
