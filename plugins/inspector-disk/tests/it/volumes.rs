//! Logical volumes, and what is encrypted.

use std::{fs::File, os::unix::fs::FileExt as _};

use imprint_plugin_sdk::inspector::{Family, Presence};

use crate::support::{arg, copy_into, findings, linux, only, run, sparse};

/// A physical volume, written down as LVM does.
fn physical(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(512, b"LABELONE");
    put(532, &32_u32.to_le_bytes());
    put(536, b"LVM2 001");
    put(544, b"abcdefabcdabcdabcdabcdabcdabcdef");
    put(576, &(128_u64 << 20).to_le_bytes());
    put(584, &(1_u64 << 20).to_le_bytes());
    put(616, &4096_u64.to_le_bytes());
    put(624, &(1_u64 << 19).to_le_bytes());
    put(4100, b" LVM2 x[5A%r0N*>");
    put(4136, &512_u64.to_le_bytes());
    put(4144, &u64::try_from(text.len()).unwrap().to_le_bytes());
    put(4608, text.as_bytes());
    bytes
}

const TEXT: &str = r#"rhel {
extent_size = 8192
physical_volumes {
pv0 {
id = "abcdef-abcd-abcd-abcd-abcd-abcd-abcdef"
pe_start = 2048
}
}
logical_volumes {
root {
segment1 {
start_extent = 0
extent_count = 10
type = "striped"
stripe_count = 1
stripes = [
"pv0", 12
]
}
segment2 {
start_extent = 10
extent_count = 6
type = "striped"
stripe_count = 1
stripes = [
"pv0", 0
]
}
}
}
}
"#;

#[test]
fn a_linear_volume_in_two_pieces_is_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let disk = sparse(folder.path().join("disk"), 128 << 20);
    let root = sparse(folder.path().join("root-fs"), 64 << 20);
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", arg(&linux(folder.path())), arg(&root)]);
    let content = std::fs::read(&root).unwrap();
    let (first, second) = content.split_at(40 << 20);
    let part = folder.path().join("part");
    std::fs::write(&part, first).unwrap();
    copy_into(&disk, (1 << 20) + (48 << 20), &part);
    std::fs::write(&part, second).unwrap();
    copy_into(&disk, 1 << 20, &part);
    File::options().write(true).open(&disk).unwrap().write_all_at(&physical(TEXT), 0).unwrap();
    let found = findings(&disk);
    assert_eq!(found.unread, []);
    assert_eq!(only(&found, "lvm2").label.as_deref(), Some("rhel"));
    assert_eq!((only(&found, "ext4").offset, found.system.family), (49 << 20, Family::Linux));
    assert_eq!(found.system.distribution.as_deref(), Some("debian"));
    assert_eq!(found.cloud_init, Presence::Present);
    assert!(found.used_until.unwrap() <= 89 << 20, "{:?}", found.used_until);
}

#[test]
fn an_encrypted_disk_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let disk = sparse(folder.path().join("disk"), 16 << 20);
    let mut head = b"LUKS\xba\xbe\0\x02".to_vec();
    head.resize(208, 0);
    head[24..28].copy_from_slice(b"data");
    head[168..204].copy_from_slice(b"3f2c6c1e-0d6b-4d2f-8c3a-1f0e9d8c7b6a");
    File::options().write(true).open(&disk).unwrap().write_all_at(&head, 0).unwrap();
    let found = findings(&disk);
    let luks = only(&found, "luks");
    assert!(luks.encrypted);
    assert_eq!(luks.uuid.as_deref(), Some("3f2c6c1e-0d6b-4d2f-8c3a-1f0e9d8c7b6a"));
    assert_eq!(found.unread[0].code, "inspect.encrypted");
    assert_eq!([found.cloud_init, found.domain_controller], [Presence::Unknown; 2]);
}
