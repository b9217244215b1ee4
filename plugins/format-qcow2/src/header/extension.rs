//! Header extensions.

use imprint_plugin_sdk::format::{
    FormatError,
    wire::{be32, be64, to_usize},
};

const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const BITMAPS: u32 = 0x2385_2875;
const LUKS: u32 = 0x0537_be77;
const DATA_FILE: u32 = 0x4441_5441;
const MAX_BITMAPS: u32 = 65_535;

/// Where the persistent bitmaps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bitmaps {
    /// How many, 1 to 65535.
    pub count: u32,
    /// Where their directory starts.
    pub offset: u64,
    /// Bytes of the directory.
    pub size: u64,
}

/// The extensions, as far as they matter to a reader.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    /// Format of the parent.
    pub backing_format: Option<String>,
    /// Name of the external data file.
    pub data_file: Option<String>,
    /// There is a LUKS header.
    pub luks: bool,
    /// Persistent bitmaps.
    pub bitmaps: Option<Bitmaps>,
}

impl Extensions {
    /// Reads the extensions of cluster 0 between `start` and `end`.
    pub(super) fn read(cluster_0: &[u8], start: u64, end: u64) -> Result<Self, FormatError> {
        let area = cluster_0.get(to_usize(start)?..to_usize(end)?).ok_or_else(|| outside(start))?;
        let mut found = Self::default();
        let mut rest = area;
        while let (Some(kind), Some(length)) = (be32(rest, 0), be32(rest, 4)) {
            if kind == END {
                break;
            }
            let padded = to_usize(u64::from(length).next_multiple_of(8))?;
            let body = rest.get(8..).unwrap_or_default();
            let data = body.get(..to_usize(length.into())?).ok_or_else(|| {
                FormatError::Header(format!(
                    "a header extension of {length} bytes runs out of its {} byte area",
                    area.len()
                ))
            })?;
            found.take(kind, data)?;
            rest = body.get(padded..).unwrap_or_default();
        }
        Ok(found)
    }

    fn take(&mut self, kind: u32, data: &[u8]) -> Result<(), FormatError> {
        match kind {
            BACKING_FORMAT => self.backing_format = Some(String::from_utf8_lossy(data).into_owned()),
            DATA_FILE => self.data_file = Some(String::from_utf8_lossy(data).into_owned()),
            LUKS => self.luks = true,
            BITMAPS => self.bitmaps = Some(bitmaps(data)?),
            // Feature names and what later versions add say nothing that a reader needs.
            _ => {}
        }
        Ok(())
    }
}

fn bitmaps(data: &[u8]) -> Result<Bitmaps, FormatError> {
    let (Some(count), Some(size), Some(offset), 24) =
        (be32(data, 0), be64(data, 8), be64(data, 16), data.len())
    else {
        return Err(FormatError::Header(format!(
            "the bitmaps extension is {} bytes long, where 24 are needed",
            data.len()
        )));
    };
    if !(1..=MAX_BITMAPS).contains(&count) {
        return Err(FormatError::Header(format!(
            "the bitmaps extension counts {count} bitmaps, where 1 to {MAX_BITMAPS} are possible"
        )));
    }
    Ok(Bitmaps { count, offset, size })
}

fn outside(start: u64) -> FormatError {
    FormatError::Header(format!("the header extensions at {start:#x} are outside of the first cluster"))
}
