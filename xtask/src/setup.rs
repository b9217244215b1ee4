//! What the machine needs, and how it gets it: the wasm target through rustup, programs as Debian
//! packages.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::sh;

/// What the machine is set up for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Build and run the demo.
    Demo,
    /// Also run all tests.
    Tests,
    /// Measure against the field's tools.
    Bench,
}

/// A thing that must be there, and the Debian package that brings it.
struct Need {
    /// A program's name, or an absolute path.
    thing: &'static str,
    package: &'static str,
}

const fn need(thing: &'static str, package: &'static str) -> Need {
    Need { thing, package }
}

/// The lowest QEMU that live capture is tested with; Debian 12 has it in its backports suite only.
const QEMU_MAJOR: u32 = 10;

const DEMO: &[Need] = &[
    need("cc", "build-essential"),
    need("qemu-system-x86_64", "qemu-system-x86"),
    need("qemu-img", "qemu-utils"),
    need("/usr/share/seabios/bios-256k.bin", "seabios"),
    need("mke2fs", "e2fsprogs"),
    need("sfdisk", "fdisk"),
    need("mkfs.fat", "dosfstools"),
    need("mcopy", "mtools"),
    need("syslinux", "syslinux"),
    need("/usr/lib/syslinux/mbr/mbr.bin", "syslinux-common"),
    need("cpio", "cpio"),
    need("npm", "npm"),
    // ISA-L, the fast encoder of deflate, is assembled with the rest.
    need("nasm", "nasm"),
    need("autoconf", "autoconf"),
    need("automake", "automake"),
    need("libtoolize", "libtool"),
];

const TESTS: &[Need] = &[
    need("qemu-nbd", "qemu-utils"),
    need("e2fsck", "e2fsprogs"),
    need("mkfs.xfs", "xfsprogs"),
    // File systems that are looked into: their programs make them, and nothing is mounted.
    need("mkfs.btrfs", "btrfs-progs"),
    need("mkntfs", "ntfs-3g"),
    need("wimapply", "wimtools"),
    need("mount", "mount"),
    need("isoinfo", "genisoimage"),
    need("sqlite3", "sqlite3"),
    // Shows a server another time than that of the machine.
    need("faketime", "faketime"),
    // The oracle of signatures.
    need("openssl", "openssl"),
    need("vhdimount", "libvhdi-utils"),
    need("chromium-headless-shell", "chromium-headless-shell"),
    need("runuser", "util-linux"),
    need("strace", "strace"),
    need("/usr/bin/time", "time"),
    need("swift-proxy-server", "swift-proxy"),
    need("swift-account-server", "swift-account"),
    need("swift-container-server", "swift-container"),
    need("swift-object-server", "swift-object"),
    need("memcached", "memcached"),
    // The programs of Keystone, without the package that configures a server of it.
    need("/usr/bin/keystone-manage", "python3-keystone"),
    need("/usr/lib/python3/dist-packages/keystonemiddleware", "python3-keystonemiddleware"),
    // An NFS server in a network namespace. Its packages start nothing: no service is enabled where
    // there is no init system, and the tests use none.
    need("ganesha.nfsd", "nfs-ganesha-vfs"),
    need("rpcbind", "rpcbind"),
    need("ip", "iproute2"),
    // The client that reaches a guest.
    need("ssh", "openssh-client"),
    // A folder that can be made to hang.
    need("bindfs", "bindfs"),
];

const BENCH: &[Need] = &[
    need("qemu-nbd", "qemu-utils"),
    need("nbdcopy", "libnbd-bin"),
    need("mkfs.xfs", "xfsprogs"),
    need("pigz", "pigz"),
    need("fio", "fio"),
    need("nfs-cp", "libnfs-utils"),
    need("aws", "awscli"),
    need("swift", "python3-swiftclient"),
    need("curl", "curl"),
];

/// Installs what is missing. Without root it prints the one command that an administrator has to
/// run.
pub(crate) fn setup(purpose: Purpose) -> Result<()> {
    wasm_target()?;
    packages(purpose)?;
    node()?;
    if purpose == Purpose::Tests {
        cargo_command("nextest", Build::Optimised)?;
        for command in ["fuzz", "deny", "machete"] {
            cargo_command(command, Build::Quick)?;
        }
        s3_server()?;
    }
    Ok(())
}

/// How a tool is built when it is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Build {
    /// It runs for long: the minutes of its own build pay.
    Optimised,
    /// It runs for a second: building it takes a quarter of the time without optimisation.
    Quick,
}

/// A subcommand of cargo, from the registry.
fn cargo_command(name: &str, build: Build) -> Result<()> {
    if sh::cargo().args([name, "--version"]).output().is_ok_and(|o| !o.status.success()) {
        sh::say(&format!("installing cargo-{name}"));
        let mut install = sh::cargo();
        install.args(["install", "--locked", &format!("cargo-{name}")]);
        if build == Build::Quick {
            install.arg("--debug");
        }
        sh::run(&mut install)?;
    }
    Ok(())
}

/// An S3 server for the tests (Apache-2.0), of the last version that this Rust compiles.
fn s3_server() -> Result<()> {
    const VERSION: &str = "0.14.1";
    if sh::which("s3s-fs").is_some() {
        return Ok(());
    }
    sh::say("installing s3s-fs");
    let mut install = sh::cargo();
    install.args(["install", "--locked", "--debug", "s3s-fs", "--version", VERSION, "--features", "binary"]);
    sh::run(&mut install)
}

fn wasm_target() -> Result<()> {
    const TARGET: &str = "wasm32-wasip2";
    let libdir = sh::output(
        Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(sh::root()),
    )
    .context("rustc is missing; install Rust with rustup first")?;
    if Path::new(libdir.trim()).is_dir() {
        return Ok(());
    }
    sh::say("adding the wasm target");
    sh::run(&mut sh::cmd("rustup", ["target", "add", TARGET]))
        .context("without rustup, install the toolchain's standard library for wasm32-wasip2 by hand")
}

fn is_there(thing: &str) -> bool {
    if thing.starts_with('/') { Path::new(thing).exists() } else { sh::which(thing).is_some() }
}

fn packages(purpose: Purpose) -> Result<()> {
    let mut missing: Vec<&str> = DEMO
        .iter()
        .chain(match purpose {
            Purpose::Demo => &[],
            Purpose::Tests => TESTS,
            Purpose::Bench => BENCH,
        })
        .filter(|need| !is_there(need.thing))
        .map(|need| need.package)
        .collect();
    if purpose == Purpose::Tests && postgres_bin().is_none() {
        missing.push("postgresql");
    }
    if missing.is_empty() && qemu_major().is_none_or(|major| major >= QEMU_MAJOR) {
        return Ok(());
    }
    // One suite for all of QEMU: its packages refuse to be mixed.
    if qemu_major().is_none_or(|major| major < QEMU_MAJOR) {
        missing.extend(["qemu-system-x86", "qemu-utils"]);
    }
    missing.sort_unstable();
    missing.dedup();
    let backports = backports()?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    if let Some(backports) = &backports {
        install.extend(["-t", backports.suite.as_str()]);
    }
    install.extend(&missing);
    if !is_root() {
        let add = backports.as_ref().filter(|b| !b.known).map_or_else(String::new, |b| {
            format!("printf '%s' '{}' > {BACKPORTS_FILE} && ", b.source.replace('\'', ""))
        });
        bail!(
            "Debian packages are missing; run this once:\n  sudo sh -c \"{add}apt-get update && apt-get {}\"",
            install.join(" ")
        );
    }
    sh::say(&format!("installing Debian packages: {}", missing.join(" ")));
    if let Some(backports) = backports.as_ref().filter(|b| !b.known) {
        fs::write(BACKPORTS_FILE, &backports.source).context("the backports suite could not be added")?;
    }
    sh::quiet(apt().arg("update")).context("apt-get update failed")?;
    sh::quiet(apt().args(install)).context("apt-get install failed")
}

fn apt() -> Command {
    let mut command = sh::cmd("apt-get", ["-q"]);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    sh::output(&mut sh::cmd("id", ["-u"])).is_ok_and(|id| id.trim() == "0")
}

fn qemu_major() -> Option<u32> {
    let text = sh::output(&mut sh::cmd("qemu-system-x86_64", ["--version"])).ok()?;
    text.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok())
}

const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/imprint-backports.sources";

struct Backports {
    suite: String,
    /// The whole deb822 stanza.
    source: String,
    /// Apt knows the suite already.
    known: bool,
}

/// Debian 12 needs its backports suite for QEMU 10, from the mirror that apt already uses; later
/// releases do not.
fn backports() -> Result<Option<Backports>> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or_default()
        .trim_matches('"');
    if codename != "bookworm" {
        return Ok(None);
    }
    let suite = format!("{codename}-backports");
    let mut mirror = None;
    let mut known = false;
    for source in apt_sources()? {
        known |= source.suites.contains(&suite);
        if source.suites.iter().any(|s| s == codename) {
            mirror.get_or_insert(source);
        }
    }
    let mirror = mirror.context("apt has no source for this Debian release; add one first")?;
    let signed = mirror.signed_by.map_or_else(String::new, |key| format!("Signed-By: {key}\n"));
    let source = format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n{signed}", mirror.uri);
    Ok(Some(Backports { suite, source, known }))
}

struct AptSource {
    uri: String,
    suites: Vec<String>,
    signed_by: Option<String>,
}

/// Both spellings of apt's sources: deb822 stanzas and one-line entries.
fn apt_sources() -> Result<Vec<AptSource>> {
    let mut files = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let text = fs::read_to_string(file)?;
        if file.extension().is_some_and(|e| e == "sources") {
            sources.extend(text.split("\n\n").filter_map(deb822));
        } else {
            sources.extend(text.lines().filter_map(one_line));
        }
    }
    Ok(sources)
}

fn deb822(stanza: &str) -> Option<AptSource> {
    let field = |name: &str| {
        stanza.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    Some(AptSource {
        uri: field("URIs:")?.split_whitespace().next()?.to_owned(),
        suites: field("Suites:")?.split_whitespace().map(str::to_owned).collect(),
        signed_by: field("Signed-By:"),
    })
}

fn one_line(line: &str) -> Option<AptSource> {
    let rest = line.trim().strip_prefix("deb ")?.trim();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    Some(AptSource { uri: words.next()?.to_owned(), suites: vec![words.next()?.to_owned()], signed_by: None })
}

/// The lowest Node that the panel's build accepts.
const NODE: (u32, u32) = (20, 19);

fn node() -> Result<()> {
    let version = sh::output(&mut sh::cmd("node", ["--version"])).context("Node.js is missing")?;
    let mut parts =
        version.trim().trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found < NODE {
        bail!(
            "the panel's build needs Node.js {}.{} or newer, this is {}; install a newer one",
            NODE.0,
            NODE.1,
            version.trim()
        );
    }
    Ok(())
}

/// The folder that holds PostgreSQL's server programs.
fn postgres_bin() -> Option<std::path::PathBuf> {
    if let Some(initdb) = sh::which("initdb") {
        return initdb.parent().map(Path::to_path_buf);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_sources_are_read_in_both_spellings() {
        let stanza = "# comment\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nSigned-By: /k.gpg";
        let source = deb822(stanza).map(|s| (s.uri, s.suites.len(), s.signed_by));
        assert_eq!(source, Some(("http://mirror.example/debian".into(), 2, Some("/k.gpg".into()))));
        let line = one_line("deb [arch=amd64 signed-by=/k] http://mirror.example/debian bookworm main")
            .map(|s| (s.uri, s.suites));
        assert_eq!(line, Some(("http://mirror.example/debian".into(), vec!["bookworm".into()])));
        assert!(one_line("# deb http://x y").is_none());
    }
}
