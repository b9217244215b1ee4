//! The files and disks of a description.

use imprint_plugin_sdk::format::FormatError;

use crate::{
    name::{clip, decoded},
    xml,
};

/// The most files and disks that are read.
const MAX_LISTED: usize = 256;

/// A file that the description names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) id: String,
    pub(crate) href: String,
    pub(crate) compressed: bool,
    pub(crate) chunked: bool,
}

/// A disk with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) id: String,
    pub(crate) file: String,
    pub(crate) format: Option<String>,
    pub(crate) has_parent: bool,
    /// What oVirt says about the disk, `COW` or `RAW`.
    pub(crate) volume: Option<String>,
}

/// A description, as far as disks go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ovf {
    pub(crate) files: Vec<File>,
    pub(crate) disks: Vec<Disk>,
}

impl Ovf {
    /// Parses the text.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let (text, _) = decoded(bytes);
        let mut ovf = Self::default();
        let mut is_envelope = false;
        xml::read(&text, |element| {
            let text = |name: &str| element.attribute(name).map(str::to_owned);
            match (element.parent, element.name.as_str()) {
                (None, "Envelope") => is_envelope = true,
                (Some("References"), "File") => ovf.files.push(File {
                    id: text("id").unwrap_or_default(),
                    href: text("href").ok_or_else(|| {
                        FormatError::Header("a file of the description has no href".to_owned())
                    })?,
                    compressed: text("compression").is_some_and(|how| !how.is_empty() && how != "identity"),
                    chunked: text("chunkSize").is_some_and(|size| !size.is_empty()),
                }),
                (Some("DiskSection"), "Disk") => ovf.disks.extend(text("fileRef").map(|file| Disk {
                    id: text("diskId").unwrap_or_default(),
                    file,
                    format: text("format"),
                    // oVirt writes an empty one.
                    has_parent: text("parentRef").is_some_and(|parent| !parent.is_empty()),
                    volume: text("volume-format"),
                })),
                (Some(_) | None, _) => {}
            }
            if ovf.files.len().max(ovf.disks.len()) > MAX_LISTED {
                return Err(FormatError::TableSize(format!(
                    "the description lists more than {MAX_LISTED} files or disks"
                )));
            }
            Ok(())
        })?;
        if !is_envelope {
            return Err(FormatError::Header("the description (.ovf) is no OVF envelope".to_owned()));
        }
        Ok(ovf)
    }

    /// The one file with this id.
    pub(crate) fn file(&self, id: &str) -> Result<&File, FormatError> {
        let mut found = self.files.iter().filter(|file| file.id == id);
        match (found.next(), found.next()) {
            (Some(file), None) => Ok(file),
            (Some(_), Some(_)) => Err(FormatError::Header(format!("two files have the id {:?}", clip(id)))),
            (None, _) => {
                Err(FormatError::Header(format!("a disk is in the file {:?}, which is not listed", clip(id))))
            }
        }
    }
}

impl Disk {
    /// The product's name of the disk's format, by the name of its file and by what the description
    /// says; the two must agree. The latter is a URI of a specification.
    pub(crate) fn contains(&self, name: &str) -> Result<&'static str, FormatError> {
        let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let by_name = match ending.as_str() {
            "vmdk" => Some("vmdk"),
            "vhd" => Some("vhd"),
            "vhdx" => Some("vhdx"),
            "qcow2" | "qcow" => Some("qcow2"),
            "raw" | "img" => Some("raw"),
            "vdi" => Some("vdi"),
            "gz" | "bz2" | "xz" | "zst" => {
                return Err(FormatError::Feature(format!(
                    "the disk {name:?} is compressed as a whole; unpack it and describe it as what it is"
                )));
            }
            _ => None,
        };
        match (by_name, self.described()) {
            (Some(one), Some(other)) if one != other => {
                Err(FormatError::Header(format!("the disk {name:?} is described as {other}")))
            }
            (Some(format), _) | (None, Some(format)) => Ok(format),
            (None, None) => Err(FormatError::Feature(format!(
                "the format of the disk {name:?} is not known; name it with the ending of its format"
            ))),
        }
    }

    fn described(&self) -> Option<&'static str> {
        match self.volume.as_deref() {
            Some("COW") => return Some("qcow2"),
            Some("RAW") => return Some("raw"),
            Some(_) | None => {}
        }
        let uri = self.format.as_deref().unwrap_or_default().to_ascii_lowercase();
        let known = [("vmdk", "vmdk"), ("vhdx", "vhdx"), ("vhd", "vhd"), ("qcow", "qcow2"), ("vdi", "vdi")];
        // Microsoft's page about VHD has only a number.
        let page = uri.contains("bb676673").then_some("vhd");
        known.iter().find(|(mark, _)| uri.contains(mark)).map(|(_, format)| *format).or(page)
    }
}
