//! Pieces of a file, handed out in pages.

use imprint_plugin_sdk::format::{
    FormatError, MetadataPage, Segment,
    wire::{to_u64, to_usize},
};

const SECTOR_BYTES: usize = 512;

/// Pieces in the order in which they are written, and the length of the finished file.
pub(super) struct Pieces {
    pub(super) pieces: Vec<(u64, Vec<u8>)>,
    pub(super) final_size: u64,
}

impl Pieces {
    /// The page from `start` on, which counts bytes over all pieces.
    pub(super) fn page(&self, start: u64, max_bytes: u32) -> Result<MetadataPage, FormatError> {
        let mut skip = to_usize(start)?;
        let mut room = to_usize(max_bytes.into())?;
        let mut resume = start;
        let mut segments = Vec::new();
        for (offset, bytes) in &self.pieces {
            if skip >= bytes.len() {
                skip -= bytes.len();
                continue;
            }
            // What is a sector long, such as the header, is written whole.
            if room == 0 || bytes.len() <= SECTOR_BYTES && room < bytes.len() {
                return Ok(MetadataPage { segments, resume, done: false, final_size: None });
            }
            let piece = &bytes[skip..bytes.len().min(skip + room)];
            segments.push(Segment { file_offset: offset + to_u64(skip), bytes: piece.to_vec() });
            resume += to_u64(piece.len());
            room -= piece.len();
            if skip + piece.len() < bytes.len() {
                return Ok(MetadataPage { segments, resume, done: false, final_size: None });
            }
            skip = 0;
        }
        if skip > 0 {
            return Err(FormatError::Request(format!("there are no tables from {start} on")));
        }
        Ok(MetadataPage { segments, resume, done: true, final_size: Some(self.final_size) })
    }
}
