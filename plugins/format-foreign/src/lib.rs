//! What is uploaded by mistake: files that are no disk image, and images of a kind that is not
//! read.
//!
//! Nothing is read here beyond the marks of a file. [`Foreign::probe`] answers with the precise
//! name of what it recognises, and opening such a file is refused with `unsupported.NAME` and a
//! sentence that says what the file is and what to do with it. A file that carries the marks of two
//! of them is a `polyglot`: no tool would agree with the next about what it is.
//!
//! Not here: formats that have a plugin of their own (their marks are left to them), and the
//! archives with a disk inside that the OVA plugin reads.

mod advice;
mod image;

use imprint_plugin_sdk::{
    error::Result,
    format::{
        Format, Guess, ReadOnly,
        marks::{self, Mark},
    },
    host::Blob,
    types::Props,
};

pub use image::NoImage;

/// Bytes of the head and of the tail that files are recognised by.
const HEAD: u32 = 64 << 10;
const TAIL: u32 = 4 << 10;
/// Surer than a format that only knows its magic; raw answers 1.
const CONFIDENCE: u8 = 90;
/// What carries two marks is called this.
const POLYGLOT: &str = "polyglot";

/// The recognition of foreign files.
pub struct Foreign;

impl Format for Foreign {
    type Image = NoImage;
    type Layout = ReadOnly;

    fn probe(head: &[u8], tail: &[u8], _size: u64) -> Option<Guess> {
        let found = recognise(head, tail);
        let (format, subformat) = match found.as_slice() {
            [] => return None,
            [one] => (one.name().to_owned(), variant(*one, head).map(str::to_owned)),
            several => (POLYGLOT.to_owned(), Some(names(several))),
        };
        Some(Guess { confidence: CONFIDENCE, format, subformat })
    }

    /// Always refused, with a sentence that says what to do.
    fn open(primary: Box<dyn Blob>, _options: &Props) -> Result<NoImage> {
        let head = primary.read_at(0, HEAD)?;
        let tail = primary.read_at(primary.size().saturating_sub(TAIL.into()), TAIL)?;
        Err(advice::refusal(&recognise(&head, &tail), &head))
    }
}

imprint_plugin_sdk::export_format!(Foreign);

/// The marks that no other plugin answers for.
fn recognise(head: &[u8], tail: &[u8]) -> Vec<Mark> {
    let mut found = marks::find(head, tail);
    found.retain(|mark| match mark {
        Mark::Qcow | Mark::Vmdk | Mark::Cowd | Mark::Vhd | Mark::Vhdx | Mark::Vdi => false,
        Mark::Tar => !marks::is_appliance(head),
        Mark::Qed
        | Mark::Parallels
        | Mark::Luks
        | Mark::Dmg
        | Mark::Vma
        | Mark::Iso9660
        | Mark::Udf
        | Mark::Gzip
        | Mark::Xz
        | Mark::Zstd
        | Mark::Bzip2
        | Mark::Zip
        | Mark::SevenZip
        | Mark::Wim => true,
    });
    found
}

/// Variant of a medium: `hybrid` can be started from a stick, too; `bridge` is also UDF.
fn variant(mark: Mark, head: &[u8]) -> Option<&'static str> {
    if mark != Mark::Iso9660 {
        return None;
    }
    match marks::partition_table(head) {
        Some(_) => Some("hybrid"),
        None => marks::is_udf(head).then_some("bridge"),
    }
}

fn names(marks: &[Mark]) -> String {
    marks.iter().map(|mark| mark.name()).collect::<Vec<_>>().join("+")
}
