//! `imprint disk` on appliances: the disk inside is converted in place.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Result, ensure};
use imprint_tests::{
    binary,
    tools::{self, arg},
};
use tempfile::TempDir;

fn disk(args: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    Ok(command.arg("disk").args(args).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).output()?)
}

#[track_caller]
fn ends(output: &Output, status: i32, text: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(status) && said.contains(text), "{}: {said}", output.status);
}

/// A description of these disks.
fn ovf(disks: &[&str]) -> String {
    let list = |line: fn(&str) -> String| disks.iter().map(|name| line(name)).collect::<String>();
    format!(
        "<?xml version=\"1.0\"?><Envelope xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"><References>{}</References><DiskSection>{}</DiskSection></Envelope>",
        list(|name| format!("<File ovf:id=\"f-{name}\" ovf:href=\"{name}\"/>")),
        list(|name| format!("<Disk ovf:diskId=\"d-{name}\" ovf:fileRef=\"f-{name}\"/>")),
    )
}

fn raw(path: &Path, seed: u8) -> Result<()> {
    let mut bytes = vec![0; 6 << 20];
    for (number, piece) in bytes.chunks_mut(65536).enumerate().filter(|(number, _)| number % 3 == 0) {
        piece.fill(seed.wrapping_add(u8::try_from(number % 200)?));
    }
    Ok(fs::write(path, bytes)?)
}

/// An appliance whose disks are the raw ones in another format, by the tar program and qemu-img.
fn appliance(dir: &Path, disks: &[(&str, &str)]) -> Result<()> {
    let names: Vec<_> = disks.iter().map(|(name, _)| *name).collect();
    fs::write(dir.join("a.ovf"), ovf(&names))?;
    for (number, (name, format)) in (1..).zip(disks) {
        let from = dir.join(format!("{name}.raw"));
        raw(&from, number)?;
        let options = if *format == "vmdk" { "subformat=streamOptimized" } else { "cluster_size=64k" };
        let to = dir.join(name);
        tools::ok("qemu-img", &["convert", "-f", "raw", "-O", format, "-o", options, arg(&from), arg(&to)])?;
    }
    let archive = dir.join("a.ova");
    let mut args = vec!["--format=ustar", "-C", arg(dir), "-cf", arg(&archive), "a.ovf"];
    args.extend(&names);
    tools::ok("tar", &args)?;
    Ok(())
}

#[test]
fn the_disk_of_an_appliance_is_converted() -> Result<()> {
    let dir = TempDir::new()?;
    appliance(dir.path(), &[("disk1.vmdk", "vmdk")])?;
    let (from, to) = (dir.path().join("a.ova"), dir.path().join("out.qcow2"));
    ends(&disk(&["convert", arg(&from), arg(&to)])?, 0, "");
    let original = dir.path().join("disk1.vmdk.raw");
    tools::ok("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", arg(&original), arg(&to)])?;
    ends(&disk(&["compare", arg(&from), arg(&original)])?, 0, "");
    Ok(())
}

#[test]
fn one_of_several_disks_is_named() -> Result<()> {
    let dir = TempDir::new()?;
    appliance(dir.path(), &[("system.vmdk", "vmdk"), ("data.qcow2", "qcow2")])?;
    let (from, to) = (dir.path().join("a.ova"), dir.path().join("out.raw"));
    let output = disk(&["convert", arg(&from), arg(&to)])?;
    ends(&output, 3, "system.vmdk, data.qcow2");
    ensure!(!to.exists(), "nothing is left of what was refused");
    for (name, file) in [("data.qcow2", "data.qcow2"), ("d-system.vmdk", "system.vmdk")] {
        ends(&disk(&["convert", "--force", "--disk", name, arg(&from), arg(&to)])?, 0, "");
        let original = dir.path().join(format!("{file}.raw"));
        ensure!(fs::read(&to)? == fs::read(original)?, "{name}");
    }
    Ok(())
}

#[test]
fn what_the_description_calls_a_vmdk_has_to_be_one() -> Result<()> {
    let dir = TempDir::new()?;
    appliance(dir.path(), &[("disk1.vmdk", "qcow2")])?;
    let (from, to) = (dir.path().join("a.ova"), dir.path().join("out.raw"));
    let output = disk(&["convert", arg(&from), arg(&to)])?;
    ends(&output, 3, "denied.ambiguous-content");
    Ok(())
}
