//! Disks in sparse files, and the programs that fill them.

use std::{
    cell::Cell,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
};

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::Blob,
    inspector::{FileSystem, Findings, Inspector as _},
    mock::MockHost,
    types::ByteRange,
};
use inspector_disk::DiskInspector;

/// A disk in a file, which counts what is read of it.
struct FileDisk {
    file: File,
    size: u64,
    cost: Rc<Cell<(u64, u64)>>,
}

impl Blob for FileDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let length = u64::from(length).min(self.size.saturating_sub(offset));
        let (reads, bytes) = self.cost.get();
        self.cost.set((reads + 1, bytes + length));
        let mut buf = vec![0; usize::try_from(length).unwrap()];
        self.file
            .read_exact_at(&mut buf, offset)
            .map_err(|error| Error::transient("blob.io", error.to_string()))?;
        Ok(buf)
    }

    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>> {
        ranges.iter().map(|range| self.read_at(range.offset, u32::try_from(range.length).unwrap())).collect()
    }

    fn prefetch(&self, _ranges: &[ByteRange]) {}
}

/// Looks inside of a disk in a file; answers the findings, the reads and the bytes of them.
pub(crate) fn look(path: &Path) -> (Findings, u64, u64) {
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let cost = Rc::new(Cell::new((0, 0)));
    let disk = FileDisk { file, size, cost: cost.clone() };
    let found = DiskInspector::inspect(&MockHost::new(), Box::new(disk), &[]).unwrap();
    let (reads, bytes) = cost.get();
    (found, reads, bytes)
}

/// Looks inside of a disk in a file.
pub(crate) fn findings(path: &Path) -> Findings {
    look(path).0
}

/// The one file system of this kind.
pub(crate) fn only<'a>(found: &'a Findings, kind: &str) -> &'a FileSystem {
    let mut all = found.file_systems.iter().filter(|found| found.kind == kind);
    let first = all.next().unwrap_or_else(|| panic!("no {kind} in {found:#?}"));
    assert!(all.next().is_none(), "one {kind} in {found:#?}");
    first
}

/// Runs a program, which is in the path of an administrator.
pub(crate) fn run(program: &str, args: &[&str]) {
    run_with(program, args, "");
}

/// Runs a program with an input.
pub(crate) fn run_with(program: &str, args: &[&str], input: &str) {
    use std::{io::Write as _, process::Stdio};
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command.args(args).env("PATH", path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; run `cargo xtask setup`"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}");
}

/// A sparse file.
pub(crate) fn sparse(path: PathBuf, size: u64) -> PathBuf {
    File::create(&path).unwrap().set_len(size).unwrap();
    path
}

pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with what a small Linux has.
pub(crate) fn linux(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(64, 0);
    program[18] = 62;
    let release = "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n";
    let files: [(&str, &[u8]); 6] = [
        ("usr/lib/os-release", release.as_bytes()),
        ("usr/bin/env", &program),
        ("usr/sbin/sshd", &program),
        ("usr/sbin/qemu-ga", &program),
        ("etc/cloud/cloud.cfg", b"users: [default]\n"),
        ("boot/grub/grub.cfg", b"set timeout=0\n"),
    ];
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    std::os::unix::fs::symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
    root
}

/// Copies a file system into a disk.
pub(crate) fn copy_into(disk: &Path, at: u64, part: &Path) {
    let (from, to) = (File::open(part).unwrap(), File::options().write(true).open(disk).unwrap());
    let mut piece = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        let count = from.read_at(&mut piece, offset).unwrap();
        if count == 0 {
            return;
        }
        if piece[..count].iter().any(|byte| *byte != 0) {
            to.write_all_at(&piece[..count], at + offset).unwrap();
        }
        offset += u64::try_from(count).unwrap();
    }
}
