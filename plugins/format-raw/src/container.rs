//! The marks of disk containers, and of what a raw disk may well hold.

/// A container that a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// qcow, any version.
    Qcow,
    /// QEMU enhanced disk.
    Qed,
    /// VMDK: sparse, `COWD`, or a descriptor in text.
    Vmdk,
    /// VHD; a fixed one has its mark in the last sector only.
    Vhd,
    /// VHDX.
    Vhdx,
    /// VDI.
    Vdi,
    /// Parallels.
    Parallels,
    /// A LUKS volume: encrypted, and a container for those who open it.
    Luks,
}

impl Container {
    /// For people, and as a fact.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Qcow => "qcow2",
            Self::Qed => "qed",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Parallels => "parallels",
            Self::Luks => "luks",
        }
    }
}

/// Marks by their place in the file.
const MARKS: [(usize, &[u8], Container); 13] = [
    (0, b"QFI\xfb", Container::Qcow),
    (0, b"QED\0", Container::Qed),
    (0, b"KDMV", Container::Vmdk),
    (0, b"COWD", Container::Vmdk),
    (0, b"\xbe\xba\xfe\xca\0\0\0\0", Container::Vmdk),
    (0, b"conectix", Container::Vhd),
    (0, b"vhdxfile", Container::Vhdx),
    (64, b"\x7f\x10\xda\xbe", Container::Vdi),
    (0, b"WithoutFreeSpace", Container::Parallels),
    (0, b"WithouFreSpacExt", Container::Parallels),
    (0, b"LUKS\xba\xbe", Container::Luks),
    (0, b"SKUL\xba\xbe", Container::Luks),
    (0x4000, b"SKUL\xba\xbe", Container::Luks),
];

/// How far into the file the text of a VMDK descriptor may begin with comments.
const DESCRIPTOR: &[u8] = b"# disk descriptorfile";
/// Length of a VHD footer; old ones lack the last byte.
const VHD_FOOTERS: [usize; 2] = [512, 511];

/// What the first and last bytes of a file say that it is.
pub(crate) fn find(head: &[u8], tail: &[u8]) -> Option<Container> {
    let marked = MARKS
        .iter()
        .find(|(at, mark, _)| starts_with_at(head, *at, mark))
        .map(|(_, _, container)| *container);
    marked
        .or_else(|| is_vmdk_text(head).then_some(Container::Vmdk))
        .or_else(|| has_vhd_footer(tail).then_some(Container::Vhd))
}

/// What a raw disk holds, as far as the first bytes tell. Several may be true at once.
pub(crate) fn contents(head: &[u8]) -> Vec<&'static str> {
    let mut found = Vec::new();
    if starts_with_at(head, 512, b"EFI PART") || starts_with_at(head, 4096, b"EFI PART") {
        found.push("gpt");
    } else if starts_with_at(head, 510, b"\x55\xaa") && !is_fat(head) {
        found.push("mbr");
    }
    let marks: [(usize, &[u8], &'static str); 7] = [
        (0x438, b"\x53\xef", "ext"),
        (3, b"NTFS    ", "ntfs"),
        (0, b"XFSB", "xfs"),
        (32769, b"CD001", "iso9660"),
        (0, b"\x1f\x8b", "gzip"),
        (0, b"\xfd7zXZ\0", "xz"),
        (0, b"\x28\xb5\x2f\xfd", "zstd"),
    ];
    found.extend(
        marks.iter().filter(|(at, mark, _)| starts_with_at(head, *at, mark)).map(|(_, _, name)| *name),
    );
    found
}

/// A FAT boot sector ends like a partition table and is none.
fn is_fat(head: &[u8]) -> bool {
    head.get(0x10) == Some(&2) && head.get(0x15) == Some(&0xf8)
}

fn is_vmdk_text(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    text.get(..DESCRIPTOR.len()).is_some_and(|start| start.eq_ignore_ascii_case(DESCRIPTOR))
}

fn has_vhd_footer(tail: &[u8]) -> bool {
    VHD_FOOTERS
        .iter()
        .filter_map(|length| tail.len().checked_sub(*length))
        .any(|at| starts_with_at(tail, at, b"conectix"))
}

fn starts_with_at(bytes: &[u8], at: usize, mark: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(mark))
}
