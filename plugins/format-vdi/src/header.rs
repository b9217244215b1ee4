//! The header, checked before anything else is believed.
//!
//! ```text
//! 0x000 text (64)          0x154 map offset        0x178 block size
//! 0x040 signature          0x158 data offset       0x17c extra bytes of a block
//! 0x044 version 1.1        0x15c CHS               0x180 blocks of the disk
//! 0x048 header size        0x168 sector size       0x184 blocks in the file
//! 0x04c image type         0x170 disk size (u64)   0x188 uuid, 0x198 last snapshot, 0x1a8 link, 0x1b8 parent
//! ```

use imprint_plugin_sdk::{
    format::{
        FormatError, Guess,
        blob::read_exact,
        wire::{array, le32, le64, to_u64},
    },
    host::Blob,
};

/// At byte 0x40.
pub const SIGNATURE: u32 = 0xbeda_107f;
/// The only version that is read.
pub const VERSION: u32 = 0x0001_0001;
/// What is read of the header: up to the end of the parent's uuid.
pub(crate) const HEADER_END: u64 = 0x1c8;
pub(crate) const SECTOR: u64 = 512;
/// Entries of a map: 64 TiB in blocks of 1 MiB.
pub(crate) const MAX_BLOCKS: u32 = 1 << 26;
const MIN_BLOCK: u64 = 4 << 10;
const MAX_BLOCK: u64 = 256 << 20;

/// How the file grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Blocks are added as they are written.
    Dynamic,
    /// All blocks exist from the beginning.
    Fixed,
}

impl Kind {
    /// The name of the subformat.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Fixed => "fixed",
        }
    }
}

/// A header that passed every check that needs no map.
#[derive(Clone, Debug)]
pub struct Header {
    /// Type 1 or 2.
    pub kind: Kind,
    /// Bytes of the disk: what the header says, rounded up to sectors as QEMU does.
    pub virtual_size: u64,
    /// What the header says.
    pub stated_size: u64,
    /// Bytes of a block, a power of two.
    pub block: u64,
    /// Entries of the map.
    pub blocks: u32,
    /// Blocks in the file, by the header's count.
    pub allocated: u32,
    /// Where the map starts.
    pub map_offset: u64,
    /// Where the first block starts.
    pub data_offset: u64,
    /// The image's identity.
    pub uuid: [u8; 16],
}

impl Header {
    /// Reads and checks the header.
    pub fn read(blob: &dyn Blob) -> Result<Self, FormatError> {
        let bytes = read_exact(blob, 0, blob.size().min(HEADER_END))?;
        let fields = Fields(&bytes);
        if fields.u32(0x40)? != SIGNATURE {
            return Err(FormatError::Header("the file does not have the VDI signature".to_owned()));
        }
        let version = fields.u32(0x44)?;
        if version != VERSION {
            return Err(FormatError::Version(format!(
                "VDI version {}.{} is not supported; convert the image to version 1.1 with `VBoxManage clonemedium`",
                version >> 16,
                version & 0xffff
            )));
        }
        if to_u64(bytes.len()) < HEADER_END {
            return Err(short_header());
        }
        let kind = kind(fields.u32(0x4c)?)?;
        no_parent(&fields)?;
        let extra = fields.u32(0x17c)?;
        if extra != 0 {
            return Err(FormatError::Feature(format!(
                "each block is preceded by {extra} bytes of another program; convert the image with `VBoxManage clonemedium --format VDI`"
            )));
        }
        let sector = fields.u32(0x168)?;
        if u64::from(sector) != SECTOR {
            return Err(FormatError::Header(format!(
                "the sector size is {sector}, where 512 is the only one"
            )));
        }
        let block = u64::from(fields.u32(0x178)?);
        if !block.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block) {
            return Err(FormatError::Header(format!(
                "the block size is {block}, where powers of two from {MIN_BLOCK} to {MAX_BLOCK} are possible"
            )));
        }
        let stated_size = fields.u64(0x170)?;
        let header = Self {
            kind,
            virtual_size: stated_size.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX),
            stated_size,
            block,
            blocks: fields.u32(0x180)?,
            allocated: fields.u32(0x184)?,
            map_offset: fields.u32(0x154)?.into(),
            data_offset: fields.u32(0x158)?.into(),
            uuid: fields.uuid(0x188),
        };
        header.check_places(blob.size())?;
        Ok(header)
    }

    /// Bytes of the map.
    pub fn map_length(&self) -> u64 {
        u64::from(self.blocks) * 4
    }

    fn check_places(&self, file: u64) -> Result<(), FormatError> {
        let Self { blocks, block, virtual_size, map_offset, data_offset, .. } = *self;
        if blocks > MAX_BLOCKS {
            return Err(FormatError::TableSize(format!(
                "the map has {blocks} entries, and {MAX_BLOCKS} are possible; the header is forged"
            )));
        }
        if virtual_size > u64::from(MAX_BLOCKS) * MAX_BLOCK {
            return Err(FormatError::VirtualSize(format!(
                "the virtual size of {} bytes is more than any map can describe; the header is forged",
                self.stated_size
            )));
        }
        if virtual_size > u64::from(blocks) * block {
            return Err(FormatError::Header(format!(
                "a disk of {} bytes does not fit into {blocks} blocks of {block} bytes",
                self.stated_size
            )));
        }
        if !map_offset.is_multiple_of(SECTOR) || !data_offset.is_multiple_of(SECTOR) {
            return Err(FormatError::Header(format!(
                "map ({map_offset:#x}) and data ({data_offset:#x}) do not start at sectors"
            )));
        }
        let map_end = map_offset + self.map_length();
        if map_offset < HEADER_END || data_offset < map_end {
            return Err(FormatError::Aliased(format!(
                "header, map ({map_offset:#x} to {map_end:#x}) and data (from {data_offset:#x}) overlap"
            )));
        }
        if map_end > file {
            return Err(FormatError::Truncated(format!("the map ends at {map_end}, and the file at {file}")));
        }
        Ok(())
    }
}

/// Recognises a file by its first bytes. A version that cannot be read is recognised too: opening
/// it says why.
pub fn probe(head: &[u8]) -> Option<Guess> {
    let confidence = match (le32(head, 0x40)?, le32(head, 0x44)?) {
        (SIGNATURE, VERSION) => 100,
        (SIGNATURE, _) => 60,
        _ => return None,
    };
    Some(Guess { confidence, format: "vdi".to_owned(), subformat: None })
}

/// The start of the file, where a field may be missing because the file is too short.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&self, at: usize) -> Result<u32, FormatError> {
        le32(self.0, at).ok_or_else(short_header)
    }

    fn u64(&self, at: usize) -> Result<u64, FormatError> {
        le64(self.0, at).ok_or_else(short_header)
    }

    fn uuid(&self, at: usize) -> [u8; 16] {
        array(self.0, at).unwrap_or_default()
    }
}

fn short_header() -> FormatError {
    FormatError::Truncated("the file ends inside its header".to_owned())
}

fn kind(number: u32) -> Result<Kind, FormatError> {
    match number {
        1 => Ok(Kind::Dynamic),
        2 => Ok(Kind::Fixed),
        3 => Err(layer("the image is an undo layer over another file")),
        4 => Err(layer("the image is a differencing layer over another file")),
        other => Err(FormatError::Header(format!("the image type is {other}, where 1 to 4 are possible"))),
    }
}

fn layer(what: &str) -> FormatError {
    FormatError::ExternalReference(format!(
        "{what}; merge the chain into one image with `VBoxManage clonemedium`"
    ))
}

/// An image of any type that names another one is a layer.
fn no_parent(fields: &Fields<'_>) -> Result<(), FormatError> {
    for (at, what) in [(0x1a8, "a linked image"), (0x1b8, "a parent")] {
        let uuid = fields.uuid(at);
        if uuid != [0; 16] {
            return Err(layer(&format!("the image names {what} ({})", uuid_text(uuid))));
        }
    }
    Ok(())
}

/// A uuid as VirtualBox prints it: the first three fields are stored little endian.
pub(crate) fn uuid_text(uuid: [u8; 16]) -> String {
    let [a0, a1, a2, a3, b0, b1, c0, c1, clock @ .., n0, n1, n2, n3, n4, n5] = uuid;
    [&[a3, a2, a1, a0][..], &[b1, b0], &[c1, c0], &clock, &[n0, n1, n2, n3, n4, n5]]
        .map(hex::encode)
        .join("-")
}
