//! Linux, in each of the file systems that it is installed in.

use std::{fmt::Write as _, fs, path::Path};

use imprint_plugin_sdk::inspector::{Family, Findings, Presence, Scheme};

use crate::support::{arg, findings, linux, only, run, sparse};

/// What every disk with the small Linux has to be found to have.
fn is_debian(found: &Findings) {
    assert_eq!(found.unread, []);
    assert_eq!(found.system.family, Family::Linux);
    assert_eq!(found.system.distribution.as_deref(), Some("debian"));
    assert_eq!(found.system.version.as_deref(), Some("13"));
    assert_eq!(found.system.name.as_deref(), Some("Debian GNU/Linux 13 (trixie)"));
    assert_eq!(found.system.architecture.as_deref(), Some("x86_64"));
    assert_eq!(found.cloud_init, Presence::Present);
    assert_eq!(found.guest_agent, Presence::Present);
    assert_eq!(found.ssh_server, Presence::Present);
    assert_eq!(found.domain_controller, Presence::Absent);
    assert_eq!(found.boot_loaders, ["grub"]);
    assert_eq!(found.scheme, Scheme::None);
}

#[test]
fn ext2_ext3_and_ext4_are_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let root = linux(folder.path());
    for (kind, more) in [
        ("ext2", &["-b", "1024"][..]),
        ("ext3", &[]),
        ("ext4", &[]),
        ("ext4", &["-O", "^64bit,^metadata_csum", "-b", "1024"]),
    ] {
        let disk = sparse(folder.path().join("disk"), 96 << 20);
        let id = "0c8e1d0f-7f5c-4a3e-9d6a-2b1c3d4e5f60";
        let args = ["-q", "-F", "-t", kind, "-L", "cloudimg-rootfs", "-U", id, "-d", arg(&root)];
        run("mke2fs", &[&args, more, &[arg(&disk)]].concat());
        let found = findings(&disk);
        is_debian(&found);
        let ext = only(&found, kind);
        assert_eq!((ext.label.as_deref(), ext.uuid.as_deref()), (Some("cloudimg-rootfs"), Some(id)));
        assert_eq!(ext.size, Some(96 << 20));
        let (used, until) = (ext.used.unwrap(), ext.used_until.unwrap());
        assert!(
            used > 0 && used < 64 << 20 && used <= until && until <= 96 << 20,
            "{kind}: {used} to {until}"
        );
        assert_eq!(found.used_until, Some(until));
    }
}

/// The end of what is in use is found by the bitmap of the last group: nothing behind it matters to
/// the system's own check.
#[test]
fn what_is_behind_the_last_used_byte_can_be_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let disk = sparse(folder.path().join("disk"), 600 << 20);
    run(
        "mke2fs",
        &["-q", "-F", "-t", "ext4", "-O", "^resize_inode", "-d", arg(&linux(folder.path())), arg(&disk)],
    );
    let before = findings(&disk);
    let until = before.used_until.unwrap();
    assert!(until < 600 << 20, "{until}");
    let file = fs::File::options().write(true).open(&disk).unwrap();
    file.set_len(until).unwrap();
    file.set_len(600 << 20).unwrap();
    run("e2fsck", &["-f", "-n", arg(&disk)]);
    assert_eq!(findings(&disk), before);
}

#[test]
fn a_system_without_the_packages_has_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = linux(folder.path());
    for gone in ["etc/cloud", "usr/sbin", "boot"] {
        fs::remove_dir_all(root.join(gone)).unwrap();
    }
    let disk = sparse(folder.path().join("disk"), 64 << 20);
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", arg(&root), arg(&disk)]);
    let found = findings(&disk);
    assert_eq!([found.cloud_init, found.guest_agent, found.ssh_server], [Presence::Absent; 3]);
    assert!(found.boot_loaders.is_empty());
    assert_eq!(found.system.distribution.as_deref(), Some("debian"));
}

/// A description of a folder for `mkfs.xfs`.
fn prototype(root: &Path) -> String {
    fn describe(folder: &Path, text: &mut String) {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names {
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                writeln!(text, "{name} l--777 0 0 {}", target.display()).unwrap();
            } else if path.is_dir() {
                writeln!(text, "{name} d--755 0 0").unwrap();
                describe(&path, text);
                text.push_str("$\n");
            } else {
                writeln!(text, "{name} ---644 0 0 {}", path.display()).unwrap();
            }
        }
    }
    let mut text = "/\n0 0\nd--755 0 0\n".to_owned();
    describe(root, &mut text);
    text.push_str("$\n");
    text
}

/// Folders of each form: in the inode, of one block, and of several with an index.
#[test]
fn xfs_is_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let root = linux(folder.path());
    for name in 0..60 {
        fs::write(root.join(format!("etc/file-with-a-rather-long-name-{name}")), "").unwrap();
    }
    for name in 0..1500 {
        fs::write(root.join(format!("usr/sbin/a-program-with-a-rather-long-name-{name}")), "").unwrap();
    }
    let description = folder.path().join("prototype");
    fs::write(&description, prototype(&root)).unwrap();
    for more in [&["-m", "crc=1"][..], &["-m", "crc=0"], &["-n", "size=8192"]] {
        let disk = sparse(folder.path().join("disk"), 512 << 20);
        let args = ["-q", "-f", "-L", "xfsroot", "-p", arg(&description)];
        run("mkfs.xfs", &[&args, more, &[arg(&disk)]].concat());
        let found = findings(&disk);
        is_debian(&found);
        let xfs = only(&found, "xfs");
        assert_eq!((xfs.label.as_deref(), xfs.size), (Some("xfsroot"), Some(512 << 20)));
        let (used, until) = (xfs.used.unwrap(), xfs.used_until.unwrap());
        assert!(used > 1 << 20 && used < 512 << 20 && used <= until, "{more:?}: {used} to {until}");
        assert!(until < 512 << 20, "the end of the last group is free: {until}");
    }
}

/// Its files are not read: what is installed is not known, and the findings say so.
#[test]
fn btrfs_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let disk = sparse(folder.path().join("disk"), 256 << 20);
    run("mkfs.btrfs", &["-q", "-f", "-L", "fedora", "--rootdir", arg(&linux(folder.path())), arg(&disk)]);
    let found = findings(&disk);
    let btrfs = only(&found, "btrfs");
    assert_eq!((btrfs.label.as_deref(), btrfs.size), (Some("fedora"), Some(256 << 20)));
    assert!(btrfs.used.unwrap() > 0);
    assert_eq!(found.cloud_init, Presence::Unknown);
    let [unread] = &found.unread[..] else { panic!("{found:#?}") };
    assert_eq!((unread.what.as_str(), unread.code.as_str()), ("btrfs", "inspect.unsupported"));
}
