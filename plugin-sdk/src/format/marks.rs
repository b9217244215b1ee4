//! The marks by which files are distinguished: disk containers, wrappers and file systems.
//!
//! One table for all plugins, so that what one refuses as foreign another can name. A mark says
//! what a file CLAIMS to be; a file may carry several, and one that carries two containers' marks
//! is an attack on readers that look at only one of them.

/// What a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sort {
    /// A disk image of some kind: a reader that believes the mark reads another disk than the bytes
    /// of the file.
    Container,
    /// Something around other files: compressed or packed.
    Wrapper,
    /// A file system or medium that a disk may hold from its first byte on: its bytes are the disk.
    Medium,
}

/// One thing that a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// qcow, any version.
    Qcow,
    /// QEMU enhanced disk.
    Qed,
    /// VMDK: sparse, seSparse, or a descriptor in text.
    Vmdk,
    /// The sparse VMDK of old ESX hosts.
    Cowd,
    /// VHD; a fixed one has its mark at the end only.
    Vhd,
    /// VHDX.
    Vhdx,
    /// VDI.
    Vdi,
    /// Parallels.
    Parallels,
    /// A LUKS volume: encrypted, and a container for those who open it.
    Luks,
    /// Apple's disk image, by its trailer.
    Dmg,
    /// Proxmox' backup archive.
    Vma,
    /// ISO 9660.
    Iso9660,
    /// UDF without ISO 9660.
    Udf,
    /// gzip (RFC 1952).
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878), also one that begins with a skippable frame.
    Zstd,
    /// bzip2.
    Bzip2,
    /// zip.
    Zip,
    /// 7-Zip.
    SevenZip,
    /// tar with the mark of POSIX or GNU.
    Tar,
    /// Windows Imaging.
    Wim,
}

impl Mark {
    /// The format's name in the product.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qcow => "qcow2",
            Self::Qed => "qed",
            Self::Vmdk => "vmdk",
            Self::Cowd => "cowd",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Parallels => "parallels",
            Self::Luks => "luks",
            Self::Dmg => "dmg",
            Self::Vma => "vma",
            Self::Iso9660 => "iso9660",
            Self::Udf => "udf",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Zip => "zip",
            Self::SevenZip => "7z",
            Self::Tar => "tar",
            Self::Wim => "wim",
        }
    }

    /// What it stands for.
    pub fn sort(self) -> Sort {
        match self {
            Self::Qcow
            | Self::Qed
            | Self::Vmdk
            | Self::Cowd
            | Self::Vhd
            | Self::Vhdx
            | Self::Vdi
            | Self::Parallels
            | Self::Luks
            | Self::Dmg
            | Self::Vma => Sort::Container,
            Self::Iso9660 | Self::Udf => Sort::Medium,
            Self::Gzip
            | Self::Xz
            | Self::Zstd
            | Self::Bzip2
            | Self::Zip
            | Self::SevenZip
            | Self::Tar
            | Self::Wim => Sort::Wrapper,
        }
    }
}

/// Marks by their place in the file.
const FIXED: [(usize, &[u8], Mark); 21] = [
    (0, b"QFI\xfb", Mark::Qcow),
    (0, b"QED\0", Mark::Qed),
    (0, b"KDMV", Mark::Vmdk),
    (0, b"\xbe\xba\xfe\xca\0\0\0\0", Mark::Vmdk),
    (0, b"COWD", Mark::Cowd),
    (0, b"conectix", Mark::Vhd),
    (0, b"vhdxfile", Mark::Vhdx),
    (64, b"\x7f\x10\xda\xbe", Mark::Vdi),
    (0, b"WithoutFreeSpace", Mark::Parallels),
    (0, b"WithouFreSpacExt", Mark::Parallels),
    (0, b"LUKS\xba\xbe", Mark::Luks),
    (0, b"SKUL\xba\xbe", Mark::Luks),
    (0x4000, b"SKUL\xba\xbe", Mark::Luks),
    (0, b"VMA\0\0\0\0\x01", Mark::Vma),
    (32769, b"CD001", Mark::Iso9660),
    (0, b"\xfd7zXZ\0", Mark::Xz),
    (0, b"PK\x03\x04", Mark::Zip),
    (0, b"7z\xbc\xaf\x27\x1c", Mark::SevenZip),
    (257, b"ustar\x0000", Mark::Tar),
    (257, b"ustar  \0", Mark::Tar),
    (0, b"MSWIM\0\0\0", Mark::Wim),
];

/// The comment with which the text of a VMDK descriptor begins, without its blanks, in any case.
const DESCRIPTOR: &[u8] = b"diskdescriptorfile";
/// Bytes in which a descriptor shows what it is.
pub const DESCRIPTOR_START: usize = 4096;
/// What a descriptor without that comment begins with.
const DESCRIPTOR_KEYS: [&[u8]; 5] = [b"version", b"encoding", b"cid", b"parentcid", b"createtype"];
/// A block of a tar, and the fields of a header in it (POSIX.1-1988, ustar).
const TAR_BLOCK: usize = 512;
const TAR_NAME: usize = 100;
const TAR_SIZE: std::ops::Range<usize> = 124..136;
const TAR_TYPE: usize = 156;
/// Headers that are looked at for the first file of a tar.
const MAX_HEADERS: usize = 8;
/// Length of a VHD footer; old ones lack the last byte.
const VHD_FOOTERS: [usize; 2] = [512, 511];
/// Length of the trailer of an Apple disk image.
const KOLY: usize = 512;
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Where the descriptors of a volume begin, of 2 KiB each (ECMA-119 6.2.1; ECMA-167 part 2, 8).
pub const VOLUME: usize = 32768;
const DESCRIPTOR_LENGTH: usize = 2048;
/// Bytes of a descriptor's type and identifier (ECMA-167 part 2, 9.1): `NSR` is at 1.
const IDENTIFIER: usize = 1;

/// Everything that the first 64 KiB and the last bytes of a file say that it is, each once.
pub fn find(head: &[u8], tail: &[u8]) -> Vec<Mark> {
    let fixed = FIXED.iter().filter(|(at, mark, _)| starts_with_at(head, *at, mark)).map(|(.., mark)| *mark);
    let mut found: Vec<Mark> = fixed.collect();
    let also: [(bool, Mark); 7] = [
        (is_vmdk_text(head), Mark::Vmdk),
        (has_vhd_footer(tail), Mark::Vhd),
        (has_koly(tail), Mark::Dmg),
        (is_gzip(head), Mark::Gzip),
        (is_zstd(head), Mark::Zstd),
        (is_bzip2(head), Mark::Bzip2),
        (is_udf(head), Mark::Udf),
    ];
    found.extend(also.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark));
    if found.contains(&Mark::Dmg) {
        // The trailer comes after the compressed runs, which may well be the first bytes of the
        // file.
        found.retain(|mark| mark.sort() != Sort::Wrapper);
    }
    if found.contains(&Mark::Iso9660) {
        // A bridge disc is both by design.
        found.retain(|mark| *mark != Mark::Udf);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a disk begins with a partition table: `gpt` or `mbr`.
pub fn partition_table(head: &[u8]) -> Option<&'static str> {
    if starts_with_at(head, 512, b"EFI PART") || starts_with_at(head, 4096, b"EFI PART") {
        return Some("gpt");
    }
    // A FAT boot sector ends like a partition table and is none.
    let is_fat = head.get(0x10) == Some(&2) && head.get(0x15) == Some(&0xf8);
    (starts_with_at(head, 510, b"\x55\xaa") && !is_fat).then_some("mbr")
}

/// The descriptor of UDF among those of a volume, also of a bridge disc.
pub fn is_udf(head: &[u8]) -> bool {
    let descriptors = head.get(VOLUME..).unwrap_or_default().chunks_exact(DESCRIPTOR_LENGTH);
    descriptors.into_iter().any(|descriptor| {
        starts_with_at(descriptor, IDENTIFIER, b"NSR02") || starts_with_at(descriptor, IDENTIFIER, b"NSR03")
    })
}

/// RFC 1952: the magic, the one method that there is, and no reserved flag.
fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(b"\x1f\x8b\x08") && head.get(3).is_some_and(|flags| flags & 0xe0 == 0)
}

/// RFC 8878: a frame, or a skippable one (3.1.2) with a frame behind it.
fn is_zstd(head: &[u8]) -> bool {
    if head.starts_with(ZSTD) {
        return true;
    }
    let skippable =
        head.first().is_some_and(|first| first & 0xf0 == 0x50) && starts_with_at(head, 1, b"\x2a\x4d\x18");
    let length = head.get(4..8).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_le_bytes);
    let behind = length.and_then(|length| usize::try_from(length).ok()?.checked_add(8));
    skippable && behind.is_some_and(|at| starts_with_at(head, at, ZSTD))
}

/// The magic, the block size, and the magic of a block or of the end.
fn is_bzip2(head: &[u8]) -> bool {
    head.starts_with(b"BZh")
        && head.get(3).is_some_and(|level| (b'1'..=b'9').contains(level))
        && (starts_with_at(head, 4, b"\x31\x41\x59\x26\x53\x59")
            || starts_with_at(head, 4, b"\x17\x72\x45\x38\x50\x90"))
}

/// Whether a file is the descriptor of a VMDK: text whose first comments say so, as VMware writes
/// them, or whose first lines are those of one, as several converters do.
pub fn is_vmdk_text(head: &[u8]) -> bool {
    let start = head.get(..DESCRIPTOR_START).unwrap_or(head);
    let start = start.split(|byte| *byte == 0).next().unwrap_or_default();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let mut keys = Vec::new();
    for line in start.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii) {
        if let Some(comment) = line.strip_prefix(b"#") {
            let words: Vec<u8> =
                comment.iter().filter(|byte| byte.is_ascii_alphanumeric()).copied().collect();
            if keys.is_empty() && words.eq_ignore_ascii_case(DESCRIPTOR) {
                return true;
            }
        } else if let Some(at) = line.iter().position(|byte| *byte == b'=') {
            keys.push(line[..at].trim_ascii().to_ascii_lowercase());
        } else if !line.is_empty() && keys.is_empty() {
            return false;
        }
    }
    let has = |wanted: &[u8]| keys.iter().any(|key| key == wanted);
    let begins = keys.first().is_some_and(|first| DESCRIPTOR_KEYS.iter().any(|key| first == key));
    begins && has(b"createtype") && (has(b"cid") || has(b"version"))
}

/// Whether a tar begins as appliances do: with an OVF description, which comes first (DSP0243,
/// 5.3), its manifest, or a disk, as far as the headers are in the first bytes. Records, long names
/// and folders may precede it (POSIX.1-2001, pax; GNU tar).
pub fn is_appliance(head: &[u8]) -> bool {
    if !starts_with_at(head, 257, b"ustar") {
        return false;
    }
    let mut at = 0_usize;
    let mut name: Option<&[u8]> = None;
    for _ in 0..MAX_HEADERS {
        let Some(header) = head.get(at..).and_then(|rest| rest.get(..TAR_BLOCK)) else { return false };
        let digits = header[TAR_SIZE].iter().filter(|byte| byte.is_ascii_digit());
        let size =
            digits.fold(0_usize, |size, byte| size.saturating_mul(8).saturating_add(usize::from(byte & 7)));
        let data = at + TAR_BLOCK;
        let content = head.get(data..).map_or(&[][..], |rest| rest.get(..size).unwrap_or(rest));
        match header[TAR_TYPE] {
            b'L' => name = content.split(|byte| *byte == 0).next(),
            b'x' => name = recorded_path(content).or(name),
            b'g' | b'K' | b'5' => {}
            _ => {
                let own = header[..TAR_NAME].split(|byte| *byte == 0).next().unwrap_or_default();
                let is_file = matches!(header[TAR_TYPE], b'0' | 0);
                let lower = name.take().unwrap_or(own).to_ascii_lowercase();
                let last = lower.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                let ends = |endings: &[&[u8]]| endings.iter().any(|ending| last.ends_with(ending));
                if is_file
                    && ends(&[b".ovf", b".mf", b".cert", b".vmdk", b".vhd", b".vhdx", b".vdi", b".qcow2"])
                    && !last.starts_with(b"._")
                {
                    return true;
                }
                // What macOS adds is no file of the archive.
                if !last.starts_with(b"._") {
                    return false;
                }
            }
        }
        let next = size.checked_next_multiple_of(TAR_BLOCK).and_then(|size| data.checked_add(size));
        let Some(next) = next else { return false };
        at = next;
    }
    false
}

/// Returns the name in extended records: `LENGTH path=NAME\n`.
fn recorded_path(records: &[u8]) -> Option<&[u8]> {
    let lines = records.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.splitn(2, |byte| *byte == b' ').nth(1)?.strip_prefix(b"path=")).next_back()
}

fn has_vhd_footer(tail: &[u8]) -> bool {
    VHD_FOOTERS
        .iter()
        .filter_map(|length| tail.len().checked_sub(*length))
        .any(|at| starts_with_at(tail, at, b"conectix"))
}

/// `koly`, version 4, and its own length (as macOS writes it; there is no public specification).
fn has_koly(tail: &[u8]) -> bool {
    tail.len().checked_sub(KOLY).is_some_and(|at| starts_with_at(tail, at, b"koly\0\0\0\x04\0\0\x02\0"))
}

fn starts_with_at(bytes: &[u8], at: usize, mark: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(mark))
}

#[cfg(test)]
mod tests;
