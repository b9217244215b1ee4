//! Verifies a captured disk by the write ledger of its guest.

use std::{fs::File, path::Path};

use anyhow::{Context, Result, bail};
use imprint_ledger::Verification;

use crate::tools;

/// The offset of the root file system in the stock image, in bytes (see `xtask/src/guest.rs`).
const ROOT_OFFSET: u64 = 43_008 * 512;

/// The state of a captured disk.
#[derive(Debug)]
pub struct Captured {
    /// The comparison of the ledger's records with the slots.
    pub verification: Verification,
    /// Whether the file system's journal had to be replayed.
    pub needs_recovery: bool,
}

/// Extracts the root file system from a disk image, checks and repairs it with e2fsck, and compares
/// ledger and blob.
pub fn inspect(image: &Path, format: &str) -> Result<Captured> {
    let dir = tempfile::tempdir()?;
    let raw = tools::to_raw(image, format, dir.path())?;
    let root = dir.path().join("root.ext4");
    let skip = format!("skip={}", ROOT_OFFSET / 512);
    let of = |path: &Path| format!("of={}", path.display());
    tools::ok(
        "dd",
        &[&format!("if={}", raw.display()), &of(&root), "bs=512", &skip, "conv=sparse", "status=none"],
    )?;
    let superblock = tools::ok("dumpe2fs", &["-h", tools::arg(&root)])?;
    let needs_recovery =
        superblock.lines().any(|line| line.contains("features:") && line.contains("needs_recovery"));
    // 0: clean, 1: repaired. Anything else is damage that a journal replay does not explain.
    let check = tools::run("e2fsck", &["-fy", tools::arg(&root)])?;
    if check.status.code().is_none_or(|code| code > 1) {
        bail!("e2fsck: {}", String::from_utf8_lossy(&check.stdout));
    }
    let take = |name: &str| -> Result<File> {
        let path = dir.path().join(name);
        tools::ok("debugfs", &["-R", &format!("dump /data/{name} {}", path.display()), tools::arg(&root)])?;
        File::open(&path).with_context(|| format!("the disk holds no /data/{name}"))
    };
    let verification = imprint_ledger::verify(&mut take("ledger")?, &mut take("blob")?)?;
    Ok(Captured { verification, needs_recovery })
}

/// Returns the last sequence number that a guest printed on its console.
pub fn last_sequence(console: &str) -> Option<u64> {
    console.lines().rev().find_map(|line| line.split("seq=").nth(1)?.split_whitespace().next()?.parse().ok())
}
