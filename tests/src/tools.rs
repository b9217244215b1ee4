//! Tools of others, as oracles.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};

/// Runs a program and returns its output, whatever its exit status is.
pub fn run(program: &str, args: &[&str]) -> Result<Output> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    Command::new(program)
        .args(args)
        .env("PATH", path)
        .output()
        .with_context(|| format!("{program} cannot be started"))
}

/// Runs a program that must succeed, and returns what it printed.
pub fn ok(program: &str, args: &[&str]) -> Result<String> {
    let output = run(program, args)?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns a path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// Copies a disk image into a sparse raw file.
pub fn to_raw(image: &Path, format: &str, dir: &Path) -> Result<PathBuf> {
    let raw = dir.join("copy.raw");
    ok("qemu-img", &["convert", "-f", format, "-O", "raw", arg(image), arg(&raw)])?;
    Ok(raw)
}

/// A mounted file system of a small size. Needs root, as the set-up of the tests does.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts a tmpfs of a size such as `12m`.
    pub fn mount(dir: &Path, size: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        ok("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", arg(dir)])?;
        Ok(Self(dir.to_owned()))
    }

    /// Changes the size of the file system.
    pub fn resize(&self, size: &str) -> Result<()> {
        ok("mount", &["-o", &format!("remount,size={size}"), arg(&self.0)]).map(drop)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What cannot be unmounted now is unmounted when nobody uses it any more.
        let _ = run("umount", &["-l", arg(&self.0)]);
    }
}
