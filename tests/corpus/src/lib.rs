//! Hostile and broken disk images, made by code: what no reader of images may be led astray by.
//!
//! Every case is one upload: what its owner declares, the files, and what has to come of it.
//! Nothing here is a recorded file: each case is a valid image, made from the format's
//! specification, that is spoilt in one place, so that the place is what is tested. Files are
//! sparse: a case that claims tebibytes costs what its tables cost.
//!
//! Not here: how an image is checked. The whole-product test runs the real binary over all of them,
//! the tests of the format plugins use the builders, and the fuzz targets begin with the files.

#![expect(clippy::too_many_lines, reason = "tables of cases, one after the other")]

pub mod archive;
mod bytes;
mod fields;
pub mod foreign;
pub mod inside;
mod odd;
pub mod ova;
pub mod qcow2;
pub mod raw;
pub mod streams;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;

use std::{fs, io, path::Path};

pub use bytes::Bytes;

/// What has to come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Refused, with a code that begins with one of these.
    Refused(&'static [&'static str]),
    /// Read, within all bounds.
    ReadSafely,
    /// A field has an odd value that may or may not matter: a refusal with a code, or read within
    /// all bounds.
    Either,
}

/// What is at a path.
#[derive(Clone, Debug)]
pub enum Content {
    /// A regular file.
    File(Bytes),
    /// A symbolic link.
    Link(String),
    /// A named pipe without a writer.
    Fifo,
    /// A folder.
    Folder,
}

/// One upload.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique: the number in the design's list, or the format with a word.
    pub id: String,
    /// What is wrong with it.
    pub what: String,
    /// What its owner declares.
    pub format: &'static str,
    /// Name and content; the first is the image.
    pub files: Vec<(String, Content)>,
    /// What has to come of it.
    pub expected: Expected,
    /// What qemu-img 10 does with it, where that was observed.
    pub qemu: &'static str,
}

/// What images name, so that an access to it is noticed.
#[derive(Clone, Debug)]
pub struct Bait {
    /// The absolute path of a file that must not be opened.
    pub file: String,
    /// A port of this machine that must not be connected to.
    pub port: u16,
}

impl Default for Bait {
    fn default() -> Self {
        Self { file: "/canary/secret.bin".to_owned(), port: 9 }
    }
}

impl Case {
    /// A case of one regular file.
    pub fn new(id: &str, what: &str, format: &'static str, image: Bytes, expected: Expected) -> Self {
        let files = vec![(format!("{id}.{format}"), Content::File(image))];
        Self { id: id.to_owned(), what: what.to_owned(), format, files, expected, qemu: "" }
    }

    /// With what qemu-img does.
    #[must_use]
    pub fn qemu(mut self, does: &'static str) -> Self {
        self.qemu = does;
        self
    }

    /// Writes the files into a folder; answers the path of the image.
    pub fn write(&self, dir: &Path) -> io::Result<std::path::PathBuf> {
        for (name, content) in &self.files {
            let path = dir.join(name);
            match content {
                Content::File(bytes) => bytes.write(&path)?,
                Content::Link(target) => std::os::unix::fs::symlink(target, &path)?,
                Content::Fifo => make_fifo(&path)?,
                Content::Folder => fs::create_dir(&path)?,
            }
        }
        Ok(dir.join(&self.files[0].0))
    }
}

fn make_fifo(path: &Path) -> io::Result<()> {
    let made = std::process::Command::new("mkfifo").arg(path).status()?;
    if made.success() { Ok(()) } else { Err(io::Error::other("mkfifo failed")) }
}

/// Every case.
pub fn all(bait: &Bait) -> Vec<Case> {
    [
        qcow2::cases(bait),
        raw::cases(bait),
        vhd::cases(bait),
        vhdx::cases(bait),
        vmdk::cases(bait),
        vdi::cases(bait),
        ova::cases(bait),
        foreign::cases(),
        odd::cases(),
    ]
    .concat()
}

/// The valid images that the cases are made from, by format: seeds for fuzzing.
pub fn valid() -> Vec<(&'static str, &'static str, Bytes)> {
    vec![
        ("qcow2", "plain", qcow2::Forge::new().into()),
        ("qcow2", "deflate", qcow2::compressed(&[(0, streams::deflate_run(0x5a, 65536))], 0)),
        ("vhd", "dynamic", vhd::Dynamic::new().seal()),
        ("vhd", "fixed", vhd::fixed(1 << 20)),
        ("vhdx", "dynamic", vhdx::Forge::new().seal()),
        ("vmdk", "sparse", vmdk::sparse()),
        ("vmdk", "stream", vmdk::Stream::new().finish()),
        ("vdi", "dynamic", vdi::dynamic()),
        ("ova", "one-disk", ova::valid()),
        ("raw", "mbr", raw::with_table()),
        ("foreign", "iso", foreign::iso()),
    ]
}

/// The table of all cases, in Markdown.
pub fn table() -> String {
    let mut text = String::from(
        "# Hostile images\n\n\
         Every image below is made by code (`tests/corpus`) and given to the real binary by `tests/it/corpus.rs`, which checks the\n\
         answer, the time, the memory, and that nothing but the image is opened. This table is generated from the same code:\n\
         `cargo xtask generate` rewrites it.\n\n\
         *Refused* means exit status 3 with a code that begins as shown; *read* means within all bounds, and what is read is what the\n\
         format says; *either* is a field with an odd value that may or may not matter. The last column is what qemu-img 10 does,\n\
         where that was observed.\n\n\
         | case | declared | what | expected | qemu-img |\n|---|---|---|---|---|\n",
    );
    for case in all(&Bait::default()) {
        let expected = match case.expected {
            Expected::Refused(codes) => {
                codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(" or ")
            }
            Expected::ReadSafely => "read".to_owned(),
            Expected::Either => "either".to_owned(),
        };
        let what = case.what.replace('|', "\\|");
        text.push_str(&format!("| {} | {} | {what} | {expected} | {} |\n", case.id, case.format, case.qemu));
    }
    text.push_str(&archive_table());
    text.push_str(&inside_table());
    text
}

/// The table of archives with disks, in Markdown.
fn archive_table() -> String {
    let mut text = String::from(
        "\n## Archives\n\n\
         The files below are archives as Compute Engine has them, `disk.raw` in tar in gzip. An import takes or refuses each as a\n\
         whole (`tests/it/archives.rs`, `host/data-path/src/unpack/tests.rs`).\n\n\
         | case | what | expected |\n|---|---|---|\n",
    );
    for case in archive::cases() {
        let expected = match case.outcome {
            archive::Outcome::Read => "read",
            archive::Outcome::Refused(_) | archive::Outcome::NotRecognised => "refused",
        };
        text.push_str(&format!("| archive-{} | {} | {expected} |\n", case.id, case.what));
    }
    text
}

/// The table of disks with hostile insides, in Markdown.
fn inside_table() -> String {
    let mut text = String::from(
        "\n## Hostile insides\n\n\
         The disks below are valid raw images. What is in them is hostile to a program that looks inside: the shipped inspector is given\n\
         each of them in its sandbox (`host/plugin-runtime/tests/it/inspector.rs`) and natively (`plugins/inspector-disk/tests`), within\n\
         2 s of processor time and 64 MiB. *Reported* means that the look succeeds, and that what could not be read has a code that\n\
         begins as shown; *bounded* means that it succeeds, and that there is nothing that has to be reported.\n\n\
         | case | what | expected |\n|---|---|---|\n",
    );
    for case in inside::cases() {
        let expected = match case.expected {
            inside::Look::Reported(codes) => {
                let codes: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
                format!("reported: {}", codes.join(" or "))
            }
            inside::Look::Bounded => "bounded".to_owned(),
        };
        text.push_str(&format!("| {} | {} | {expected} |\n", case.id, case.what));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_enough_and_each_has_its_name() {
        let cases = all(&Bait::default());
        assert!(cases.len() >= 200, "{} cases", cases.len());
        let ids: BTreeSet<_> = cases.iter().map(|case| &case.id).collect();
        assert_eq!(ids.len(), cases.len(), "two cases share a name");
        let files: BTreeSet<_> =
            cases.iter().flat_map(|case| case.files.iter().map(|(name, _)| name)).collect();
        assert_eq!(files.len(), cases.iter().map(|case| case.files.len()).sum::<usize>(), "two share a file");
    }

    #[test]
    fn files_cost_what_their_tables_cost() {
        let written: usize = all(&Bait::default())
            .iter()
            .flat_map(|case| &case.files)
            .map(|(_, content)| if let Content::File(bytes) = content { bytes.written() } else { 0 })
            .sum();
        assert!(written < 200 << 20, "{written} bytes");
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/HOSTILE-IMAGES.md");
        let table = table();
        if std::env::var_os("IMPRINT_GENERATE").is_some() {
            fs::write(&path, &table).unwrap();
        }
        let documented = fs::read_to_string(&path).unwrap_or_default();
        assert!(documented == table, "docs/HOSTILE-IMAGES.md is stale; run `cargo xtask generate`");
    }
}
