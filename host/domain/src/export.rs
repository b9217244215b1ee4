//! Exports: the disk of an image as a file of a chosen format, to take away (S90, S91). An export
//! is made once and kept for a while. It is no image: it counts against the room of its storage,
//! and not against the limits of its account.

use crate::{
    checked_text::checked_text,
    digest::{LogicalDigest, StoredDigest},
    error::{Code, Error},
    id::{AccountId, ExportId, ImageId, LocationId, StorageId, TaskId},
    image::{Compression, ImageFormat},
    location::Location,
    plugin_kind::StorageKind,
    size::ByteSize,
    string_enum::string_enum,
    time::Timestamp,
    transition::IllegalTransition,
};

string_enum! {
    /// The status of an export.
    pub enum ExportStatus {
        /// Its file is being written.
        Creating = "creating",
        /// Its file is complete.
        Available = "available",
        /// Its file could not be written; the task says why.
        Error = "error",
        /// Its file is being removed.
        Deleting = "deleting",
    }

    /// The variant of a VHD.
    pub enum DiskVariant {
        /// Only blocks with data are stored.
        Dynamic = "dynamic",
        /// All blocks are stored, as Azure requires it.
        Fixed = "fixed",
    }
}

/// The kinds of storages that an export may be written to which its owner names. Others have
/// folders of the machine, which are not the owner's.
pub const DESTINATION_KINDS: [&str; 2] = ["s3", "swift"];

/// The room that a file may need beyond its data, in bytes: headers and tables of an empty disk.
const FILE_OVERHEAD: u64 = 32 << 20;

/// What an export's file is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExportForm {
    /// The format of the file.
    pub format: ImageFormat,
    /// The variant of a VHD; `None` for other formats.
    pub variant: Option<DiskVariant>,
    /// The encoding of the clusters of a qcow2 file; `None` for other formats.
    pub compression: Option<Compression>,
}

impl ExportForm {
    /// Checks the options of a format, and fills in those that are not given: a dynamic VHD, and
    /// zlib, which every reader of qcow2 knows.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for an option that the format does not have.
    pub fn new(
        format: ImageFormat,
        variant: Option<DiskVariant>,
        compression: Option<Compression>,
    ) -> Result<Self, Error> {
        let form = match format {
            ImageFormat::Vhd => {
                Self { format, variant: Some(variant.unwrap_or(DiskVariant::Dynamic)), compression: None }
            }
            ImageFormat::Qcow2 => {
                Self { format, variant: None, compression: Some(compression.unwrap_or(Compression::Zlib)) }
            }
            ImageFormat::Raw
            | ImageFormat::Vhdx
            | ImageFormat::Vmdk
            | ImageFormat::Vdi
            | ImageFormat::Ova => Self { format, variant: None, compression: None },
        };
        let refused = |option: &str, of: &str| {
            let detail = format!("only {of} files have the option `{option}`; leave it out");
            Err(Error::new(Code::InvalidRequest, detail).at(format!("/options/{option}")))
        };
        if variant.is_some() && form.variant.is_none() {
            return refused("variant", "vhd");
        }
        if compression.is_some() && form.compression.is_none() {
            return refused("compression", "qcow2");
        }
        Ok(form)
    }

    /// Returns the most bytes that the file of a disk of that size has. What of the disk is empty
    /// is not known before it is read.
    pub fn largest(self, disk: ByteSize) -> ByteSize {
        let tables = match self.format {
            ImageFormat::Raw => 0,
            // Units that cannot be compressed fill sectors of their own.
            ImageFormat::Vmdk | ImageFormat::Ova => disk.bytes() / 64,
            ImageFormat::Qcow2 | ImageFormat::Vhd | ImageFormat::Vhdx | ImageFormat::Vdi => {
                disk.bytes() / 256
            }
        };
        let bytes = disk.bytes().saturating_add(tables).saturating_add(FILE_OVERHEAD);
        ByteSize::new(bytes).unwrap_or(disk)
    }

    /// Returns the media type of the file.
    pub const fn media_type(self) -> &'static str {
        match self.format {
            ImageFormat::Raw => "application/octet-stream",
            ImageFormat::Qcow2 => "application/x-qemu-disk",
            ImageFormat::Vhd => "application/x-vhd-disk",
            ImageFormat::Vhdx => "application/x-vhdx-disk",
            ImageFormat::Vmdk => "application/x-vmdk-disk",
            ImageFormat::Vdi => "application/x-vdi-disk",
            ImageFormat::Ova => "application/ovf",
        }
    }

    /// Returns the name of the file of an image with that name.
    pub fn file_name(self, image: &str) -> String {
        let ending = if self.format == ImageFormat::Raw { "img" } else { self.format.as_str() };
        format!("{image}.{ending}")
    }
}

/// The properties of an export's bytes once they are stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredExport {
    /// The size of the file in bytes.
    pub size: ByteSize,
    /// The digest of the file.
    pub digest: StoredDigest,
    /// The SHA-256 of the file, for programs that do not know the product's digests.
    pub sha256: Sha256,
}

checked_text! {
    check_sha256, InvalidSha256;

    /// A SHA-256, in 64 lower-case hexadecimal digits.
    Sha256;
}

/// The text is not a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 has 64 lower-case hexadecimal digits")]
pub struct InvalidSha256;

fn check_sha256(text: &str) -> Result<(), InvalidSha256> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if digits && text.len() == 64 { Ok(()) } else { Err(InvalidSha256) }
}

/// Where the file of an export is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportPlace {
    /// In a storage of the product, to be downloaded.
    Storage(StorageId),
    /// In a storage of its owner, of that kind.
    Destination(StorageKind),
}

/// An export of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The export's id.
    pub id: ExportId,
    /// The account that owns it: the image's, or that of the admin who exports a stock image.
    pub account_id: AccountId,
    /// The image.
    pub image_id: ImageId,
    /// The location of the image.
    pub location_id: LocationId,
    /// Where its file is.
    pub place: ExportPlace,
    /// The key of the file there.
    pub key: String,
    /// What the file is like.
    pub form: ExportForm,
    /// The status.
    pub status: ExportStatus,
    /// The properties of the file; `None` until it is complete.
    pub stored: Option<StoredExport>,
    /// The size in bytes of the disk.
    pub virtual_size: ByteSize,
    /// The digest of the disk: that of the image.
    pub logical_digest: LogicalDigest,
    /// The last task that worked on it.
    pub task_id: TaskId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its file was complete.
    pub available_at: Option<Timestamp>,
    /// When it is removed.
    pub expires_at: Timestamp,
}

impl Export {
    /// Takes over that the file is complete, and is kept until a time.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] unless it is being created.
    pub fn publish(
        &mut self,
        stored: StoredExport,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), IllegalTransition> {
        self.transition(ExportStatus::Available)?;
        self.stored = Some(stored);
        (self.available_at, self.expires_at) = (Some(now), until);
        Ok(())
    }

    /// Takes over that the file could not be written.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] unless it is being created.
    pub fn fail(&mut self) -> Result<(), IllegalTransition> {
        self.transition(ExportStatus::Error)
    }

    /// Begins the removal of the file by a task.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] while it is being created, and when it is being removed already.
    pub fn remove(&mut self, task_id: TaskId) -> Result<(), IllegalTransition> {
        self.transition(ExportStatus::Deleting)?;
        self.task_id = task_id;
        Ok(())
    }

    /// Returns whether its file can be downloaded.
    pub fn is_available(&self, now: Timestamp) -> bool {
        self.status == ExportStatus::Available && now < self.expires_at
    }

    fn transition(&mut self, to: ExportStatus) -> Result<(), IllegalTransition> {
        let legal = match (self.status, to) {
            (ExportStatus::Creating, ExportStatus::Available | ExportStatus::Error)
            | (ExportStatus::Available | ExportStatus::Error, ExportStatus::Deleting) => true,
            (
                ExportStatus::Creating
                | ExportStatus::Available
                | ExportStatus::Error
                | ExportStatus::Deleting,
                _,
            ) => false,
        };
        if !legal {
            return Err(IllegalTransition { noun: "export", from: self.status.as_str(), to: to.as_str() });
        }
        self.status = to;
        Ok(())
    }
}

/// Refuses exports where the provider has not enabled them. The operator's own stock images are
/// not bound to the switch of a location.
///
/// # Errors
///
/// [`Code::ExportDisabled`].
pub fn require_export(location: &Location) -> Result<(), Error> {
    if location.export_enabled {
        return Ok(());
    }
    Err(Error::new(
        Code::ExportDisabled,
        "the provider has not enabled the export of images for this location",
    ))
}

/// Refuses another export where an account has as many in progress as it may have.
///
/// # Errors
///
/// [`Code::ExportLimitReached`] with the limit.
pub fn require_turn(creating: u64, limit: u32) -> Result<(), Error> {
    if creating < u64::from(limit) {
        return Ok(());
    }
    let detail =
        format!("{limit} exports of the account are in progress; wait until one is over, or cancel it");
    Err(Error::new(Code::ExportLimitReached, detail).with("limit", limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_own_options() {
        let form = |format, variant, compression| ExportForm::new(format, variant, compression);
        let vhd = form(ImageFormat::Vhd, None, None).unwrap();
        assert_eq!((vhd.variant, vhd.compression), (Some(DiskVariant::Dynamic), None));
        let qcow2 = form(ImageFormat::Qcow2, None, None).unwrap();
        assert_eq!((qcow2.variant, qcow2.compression), (None, Some(Compression::Zlib)));
        for &format in ImageFormat::ALL {
            let variant = form(format, Some(DiskVariant::Fixed), None);
            assert_eq!(variant.is_ok(), format == ImageFormat::Vhd, "{format}");
            let compression = form(format, None, Some(Compression::None));
            assert_eq!(compression.is_ok(), format == ImageFormat::Qcow2, "{format}");
            let Err(error) = form(format, Some(DiskVariant::Fixed), Some(Compression::None)) else {
                panic!("no format has both")
            };
            assert!(error.pointer.is_some_and(|pointer| pointer.starts_with("/options/")));
        }
    }

    #[test]
    fn the_bound_of_a_file_is_above_its_disk() {
        let disk = ByteSize::new(200 << 30).unwrap();
        for &format in ImageFormat::ALL {
            let largest = ExportForm::new(format, None, None).unwrap().largest(disk);
            assert!(largest > disk && largest.bytes() < disk.bytes() / 100 * 103, "{format}");
        }
    }

    #[test]
    fn a_file_is_called_like_its_image() {
        let name = |format| ExportForm::new(format, None, None).unwrap().file_name("web 1");
        assert_eq!(name(ImageFormat::Vhdx), "web 1.vhdx");
        assert_eq!(name(ImageFormat::Raw), "web 1.img");
    }

    #[test]
    fn a_sha256_has_one_spelling() {
        assert!("0a".repeat(32).parse::<Sha256>().is_ok());
        for wrong in [String::new(), "0A".repeat(32), "0a".repeat(31), "0g".repeat(32)] {
            assert_eq!(wrong.parse::<Sha256>(), Err(InvalidSha256), "{wrong}");
        }
    }

    #[test]
    fn exports_at_once_are_limited() {
        assert!(require_turn(1, 2).is_ok());
        assert_eq!(require_turn(2, 2).unwrap_err().code, Code::ExportLimitReached);
    }
}
