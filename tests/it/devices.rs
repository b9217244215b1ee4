//! Block devices as sources and targets: loop devices over files, which the kernel makes for the
//! test.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use imprint_tests::tools::{self, arg};

use crate::disk::{digest, done, fails, noise, sparse, text};

const MIB: u64 = 1 << 20;

/// A file as a block device, until it is dropped. Needs root and the kernel's loop driver: without
/// them the test fails, it does not pass.
struct Loop {
    device: PathBuf,
    file: PathBuf,
}

impl Loop {
    fn over(file: &Path, more: &[&str]) -> Result<Self> {
        let mut args = vec!["--find", "--show", "--nooverlap"];
        args.extend(more);
        args.push(arg(file));
        let said = tools::ok("losetup", &args).context("block devices are tested with loop devices")?;
        Ok(Self { device: said.trim().into(), file: file.to_owned() })
    }

    /// A device full of something else.
    fn used(file: &Path, size: u64) -> Result<Self> {
        fs::write(file, vec![0xEE; usize::try_from(size)?])?;
        Self::over(file, &[])
    }

    fn path(&self) -> &str {
        arg(&self.device)
    }

    /// What the device holds.
    fn bytes(&self) -> Result<Vec<u8>> {
        Ok(fs::read(&self.device)?)
    }

    /// Bytes of the file below that are not holes.
    fn allocated(&self) -> Result<u64> {
        Ok(fs::metadata(&self.file)?.blocks() * 512)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Err(error) = tools::ok("losetup", &["--detach", self.path()]) {
            eprintln!("a loop device is left behind: {error:#}");
        }
    }
}

#[test]
fn a_device_is_read_as_what_it_holds() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    sparse(&path("disk.raw"), 24 * MIB, &[(5 * MIB + 512, &noise(700_000, 1)), (20 * MIB, &text(90_000))])?;
    let raw = Loop::over(&path("disk.raw"), &[])?;
    let (plain, packed) = (path("disk.qcow2"), path("packed.qcow2"));
    let answer = done(&["convert", raw.path(), arg(&plain), "--from", "raw"])?;
    assert_eq!(answer["virtual_size"], 24 * MIB);
    assert_eq!(digest(&plain)?, digest(&path("disk.raw"))?);
    tools::ok("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", raw.path(), arg(&plain)])?;
    ensure!(fs::metadata(&plain)?.len() < 2 * MIB, "zeroes are found by reading them");

    // A container on a device that is larger than it, decoded by another process.
    done(&["convert", arg(&plain), arg(&packed), "--compress", "zlib"])?;
    fs::File::options().write(true).open(&packed)?.set_len(8 * MIB)?;
    let container = Loop::over(&packed, &["--read-only"])?;
    let answer = done(&["digest", container.path(), "--format", "qcow2"])?;
    assert_eq!(answer["logical_digest"], digest(&plain)?.as_str());
    let report = done(&["inspect", container.path(), "--format", "qcow2"])?;
    assert_eq!(report["virtual_size"], 24 * MIB, "{report}");
    fails(&["digest", container.path(), "--format", "raw"], 3, "denied.ambiguous-content")?;
    fails(&["digest", raw.path()], 2, "invalid.format")?;
    Ok(())
}

#[test]
fn a_device_holds_the_image_and_zeroes_and_the_rest_stays() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    // Its end lies inside of a page.
    let size = 24 * MIB + 512;
    let pieces: [(u64, &[u8]); 3] =
        [(512, &noise(9000, 2)), (5 * MIB + 4096, &noise(3_000_000, 3)), (24 * MIB - 100, &text(612))];
    sparse(&path("disk.raw"), size, &pieces)?;
    done(&["convert", arg(&path("disk.raw")), arg(&path("packed.qcow2")), "--compress", "zstd"])?;
    let disk = fs::read(path("disk.raw"))?;
    let ways: [(&str, &[&str]); 3] =
        [("disk.raw", &["--verify"]), ("packed.qcow2", &["--verify"]), ("disk.raw", &["--digest", "none"])];
    for (name, more) in ways {
        let (source, device) = (path(name), Loop::used(&path("device"), 32 * MIB)?);
        let args = [&["convert", arg(&source), device.path(), "--to", "raw", "--force"], more].concat();
        let answer = done(&args)?;
        assert_eq!(answer["target"]["device_size"], 32 * MIB, "{answer}");
        assert_eq!(answer["target"]["untouched"], 32 * MIB - size, "{answer}");
        let bytes = device.bytes()?;
        let (image, rest) = bytes.split_at(disk.len());
        ensure!(image == disk, "{name} {more:?}: the image is not what is on the device");
        ensure!(
            rest.iter().all(|byte| *byte == 0xEE),
            "{name} {more:?}: something behind the image was changed"
        );
        // The device can discard: what is zero was given back to the file system below.
        let allocated = device.allocated()?;
        ensure!(allocated < 14 * MIB, "{name} {more:?}: {allocated} bytes are allocated");
    }
    Ok(())
}

#[test]
fn a_device_may_hold_a_container() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    sparse(&path("disk.raw"), 24 * MIB, &[(5 * MIB, &noise(700_000, 4)), (20 * MIB, &text(90_000))])?;
    let device = Loop::used(&path("device"), 8 * MIB)?;
    for compress in ["none", "zlib"] {
        let raw = arg(&path("disk.raw")).to_owned();
        done(&["convert", &raw, device.path(), "--to", "qcow2", "--force", "--compress", compress])?;
        tools::ok("qemu-img", &["check", "-f", "qcow2", device.path()])?;
        tools::ok("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", device.path(), &raw])?;
    }
    Ok(())
}

#[test]
fn a_device_is_not_written_by_mistake() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    sparse(&path("disk.raw"), 24 * MIB, &[(0, &noise(6_000_000, 5)), (20 * MIB, &text(90_000))])?;
    let raw = arg(&path("disk.raw")).to_owned();
    let device = Loop::used(&path("device"), 4 * MIB)?;
    let untouched = |why: &str| -> Result<()> {
        ensure!(device.bytes()?.iter().all(|byte| *byte == 0xEE), "{why}: the device was written");
        Ok(())
    };
    let said = fails(&["convert", &raw, device.path(), "--to", "raw"], 2, "invalid.target")?;
    ensure!(said.contains("--force"), "{said}");
    untouched("without --force")?;
    // Both sizes, before anything is written.
    let said = fails(&["convert", &raw, device.path(), "--to", "raw", "--force"], 1, "io.target-too-small")?;
    ensure!(said.contains(&(4 * MIB).to_string()) && said.contains(&(24 * MIB).to_string()), "{said}");
    untouched("too small")?;
    // Through another process, and with a size that nobody knows before.
    let packed = arg(&path("packed.qcow2")).to_owned();
    done(&["convert", &raw, &packed, "--compress", "zlib"])?;
    fails(&["convert", &packed, device.path(), "--to", "raw", "--force"], 1, "io.target-too-small")?;
    untouched("too small, decoded")?;
    let said =
        fails(&["convert", &packed, device.path(), "--to", "qcow2", "--force"], 1, "io.target-too-small")?;
    ensure!(said.contains(&(4 * MIB).to_string()), "{said}");
    // The source itself, by another name.
    let link = path("link");
    std::os::unix::fs::symlink(&device.device, &link)?;
    let args = ["convert", device.path(), arg(&link), "--from", "raw", "--to", "raw", "--force"];
    let said = fails(&args, 2, "invalid.target")?;
    ensure!(said.contains("is the source"), "{said}");
    // A device that something else is in.
    let mounted = Loop::used(&path("mounted"), 32 * MIB)?;
    tools::ok("mkfs.ext4", &["-q", "-F", mounted.path()])?;
    let point = path("point");
    fs::create_dir(&point)?;
    tools::ok("mount", &[mounted.path(), arg(&point)])?;
    let refused = fails(&["convert", &raw, mounted.path(), "--to", "raw", "--force"], 1, "io.in-use");
    tools::ok("umount", &[arg(&point)])?;
    refused?;
    // A file that is none.
    let null = fs::metadata("/dev/null")?;
    fails(&["convert", &raw, "/dev/null", "--to", "raw", "--force"], 2, "invalid.target")?;
    assert_eq!(fs::metadata("/dev/null")?.ino(), null.ino());
    Ok(())
}

/// A file system that cannot punch holes, so that devices over it can neither discard nor zero.
struct Ramfs(PathBuf);

impl Ramfs {
    fn mount(dir: &Path) -> Result<Self> {
        fs::create_dir(dir)?;
        tools::ok("mount", &["-t", "ramfs", "ramfs", arg(dir)])?;
        Ok(Self(dir.to_owned()))
    }
}

impl Drop for Ramfs {
    fn drop(&mut self) {
        if let Err(error) = tools::ok("umount", &[arg(&self.0)]) {
            eprintln!("a file system is left behind: {error:#}");
        }
    }
}

#[test]
fn a_device_that_cannot_discard_is_filled_with_zeroes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let raw = dir.path().join("disk.raw");
    sparse(&raw, 16 * MIB, &[(3 * MIB + 512, &noise(100_000, 6)), (9 * MIB, &text(5_000_000))])?;
    let memory = Ramfs::mount(&dir.path().join("memory"))?;
    let file = memory.0.join("device");
    fs::write(&file, vec![0xEE; usize::try_from(16 * MIB)?])?;
    let device = Loop::over(&file, &["--sector-size", "4096"])?;
    done(&["convert", arg(&raw), device.path(), "--to", "raw", "--force", "--verify"])?;
    ensure!(device.bytes()? == fs::read(&raw)?, "the device holds something else");
    Ok(())
}
