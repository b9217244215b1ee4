//! Files that change while they are read: an error with a code, never a crash, and never a result
//! that looks right.

use std::{
    fs,
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    tools::{self, arg},
};

use crate::disk::{command, done, noise};

/// Far more than what pipes and buffers take.
const SIZE: usize = 96 << 20;

/// What happens to the file.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Its second half is gone.
    Truncated,
    /// All of it has other bytes, and the same size.
    Rewritten,
    /// It becomes longer, and its beginning changes.
    Replaced,
}

impl Change {
    fn of(self, path: &Path) -> Result<()> {
        let file = fs::File::options().write(true).open(path)?;
        let size = file.metadata()?.len();
        match self {
            Self::Truncated => file.set_len(size / 2)?,
            Self::Rewritten => file.write_all_at(&noise(usize::try_from(size)?, 99), 0)?,
            Self::Replaced => {
                file.write_all_at(&noise(1 << 20, 98), 0)?;
                file.set_len(size + (1 << 20))?;
            }
        }
        Ok(())
    }
}

/// Converts into a pipe that is not read on until the file has changed: the conversion is in the
/// middle then.
fn convert_while(source: &Path, to: &[&str], change: Change) -> Result<Output> {
    let mut convert = command(&["convert", arg(source), "-"])?;
    convert.args(to).env("RUST_BACKTRACE", "0").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = convert.spawn()?;
    let mut stdout = child.stdout.take().context("a pipe")?;
    let mut first = vec![0; 65536];
    let accepted = stdout.read_exact(&mut first);
    let changed = change.of(source);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest)?;
    let output = child.wait_with_output()?;
    accepted.with_context(|| format!("it ended early: {}", String::from_utf8_lossy(&output.stderr)))?;
    changed?;
    Ok(output)
}

#[test]
fn a_source_that_changes_is_an_error() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (raw, packed) = (dir.path().join("disk.raw"), dir.path().join("disk.qcow2"));
    let codes = ["corrupt.truncated", "corrupt.encoded", "conflict.source-changed"];
    for change in [Change::Truncated, Change::Rewritten, Change::Replaced] {
        // Read by this process, in one pass and in two; and decoded by another one.
        let targets: [(&Path, &[&str]); 4] = [
            (&raw, &["--to", "raw"]),
            (&raw, &["--to", "vmdk", "--compress", "zlib"]),
            (&raw, &["--to", "qcow2"]),
            (&packed, &["--to", "raw"]),
        ];
        for (source, to) in targets {
            fs::write(&raw, noise(SIZE, 1))?;
            if source == packed {
                // Half as long when it is compressed.
                fs::write(&raw, noise(SIZE, 1).iter().map(|byte| byte & 0x0f).collect::<Vec<_>>())?;
                done(&["convert", arg(&raw), arg(&packed), "--force", "--compress", "zstd"])?;
            }
            let output = convert_while(source, to, change)?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let what = format!("{change:?}, {to:?}: {}, {said}", output.status);
            ensure!(matches!(output.status.code(), Some(1 | 3)), "{what}");
            ensure!(codes.iter().any(|code| said.starts_with(&format!("error[{code}]: "))), "{what}");
            ensure!(!said.contains("panicked"), "{what}");
        }
    }
    Ok(())
}

/// A file that is mapped into memory and becomes shorter ends the process that reads it (SIGBUS).
#[test]
fn no_image_is_mapped_into_memory() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    fs::write(path("disk.raw"), noise(8 << 20, 2).iter().map(|byte| byte & 0x0f).collect::<Vec<_>>())?;
    done(&["convert", arg(&path("disk.raw")), arg(&path("packed.qcow2")), "--compress", "zstd"])?;
    for (number, (source, to)) in
        [("disk.raw", "new.qcow2"), ("packed.qcow2", "new.raw"), ("packed.qcow2", "new.vmdk")]
            .into_iter()
            .enumerate()
    {
        let trace = path(&format!("trace-{number}"));
        let output = Command::new("strace")
            .args(["-f", "-y", "-qq", "-e", "trace=mmap,pread64", "-o", arg(&trace)])
            .arg(binary()?)
            .args(["disk", "convert", arg(&path(source)), arg(&path(to))])
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let calls = fs::read_to_string(&trace)?;
        let touched =
            |call: &str, name: &str| calls.lines().any(|line| line.contains(call) && line.contains(name));
        ensure!(touched("pread64(", source), "{source} is read, and seen to be");
        ensure!(!touched("mmap(", arg(dir.path())), "{source}: an image is mapped into memory");
    }
    tools::ok("qemu-img", &["compare", arg(&path("disk.raw")), arg(&path("new.raw"))])?;
    Ok(())
}
