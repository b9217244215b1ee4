//! A guest workload that shows later whether a copy of its disk is consistent.
//!
//! The writer fills a 64 KiB slot of a file (`blob`) with bytes that follow from a sequence number,
//! syncs, and only then appends a record to a second file (`ledger`) and syncs that. So in every
//! consistent copy each slot holds what its last record says, but for the one write that was under
//! way: its slot may be newer than the ledger.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

/// The size of a slot in bytes.
pub const SLOT: usize = 64 * 1024;
/// The size of a record in bytes: `SEQUENCE(10) SLOT(12) CHECK(6)` in decimal with one space
/// between, padded, and a line feed.
pub const RECORD: usize = 32;
const CHECK_MODULUS: u64 = 999_983;

/// Returns the bytes that the write of number `sequence` puts into its slot.
pub fn slot_bytes(sequence: u64) -> Vec<u8> {
    let words = u64::try_from(SLOT / 8).unwrap_or(0);
    (0..words)
        .flat_map(|word| sequence.wrapping_mul(2_654_435_761).wrapping_add(word).to_le_bytes())
        .collect()
}

/// Returns the record of a write.
pub fn record_bytes(sequence: u64, slot: u64) -> Vec<u8> {
    let mut line = format!("{sequence:010} {slot:012} {:06}", sequence % CHECK_MODULUS).into_bytes();
    line.resize(RECORD - 1, b' ');
    line.push(b'\n');
    line
}

/// Returns the sequence number and the slot of a record; `None` when it is not complete.
pub fn parse_record(record: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(record).ok()?;
    let mut fields = text.split_whitespace().map(str::parse::<u64>);
    let (sequence, slot, check) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
    (record.len() == RECORD && record.last() == Some(&b'\n') && check == sequence % CHECK_MODULUS)
        .then_some((sequence, slot))
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// The number of complete records.
    pub records: u64,
    /// The highest sequence number.
    pub last_sequence: u64,
    /// The number of incomplete records that are followed by complete ones.
    pub bad_records: u64,
    /// The slots with other content than their last record says.
    pub mismatched_slots: Vec<u64>,
}

impl Verification {
    /// Returns whether the copy could be the disk after a power cut: at most the last write
    /// differs.
    pub fn is_consistent(&self) -> bool {
        self.bad_records == 0 && self.mismatched_slots.len() <= 1
    }
}

/// Compares the ledger and the blob of a copy.
///
/// # Errors
///
/// Fails when a file cannot be read.
pub fn verify(ledger: &mut File, blob: &mut File) -> io::Result<Verification> {
    let mut bytes = Vec::new();
    ledger.read_to_end(&mut bytes)?;
    let mut verification = Verification::default();
    let mut last = BTreeMap::new();
    let whole = bytes.len() / RECORD;
    for (index, record) in bytes.chunks_exact(RECORD).enumerate() {
        match parse_record(record) {
            Some((sequence, slot)) => {
                verification.records += 1;
                verification.last_sequence = verification.last_sequence.max(sequence);
                last.insert(slot, sequence);
            }
            // The very last record may be torn by the cut.
            None if index + 1 == whole => {}
            None => verification.bad_records += 1,
        }
    }
    for (slot, sequence) in last {
        let mut found = vec![0; SLOT];
        blob.seek(SeekFrom::Start(slot.saturating_mul(u64::try_from(SLOT).unwrap_or(0))))?;
        let whole = blob.read_exact(&mut found).is_ok();
        if !whole || found != slot_bytes(sequence) {
            verification.mismatched_slots.push(slot);
        }
    }
    Ok(verification)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(name: &str, bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("imprint-ledger-{}-{name}", std::process::id()));
        let mut file =
            File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn a_lost_write_is_found_and_one_under_way_is_allowed() {
        let ledger = [record_bytes(1, 0), record_bytes(2, 1), record_bytes(3, 0)].concat();
        let good = [slot_bytes(3), slot_bytes(2)].concat();
        let check = |name: &str, ledger: &[u8], blob: &[u8]| {
            verify(&mut file("l", ledger), &mut file(name, blob)).unwrap()
        };
        assert_eq!(
            check("a", &ledger, &good),
            Verification { records: 3, last_sequence: 3, ..Verification::default() }
        );
        let under_way = [slot_bytes(4), slot_bytes(2)].concat();
        assert!(check("b", &ledger, &under_way).is_consistent());
        let two_lost = [slot_bytes(1), slot_bytes(0)].concat();
        assert!(!check("c", &ledger, &two_lost).is_consistent());
        let torn = [&ledger[..], b"00000"].concat();
        assert!(check("d", &torn, &good).is_consistent());
        let mut hole = ledger.clone();
        hole[RECORD..2 * RECORD].fill(0);
        assert!(!check("e", &hole, &good).is_consistent());
    }
}
