//! The active L1 table: where the L2 tables are.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::for_each_piece,
        wire::{be64s, to_usize},
    },
    host::Blob,
};

use crate::{header::Header, l2::OFFSET_MASK};

/// Bits of an L1 entry that are neither offset nor the copied flag.
const RESERVED: u64 = 0x7f00_0000_0000_01ff;

/// The table of an open image: no two of its entries name the same L2 table. Whether one lies upon
/// other tables is the host's check.
pub(crate) struct L1 {
    /// Offset of each L2 table; 0 is none.
    tables: Vec<u64>,
}

impl L1 {
    pub(crate) fn read(blob: &dyn Blob, header: &Header) -> Result<Self, FormatError> {
        let cluster = header.cluster();
        let mut tables = Vec::with_capacity(to_usize(header.l1_entries.into())?);
        for_each_piece(blob, header.l1.offset, header.l1.length, |piece| {
            for entry in be64s(piece) {
                tables.push(table_offset(entry, cluster, blob.size())?);
            }
            Ok(())
        })?;
        let l1 = Self { tables };
        l1.refuse_shared(header.cluster_bits)?;
        Ok(l1)
    }

    /// Refuses a table that two entries name: one table for the whole of a huge disk would make the
    /// map endless. Writers make tables in ascending order, so that there is nearly always nothing
    /// to sort.
    fn refuse_shared(&self, cluster_bits: u32) -> Result<(), FormatError> {
        let stored = || self.tables.iter().copied().filter(|offset| *offset != 0);
        if stored().is_sorted_by(|one, two| one < two) {
            return Ok(());
        }
        let number = |offset: u64| u32::try_from(offset >> cluster_bits);
        // Exactly what is needed: the table itself may have half of the memory that there is.
        let mut keys: Vec<u32> = Vec::with_capacity(stored().count());
        let twice = if stored().all(|offset| number(offset).is_ok()) {
            keys.extend(stored().filter_map(|offset| number(offset).ok()));
            keys.sort_unstable();
            let twice = keys.array_windows().find(|[one, two]| one == two);
            twice.map(|[number, _]| u64::from(*number) << cluster_bits)
        } else {
            // Of a file of 2^32 clusters or more.
            keys.extend((0..).zip(&self.tables).filter(|(_, at)| **at != 0).map(|(index, _)| index));
            keys.sort_unstable_by_key(|index| self.table((*index).into()));
            let same = |[one, two]: &&[u32; 2]| self.table((*one).into()) == self.table((*two).into());
            keys.array_windows().find(same).map(|[index, _]| self.table((*index).into()))
        };
        match twice {
            Some(offset) => {
                Err(FormatError::Aliased(format!("two L1 entries share the L2 table at {offset:#x}")))
            }
            None => Ok(()),
        }
    }

    /// Returns where the L2 table is; 0 is none.
    pub(crate) fn table(&self, index: u64) -> u64 {
        usize::try_from(index).ok().and_then(|index| self.tables.get(index)).copied().unwrap_or(0)
    }

    /// Returns the first index from `index` on that has an L2 table.
    pub(crate) fn next_table(&self, index: u64) -> Option<u64> {
        let tail = self.tables.get(usize::try_from(index).ok()?..)?;
        let skip = tail.iter().position(|offset| *offset != 0)?;
        index.checked_add(u64::try_from(skip).ok()?)
    }
}

fn table_offset(entry: u64, cluster: u64, file: u64) -> Result<u64, FormatError> {
    let offset = entry & OFFSET_MASK;
    if entry & RESERVED != 0 {
        return Err(FormatError::Table(format!("the L1 entry {entry:#018x} has reserved bits set")));
    }
    if !offset.is_multiple_of(cluster) {
        return Err(FormatError::Table(format!("the L1 entry {entry:#018x} points between two clusters")));
    }
    if offset != 0 && offset + cluster > file {
        return Err(FormatError::Truncated(format!(
            "an L2 table ends at {}, and the file at {file}",
            offset + cluster
        )));
    }
    Ok(offset)
}
