//! Chains of differencing disks: the content merged from the maps of the layers, against a model
//! and against libvhdi.
//!
//! qemu-img is no help here: it reads a differencing disk as if it had no parent. libvhdi 20210425
//! resolves parents, and is right as long as changes are whole and aligned pieces of 4 KiB.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

use imprint_plugin_sdk::format::{ExtentKind, Image as _};
use tempfile::TempDir;

use crate::{
    forge::LayerSpec,
    qemu,
    support::{Numbers, aliased, all_findings, faults, open_file, whole_disk, whole_map},
};

const SECTOR: usize = 512;
const MIB: u64 = 1 << 20;

/// A chain of files, and what the disk must look like.
struct Chain {
    dir: TempDir,
    files: Vec<PathBuf>,
    model: Vec<u8>,
}

/// Writes a base and `layers` layers over it, each with random writes of whole multiples of `grain`
/// sectors.
fn chain(seed: u64, layers: u8, block: u32, size: u64, grain: u64) -> Chain {
    let dir = TempDir::new().unwrap();
    let mut numbers = Numbers::new(seed);
    let mut model = vec![0_u8; usize::try_from(size).unwrap()];
    let mut files = Vec::new();
    for layer in 0..=layers {
        let mut sectors: BTreeMap<u64, [u8; SECTOR]> = BTreeMap::new();
        for _ in 0..20 {
            let first = numbers.below(size / 512 / grain) * grain;
            let count = (1 + numbers.below(5)) * grain;
            for sector in first..(first + count).min(size / 512) {
                // Some of what is written is zero, and hides what is below.
                let content = [u8::try_from(numbers.below(4) * (1 + numbers.below(60))).unwrap(); SECTOR];
                sectors.insert(sector, content);
                let at = usize::try_from(sector).unwrap() * SECTOR;
                model[at..at + SECTOR].copy_from_slice(&content);
            }
        }
        let sectors: Vec<_> = sectors.into_iter().collect();
        let name = format!("layer{}.vhd", layer.wrapping_sub(1));
        let parent = (layer > 0).then_some(([layer; 16], name.as_str()));
        let bytes = LayerSpec { size, block, id: [layer + 1; 16], parent, sectors: &sectors }.bytes();
        let path = dir.path().join(format!("layer{layer}.vhd"));
        fs::write(&path, bytes).unwrap();
        files.push(path);
    }
    Chain { dir, files, model }
}

/// The disk as the maps say, from the base up.
fn merged(files: &[PathBuf]) -> Vec<u8> {
    files.iter().fold(Vec::new(), |below, path| {
        let mut image = open_file(path);
        assert!(!aliased(&mut image).unwrap());
        assert_eq!(faults(&all_findings(&mut image, 10).unwrap()), [""; 0]);
        whole_disk(&mut image, &fs::read(path).unwrap(), &below)
    })
}

#[test]
fn merged_chains_are_the_model_sector_by_sector() {
    for (seed, layers, block) in
        [(1, 1, 512 << 10), (2, 2, 2 << 20), (3, 3, 2 << 20), (4, 3, 4 << 20), (5, 1, 16 << 20)]
    {
        let chain = chain(seed, layers, block, 9 * MIB + 1536, 1);
        assert!(merged(&chain.files) == chain.model, "seed {seed}");
    }
}

#[test]
fn layers_name_their_parents() {
    let chain = chain(7, 2, 2 << 20, 4 * MIB, 1);
    let facts = |index: usize| open_file(&chain.files[index]).info().unwrap().facts;
    assert_eq!(facts(2)["parent-id"], facts(1)["id"]);
    assert_eq!(facts(1)["parent-id"], facts(0)["id"]);
    assert_eq!(facts(1)["has-parent"], "true");
    assert!(!facts(0).contains_key("parent-id") && !facts(0).contains_key("has-parent"));
    let sources = open_file(&chain.files[2]).sources().unwrap();
    let references: Vec<_> =
        sources.iter().map(|source| (source.role.as_str(), source.reference.as_str())).collect();
    assert_eq!(
        references,
        [
            ("primary", ""),
            ("parent", ".\\layer1.vhd"),
            ("parent", "layer1.vhd"),
            ("parent", "file://./layer1.vhd")
        ]
    );
    assert_eq!(sources[1].format_hint.as_deref(), Some("vhd"));
    // What the layer does not have is a hole, for the host to fill.
    let kinds: Vec<_> =
        whole_map(&mut open_file(&chain.files[2]), 100).unwrap().iter().map(|extent| extent.kind).collect();
    assert!(kinds.contains(&ExtentKind::Hole) && !kinds.contains(&ExtentKind::Zero));
}

/// A chain that libvhdi shows as a file while this lives.
struct Mounted(PathBuf);

impl Mounted {
    fn new(top: &Path, at: PathBuf) -> Self {
        fs::create_dir(&at).unwrap();
        qemu::run("vhdimount", &[top, &at]);
        Self(at)
    }

    /// The files are numbered from the base up.
    fn disk(&self, layers: u8) -> Vec<u8> {
        fs::read(self.0.join(format!("vhdi{}", layers + 1))).unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        qemu::run_any("umount", &[&self.0]);
    }
}

#[test]
fn libvhdi_reads_the_same() {
    if OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
        eprintln!("there is no /dev/fuse here, and libvhdi has no other way to show a disk");
        return;
    }
    for (seed, layers) in [(11, 1), (12, 2), (13, 3)] {
        let chain = chain(seed, layers, 2 << 20, 12 * MIB, 8);
        let mounted = Mounted::new(chain.files.last().unwrap(), chain.dir.path().join("mounted"));
        let theirs = mounted.disk(layers);
        assert!(theirs == chain.model, "libvhdi, seed {seed}");
        assert!(merged(&chain.files) == theirs, "seed {seed}");
    }
}

#[test]
fn a_base_that_qemu_made_takes_a_layer() {
    let dir = TempDir::new().unwrap();
    let (raw, base) = (dir.path().join("base.raw"), dir.path().join("base.vhd"));
    let mut model: Vec<u8> = (0..8 * MIB).map(|at| u8::try_from(at / 65536 % 251).unwrap()).collect();
    fs::write(&raw, &model).unwrap();
    let [raw, path] = [&raw, &base].map(|path| path.to_str().unwrap());
    qemu::run("qemu-img", &["convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", raw, path]);
    let id: [u8; 16] = fs::read(&base).unwrap()[68..84].try_into().unwrap();
    let sectors: Vec<(u64, [u8; 512])> =
        (0..8).chain([100, 5000]).map(|sector| (4096 + sector, [0xee; 512])).collect();
    for (sector, content) in &sectors {
        let at = usize::try_from(*sector).unwrap() * SECTOR;
        model[at..at + SECTOR].copy_from_slice(content);
    }
    let child = dir.path().join("child.vhd");
    let spec = LayerSpec {
        size: 8 * MIB,
        block: 2 << 20,
        id: [1; 16],
        parent: Some((id, "base.vhd")),
        sectors: &sectors,
    };
    fs::write(&child, spec.bytes()).unwrap();
    assert!(merged(&[base.clone(), child.clone()]) == model);
    assert_eq!(
        open_file(&child).info().unwrap().facts["parent-id"],
        open_file(&base).info().unwrap().facts["id"]
    );
}
