//! Whether a captured disk is consistent with the write ledger of its guest.

use std::{fs::File, path::Path};

use anyhow::{Context, Result, bail};
use imprint_ledger::Verdict;

use crate::tools;

/// The stock image's root file system starts here (see `xtask/src/guest.rs`).
const ROOT_OFFSET: u64 = 43_008 * 512;

/// What a captured disk says.
#[derive(Debug)]
pub struct Captured {
    /// Records against slots.
    pub verdict: Verdict,
    /// The file system's journal had to be replayed.
    pub needs_recovery: bool,
}

/// Takes the root file system out of a disk image, lets e2fsck judge and repair it, and compares
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
    let verdict = imprint_ledger::verify(&mut take("ledger")?, &mut take("blob")?)?;
    Ok(Captured { verdict, needs_recovery })
}

/// The last sequence number that a guest printed on its console.
pub fn last_sequence(console: &str) -> Option<u64> {
    console.lines().rev().find_map(|line| line.split("seq=").nth(1)?.split_whitespace().next()?.parse().ok())
}
