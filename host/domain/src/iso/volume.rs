//! What the descriptors at the start of an image of a CD say (ECMA-119, ECMA-167).

/// The size of a sector in bytes.
pub const SECTOR: u64 = 2048;
/// The offset of the first descriptor, in bytes: the sixteen sectors before it belong to systems.
pub const VOLUME_OFFSET: u64 = 16 * SECTOR;
/// The number of bytes from that offset on that are looked at: sixteen descriptors.
pub const VOLUME_BYTES: u64 = 16 * SECTOR;

/// The number of sectors that a volume of UDF has at least: its anchor is in sector 256.
const UDF_SECTORS: u64 = 257;
/// Of a primary volume descriptor: its type, and where its fields are.
const PRIMARY: u8 = 1;
const LABEL: std::ops::Range<usize> = 40..72;
const SPACE_LE: usize = 80;
const SPACE_BE: usize = 84;
const BLOCK_LE: usize = 128;
/// The end of a descriptor's type, identifier and version.
const HEAD: usize = 7;

/// A volume that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The label of an ISO 9660 volume, without control characters; empty for a volume that has
    /// none, and for one of UDF alone.
    pub label: String,
}

/// The file is no image of a CD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVolume {
    /// There is no volume descriptor.
    #[error("it has no volume descriptor of ISO 9660 or UDF at sector 16")]
    NoDescriptor,
    /// A field of the descriptor is impossible.
    #[error("its volume descriptor is damaged: {0}")]
    Damaged(&'static str),
    /// The file ends before the volume does.
    #[error("it is cut short: the volume has {volume} bytes, the file {file}")]
    CutShort {
        /// The size of the volume in bytes.
        volume: u64,
        /// The size of the file in bytes.
        file: u64,
    },
}

/// Reads the descriptors of an image: `bytes` are those from [`VOLUME_OFFSET`] on, at most
/// [`VOLUME_BYTES`], and `file_size` is the size of the whole file.
///
/// # Errors
///
/// [`InvalidVolume`] for anything but the complete image of a CD.
pub fn inspect(bytes: &[u8], file_size: u64) -> Result<Volume, InvalidVolume> {
    let mut has_udf = false;
    for descriptor in bytes.chunks_exact(2048) {
        match descriptor.get(1..6) {
            Some(b"CD001") if descriptor.first() == Some(&PRIMARY) => return primary(descriptor, file_size),
            Some(b"NSR02" | b"NSR03") => has_udf = true,
            Some(b"CD001" | b"BEA01" | b"TEA01" | b"BOOT2") => {}
            Some(_) | None => break,
        }
    }
    if !has_udf {
        return Err(InvalidVolume::NoDescriptor);
    }
    let volume = UDF_SECTORS * SECTOR;
    if file_size < volume {
        return Err(InvalidVolume::CutShort { volume, file: file_size });
    }
    Ok(Volume { label: String::new() })
}

fn primary(descriptor: &[u8], file_size: u64) -> Result<Volume, InvalidVolume> {
    let damaged = InvalidVolume::Damaged;
    if descriptor.get(6..HEAD) != Some(&[1]) {
        return Err(damaged("its version is not 1"));
    }
    let four = |at: usize| descriptor.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    let two = |at: usize| descriptor.get(at..at + 2).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok());
    let (Some(le), Some(be), Some(block)) = (four(SPACE_LE), four(SPACE_BE), two(BLOCK_LE)) else {
        return Err(damaged("it ends too early"));
    };
    let blocks = u32::from_le_bytes(le);
    if blocks != u32::from_be_bytes(be) {
        return Err(damaged("the two spellings of the volume's size differ"));
    }
    let block = u16::from_le_bytes(block);
    if !matches!(block, 512 | 1024 | 2048) {
        return Err(damaged("the size of a block is not 512, 1024 or 2048"));
    }
    let volume = u64::from(blocks) * u64::from(block);
    if volume <= VOLUME_OFFSET {
        return Err(damaged("the volume has no room for its own descriptor"));
    }
    if file_size < volume {
        return Err(InvalidVolume::CutShort { volume, file: file_size });
    }
    let label = descriptor.get(LABEL).unwrap_or_default();
    let label = String::from_utf8_lossy(label).chars().filter(|c| !c.is_control()).collect::<String>();
    Ok(Volume { label: label.trim().to_owned() })
}
