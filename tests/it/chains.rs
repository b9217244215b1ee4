//! `imprint disk` and images that are made of several files; VHD from both ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    tools::{self, arg},
};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

fn disk(args: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(binary()?);
    command.arg("disk").args(args).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    let output = command.output()?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn done(args: &[&str]) -> Result<()> {
    let (status, text) = disk(args)?;
    ensure!(status == Some(0), "imprint disk {}: {text}", args.join(" "));
    Ok(())
}

fn fails(args: &[&str], code: &str) -> Result<String> {
    let (status, text) = disk(args)?;
    ensure!(
        status == Some(3) && text.starts_with(&format!("error[{code}]: ")),
        "imprint disk {}: {status:?}, not 3 with {code}: {text}",
        args.join(" ")
    );
    Ok(text)
}

/// The disk of a chain, as bytes.
fn flat(dir: &Path, top: &Path, granted: &[&str]) -> Result<Vec<u8>> {
    let raw = dir.join("flat.raw");
    let mut args = vec!["convert", arg(top), arg(&raw), "--force"];
    granted.iter().for_each(|file| args.extend(["--with", file]));
    done(&args)?;
    Ok(fs::read(&raw)?)
}

/// Bytes that tell where they are.
fn pattern(length: usize) -> Vec<u8> {
    (0_u64..).flat_map(|sector| (sector * 0x9e37_79b9 + 1).to_le_bytes().repeat(64)).take(length).collect()
}

/// A VHD layer over `parent` with the given sectors, in blocks of 2 MiB: footer, header, table,
/// blocks, footer.
fn differencing(parent: &Path, id: [u8; 16], sectors: &[(usize, u8)]) -> Result<Vec<u8>> {
    const BLOCK: usize = 2 * MIB;
    let below = fs::read(parent)?;
    let mut footer = below[below.len() - 512..].to_vec();
    let entries = usize::try_from(u64::from_be_bytes(footer[48..56].try_into()?))?.div_ceil(BLOCK);
    let seal = |bytes: &mut [u8], at: usize| {
        bytes[at..at + 4].fill(0);
        let sum = !bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    };
    let mut header = [b"cxsparse".to_vec(), vec![0xff; 8], 1536_u64.to_be_bytes().to_vec()].concat();
    header.extend(0x0001_0000_u32.to_be_bytes());
    header.extend(u32::try_from(entries)?.to_be_bytes());
    header.extend(u32::try_from(BLOCK)?.to_be_bytes());
    header.resize(1024, 0);
    header[40..56].copy_from_slice(&footer[68..84]);
    let name = format!("C:\\disks\\{}", parent.file_name().context("a name")?.to_string_lossy());
    for (at, unit) in (64..).step_by(2).zip(name.encode_utf16()) {
        header[at..at + 2].copy_from_slice(&unit.to_be_bytes());
    }
    seal(&mut header, 36);
    footer[16..24].copy_from_slice(&512_u64.to_be_bytes());
    footer[60..64].copy_from_slice(&4_u32.to_be_bytes());
    footer[68..84].copy_from_slice(&id);
    seal(&mut footer, 64);
    let mut table = vec![0xff; (entries * 4).next_multiple_of(512)];
    let mut blocks: Vec<u8> = Vec::new();
    for (sector, byte) in sectors {
        let (number, within) = (sector * 512 / BLOCK, sector % (BLOCK / 512));
        if table[number * 4..number * 4 + 4] == [0xff; 4] {
            let at = u32::try_from((1536 + table.len() + blocks.len()) / 512)?;
            table[number * 4..number * 4 + 4].copy_from_slice(&at.to_be_bytes());
            blocks.resize(blocks.len() + 512 + BLOCK, 0);
        }
        let start = blocks.len() - 512 - BLOCK;
        blocks[start + within / 8] |= 0x80 >> (within % 8);
        blocks[start + 512 + within * 512..][..512].fill(*byte);
    }
    Ok([footer.clone(), header, table, blocks, footer].concat())
}

/// A base that QEMU made, and two layers over it. Answers the files and the disk.
fn vhd_chain(dir: &Path) -> Result<([PathBuf; 3], Vec<u8>)> {
    let [base, middle, top] = ["base", "middle", "top"].map(|name| dir.join(format!("{name}.vhd")));
    let raw = dir.join("base.raw");
    let mut model = pattern(8 * MIB);
    fs::write(&raw, &model)?;
    tools::ok(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", arg(&raw), arg(&base)],
    )?;
    let below = [(0, 1), (7, 2), (4096, 3), (4097, 4), (12_000, 5)];
    let above = [(7, 6), (4097, 0), (8192, 8), (16_383, 9)];
    fs::write(&middle, differencing(&base, [1; 16], &below)?)?;
    fs::write(&top, differencing(&middle, [2; 16], &above)?)?;
    for (sector, byte) in below.iter().chain(&above) {
        model[sector * 512..][..512].fill(*byte);
    }
    Ok(([base, middle, top], model))
}

#[test]
fn a_vhd_chain_is_one_disk_when_its_files_are_granted() -> Result<()> {
    let dir = TempDir::new()?;
    let ([base, middle, top], model) = vhd_chain(dir.path())?;
    let granted = [arg(&base), arg(&middle)];
    ensure!(flat(dir.path(), &top, &granted)? == model, "the merged disk is the model");
    // Into another format, and back out of it by QEMU.
    let merged = dir.path().join("merged.qcow2");
    done(&["convert", arg(&top), arg(&merged), "--with", granted[0], "--with", granted[1]])?;
    let raw = tools::to_raw(&merged, "qcow2", dir.path())?;
    ensure!(fs::read(raw)? == model, "the merged qcow2 is the model");

    // Nobody opens what was not granted, although it lies beside the image.
    let target = dir.path().join("no.raw");
    let said = fails(&["convert", arg(&top), arg(&target)], "denied.external-reference")?;
    ensure!(said.contains("middle.vhd"), "{said}");
    fails(&["convert", arg(&top), arg(&target), "--with", arg(&middle)], "denied.external-reference")?;
    // Another file of the same name is not the parent.
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere)?;
    let other = elsewhere.join("middle.vhd");
    fs::write(&other, differencing(&base, [7; 16], &[(0, 1)])?)?;
    let wrong = ["convert", arg(&top), arg(&target), "--with", arg(&other), "--with", arg(&base)];
    let said = fails(&wrong, "chain.parent-mismatch")?;
    ensure!(said.contains("middle.vhd") && said.contains("layer 1"), "{said}");
    // What is granted has to be what its name says.
    let lie = elsewhere.join("base.qcow2");
    fs::copy(&base, &lie)?;
    fails(&["convert", arg(&top), arg(&target), "--with", arg(&lie)], "denied.ambiguous-content")?;
    ensure!(!target.exists(), "nothing is left of what was refused");
    Ok(())
}

#[test]
fn a_vhd_that_is_its_own_parent_is_refused() -> Result<()> {
    let dir = TempDir::new()?;
    let ([base, ..], _) = vhd_chain(dir.path())?;
    // Both layers call the other one their parent.
    let mut layer = differencing(&base, [3; 16], &[(0, 1)])?;
    let parent: Vec<u8> = "self.vhd\0".encode_utf16().flat_map(u16::to_be_bytes).collect();
    layer[512 + 64..][..parent.len()].copy_from_slice(&parent);
    layer[512 + 40..512 + 56].fill(3);
    layer[512 + 36..512 + 40].fill(0);
    let sum = !layer[512..1536].iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    layer[512 + 36..512 + 40].copy_from_slice(&sum.to_be_bytes());
    let image = dir.path().join("self.vhd");
    fs::write(&image, layer)?;
    let target = dir.path().join("no.raw");
    let said = fails(&["convert", arg(&image), arg(&target), "--with", arg(&image)], "denied.chain")?;
    ensure!(said.contains("cycle"), "{said}");
    Ok(())
}

#[test]
fn qcow2_chains_are_what_qemu_makes_of_them() -> Result<()> {
    let dir = TempDir::new()?;
    let path = |number: usize| dir.path().join(format!("layer{number}.qcow2"));
    // Layers that are larger and smaller than what they are made on.
    for sizes in [&[8, 8][..], &[8, 12, 6], &[6, 5, 12, 9]] {
        let mut granted: Vec<String> = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let layer = path(number);
            let length = format!("{size}M");
            let mut create = vec!["create", "-q", "-f", "qcow2"];
            let below = number.checked_sub(1).map(path);
            if let Some(below) = &below {
                create.extend(["-b", arg(below), "-F", "qcow2"]);
            }
            create.extend([arg(&layer), &length]);
            tools::ok("qemu-img", &create)?;
            let mut write = vec!["-f".to_owned(), "qcow2".to_owned()];
            for round in 0..12 {
                let at = (number * 7 + round * 13) * 40_960 % (size * MIB - 70_000) / 512 * 512;
                let command = match round % 4 {
                    3 => format!("write -q -z {at} 65536"),
                    _ => format!("write -q -P {} {at} 5120", number * 20 + round + 1),
                };
                write.extend(["-c".to_owned(), command]);
            }
            write.push(arg(&layer).to_owned());
            let write: Vec<&str> = write.iter().map(String::as_str).collect();
            tools::ok("qemu-io", &write)?;
            granted.push(arg(&layer).to_owned());
        }
        let top = granted.pop().context("a top layer")?;
        let files: Vec<&str> = granted.iter().map(String::as_str).collect();
        let ours = flat(dir.path(), Path::new(&top), &files)?;
        let theirs = fs::read(tools::to_raw(Path::new(&top), "qcow2", dir.path())?)?;
        ensure!(ours == theirs, "{sizes:?}");
        fails(&["digest", &top], "denied.external-reference")?;
    }
    Ok(())
}

#[test]
fn a_raw_parent_is_granted_as_what_it_is() -> Result<()> {
    let dir = TempDir::new()?;
    let (base, top) = (dir.path().join("base.bin"), dir.path().join("top.qcow2"));
    let mut model = pattern(2 * MIB);
    fs::write(&base, &model)?;
    tools::ok("qemu-img", &["create", "-q", "-f", "qcow2", "-b", arg(&base), "-F", "raw", arg(&top)])?;
    tools::ok("qemu-io", &["-f", "qcow2", "-c", "write -q -P 7 512 1024", arg(&top)])?;
    model[512..1536].fill(7);
    let granted = format!("raw:{}", arg(&base));
    ensure!(flat(dir.path(), &top, &[&granted])? == model, "the raw base is below");
    let (status, said) = disk(&["digest", arg(&top), "--with", arg(&base)])?;
    ensure!(status == Some(2) && said.contains("raw:"), "{said}");
    Ok(())
}

#[test]
fn vhd_files_are_written_and_read() -> Result<()> {
    let dir = TempDir::new()?;
    let raw = dir.path().join("disk.raw");
    let mut bytes = pattern(9 * MIB + 512);
    bytes[2 * MIB..6 * MIB].fill(0);
    bytes[7 * MIB..7 * MIB + 70_000].fill(0);
    fs::write(&raw, &bytes)?;
    let cases: [(&[&str], u64); 7] = [
        (&[], 0),
        (&["--subformat", "dynamic", "--set", "block-size=512KiB"], 0),
        (&["--subformat", "dynamic", "--set", "force-size=false"], 1 << 20),
        (&["--subformat", "dynamic", "--set", "align=1MiB"], 1 << 20),
        (&["--subformat", "fixed"], 0),
        (&["--subformat", "fixed", "--set", "force-size=false"], 1 << 20),
        (&["--subformat", "fixed", "--set", "align=1MiB"], 1 << 20),
    ];
    for (options, more) in cases {
        let (vhd, again) = (dir.path().join("disk.vhd"), dir.path().join("again.vhd"));
        for target in [&vhd, &again] {
            done(&[&["convert", arg(&raw), arg(target), "--force"], options].concat())?;
        }
        ensure!(fs::read(&vhd)? == fs::read(&again)?, "{options:?}: the same bytes twice");
        tools::ok("qemu-img", &["compare", "-f", "raw", "-F", "vpc", arg(&raw), arg(&vhd)])?;
        done(&["check", arg(&vhd)])?;
        let back = flat(dir.path(), &vhd, &[])?;
        ensure!(back[..bytes.len()] == bytes, "{options:?}");
        ensure!(u64::try_from(back.len() - bytes.len())? <= more, "{options:?}: {}", back.len());
        ensure!(back[bytes.len()..].iter().all(|byte| *byte == 0), "{options:?}");
    }
    Ok(())
}
