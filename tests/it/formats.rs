//! Every format against every other, and against qemu-img: what is written is what was read,
//! whatever is in between.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use imprint_tests::tools::{self, arg};

use crate::disk::{command, digest, done, noise, sparse, text};

/// A format with the options that choose how it is written.
struct Kind {
    name: &'static str,
    options: &'static [&'static str],
    /// What qemu-img calls it, and whether it can check it.
    qemu: (&'static str, bool),
}

const fn kind(name: &'static str, options: &'static [&'static str], qemu: (&'static str, bool)) -> Kind {
    Kind { name, options, qemu }
}

const KINDS: &[Kind] = &[
    kind("raw", &[], ("raw", false)),
    kind("qcow2", &[], ("qcow2", true)),
    kind("qcow2", &["--compress", "zlib"], ("qcow2", true)),
    kind("qcow2", &["--compress", "zstd"], ("qcow2", true)),
    kind("qcow2", &["--set", "cluster-size=4096"], ("qcow2", true)),
    kind("qcow2", &["--set", "cluster-size=2097152", "--compress", "zstd"], ("qcow2", true)),
    kind("vhd", &["--subformat", "dynamic"], ("vpc", false)),
    kind("vhd", &["--subformat", "fixed"], ("vpc", false)),
    kind("vhdx", &[], ("vhdx", true)),
    kind("vmdk", &["--subformat", "streamOptimized"], ("vmdk", false)),
    kind("vmdk", &["--subformat", "monolithicSparse"], ("vmdk", true)),
    kind("vdi", &[], ("vdi", true)),
];

impl Kind {
    fn file(&self, dir: &Path, number: usize) -> PathBuf {
        dir.join(format!("{number}.{}", self.name))
    }

    fn convert(&self, source: &[&str], target: &Path) -> Result<serde_json::Value> {
        let mut args = vec!["convert", "--force", "--to", self.name];
        args.extend(self.options);
        args.extend(source);
        args.push(arg(target));
        done(&args).with_context(|| format!("{} {:?}", self.name, self.options))
    }

    /// qemu-img reads the same disk, and finds nothing wrong with the file.
    fn agrees(&self, image: &Path, raw: &Path) -> Result<()> {
        let (name, checks) = self.qemu;
        tools::ok("qemu-img", &["compare", "-q", "-f", "raw", "-F", name, arg(raw), arg(image)])
            .with_context(|| format!("{} {:?}", self.name, self.options))?;
        if checks {
            tools::ok("qemu-img", &["check", "-q", "-f", name, arg(image)])?;
        }
        let checked = done(&["check", "--format", self.name, arg(image)])?;
        assert_eq!(
            (&checked["errors"], &checked["leaks"]),
            (&0.into(), &0.into()),
            "{} {:?}",
            self.name,
            self.options
        );
        Ok(())
    }
}

/// Disks with data of all sorts at places that no format likes.
fn disks(dir: &Path) -> Result<Vec<PathBuf>> {
    const MIB: u64 = 1 << 20;
    let path = |name: &str| dir.join(format!("{name}.raw"));
    let (words, bytes) = (text(700_000), noise(300_000, 9));
    sparse(
        &path("mixed"),
        37 * MIB,
        &[
            (512, &words),
            (5 * MIB - 1024, &bytes),
            (14 * MIB + 3 * 512, &words[..512]),
            (37 * MIB - 4096, &bytes[..4096]),
        ],
    )?;
    sparse(&path("empty"), 3 * MIB, &[])?;
    // Written zeroes: data to the file system, holes to us.
    let zeroes = vec![0; 1 << 20];
    sparse(&path("zeroes"), 8 * MIB, &[(MIB, &zeroes), (2 * MIB + 512, &bytes[..1000]), (6 * MIB, &zeroes)])?;
    Ok(["mixed", "empty", "zeroes"].map(path).to_vec())
}

#[test]
fn every_format_becomes_every_other_and_stays_the_same_disk() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for raw in disks(dir.path())? {
        let wanted = digest(&raw)?;
        for (number, kind) in KINDS.iter().enumerate() {
            let image = kind.file(dir.path(), number);
            let first = kind.convert(&["--from", "raw", arg(&raw)], &image)?;
            assert_eq!(first["logical_digest"], wanted.as_str());
            kind.agrees(&image, &raw)?;
            let again = dir.path().join("again");
            kind.convert(&["--from", "raw", "--threads", "1", arg(&raw)], &again)?;
            ensure!(
                fs::read(&image)? == fs::read(&again)?,
                "{} {:?}: two files of one disk",
                kind.name,
                kind.options
            );
            for other in KINDS {
                let target = dir.path().join("target");
                let there = other.convert(&["--from", kind.name, arg(&image)], &target)?;
                let about = format!("{} {:?} -> {} {:?}", kind.name, kind.options, other.name, other.options);
                assert_eq!(there["logical_digest"], wanted.as_str(), "{about}");
                let back = done(&["digest", "--format", other.name, arg(&target)])?;
                assert_eq!(back["logical_digest"], wanted.as_str(), "{about}");
            }
        }
    }
    Ok(())
}

/// What a target that takes bytes in turn gets is an image of the same disk, and can be read from a
/// pipe again.
#[test]
fn every_format_goes_through_a_pipe() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for raw in disks(dir.path())? {
        let wanted = digest(&raw)?;
        for (number, kind) in KINDS.iter().enumerate() {
            let image = kind.file(dir.path(), number);
            let about = format!("{} {:?} of {}", kind.name, kind.options, raw.display());
            let mut writing = command(&["convert", "--to", kind.name])?;
            let wrote = writing
                .args(kind.options)
                .args(["--output", "json", "--from", "raw", arg(&raw), "-"])
                .stdout(pipe_to(&image)?)
                .output()?;
            ensure!(wrote.status.success(), "{about}: {}", String::from_utf8_lossy(&wrote.stderr));
            let report: serde_json::Value = serde_json::from_slice(&wrote.stderr).context(about.clone())?;
            assert_eq!(report["logical_digest"], wanted.as_str(), "{about}");
            wait_for(&image, report["stored_size"].as_u64().context("a size")?)?;
            kind.agrees(&image, &raw).context(about.clone())?;
            let reading = command(&["digest", "--format", kind.name, "-", "--output", "json"])?
                .stdin(pipe_from(&image)?)
                .output()?;
            ensure!(reading.status.success(), "{about}: {}", String::from_utf8_lossy(&reading.stderr));
            let answer: serde_json::Value = serde_json::from_slice(&reading.stdout)?;
            assert_eq!(answer["logical_digest"], wanted.as_str(), "{about}");
        }
    }
    Ok(())
}

/// A real pipe whose other end a `cat` writes to the file.
fn pipe_to(file: &Path) -> Result<Stdio> {
    let mut cat = std::process::Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(File::create(file)?)
        .spawn()
        .context("cat cannot be started")?;
    let pipe = cat.stdin.take().context("cat has an input")?;
    std::thread::spawn(move || cat.wait());
    Ok(Stdio::from(pipe))
}

fn pipe_from(file: &Path) -> Result<Stdio> {
    let mut cat = std::process::Command::new("cat")
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()
        .context("cat cannot be started")?;
    let pipe = cat.stdout.take().context("cat has an output")?;
    std::thread::spawn(move || cat.wait());
    Ok(Stdio::from(pipe))
}

/// Until `cat` has written what it was given.
fn wait_for(file: &Path, size: u64) -> Result<()> {
    let start = std::time::Instant::now();
    while fs::metadata(file)?.len() < size {
        ensure!(start.elapsed().as_secs() < 60, "{} has not {size} bytes", file.display());
        std::thread::yield_now();
    }
    assert_eq!(fs::metadata(file)?.len(), size);
    Ok(())
}
