//! An inspector that misbehaves in the way that a disk names: one that begins with `INSIDE:mode`
//! and a line end. Modes that begin with `in-` fail in two file systems, at 4096 and 8192, one
//! after the other.

use std::hint::black_box;

use imprint_plugin_sdk::{
    error::{Error, Result},
    export_inspector,
    host::{Blob, InspectorHost},
    inspector::{FileSystem, Findings, Inspector, Partition, Unread},
};

struct Hostile;

fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

fn allocate_without_end() -> ! {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(vec![1; 1 << 20]);
        black_box(&kept);
    }
}

/// Fails as the mode says.
fn fail(mode: &str) {
    match mode {
        "loop" => spin(),
        "allocate" => allocate_without_end(),
        "trap" => panic!("this inspector panics on purpose"),
        _ => {}
    }
}

fn file_system(offset: u64) -> FileSystem {
    FileSystem { offset, kind: "ext4".to_owned(), ..FileSystem::default() }
}

impl Inspector for Hostile {
    fn inspect(host: &dyn InspectorHost, disk: Box<dyn Blob>, skip: &[u64]) -> Result<Findings> {
        let head = String::from_utf8_lossy(&disk.read_at(0, 64)?).into_owned();
        let mode = head.lines().next().and_then(|line| line.strip_prefix("INSIDE:")).unwrap_or_default();
        fail(mode);
        let mut found = Findings::default();
        if let Some(failure) = mode.strip_prefix("in-") {
            for offset in [4096, 8192] {
                found.file_systems.push(file_system(offset));
                if !skip.contains(&offset) {
                    host.progress(offset, None, "ext4");
                    fail(failure);
                }
            }
        }
        match mode {
            "error" => return Err(Error::corrupt("hostile.corrupt", "the disk is refused on purpose")),
            // As if nothing was left out.
            "again" => {
                host.progress(4096, None, "ext4");
                panic!("this inspector panics on purpose");
            }
            "read-forever" => loop {
                disk.read_at(0, 1 << 20)?;
            },
            "outside" => found.file_systems.push(file_system(u64::MAX)),
            "many" => found.file_systems = (0..300).map(file_system).collect(),
            "long" => found.boot_loaders.push("grub".to_owned()),
            _ => {}
        }
        if mode == "long" {
            let kind = "x".repeat(300);
            found.partitions.push(Partition {
                number: 1,
                start: 0,
                length: 1,
                kind,
                name: None,
                bootable: false,
            });
        }
        if mode == "text" {
            found.system.name = Some("Linux\u{1b}[31m\u{202e}\n".to_owned());
            let reason = "not\0printable".to_owned();
            found.boot_loaders = vec!["grub".to_owned(), "grub".to_owned(), "of-its-own".to_owned()];
            found.unread = vec![Unread { offset: 0, what: "x".to_owned(), code: "a.b".to_owned(), reason }];
            found.used_until = Some(u64::MAX);
        }
        Ok(found)
    }
}

export_inspector!(Hostile);
