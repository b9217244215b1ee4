//! Importing disks: what may become an image (S75 to S80, S88, S89, D6).
//!
//! A file is looked at as a whole first, so that its owner reads every rule that it breaks, and not
//! one after the other.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Code, Error},
    id::ImageId,
    image::ImageFormat,
    size::ByteSize,
    string_enum::string_enum,
};

string_enum! {
    /// Which files a location imports.
    pub enum ImportProfile {
        /// A disk in any format that is read here, also inside a compressed file.
        Any = "any",
        /// A single file in VHD format and nothing else (S75).
        StrictVhd = "strict_vhd",
    }

    /// A rule that an import can break.
    pub enum ImportRule {
        /// The system inside is Windows, whose licences stay where they are (S80).
        Windows = "import_windows_not_available",
        /// The disk expands to more than the location takes (S77).
        TooLarge = "import_over_160gb",
        /// The disk is not all in one file (S75).
        NotSingleFile = "import_not_single_file",
        /// The location does not take the format of the file (S75, D6).
        Format = "import_format_not_allowed",
        /// The file is the image of an optical disc (S89).
        OpticalDisc = "import_iso_not_allowed",
    }

    /// How the file of an import reaches an agent.
    pub enum ImportKind {
        /// A client sends it.
        Upload = "upload",
        /// The agent reads it from a server.
        Url = "url",
        /// The agent reads it from a storage of the customer's own.
        StorageObject = "storage_object",
        /// The agent reads it from another Imprint, which exports an image for it.
        Imprint = "imprint",
    }

    /// What a file was unpacked from.
    pub enum Packing {
        /// gzip (RFC 1952).
        Gzip = "gzip",
        /// xz.
        Xz = "xz",
        /// Zstandard (RFC 8878).
        Zstd = "zstd",
        /// bzip2.
        Bzip2 = "bzip2",
        /// A tar archive with one disk, in gzip: what Compute Engine exports.
        TarGz = "tar.gz",
    }
}

/// The import of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageImport {
    /// The image.
    pub image_id: ImageId,
    /// How the file came.
    pub source: ImportKind,
    /// Where it came from, without anything secret: the name of the file, the address without
    /// user, query and fragment, or kind, bucket and key of the object.
    pub origin: String,
    /// The size in bytes that was announced; `None` where none was.
    pub announced: Option<ByteSize>,
    /// The file, once it was read.
    pub file: Option<ImportedFile>,
}

/// The file of an import, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedFile {
    /// The size in bytes.
    pub size: ByteSize,
    /// The format, without its packing.
    pub format: ImageFormat,
    /// What it was packed as; `None` for a plain file.
    pub packing: Option<Packing>,
}

/// What a location imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportPolicy {
    /// Whether customers may import here.
    pub enabled: bool,
    /// Which files are taken.
    pub profile: ImportProfile,
    /// The largest disk in bytes, as a guest sees it.
    pub largest_disk: ByteSize,
    /// Whether disks with Windows are taken.
    pub windows: bool,
}

impl ImportPolicy {
    /// The largest disk where nothing else is configured: 160 GiB (S77).
    pub const LARGEST_DISK: ByteSize = match ByteSize::new(160 << 30) {
        Ok(size) => size,
        Err(_) => ByteSize::GIB,
    };

    /// Refuses imports where they are switched off.
    ///
    /// # Errors
    ///
    /// [`Code::ImportDisabled`].
    pub fn require_enabled(&self) -> Result<(), Error> {
        if self.enabled {
            return Ok(());
        }
        Err(Error::new(Code::ImportDisabled, "the provider has not enabled imports for this location"))
    }
}

impl Default for ImportPolicy {
    fn default() -> Self {
        Self { enabled: true, profile: ImportProfile::Any, largest_disk: Self::LARGEST_DISK, windows: false }
    }
}

/// What was found out about a file before anything of it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportFacts {
    /// The format of the file, without its packing.
    pub format: ImageFormat,
    /// What it was unpacked from; `None` for a plain file.
    pub packing: Option<Packing>,
    /// The size of the disk in bytes, as a guest sees it.
    pub virtual_size: ByteSize,
    /// Whether it refers to further files that hold parts of the disk.
    pub is_incomplete: bool,
    /// Whether it is the image of an optical disc.
    pub is_optical: bool,
    /// Whether the system inside is Windows; `None` where that cannot be seen.
    pub windows: Option<bool>,
}

/// A rule that a file breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenRule {
    /// The rule.
    pub rule: ImportRule,
    /// What is wrong, as a sentence.
    pub detail: String,
    /// What its owner does about it, as a sentence.
    pub action: String,
}

impl BrokenRule {
    fn new(rule: ImportRule, detail: impl Into<String>, action: impl Into<String>) -> Self {
        Self { rule, detail: detail.into(), action: action.into() }
    }
}

/// Returns every rule of a location that a file breaks; none for one that may be imported.
pub fn broken_rules(policy: &ImportPolicy, facts: &ImportFacts) -> Vec<BrokenRule> {
    let mut broken = Vec::new();
    let strict = policy.profile == ImportProfile::StrictVhd;
    if facts.is_optical {
        broken.push(BrokenRule::new(
            ImportRule::OpticalDisc,
            "The file is the image of an optical disc, which holds an installer and no installed system.",
            "Install the system from it onto a disk, and import the disk; or ask the provider to offer it as an ISO.",
        ));
    } else if strict && (facts.format != ImageFormat::Vhd || facts.packing.is_some()) {
        let found = match facts.packing {
            Some(packing) => format!("{} inside a {packing} file", facts.format),
            None => facts.format.to_string(),
        };
        broken.push(BrokenRule::new(
            ImportRule::Format,
            format!("The location takes VHD files, and this one is {found}."),
            "Convert it, for example with `imprint disk convert FILE disk.vhd`, and import the result.",
        ));
    }
    if facts.is_incomplete || (strict && facts.format == ImageFormat::Ova) {
        broken.push(BrokenRule::new(
            ImportRule::NotSingleFile,
            "The disk is not all in this file.",
            "Merge its parts, snapshots and parents into one file, for example with `imprint disk convert`, and import that.",
        ));
    }
    if facts.virtual_size > policy.largest_disk {
        broken.push(BrokenRule::new(
            ImportRule::TooLarge,
            format!(
                "The disk expands to {}, and the largest system disk that is imported has {}.",
                facts.virtual_size, policy.largest_disk
            ),
            "Make the file system and the disk smaller where it comes from, and keep data on a further disk.",
        ));
    }
    if facts.windows == Some(true) && !policy.windows {
        broken.push(BrokenRule::new(
            ImportRule::Windows,
            "The disk holds Windows, which cannot be imported here: its licence does not move with it.",
            "Deploy one of the provider's Windows images, and move your data to it.",
        ));
    }
    broken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> ImportFacts {
        ImportFacts {
            format: ImageFormat::Qcow2,
            packing: None,
            virtual_size: ByteSize::GIB,
            is_incomplete: false,
            is_optical: false,
            windows: None,
        }
    }

    fn rules(policy: &ImportPolicy, facts: &ImportFacts) -> Vec<ImportRule> {
        let broken = broken_rules(policy, facts);
        assert!(broken.iter().all(|rule| rule.detail.ends_with('.') && rule.action.ends_with('.')));
        broken.into_iter().map(|broken| broken.rule).collect()
    }

    #[test]
    fn any_disk_is_taken_by_default_but_no_windows_and_none_above_160_gib() {
        let policy = ImportPolicy::default();
        for format in ImageFormat::ALL {
            assert_eq!(rules(&policy, &ImportFacts { format: *format, ..facts() }), []);
        }
        let limit = ByteSize::new(160 << 30).unwrap();
        assert_eq!(rules(&policy, &ImportFacts { virtual_size: limit, ..facts() }), []);
        let above = ByteSize::new((160 << 30) + 512).unwrap();
        assert_eq!(rules(&policy, &ImportFacts { virtual_size: above, ..facts() }), [ImportRule::TooLarge]);
        let windows = ImportFacts { windows: Some(true), ..facts() };
        assert_eq!(rules(&policy, &windows), [ImportRule::Windows]);
        assert_eq!(rules(&ImportPolicy { windows: true, ..policy }, &windows), []);
    }

    #[test]
    fn strict_locations_take_a_single_vhd_file() {
        let strict = ImportPolicy { profile: ImportProfile::StrictVhd, ..ImportPolicy::default() };
        let vhd = ImportFacts { format: ImageFormat::Vhd, ..facts() };
        assert_eq!(rules(&strict, &vhd), []);
        assert_eq!(rules(&strict, &facts()), [ImportRule::Format]);
        let packed = ImportFacts { packing: Some(Packing::Gzip), ..vhd };
        assert_eq!(rules(&strict, &packed), [ImportRule::Format]);
        let differencing = ImportFacts { is_incomplete: true, ..vhd };
        assert_eq!(rules(&strict, &differencing), [ImportRule::NotSingleFile]);
    }

    #[test]
    fn every_broken_rule_is_named() {
        let strict = ImportPolicy { profile: ImportProfile::StrictVhd, ..ImportPolicy::default() };
        let facts = ImportFacts {
            virtual_size: ByteSize::new(161 << 30).unwrap(),
            is_incomplete: true,
            windows: Some(true),
            ..facts()
        };
        let all = [ImportRule::Format, ImportRule::NotSingleFile, ImportRule::TooLarge, ImportRule::Windows];
        assert_eq!(rules(&strict, &facts), all);
        let disc = ImportFacts { is_optical: true, format: ImageFormat::Raw, ..facts };
        assert!(rules(&strict, &disc).contains(&ImportRule::OpticalDisc));
    }

    proptest! {
        /// Whatever the location allows more, no further rule is broken.
        #[test]
        fn allowing_more_breaks_no_rule(size in 1_u64..1 << 40, windows: bool, optical: bool, strict: bool) {
            let facts = ImportFacts {
                virtual_size: ByteSize::new(size).unwrap(),
                windows: Some(windows),
                is_optical: optical,
                ..facts()
            };
            let profile = if strict { ImportProfile::StrictVhd } else { ImportProfile::Any };
            let policy = ImportPolicy { profile, ..ImportPolicy::default() };
            let larger = ImportPolicy {
                windows: true,
                largest_disk: ByteSize::new(1 << 41).unwrap(),
                ..policy
            };
            let (before, after) = (rules(&policy, &facts), rules(&larger, &facts));
            prop_assert!(after.iter().all(|rule| before.contains(rule)));
        }
    }
}
