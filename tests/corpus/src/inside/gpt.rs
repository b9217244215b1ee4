//! Partition tables of UEFI.

use crate::Bytes;

/// The bytes of the disk.
const SIZE: u64 = 4 << 20;

/// A disk with a GPT and without a copy of it.
pub struct Gpt {
    count: u32,
    bytes: u32,
    at: u64,
    parts: Vec<(u64, u64)>,
    broken: bool,
}

impl Default for Gpt {
    fn default() -> Self {
        Self::new()
    }
}

impl Gpt {
    /// A table without partitions.
    pub fn new() -> Self {
        Self { count: 128, bytes: 128, at: 2, parts: Vec::new(), broken: false }
    }

    /// How many entries it says that it has, and of how many bytes.
    #[must_use]
    pub fn entries(mut self, count: u32, bytes: u32) -> Self {
        (self.count, self.bytes) = (count, bytes);
        self
    }

    /// The sector that it says the entries are in.
    #[must_use]
    pub fn at(mut self, sector: u64) -> Self {
        self.at = sector;
        self
    }

    /// A partition from its first to its last sector.
    #[must_use]
    pub fn part(mut self, first: u64, last: u64) -> Self {
        self.parts.push((first, last));
        self
    }

    /// A wrong checksum of the header.
    #[must_use]
    pub fn broken(mut self) -> Self {
        self.broken = true;
        self
    }

    /// The disk.
    pub fn disk(&self) -> Bytes {
        let mut disk = Bytes::new();
        disk.put(446, &[0, 0, 2, 0, 0xee, 0, 0, 0]).le32(454, 1).le32(458, u32::MAX).put(510, &[0x55, 0xaa]);
        for (index, (first, last)) in (0_u64..).zip(&self.parts) {
            let at = 1024 + index * 128;
            disk.put(at, &[0x11; 32]).le64(at + 32, *first).le64(at + 40, *last);
        }
        let table = disk.get(1024, 128 * 128);
        let mut header = Bytes::new();
        header.put(0, b"EFI PART\0\0\x01\0").le32(12, 92).le64(24, 1).le64(32, 1).le64(72, self.at);
        header.le32(80, self.count).le32(84, self.bytes).le32(88, crc32(&table)).resize(92);
        let checksum = crc32(&header.to_vec()) ^ u32::from(self.broken);
        header.le32(16, checksum);
        disk.put(512, &header.to_vec()).resize(SIZE);
        disk
    }
}

/// The checksum of UEFI: CRC-32 (ISO-HDLC).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}
