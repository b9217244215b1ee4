//! The map: one entry for each block of the disk, read in windows.

use imprint_plugin_sdk::host::Blob;

use crate::{error::VdiError, header::Header, wire::read_exact};

/// Entries of a window: 1 MiB of the map.
const WINDOW: u64 = 256 << 10;
const FREE: u32 = 0xffff_ffff;
const ZERO: u32 = 0xffff_fffe;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nobody wrote the block.
    Free,
    /// The block is zeroes.
    Zero,
    /// The block is the one with this number in the file.
    Stored(u32),
}

impl Entry {
    pub(crate) fn of(entry: u32) -> Self {
        match entry {
            FREE => Self::Free,
            ZERO => Self::Zero,
            number => Self::Stored(number),
        }
    }
}

/// The part of the map that was read last: at most 1 MiB.
#[derive(Default)]
pub(crate) struct Window {
    first: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The entries from the block on, up to the end of a window; at least one when the block is one
    /// of the disk's.
    pub(crate) fn entries(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        block: u64,
    ) -> Result<impl Iterator<Item = Entry> + '_, VdiError> {
        let first = block - block % WINDOW;
        if self.bytes.is_empty() || self.first != first {
            let count = u64::from(header.blocks).saturating_sub(first).min(WINDOW);
            self.bytes = read_exact(blob, header.map_offset + first * 4, count * 4)?;
            self.first = first;
        }
        let skip = usize::try_from(block - first).unwrap_or(usize::MAX);
        let (entries, _) = self.bytes.as_chunks();
        Ok(entries.iter().skip(skip).map(|entry| Entry::of(u32::from_le_bytes(*entry))))
    }
}

/// Which blocks of the file the map names: a bit for each.
pub(crate) struct Used {
    bits: Vec<u64>,
    count: u64,
}

impl Used {
    /// Goes through the whole map. Entries are below the number of blocks of the disk, lie inside
    /// of the file as far as the disk reaches, and no two are the same.
    pub(crate) fn read(blob: &dyn Blob, header: &Header) -> Result<Self, VdiError> {
        let words = usize::try_from(header.blocks.div_ceil(64)).expect("at most 2^20");
        let mut used = Self { bits: vec![0; words], count: 0 };
        let mut window = Window::default();
        let mut block = 0;
        while block < u64::from(header.blocks) {
            let mut seen = 0;
            for entry in window.entries(blob, header, block)? {
                if let Entry::Stored(number) = entry {
                    used.take(header, blob.size(), block + seen, number)?;
                }
                seen += 1;
            }
            block += seen;
        }
        Ok(used)
    }

    /// How many blocks of the file the map names.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The first block of the file from `number` on that the map does not name, below `end`.
    pub(crate) fn next_unused(&self, number: u64, end: u64) -> Option<u64> {
        (number..end).find(|number| {
            let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get(word));
            word.is_none_or(|word| word >> (number % 64) & 1 == 0)
        })
    }

    fn take(&mut self, header: &Header, file: u64, block: u64, number: u32) -> Result<(), VdiError> {
        if number >= header.blocks {
            return Err(VdiError::Truncated(format!(
                "block {block} of the disk is block {number} of the file, and the file has at most {} blocks",
                header.blocks
            )));
        }
        stored_at(header, file, block, number)?;
        let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get_mut(word));
        let word = word.expect("the number is below the count of blocks");
        let bit = 1 << (number % 64);
        if *word & bit != 0 {
            return Err(VdiError::Aliased(format!("block {number} of the file is named twice by the map")));
        }
        *word |= bit;
        self.count += 1;
        Ok(())
    }
}

/// Where a block is in the file. Of the disk's last block, only what belongs to the disk has to be
/// there.
pub(crate) fn stored_at(header: &Header, file: u64, block: u64, number: u32) -> Result<u64, VdiError> {
    let at = header.data_offset + u64::from(number) * header.block;
    let used = header.virtual_size.saturating_sub(block * header.block).min(header.block);
    if at + used > file {
        return Err(VdiError::Truncated(format!(
            "block {block} of the disk ends at {} of the file, which ends at {file}",
            at + used
        )));
    }
    Ok(at)
}

/// Bytes of the map that one call looks at, as a count of entries: 8 TiB in blocks of 1 MiB.
pub(crate) const CALL_ENTRIES: u64 = 8 << 20;

/// The entries of a new map.
pub(crate) fn encode(entry: Option<u32>) -> [u8; 4] {
    entry.unwrap_or(FREE).to_le_bytes()
}

/// A count as one that the header can hold.
pub(crate) fn to_count(count: u64) -> u32 {
    u32::try_from(count).expect("at most 2^26 blocks")
}
