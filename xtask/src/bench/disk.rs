//! The disk that all jobs read, and the places where they write.

use std::{
    fs,
    io::{BufWriter, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::sh;

/// Virtual size of the disk, in GiB.
const DISK_GIB: u64 = 8;
/// Bytes of random and of log data on it, in MiB; the rest are files of this machine.
const RANDOM_MIB: u64 = 200;
const LOG_MIB: u64 = 150;
/// Of every so many files of the second kind, one is deleted again, so that the disk has stale data
/// as real ones do.
const DELETED: usize = 7;

/// Makes the disk unless it is there: a sparse file with an ext4 file system full of real files.
pub(super) fn make(dir: &Path, data_mib: u64) -> Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let (disk, stamp) = (dir.join("disk.raw"), dir.join("stamp"));
    let wanted = format!("{data_mib} MiB, layout 2");
    if sh::is_stamped(&stamp, &wanted) && disk.is_file() {
        return Ok(disk);
    }
    sh::say("making the bench's disk");
    let tree = dir.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    fs::create_dir_all(&tree)?;
    let made = RANDOM_MIB.min(data_mib / 10) + LOG_MIB.min(data_mib / 10);
    stage(&tree, (data_mib - made) << 20)?;
    random_file(&tree.join("random"), RANDOM_MIB.min(data_mib / 10))?;
    log_file(&tree.join("log"), LOG_MIB.min(data_mib / 10))?;
    if disk.exists() {
        fs::remove_file(&disk)?;
    }
    fs::File::create(&disk)?.set_len(DISK_GIB << 30)?;
    let mut mke2fs = sh::cmd("mke2fs", ["-q", "-F", "-t", "ext4", "-d"]);
    mke2fs.arg(&tree).arg(&disk).env("PATH", sh::path_with_sbin());
    sh::quiet(&mut mke2fs)?;
    delete_some(&tree, &disk)?;
    fs::remove_dir_all(&tree)?;
    fs::write(stamp, wanted)?;
    Ok(disk)
}

/// Copies files of this machine, in a fixed order, until there are enough bytes.
fn stage(tree: &Path, bytes: u64) -> Result<()> {
    let sysroot = sh::output(&mut sh::cmd("rustc", ["--print", "sysroot"])).unwrap_or_default();
    let roots = ["/usr/bin", "/usr/lib", "/usr/share", "/usr/include", sysroot.trim(), "/opt", "/usr/local"];
    let mut left = bytes;
    for (number, root) in roots.map(PathBuf::from).iter().enumerate() {
        let mut files = if root.is_dir() { sh::files_below(root, &|_| false)? } else { Vec::new() };
        files.sort();
        for (index, file) in files.iter().enumerate() {
            let length = fs::metadata(file).map_or(0, |metadata| metadata.len());
            if length == 0 || length > left {
                continue;
            }
            let folder = tree.join(format!("{number}-{}", index / 1000));
            fs::create_dir_all(&folder)?;
            fs::copy(file, folder.join(index.to_string()))?;
            left -= length;
        }
        if left < 1 << 20 {
            return Ok(());
        }
    }
    sh::say(&format!("this machine has {} MiB of files too few for the bench's disk", left >> 20));
    Ok(())
}

/// Deletes files inside the disk: their bytes stay where they were.
fn delete_some(tree: &Path, disk: &Path) -> Result<()> {
    let mut files = sh::files_below(tree, &|_| false)?;
    files.sort();
    let mut commands = String::new();
    for file in files.iter().step_by(DELETED).take(2000) {
        let inside = file.strip_prefix(tree).context("a file below the tree")?;
        commands.push_str(&format!("rm /{}\n", inside.display()));
    }
    let script = disk.with_extension("debugfs");
    fs::write(&script, commands)?;
    let mut debugfs = sh::cmd("debugfs", ["-w", "-f"]);
    debugfs.arg(&script).arg(disk).env("PATH", sh::path_with_sbin());
    sh::quiet(&mut debugfs)?;
    Ok(fs::remove_file(script)?)
}

/// A generator that is the same every time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

fn random_file(path: &Path, mib: u64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut numbers = Numbers(1);
    for _ in 0..(mib << 20) / 8 {
        out.write_all(&numbers.next().to_le_bytes())?;
    }
    Ok(out.flush()?)
}

fn log_file(path: &Path, mib: u64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut numbers = Numbers(2);
    let (mut written, mut second) = (0, 0_u64);
    while written < mib << 20 {
        let number = numbers.next();
        second += number % 3;
        let line = format!(
            "2026-03-{:02}T{:02}:{:02}:{:02} host-{} service[{}]: request {:016x} took {} ms, status {}\n",
            1 + second / 86400 % 28,
            second / 3600 % 24,
            second / 60 % 60,
            second % 60,
            number % 17,
            1000 + number % 4000,
            number,
            number % 911,
            [200, 200, 200, 204, 304, 404, 500][usize::try_from(number % 7)?],
        );
        out.write_all(line.as_bytes())?;
        written += u64::try_from(line.len())?;
    }
    Ok(out.flush()?)
}

/// A file system of the bench's own, mounted for as long as this lives.
pub(super) struct Mount {
    at: PathBuf,
    image: Option<PathBuf>,
}

impl Mount {
    /// A tmpfs: nothing of a disk is in the figures.
    pub(super) fn memory(at: &Path) -> Result<Self> {
        make_place(at)?;
        sh::quiet(sh::cmd("mount", ["-t", "tmpfs", "-o", "size=80%", "imprint-bench"]).arg(at))
            .context("the bench mounts file systems of its own and needs root for that")?;
        Ok(Self { at: at.to_owned(), image: None })
    }

    /// XFS with reflinks, in a file beside.
    pub(super) fn xfs(at: &Path) -> Result<Self> {
        make_place(at)?;
        let image = at.with_extension("xfs");
        fs::File::create(&image)?.set_len(24 << 30)?;
        let path = sh::path_with_sbin();
        sh::quiet(sh::cmd("mkfs.xfs", ["-q", "-f", "-m", "reflink=1"]).arg(&image).env("PATH", &path))?;
        sh::quiet(sh::cmd("mount", ["-o", "loop"]).arg(&image).arg(at).env("PATH", &path))?;
        Ok(Self { at: at.to_owned(), image: Some(image) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.at
    }
}

/// The folder to mount at, without what a run that was killed left there.
fn make_place(at: &Path) -> Result<()> {
    fs::create_dir_all(at)?;
    let parent = at.parent().context("a mount has a folder around it")?;
    while fs::metadata(at)?.dev() != fs::metadata(parent)?.dev() {
        sh::quiet(Command::new("umount").arg(at)).context("an earlier run's file system is still there")?;
    }
    Ok(())
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = sh::quiet(Command::new("umount").arg(&self.at)) {
            sh::say(&format!("{} stays mounted: {error:#}", self.at.display()));
        }
        if let Some(image) = &self.image {
            // It is in the bench's own folder, and made anew next time.
            let _ = fs::remove_file(image);
        }
    }
}
