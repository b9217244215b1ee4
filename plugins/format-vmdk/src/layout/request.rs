//! What is asked for, checked, and the header and descriptor that follow from it.

use imprint_plugin_sdk::format::{CreateRequest, FormatError, wire::to_u64};

use super::grains::{ENTRIES, GRAIN, SPAN};
use crate::{
    header::{
        DEFLATE, FLAG_COMPRESSED, FLAG_MARKERS, FLAG_NEWLINE, FLAG_REDUNDANT, MAGIC, MAX_DISK, NEWLINES,
    },
    sector::SECTOR,
};

/// Sectors that are set aside for the descriptor, behind the header, as other writers do.
const DESCRIPTOR_SECTORS: u64 = 20;
const ADAPTERS: [&str; 4] = ["lsilogic", "buslogic", "ide", "legacyESX"];

/// The variants that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subformat {
    StreamOptimized,
    MonolithicSparse,
}

impl Subformat {
    fn name(self) -> &'static str {
        match self {
            Self::StreamOptimized => "streamOptimized",
            Self::MonolithicSparse => "monolithicSparse",
        }
    }
}

/// A new image.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) virtual_size: u64,
    pub(super) subformat: Subformat,
    adapter: &'static str,
}

impl Geometry {
    pub(super) fn new(request: &CreateRequest) -> Result<Self, FormatError> {
        let virtual_size = request.virtual_size;
        if virtual_size == 0 || !virtual_size.is_multiple_of(SECTOR) {
            return Err(FormatError::Request(format!(
                "the disk size of {virtual_size} bytes is no multiple of {SECTOR}, at least one; round it up"
            )));
        }
        if virtual_size > MAX_DISK {
            return Err(FormatError::VirtualSize(format!(
                "a VMDK has at most {MAX_DISK} bytes, and the disk has {virtual_size}"
            )));
        }
        if request.parent.is_some() {
            return Err(FormatError::Unsupported(
                "this writer makes images without a parent; flatten the chain".to_owned(),
            ));
        }
        let mut compress = "none";
        let mut adapter = ADAPTERS[0];
        for (key, value) in &request.options {
            match key.as_str() {
                "compress" => compress = value,
                "adapter-type" => adapter = self::adapter(value)?,
                other => {
                    return Err(FormatError::Unsupported(format!(
                        "there is no option `{other}` for vmdk; there are `compress` and `adapter-type`"
                    )));
                }
            }
        }
        let subformat = subformat(request.subformat.as_deref(), compress)?;
        Ok(Self { virtual_size, subformat, adapter })
    }

    /// Entries of the grain directory.
    pub(super) fn tables(&self) -> u64 {
        self.virtual_size.div_ceil(SPAN)
    }

    /// Sectors of the grain directory.
    pub(super) fn directory_sectors(&self) -> u64 {
        (self.tables() * 4).div_ceil(SECTOR)
    }

    /// The first sector behind header and descriptor.
    pub(super) fn tables_start() -> u64 {
        1 + DESCRIPTOR_SECTORS
    }

    /// A header. `directories` are the sectors of the redundant and of the used directory.
    pub(super) fn header(&self, directories: (u64, u64), overhead: u64) -> Vec<u8> {
        let (version, flags, compression): (u32, u32, u16) = match self.subformat {
            Subformat::StreamOptimized => (3, FLAG_NEWLINE | FLAG_COMPRESSED | FLAG_MARKERS, DEFLATE),
            Subformat::MonolithicSparse => (1, FLAG_NEWLINE | FLAG_REDUNDANT, 0),
        };
        let mut bytes = Vec::with_capacity(512);
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend(version.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend((self.virtual_size / SECTOR).to_le_bytes());
        bytes.extend((GRAIN / SECTOR).to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(DESCRIPTOR_SECTORS.to_le_bytes());
        bytes.extend(u32::try_from(ENTRIES).expect("512").to_le_bytes());
        bytes.extend(directories.0.to_le_bytes());
        bytes.extend(directories.1.to_le_bytes());
        bytes.extend(overhead.to_le_bytes());
        bytes.push(0);
        bytes.extend(NEWLINES);
        bytes.extend(compression.to_le_bytes());
        bytes.resize(512, 0);
        bytes
    }

    /// The descriptor, filled up with zeroes to its sectors. The extent's name is no file's: the
    /// data is in the same file.
    pub(super) fn descriptor(&self) -> Vec<u8> {
        let sectors = self.virtual_size / SECTOR;
        let (heads, most): (u64, u64) = if self.adapter == "ide" { (16, 16383) } else { (255, u64::MAX) };
        let cylinders = (sectors / (heads * 63)).clamp(1, most);
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID={cid:08x}\nparentCID=ffffffff\ncreateType=\"{kind}\"\n\n\
             # Extent description\nRW {sectors} SPARSE \"disk.vmdk\"\n\n\
             # The Disk Data Base\n#DDB\n\n\
             ddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"{heads}\"\n\
             ddb.geometry.sectors = \"63\"\nddb.adapterType = \"{adapter}\"\n",
            cid = self.cid(),
            kind = self.subformat.name(),
            adapter = self.adapter,
        );
        let mut bytes = text.into_bytes();
        let place = usize::try_from(DESCRIPTOR_SECTORS * SECTOR).expect("10 KiB");
        debug_assert!(bytes.len() <= place, "{} bytes", to_u64(bytes.len()));
        bytes.resize(place, 0);
        bytes
    }

    /// A content id that depends on nothing but the request (FNV-1a). The values with a meaning are
    /// avoided.
    fn cid(&self) -> u32 {
        let seed = format!("{} {} {}", self.subformat.name(), self.virtual_size, self.adapter);
        let hash = seed
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash & 0x7fff_ffff | 1
    }
}

fn subformat(asked: Option<&str>, compress: &str) -> Result<Subformat, FormatError> {
    let zlib = match compress {
        "none" => false,
        "zlib" => true,
        other => {
            return Err(FormatError::Unsupported(format!(
                "`compress` is `none` or `zlib` for vmdk, not {other:?}"
            )));
        }
    };
    match asked {
        Some("streamOptimized") => Ok(Subformat::StreamOptimized),
        Some("monolithicSparse") if !zlib => Ok(Subformat::MonolithicSparse),
        Some("monolithicSparse") => Err(FormatError::Unsupported(
            "monolithicSparse is not compressed; ask for streamOptimized".to_owned(),
        )),
        None if zlib => Ok(Subformat::StreamOptimized),
        None => Ok(Subformat::MonolithicSparse),
        Some(other) => Err(FormatError::Unsupported(format!(
            "vmdk is written as `streamOptimized` or `monolithicSparse`, not as {other:?}"
        ))),
    }
}

fn adapter(value: &str) -> Result<&'static str, FormatError> {
    ADAPTERS.into_iter().find(|known| *known == value).ok_or_else(|| {
        FormatError::Unsupported(format!("`adapter-type` is one of {}, not {value:?}", ADAPTERS.join(", ")))
    })
}
