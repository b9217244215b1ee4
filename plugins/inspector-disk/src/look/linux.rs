//! Linux, by os-release and by the programs that packages install.

use imprint_plugin_sdk::inspector::{Family, System};

use super::Asked;
use crate::bytes::{clean, is_at, le16};

/// The longest os-release that is read.
const MAX_RELEASE: usize = 16 << 10;
/// Files that say which distribution it is. The second one is what the first leads to, for a disk
/// with a file system of its own for `/usr`.
const RELEASE: [&str; 3] = ["/etc/os-release", "/usr/lib/os-release", "/lib/os-release"];
/// Programs of every system, by which its architecture is found.
const PROGRAMS: [&str; 6] =
    ["/usr/bin/env", "/bin/sh", "/sbin/init", "/usr/lib/systemd/systemd", "/bin/busybox", "/bin/bash"];
const CLOUD_INIT: [&str; 4] =
    ["/etc/cloud/cloud.cfg", "/usr/bin/cloud-init", "/usr/local/bin/cloud-init", "/etc/cloud"];
const GUEST_AGENT: [&str; 4] =
    ["/usr/sbin/qemu-ga", "/usr/bin/qemu-ga", "/usr/local/bin/qemu-ga", "/usr/libexec/qemu-ga"];
const SSH: [&str; 5] =
    ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd", "/usr/sbin/dropbear", "/usr/bin/dropbear"];
/// With the system, and in a file system of its own for `/boot`.
const GRUB: [&str; 6] = [
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/grub/grub.cfg",
    "/grub2/grub.cfg",
    "/boot/grub/i386-pc",
    "/boot/grub2/i386-pc",
];
const SYSLINUX: [&str; 9] = [
    "/boot/extlinux/extlinux.conf",
    "/boot/syslinux/syslinux.cfg",
    "/extlinux/extlinux.conf",
    "/extlinux.conf",
    "/boot/extlinux.conf",
    "/syslinux/syslinux.cfg",
    "/syslinux.cfg",
    "/ldlinux.sys",
    "/boot/ldlinux.sys",
];

pub(super) fn look(asked: &mut Asked<'_>) {
    asked.boots("grub", &GRUB);
    asked.boots("syslinux", &SYSLINUX);
    let release = asked.head(&RELEASE, MAX_RELEASE);
    if release.is_none() && !asked.has(&["/etc/fstab", "/sbin/init", "/etc/passwd"]) {
        return;
    }
    let mut system = release.map(|text| read_release(&text)).unwrap_or_default();
    if system.family == Family::Unknown {
        system.family = Family::Linux;
    }
    system.architecture = asked.head(&PROGRAMS, 20).and_then(|head| architecture(&head));
    asked.look.system = Some(system);
    asked.look.cloud_init |= asked.has(&CLOUD_INIT);
    asked.look.guest_agent |= asked.has(&GUEST_AGENT);
    asked.look.ssh_server |= asked.has(&SSH);
}

/// Reads os-release: lines of `KEY=value`, the value perhaps in quotes.
fn read_release(text: &[u8]) -> System {
    let text = String::from_utf8_lossy(text);
    let value = |wanted: &str| {
        let mut values = text.lines().filter_map(|line| line.trim().split_once('='));
        let last = values.rfind(|(key, _)| *key == wanted)?;
        clean(&last.1.trim().trim_matches(['"', '\'']).replace('\\', ""))
    };
    let distribution = value("ID");
    let family = match distribution.as_deref() {
        Some("freebsd" | "openbsd" | "netbsd" | "dragonfly") => Family::Bsd,
        _ => Family::Linux,
    };
    System {
        family,
        distribution,
        version: value("VERSION_ID"),
        name: value("PRETTY_NAME").or_else(|| value("NAME")),
        ..System::default()
    }
}

/// Returns the architecture of a program (ELF), by the first bytes of its file.
fn architecture(head: &[u8]) -> Option<String> {
    if !is_at(head, 0, b"\x7fELF") {
        return None;
    }
    let little = head.get(5) == Some(&1);
    let machine = if little { le16(head, 18) } else { le16(head, 18).swap_bytes() };
    let name = match machine {
        3 => "i686",
        8 => "mips",
        20 => "ppc",
        21 if little => "ppc64le",
        21 => "ppc64",
        22 => "s390x",
        40 => "armv7l",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        258 => "loongarch64",
        _ => return None,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_with_and_without_quotes() {
        let text = b"NAME='Rocky Linux'\nID=\"rocky\"\nVERSION_ID=9.6\n# PRETTY_NAME=no\nPRETTY_NAME=\"Rocky \\\"Linux\\\"\"\n";
        let system = read_release(text);
        assert_eq!(system.distribution.as_deref(), Some("rocky"));
        assert_eq!(system.version.as_deref(), Some("9.6"));
        assert_eq!(system.name.as_deref(), Some("Rocky \"Linux"));
        assert_eq!(read_release(b"\xff\xfe=\n=\n").family, Family::Linux);
    }

    #[test]
    fn an_architecture_is_that_of_a_program() {
        let mut elf = [0; 20];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 183;
        assert_eq!(architecture(&elf).as_deref(), Some("aarch64"));
        assert_eq!(architecture(b"#!/bin/sh\n"), None);
    }
}
