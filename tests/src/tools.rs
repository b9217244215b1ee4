//! Tools of others, as oracles.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::process::{Process, signal};

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

/// Returns free ports on loopback. Each was free a moment ago.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
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

/// A folder that a program in user space serves (`bindfs`), which can be stopped: then it answers
/// as little as a mount of a server that is gone.
pub struct UserFolder {
    path: PathBuf,
    server: Process,
}

impl UserFolder {
    /// Mounts `source` on `path`, as a file system of that type after `fuse.`, with at most that
    /// many bytes a second written to it.
    pub async fn mount(source: &Path, path: &Path, kind: &str, write_rate: &str) -> Result<Self> {
        let mut command = Command::new("bindfs");
        command.args(["-f", "-o", &format!("subtype={kind}"), &format!("--write-rate={write_rate}")]);
        let log = source.with_extension("log");
        let server = Process::start(command.arg(source).arg(path), &log)
            .context("`cargo xtask test` installs bindfs")?;
        let mut folder = Self { path: path.to_owned(), server };
        crate::eventually("the folder to be mounted", async || {
            if let Some(status) = folder.server.ended()? {
                bail!("bindfs ended with {status}: {}", folder.server.log());
            }
            let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
            Ok(mounts.contains(&format!(" {} ", arg(&folder.path))).then_some(()))
        })
        .await?;
        Ok(folder)
    }

    /// Stops the program in what it does, or lets it go on.
    pub fn hang(&self, hangs: bool) -> Result<()> {
        signal(self.server.pid(), if hangs { Signal::STOP } else { Signal::CONT })
    }
}

impl Drop for UserFolder {
    fn drop(&mut self) {
        let _ = self.hang(false);
        let _ = run("umount", &["-l", arg(&self.path)]);
        let _ = self.server.kill();
    }
}
