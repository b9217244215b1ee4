//! What a file is, in words, and what its owner does next.

use imprint_plugin_sdk::{
    error::Error,
    format::marks::{self, Mark},
};

use crate::{names, variant};

/// The refusal of a file with these marks.
pub(crate) fn refusal(found: &[Mark], head: &[u8]) -> Error {
    match found {
        [] => Error::unsupported(
            "unsupported.format",
            "this is nothing that is recognised here; declare the format that it has",
        ),
        [one] => Error::unsupported(&format!("unsupported.{}", one.name()), sentence(*one, head)),
        several => Error::denied(
            "denied.ambiguous-content",
            format!(
                "this file is {} at once, which only a forged file is; fetch it again from where it was made",
                names(several).replace('+', " and ")
            ),
        ),
    }
}

fn sentence(mark: Mark, head: &[u8]) -> String {
    if mark == Mark::Iso9660 {
        return iso(head);
    }
    let (what, next) = match mark {
        Mark::Udf => {
            ("a UDF disc image", "upload it as an ISO: it is a medium to start from and no disk to convert")
        }
        Mark::Qed => (
            "a QED image, a format that QEMU gave up",
            "convert it first: qemu-img convert -f qed -O qcow2 FILE NEW.qcow2",
        ),
        Mark::Parallels => {
            ("a Parallels image", "convert it first: qemu-img convert -f parallels -O qcow2 FILE NEW.qcow2")
        }
        Mark::Luks => (
            "a LUKS volume, which is encrypted",
            "take it as it is with --from raw --allow-luks, or open it with cryptsetup and read the device behind it",
        ),
        Mark::Dmg => {
            ("an Apple disk image", "convert it first: qemu-img convert -f dmg -O qcow2 FILE NEW.qcow2")
        }
        Mark::Vma => ("a backup archive of Proxmox VE", "unpack it first: vma extract FILE FOLDER"),
        Mark::Gzip => ("a gzip stream", "decompress it first: gunzip FILE"),
        Mark::Xz => ("an xz stream", "decompress it first: unxz FILE"),
        Mark::Zstd => ("a zstd stream", "decompress it first: unzstd FILE"),
        Mark::Bzip2 => ("a bzip2 stream", "decompress it first: bunzip2 FILE"),
        Mark::Zip => ("a zip archive", "unpack it first, and take the disk image that is in it: unzip FILE"),
        Mark::SevenZip => {
            ("a 7-Zip archive", "unpack it first, and take the disk image that is in it: 7z x FILE")
        }
        Mark::Tar => (
            "a tar archive without an OVF description",
            "unpack it first, and take the disk image that is in it: tar -xf FILE",
        ),
        Mark::Wim => {
            ("a Windows image (WIM): files, not a disk", "apply it to a disk first: wimapply FILE TARGET")
        }
        Mark::Iso9660 | Mark::Qcow | Mark::Vmdk | Mark::Cowd | Mark::Vhd | Mark::Vhdx | Mark::Vdi => {
            ("an image that another plugin reads", "declare its format")
        }
    };
    format!("this is {what}; {next}")
}

/// With the size that the medium says it has (ECMA-119 8.4.8 and 8.4.12: blocks at 80, their length
/// at 128, little endian).
fn iso(head: &[u8]) -> String {
    let kind = match variant(Mark::Iso9660, head) {
        Some("hybrid") => " that can also be started from a stick (hybrid)",
        Some(_) => " that is also a UDF disc",
        None => "",
    };
    let volume = head.get(marks::VOLUME..).unwrap_or_default();
    let blocks = volume.get(80..84).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    let block = volume.get(128..130).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes);
    let size = match u64::from(blocks) * u64::from(block) {
        0 => String::new(),
        bytes => format!(" of {} MiB", bytes.div_ceil(1 << 20)),
    };
    let disk = if variant(Mark::Iso9660, head) == Some("hybrid") {
        "; as the disk that it is on a stick, declare it: --from raw"
    } else {
        ""
    };
    format!(
        "this is an ISO image{size}{kind}; upload it as an ISO: it is a medium to start from and no disk to convert{disk}"
    )
}
