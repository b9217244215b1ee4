//! What `imprint disk` says to people, and what it never does to their files: targets that are
//! read, links, devices, machines that run, limits of the process.

use std::{
    fs,
    os::unix::{fs::symlink, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    tools::{self, arg},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, Signal, kill_process},
};

use crate::disk::{command, digest, done, fails, noise, sparse};

const MIB: u64 = 1 << 20;

fn raw(path: &Path, seed: u64) -> Result<()> {
    sparse(path, MIB, &[(4096, &noise(70_000, seed))])
}

#[test]
fn no_file_that_is_read_becomes_the_target() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    raw(&path("base.raw"), 1)?;
    let qcow2 =
        |args: &[&str]| tools::ok("qemu-img", &[&["create", "-q", "-f", "qcow2"], args].concat()).map(drop);
    tools::ok(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", arg(&path("base.raw")), arg(&path("base.qcow2"))],
    )?;
    qcow2(&["-b", arg(&path("base.qcow2")), "-F", "qcow2", arg(&path("top.qcow2"))])?;
    let flat = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"disk-flat.vmdk\" 0\n";
    fs::write(path("disk.vmdk"), flat)?;
    fs::copy(path("base.raw"), path("disk-flat.vmdk"))?;
    fs::hard_link(path("base.qcow2"), path("hard.qcow2"))?;
    symlink(path("base.qcow2"), path("soft.qcow2"))?;
    let (top, base) = (path("top.qcow2"), path("base.qcow2"));
    let before = fs::read(&base)?;
    for target in ["base.qcow2", "hard.qcow2", "soft.qcow2", "top.qcow2"] {
        let target = path(target);
        let args = ["convert", "--force", "--to", "qcow2", "--with", arg(&base), arg(&top), arg(&target)];
        fails(&args, 2, "invalid.target")?;
    }
    let (extent, disk) = (path("disk-flat.vmdk"), path("disk.vmdk"));
    let args = ["convert", "--force", "--to", "raw", "--with", arg(&extent), arg(&disk), arg(&extent)];
    let text = fails(&args, 2, "invalid.target")?;
    ensure!(text.contains("--with"), "it says which file that is: {text}");
    // Standard output that is the file itself.
    let file = fs::File::options().append(true).open(&base)?;
    let output = command(&["convert", "--to", "raw", arg(&base), "-"])?.stdout(Stdio::from(file)).output()?;
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(fs::read(&base)? == before, "the file is as it was");
    Ok(())
}

#[test]
fn links_are_followed_and_devices_are_not_made() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    raw(&path("disk.raw"), 2)?;
    fs::create_dir(path("other"))?;
    fs::write(path("other/real.raw"), "old")?;
    symlink("other/real.raw", path("link.raw"))?;
    symlink("link.raw", path("second.raw"))?;
    symlink("other/new.raw", path("dangling.raw"))?;
    symlink("circle.raw", path("circle.raw"))?;
    let source = path("disk.raw");
    fails(&["convert", arg(&source), arg(&path("second.raw"))], 1, "io.already-exists")?;
    for (link, real) in [("second.raw", "other/real.raw"), ("dangling.raw", "other/new.raw")] {
        done(&["convert", "--force", arg(&source), arg(&path(link))])?;
        ensure!(path(link).is_symlink(), "{link} is still a link");
        assert_eq!(digest(&path(real))?, digest(&source)?);
    }
    fails(&["convert", "--force", arg(&source), arg(&path("circle.raw"))], 1, "io.open")?;
    let missing = Path::new("/dev/imprint-no-such-device");
    let text =
        fails(&["convert", "--to", "raw", "--force", arg(&source), arg(missing)], 2, "invalid.target")?;
    ensure!(text.contains("there is no device") && !missing.exists(), "{text}");
    Ok(())
}

/// A program of QEMU that has an image open for writing until it is ended.
struct Running(Pid);

impl Running {
    /// Returns when the image is open.
    fn open(image: &Path, format: &str, dir: &Path) -> Result<Self> {
        let node = format!("driver={format},node-name=disk,file.driver=file,file.filename={}", arg(image));
        let server = format!("addr.type=unix,addr.path={}", arg(&dir.join("socket")));
        let pid = dir.join("pid");
        let export = "type=nbd,id=disk,node-name=disk,writable=on";
        let args = ["--blockdev", &node, "--nbd-server", &server, "--export", export];
        tools::ok("qemu-storage-daemon", &[&args[..], &["--daemonize", "--pidfile", arg(&pid)]].concat())?;
        let number = fs::read_to_string(pid)?.trim().parse()?;
        Ok(Self(Pid::from_raw(number).context("a process id")?))
    }

    /// Ends it, and waits until it is gone.
    fn end(self) -> Result<()> {
        let process = rustix::process::pidfd_open(self.0, PidfdFlags::empty())?;
        kill_process(self.0, Signal::TERM)?;
        poll(&mut [PollFd::new(&process, PollFlags::IN)], None)?;
        Ok(())
    }
}

#[test]
fn images_of_running_machines_are_left_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    raw(&path("disk.raw"), 3)?;
    let (source, base, top) = (path("disk.raw"), path("base.qcow2"), path("top.qcow2"));
    done(&["convert", arg(&source), arg(&base)])?;
    tools::ok("qemu-img", &["create", "-q", "-f", "qcow2", "-b", arg(&base), "-F", "qcow2", arg(&top)])?;
    let running = Running::open(&top, "qcow2", dir.path())?;
    for args in [["inspect", arg(&top)], ["digest", arg(&top)]] {
        fails(&args, 1, "io.in-use")?;
    }
    let new = path("new.raw");
    fails(&["convert", "--with", arg(&base), arg(&top), arg(&new)], 1, "io.in-use")?;
    // Also the file below, which nobody writes to: it may be read, and not replaced.
    for target in [&top, &base] {
        let text = fails(&["convert", "--force", arg(&source), arg(target)], 1, "io.in-use")?;
        ensure!(text.contains("running machine"), "{text}");
    }
    assert_eq!(digest(&base)?, digest(&source)?);
    running.end()?;
    done(&["convert", "--with", arg(&base), arg(&top), arg(&new)])?;
    assert_eq!(digest(&new)?, digest(&source)?);
    done(&["convert", "--force", arg(&source), arg(&top)])?;
    Ok(())
}

#[test]
fn what_is_no_image_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let target = path("new.raw");
    let target = arg(&target);
    for name in ["empty.qcow2", "empty.img", "empty"] {
        fs::write(path(name), "")?;
        let text = fails(&["convert", arg(&path(name)), target], 3, "corrupt.empty")?;
        ensure!(text.contains("is empty"), "{text}");
    }
    tools::ok("mkfifo", &[arg(&path("pipe.raw"))])?;
    let text = fails(&["convert", arg(&path("pipe.raw")), target], 2, "invalid.source")?;
    ensure!(text.contains("`-`"), "{text}");
    let output = command(&["digest", "--format", "raw", "/dev/stdin"])?.stdin(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2) && text.contains("write `-`"), "{text}");
    for (address, advice) in [
        ("ftp://user:secret@host/disk.qcow2", "http(s)://HOST/PATH"),
        ("s3://bucket/disk.qcow2", "https:// address"),
        ("file:///tmp/disk.qcow2", "/tmp/disk.qcow2"),
        ("nbd://host/disk", "nbd+unix:///"),
    ] {
        let text = fails(&["digest", "--format", "raw", address], 2, "invalid.source")?;
        ensure!(text.contains(advice) && !text.contains("secret"), "{address}: {text}");
    }
    let text = fails(&["digest", "HTTP://127.0.0.1:1/disk.raw"], 1, "http.connect")?;
    ensure!(text.contains("127.0.0.1"), "an upper-case scheme is one, too: {text}");
    let iso = path("hybrid.img");
    sparse(&iso, MIB, &[(32768, b"\x01CD001\x01"), (510, b"\x55\xaa")])?;
    let text = fails(&["convert", "--from", "qcow2", arg(&iso), target], 3, "denied.ambiguous-content")?;
    ensure!(text.contains("as an ISO") && text.contains("--from raw"), "it says both ways: {text}");
    done(&["convert", "--from", "raw", arg(&iso), target])?;
    Ok(())
}

#[test]
fn messages_name_the_options_of_the_command() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    raw(&path("disk.raw"), 4)?;
    let (source, target) = (path("disk.raw"), path("new.raw"));
    // The most common case: a distribution's image with the ending of a raw disk.
    let image = path("cloud.img");
    done(&["convert", "--to", "qcow2", arg(&source), arg(&image)])?;
    for (args, option) in [
        (vec!["convert", arg(&image), arg(&target)], "--from qcow2"),
        (vec!["digest", arg(&image)], "--format qcow2"),
        (vec!["compare", arg(&source), arg(&image)], "--to qcow2"),
    ] {
        let text = fails(&args, 3, "denied.ambiguous-content")?;
        ensure!(text.contains("its ending .img declares raw") && text.contains(option), "{text}");
        let mut words = option.split(' ');
        let again = [&args[..1], &[words.next().unwrap_or_default(), "qcow2"], &args[1..]].concat();
        done(&again)?;
    }
    let base = path("base.qcow2");
    done(&["convert", arg(&source), arg(&base)])?;
    let top = path("top.qcow2");
    tools::ok("qemu-img", &["create", "-q", "-f", "qcow2", "-b", arg(&base), "-F", "qcow2", arg(&top)])?;
    let text = fails(&["digest", arg(&top)], 3, "denied.external-reference")?;
    ensure!(text.contains("--with FILE"), "{text}");
    let mut bytes = fs::read(&base)?;
    bytes[79] |= 2;
    fs::write(path("corrupt.qcow2"), bytes)?;
    let text = fails(&["digest", arg(&path("corrupt.qcow2"))], 3, "denied.corrupt-flag")?;
    ensure!(text.contains("--salvage"), "{text}");
    Ok(())
}

#[test]
fn sizes_have_one_grammar() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    raw(&path("disk.raw"), 5)?;
    let source = path("disk.raw");
    let mut digests = Vec::new();
    for (number, size) in ["128K", "128KiB", "131072", "0.125M"].iter().enumerate() {
        for (format, option) in [("qcow2", "cluster-size"), ("vhd", "align")] {
            let target = path(&format!("{number}.{format}"));
            let set = format!("{option}={size}");
            let grown = ["3M", "3MiB", "3145728", "3 m"][number];
            let made = done(&["convert", "--set", &set, "--size", grown, arg(&source), arg(&target)])?;
            digests.push((format, made["stored_digest"].clone()));
        }
    }
    ensure!(digests.chunks(2).all(|pair| pair == &digests[..2]), "{digests:?}");
    for wrong in ["+1G", "-1", "1X", ""] {
        let target = path("new.raw");
        let size = format!("--size={wrong}");
        let output = command(&["convert", &size, arg(&source), arg(&target)])?.output()?;
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let set = format!("cluster-size={wrong}");
        let output = command(&["convert", "--set", &set, arg(&source), arg(&path("new.qcow2"))])?.output()?;
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
    Ok(())
}

/// Runs a command in a shell with a limit.
fn limited(limit: &str, args: &[&str]) -> Result<std::process::Output> {
    let imprint = binary()?;
    let mut words = vec!["ulimit \"$0\" \"$1\" && shift && exec \"$@\""];
    words.extend(limit.split(' '));
    words.extend([arg(&imprint), "disk"]);
    words.extend(args);
    let mut shell = Command::new("bash");
    Ok(shell.arg("-c").args(words).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).output()?)
}

#[test]
fn limits_of_the_process_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let (source, packed, target) = (path("disk.raw"), path("packed.qcow2"), path("new.raw"));
    sparse(&source, 8 * MIB, &[(0, &noise(3 << 20, 6))])?;
    done(&["convert", "--compress", "zlib", arg(&source), arg(&packed)])?;
    // By this process, and by the one that decodes.
    for image in [&source, &packed] {
        let output = limited("-f 1024", &["convert", arg(image), arg(&target)])?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1) && text.contains("ulimit -f"), "{}: {text}", output.status);
        ensure!(text.starts_with("error[limit.file-size]"), "{text}");
        ensure!(!target.exists());
    }
    let output = limited("-v 2000000", &["inspect", arg(&source)])?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && text.starts_with("error[limit.address-space]"), "{text}");
    ensure!(text.contains("ulimit -v"), "{text}");
    Ok(())
}

/// The limit counts the processes of a user, and never those of root.
#[test]
fn too_few_threads_are_named() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let image = dir.path().join("disk.raw");
    raw(&image, 7)?;
    let open = |path: &Path| -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    };
    open(dir.path())?;
    let program = dir.path().join("imprint");
    fs::copy(binary()?, &program)?;
    open(&program)?;
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -u 3 && exec \"$@\"", "bash", arg(&program), "disk", "inspect", arg(&image)]);
    let output = shell.uid(54_321).gid(54_321).env("HOME", "/nonexistent").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && text.starts_with("error[limit.threads]"), "{text}");
    ensure!(text.contains("ulimit -u"), "{text}");
    Ok(())
}
