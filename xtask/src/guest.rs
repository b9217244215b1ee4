//! The demo's stock image: a small bootable Linux, put together from Debian's kernel and busybox
//! packages.
//!
//! No loop mount and no root: the file systems are made in plain files. The guest runs the QEMU
//! guest agent with a freeze hook and an SSH server, and reads a NoCloud seed. That of the second
//! image, for tests, writes to its disk all the time with the ledger writer (`tests/ledger`).

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::sh;

/// Where the finished image is.
pub(crate) fn image() -> PathBuf {
    sh::dist().join("guest/stock-linux.raw")
}

/// Where the same image is whose guest writes to its disk all the time, for tests: a capture of it
/// has something to get wrong.
fn writing_image() -> PathBuf {
    sh::dist().join("guest/writing/stock-linux.raw")
}

const SIZE_MIB: u64 = 512;
/// Sectors of 512 bytes: a FAT partition for the boot loader from 1 MiB on, the root file system
/// behind it.
const BOOT_START: u64 = 2048;
const BOOT_SECTORS: u64 = 40960;
const ROOT_START: u64 = BOOT_START + BOOT_SECTORS;

/// Debian packages of the guest, besides its kernel: busybox, the guest agent, and the SSH server
/// with its libraries.
const PACKAGES: [&str; 6] =
    ["busybox-static", "qemu-guest-agent", "dropbear-bin", "libtomcrypt1", "libtommath1", "libgmp10"];

/// In the order in which the initramfs loads them.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "failover",
    "net_failover",
    "virtio_net",
    "cdrom",
    "isofs",
    "scsi_common",
    "scsi_mod",
    "libata",
    "ata_piix",
    "sd_mod",
    "sr_mod",
    "virtio_scsi",
    "button",
    "evdev",
];

const APPLETS: &[&str] = &[
    "sh",
    "mount",
    "umount",
    "ls",
    "cat",
    "echo",
    "sleep",
    "hostname",
    "cut",
    "sync",
    "mkdir",
    "ln",
    "dd",
    "df",
    "ps",
    "kill",
    "insmod",
    "ip",
    "udhcpc",
    "chown",
    "setsid",
    "date",
    "md5sum",
    "sha256sum",
    "blkid",
    "grep",
    "head",
    "tr",
    "sed",
    "cp",
    "mv",
    "rm",
    "chmod",
    "touch",
    "test",
    "[",
    "true",
    "acpid",
    "poweroff",
    "reboot",
    "id",
    "uname",
    "free",
    "dmesg",
    "vi",
    "less",
    "find",
];

const INIT: &str = include_str!("guest/init");
const INITTAB: &str = include_str!("guest/inittab");
const RCS: &str = include_str!("guest/rcS");
const AGENT: &str = include_str!("guest/agent");
const HALT: &str = include_str!("guest/halt");
const WORK: &str = include_str!("guest/work");
const HOOK: &str = include_str!("guest/fsfreeze-hook");
const SSH: &str = include_str!("guest/ssh");
const LEASE: &str = include_str!("guest/lease");
const POWER: &str = "#!/bin/sh\nexec /sbin/poweroff\n";
const SYSLINUX: &str = "DEFAULT linux\nPROMPT 0\nTIMEOUT 0\nLABEL linux\nKERNEL vmlinuz\nINITRD initrd.gz\nAPPEND console=ttyS0 quiet panic=-1\n";

/// Makes the image, unless the one that is there was made from the same parts.
pub(crate) fn build() -> Result<()> {
    let writer = writer()?;
    let mut parts = sh::files_below(&sh::root().join("xtask/src/guest"), &|_| false)?;
    parts.extend([writer.clone(), sh::root().join("xtask/src/guest.rs")]);
    let print = sh::fingerprint(&parts)?;
    let stamp = sh::dist().join("guest/stamp");
    if sh::is_stamped(&stamp, &print) && image().is_file() && writing_image().is_file() {
        return Ok(());
    }
    sh::say("making the stock image");
    let dir = sh::dist().join("guest");
    fs::create_dir_all(dir.join("writing"))?;
    let debs = unpacked_packages(&dir)?;
    let work = dir.join("work");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    let kernel = kernel(&debs)?;
    initramfs(&work, &debs, &kernel)?;
    root_tree(&work, &debs, &writer)?;
    let disk = work.join("disk.raw");
    assemble(&work, &disk, &kernel)?;
    fs::rename(&disk, image())?;
    fs::write(work.join("root/etc/work"), "")?;
    assemble(&work, &disk, &kernel)?;
    fs::rename(&disk, writing_image())?;
    fs::remove_dir_all(&work)?;
    Ok(fs::write(stamp, print)?)
}

fn writer() -> Result<PathBuf> {
    sh::run(sh::cargo().args([
        "build",
        "--quiet",
        "--locked",
        "--package",
        "imprint-ledger",
        "--bin",
        "ledger-writer",
    ]))?;
    Ok(sh::target_dir()?.join("debug/ledger-writer"))
}

/// Debian packages that the guest is made of, fetched and unpacked but not installed.
fn unpacked_packages(dir: &Path) -> Result<PathBuf> {
    let debs = dir.join("debs");
    let done = debs.join("done");
    if sh::is_stamped(&done, &PACKAGES.join(" ")) {
        return Ok(debs);
    }
    if debs.exists() {
        fs::remove_dir_all(&debs)?;
    }
    fs::create_dir_all(&debs)?;
    let depends = sh::output(&mut sh::cmd("apt-cache", ["depends", "linux-image-cloud-amd64"]))?;
    let kernel = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends:").map(|name| name.trim().to_owned()))
        .filter(|name| name.starts_with("linux-image-"))
        .context("apt does not know linux-image-cloud-amd64; run apt-get update")?;
    let mut download = Command::new("apt-get");
    download.args(["-q", "download", &kernel]).args(PACKAGES).current_dir(&debs);
    sh::quiet(&mut download).context("the guest's Debian packages cannot be fetched; run apt-get update")?;
    for entry in fs::read_dir(&debs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            sh::quiet(&mut sh::cmd("dpkg-deb", [Path::new("-x"), &path, &debs.join("tree")]))?;
            fs::remove_file(path)?;
        }
    }
    fs::write(done, PACKAGES.join(" "))?;
    Ok(debs)
}

struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

fn kernel(debs: &Path) -> Result<Kernel> {
    let boot = debs.join("tree/boot");
    for entry in fs::read_dir(&boot)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(version) = name.strip_prefix("vmlinuz-") {
            let modules = debs.join("tree/lib/modules").join(version);
            let modules =
                if modules.is_dir() { modules } else { debs.join("tree/usr/lib/modules").join(version) };
            return Ok(Kernel { image: boot.join(&name), modules });
        }
    }
    bail!("the kernel package holds no kernel")
}

fn busybox(debs: &Path) -> Result<PathBuf> {
    ["tree/bin/busybox", "tree/usr/bin/busybox"]
        .iter()
        .map(|path| debs.join(path))
        .find(|path| path.is_file())
        .context("the busybox package holds no busybox")
}

fn executable(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn initramfs(work: &Path, debs: &Path, kernel: &Kernel) -> Result<()> {
    let tree = work.join("initramfs");
    for dir in ["bin", "dev", "proc", "sys", "root", "modules"] {
        fs::create_dir_all(tree.join(dir))?;
    }
    fs::copy(busybox(debs)?, tree.join("bin/busybox"))?;
    symlink("busybox", tree.join("bin/sh"))?;
    let all = sh::files_below(&kernel.modules, &|_| false)?;
    for module in MODULES {
        // Some are built into the kernel of one release and modules of the next.
        let file = all
            .iter()
            .find(|path| path.file_stem().is_some_and(|stem| stem == *module) || is_packed(path, module));
        if let Some(file) = file {
            install_module(file, &tree.join("modules").join(format!("{module}.ko")))?;
        }
    }
    executable(&tree.join("init"), &INIT.replace("@MODULES@", &MODULES.join(" ")))?;
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . | LC_ALL=C sort | cpio --quiet -o -H newc | gzip -n -1 > ../initrd.gz"])
        .current_dir(&tree);
    sh::quiet(&mut pack)
}

fn is_packed(path: &Path, module: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy() == format!("{module}.ko.xz"))
}

fn install_module(file: &Path, target: &Path) -> Result<()> {
    if file.extension().is_some_and(|e| e == "xz") {
        let unpacked = sh::cmd("xz", [Path::new("-dc"), file]).output()?;
        return Ok(fs::write(target, unpacked.stdout)?);
    }
    fs::copy(file, target)?;
    Ok(())
}

fn root_tree(work: &Path, debs: &Path, writer: &Path) -> Result<()> {
    let tree = work.join("root");
    let dirs = [
        "bin", "sbin", "dev", "proc", "sys", "run", "tmp", "var/log", "data", "mnt", "root", "var/lib",
        "usr/sbin", "lib64", "home", "etc",
    ];
    for dir in dirs {
        fs::create_dir_all(tree.join(dir))?;
    }
    fs::copy(busybox(debs)?, tree.join("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", tree.join("bin").join(applet))?;
    }
    for program in ["init", "shutdown", "halt", "poweroff", "reboot"] {
        symlink("../bin/busybox", tree.join("sbin").join(program))?;
    }
    symlink("../run", tree.join("var/run"))?;
    symlink("../run/dropbear", tree.join("etc/dropbear"))?;
    fs::copy(writer, tree.join("bin/ledger-writer"))?;
    fs::copy(debs.join("tree/usr/sbin/qemu-ga"), tree.join("usr/sbin/qemu-ga"))?;
    fs::copy(debs.join("tree/usr/sbin/dropbear"), tree.join("usr/sbin/dropbear"))?;
    for program in ["bin/ledger-writer", "usr/sbin/qemu-ga", "usr/sbin/dropbear"] {
        install_libraries(&tree, &tree.join(program), debs)?;
    }
    executable(&tree.join("etc/init.d/rcS"), RCS)?;
    executable(&tree.join("etc/init.d/agent"), AGENT)?;
    executable(&tree.join("etc/init.d/work"), WORK)?;
    executable(&tree.join("etc/init.d/halt"), HALT)?;
    executable(&tree.join("etc/init.d/ssh"), SSH)?;
    executable(&tree.join("etc/lease"), LEASE)?;
    executable(&tree.join("etc/qemu/fsfreeze-hook"), HOOK)?;
    executable(&tree.join("etc/acpi/PWRF/00000080"), POWER)?;
    fs::write(tree.join("etc/inittab"), INITTAB)?;
    fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(tree.join("etc/hostname"), "stock-linux\n")?;
    Ok(())
}

/// Copies the shared libraries that a program loads, under the paths where its loader looks for
/// them.
fn install_libraries(tree: &Path, program: &Path, debs: &Path) -> Result<()> {
    let mut ldd = sh::cmd("ldd", [program]);
    ldd.env("LD_LIBRARY_PATH", debs.join("tree/usr/lib/x86_64-linux-gnu"));
    for line in sh::output(&mut ldd)?.lines() {
        let mut words = line.split_whitespace();
        let (name, path) = match (words.next(), words.next(), words.next()) {
            (Some(name), Some("=>"), Some(path)) if path.starts_with('/') => {
                (format!("/lib/x86_64-linux-gnu/{name}"), path)
            }
            (Some(_), Some("=>"), _) => bail!("a library of {} is missing: {line}", program.display()),
            (Some(path), _, _) if path.starts_with("/lib") => (path.to_owned(), path),
            _ => continue,
        };
        let target = tree.join(name.trim_start_matches('/'));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        if !target.exists() {
            fs::copy(path, &target).with_context(|| format!("{path} cannot be copied"))?;
        }
    }
    Ok(())
}

fn assemble(work: &Path, disk: &Path, kernel: &Kernel) -> Result<()> {
    let file = fs::File::create(disk)?;
    file.set_len(SIZE_MIB << 20)?;
    let sfdisk = sh::which("sfdisk").context("sfdisk is missing; run `cargo xtask setup`")?;
    let mut child = Command::new(sfdisk).arg("-q").arg(disk).stdin(std::process::Stdio::piped()).spawn()?;
    let table = format!(
        "label: dos\nlabel-id: 0x1d3a7f05\nstart={BOOT_START},size={BOOT_SECTORS},type=6,bootable\nstart={ROOT_START},type=83\n"
    );
    child.stdin.take().context("sfdisk has a standard input")?.write_all(table.as_bytes())?;
    if !child.wait()?.success() {
        bail!("sfdisk failed");
    }
    let boot = work.join("boot.fat");
    fs::File::create(&boot)?.set_len(BOOT_SECTORS * 512)?;
    let tool = |program: &str, args: &[&std::ffi::OsStr]| {
        let mut command = sh::cmd(program, args);
        command.env("PATH", sh::path_with_sbin());
        sh::quiet(&mut command)
    };
    fs::write(work.join("syslinux.cfg"), SYSLINUX)?;
    tool(
        "mkfs.fat",
        &[
            "-F".as_ref(),
            "16".as_ref(),
            "-i".as_ref(),
            "1d3a7f05".as_ref(),
            "-n".as_ref(),
            "BOOT".as_ref(),
            boot.as_ref(),
        ],
    )?;
    for (from, to) in [
        (&kernel.image, "::vmlinuz"),
        (&work.join("initrd.gz"), "::initrd.gz"),
        (&work.join("syslinux.cfg"), "::syslinux.cfg"),
    ] {
        tool("mcopy", &["-i".as_ref(), boot.as_ref(), from.as_ref(), to.as_ref()])?;
    }
    tool("syslinux", &["--install".as_ref(), boot.as_ref()])?;
    write_at(disk, &fs::read(&boot)?, BOOT_START * 512)?;
    let mbr = fs::read("/usr/lib/syslinux/mbr/mbr.bin").context("syslinux's boot record is missing")?;
    write_at(disk, mbr.get(..440.min(mbr.len())).unwrap_or(&mbr), 0)?;
    let options = format!("offset={},root_owner=0:0", ROOT_START * 512);
    let blocks = format!("{}k", (SIZE_MIB * 2048 - ROOT_START) / 2);
    let tree = work.join("root");
    tool(
        "mke2fs",
        &[
            "-q".as_ref(),
            "-t".as_ref(),
            "ext4".as_ref(),
            "-F".as_ref(),
            "-L".as_ref(),
            "rootfs".as_ref(),
            "-d".as_ref(),
            tree.as_ref(),
            "-E".as_ref(),
            options.as_ref(),
            disk.as_ref(),
            blocks.as_ref(),
        ],
    )
}

/// Writes all but the zeroes, so that the file stays sparse.
fn write_at(disk: &Path, bytes: &[u8], offset: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    const BLOCK: usize = 4096;
    let file = fs::File::options().write(true).open(disk)?;
    let mut at = offset;
    for block in bytes.chunks(BLOCK) {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, at)?;
        }
        at += u64::try_from(block.len())?;
    }
    Ok(())
}
