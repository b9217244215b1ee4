//! The bytes of a file as its tables are read: with what the log says laid over them.

use imprint_plugin_sdk::{
    format::{FormatError, blob::read_exact},
    host::Blob,
};

use crate::overlay::{DataSector, Overlay, Patch, SECTOR};

/// The most that one read returns.
pub(crate) const MAX_READ: u64 = 1 << 20;

/// A file with the overlay of its log.
pub(crate) struct Tables {
    blob: Box<dyn Blob>,
    overlay: Overlay,
}

impl Tables {
    pub(crate) fn new(blob: Box<dyn Blob>, overlay: Overlay) -> Self {
        Self { blob, overlay }
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.blob.size()
    }

    /// The file without the overlay.
    pub(crate) fn blob(&self) -> &dyn Blob {
        self.blob.as_ref()
    }

    /// What the log says.
    pub(crate) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// Reads exactly `[offset, offset + length)`, at most [`MAX_READ`]; what is asked for was
    /// checked against the size.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, FormatError> {
        let mut bytes = read_exact(self.blob(), offset, length)?;
        let end = offset + length;
        for (start, (until, patch)) in self.overlay.touching(offset, end) {
            let (from, to) = (start.max(offset), until.min(end));
            let target = place(from - offset)..place(to - offset);
            let target = bytes.get_mut(target).expect("the piece was cut to the bytes");
            match patch {
                Patch::Zero => target.fill(0),
                Patch::Data(sector) => {
                    let whole = sector_bytes(self.blob(), sector)?;
                    target.copy_from_slice(&whole[place(from - start)..place(to - start)]);
                }
            }
        }
        Ok(bytes)
    }
}

/// A data sector as it is to be in the file.
fn sector_bytes(blob: &dyn Blob, sector: DataSector) -> Result<Vec<u8>, FormatError> {
    let mut bytes = read_exact(blob, sector.at, SECTOR)?;
    bytes[..8].copy_from_slice(&sector.leading);
    bytes[4092..].copy_from_slice(&sector.trailing);
    Ok(bytes)
}

fn place(distance: u64) -> usize {
    usize::try_from(distance).expect("at most a read of 1 MiB")
}
