//! Images and log entries built byte by byte by the specification, so that each can be wrong in one
//! place.

use std::{cell::Cell, path::Path, rc::Rc};

use imprint_plugin_sdk::{error::Result, host::Blob, types::ByteRange};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
pub(crate) const REGIONS: [u64; 2] = [192 << 10, 256 << 10];
pub(crate) const LOG: u64 = MIB;
pub(crate) const METADATA: u64 = 2 * MIB;
pub(crate) const ITEMS: u64 = METADATA + (64 << 10);
pub(crate) const BAT: u64 = 3 * MIB;
pub(crate) const DATA: u64 = 4 * MIB;
pub(crate) const LOG_GUID: u128 = 0x1111_2222_3333_4444_5555_6666_7777_8888;
pub(crate) const LINKAGE: u128 = 0xaaaa_bbbb_cccc_dddd_eeee_ffff_0000_1111;

/// CRC-32C, bit by bit.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

/// A GUID as it is stored.
pub(crate) fn guid(text: u128) -> [u8; 16] {
    let mut bytes = text.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// A valid image of 8 MiB in blocks of 1 MiB, to be spoilt: blocks 0 and 2 are in the file, block 3
/// is zeroes.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) bytes: Vec<u8>,
}

impl Forge {
    pub(crate) fn new() -> Self {
        let mut forge = Self { bytes: vec![0; usize::try_from(8 * MIB).unwrap()] };
        forge
            .put(0, b"vhdxfile")
            .put(8, &"forge".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        for (at, sequence) in HEADERS.into_iter().zip([7, 8]) {
            forge.put(at, b"head").u64(at + 8, sequence).put(at + 32, &guid(0x42)).u16(at + 66, 1);
            forge.u32(at + 68, 1 << 20).u64(at + 72, LOG);
        }
        for at in REGIONS {
            forge.put(at, b"regi").u32(at + 8, 2);
            forge.put(at + 16, &guid(0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08));
            forge.u64(at + 32, BAT).u32(at + 40, 1 << 20).u32(at + 44, 1);
            forge.put(at + 48, &guid(0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e));
            forge.u64(at + 64, METADATA).u32(at + 72, 1 << 20).u32(at + 76, 1);
        }
        forge.put(METADATA, b"metadata").u16(METADATA + 10, 5);
        let items: [(u128, u32, u32); 5] = [
            (0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b, 8, 4),
            (0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8, 8, 6),
            (0x8141_bf1d_a96f_4709_ba47_f233_a8fa_ab5f, 4, 6),
            (0xcda3_48c7_445d_4471_9cc9_e988_5251_c556, 4, 6),
            (0xbeca_12ab_b2e6_4523_93ef_c309_e000_c746, 16, 6),
        ];
        for (index, (id, length, flags)) in items.into_iter().enumerate() {
            forge.item(
                u64::try_from(index).unwrap(),
                id,
                65536 + u32::try_from(index).unwrap() * 16,
                length,
                flags,
            );
        }
        forge.u32(ITEMS, 1 << 20).u64(ITEMS + 16, 8 * MIB).u32(ITEMS + 32, 512).u32(ITEMS + 48, 4096);
        forge.bat(0, (5 * MIB) | 6).bat(2, DATA | 6).bat(3, 2);
        for (block, fill) in [(4, 0x44), (5, 0x55), (6, 0x66), (7, 0x77)] {
            let at = usize::try_from(block * MIB).unwrap();
            forge.bytes[at..at + 4096].fill(fill);
        }
        forge.seal()
    }

    /// The same as a differencing image: block 1 is partially there (in MiB 6), by the bitmap in
    /// MiB 7.
    pub(crate) fn differencing() -> Self {
        let mut forge = Self::new();
        forge.u32(ITEMS + 4, 2).u16(METADATA + 10, 6);
        let linkage = format!("{{{}}}", "AAAABBBB-CCCC-DDDD-EEEE-FFFF00001111");
        forge.locator(&[("parent_linkage", &linkage), ("relative_path", ".\\base.vhdx")]);
        forge.bat(1, (6 * MIB) | 7).bat(4096, (7 * MIB) | 6);
        // Bits 2048 to 4095 are those of block 1: its sectors 1, 8 and 9 are here.
        forge.put(7 * MIB, &[0; 4096]).put(7 * MIB + 256, &[0b0000_0010, 0b0000_0011]);
        forge
    }

    pub(crate) fn item(&mut self, index: u64, id: u128, offset: u32, length: u32, flags: u32) -> &mut Self {
        let at = METADATA + 32 + index * 32;
        self.put(at, &guid(id)).u32(at + 16, offset).u32(at + 20, length).u32(at + 24, flags)
    }

    /// A parent locator as item 5, 4 KiB behind the other items.
    pub(crate) fn locator(&mut self, keys: &[(&str, &str)]) -> &mut Self {
        let mut head = guid(0xb04a_efb7_d19e_4a81_b789_25b8_e944_5913).to_vec();
        head.extend([0, 0]);
        head.extend(u16::try_from(keys.len()).unwrap().to_le_bytes());
        let mut texts = Vec::new();
        let start = 20 + keys.len() * 12;
        for (key, value) in keys {
            let mut place = |text: &str| {
                let at = u32::try_from(start + texts.len()).unwrap();
                texts.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
                (at, u16::try_from(text.encode_utf16().count() * 2).unwrap())
            };
            let (key, value) = (place(key), place(value));
            head.extend(key.0.to_le_bytes());
            head.extend(value.0.to_le_bytes());
            head.extend(key.1.to_le_bytes());
            head.extend(value.1.to_le_bytes());
        }
        head.extend(texts);
        let length = u32::try_from(head.len()).unwrap();
        self.item(5, 0xa8d3_5f2d_b30b_454d_abf7_d3d8_4834_ab0c, 65536 + 4096, length, 4);
        self.put(ITEMS + 4096, &head)
    }

    pub(crate) fn bat(&mut self, index: u64, entry: u64) -> &mut Self {
        self.u64(BAT + index * 8, entry)
    }

    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        let at = usize::try_from(at).unwrap();
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn u16(&mut self, at: u64, value: u16) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, at: u64, value: u32) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, at: u64, value: u64) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// Makes all checksums right.
    pub(crate) fn seal(mut self) -> Self {
        for (at, length) in [(HEADERS[0], 4096), (HEADERS[1], 4096), (REGIONS[0], 65536), (REGIONS[1], 65536)]
        {
            self.u32(at + 4, 0);
            let start = usize::try_from(at).unwrap();
            let crc = crc32c(&self.bytes[start..start + length]);
            self.u32(at + 4, crc);
        }
        self
    }

    /// Says in both headers that the log was not played back.
    pub(crate) fn dirty(&mut self) -> &mut Self {
        self.put(HEADERS[0] + 48, &guid(LOG_GUID)).put(HEADERS[1] + 48, &guid(LOG_GUID))
    }

    /// Puts an entry into the ring of 1 MiB; the answer is where the next one goes.
    pub(crate) fn log(&mut self, at: u64, entry: &[u8]) -> u64 {
        for (index, sector) in (0..).zip(entry.chunks(4096)) {
            self.put(LOG + (at + index * 4096) % MIB, sector);
        }
        (at + u64::try_from(entry.len()).unwrap()) % MIB
    }

    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, &self.bytes).unwrap();
    }
}

/// One change in a log entry.
pub(crate) enum Change {
    /// A sector of the file.
    Data(u64, Vec<u8>),
    /// Zeroes from an offset on.
    Zero(u64, u64),
}

/// A log entry.
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) tail: u64,
    pub(crate) changes: Vec<Change>,
    pub(crate) guid: u128,
    pub(crate) flushed: u64,
    pub(crate) last: u64,
}

impl Entry {
    pub(crate) fn new(number: u64, tail: u64, changes: Vec<Change>) -> Self {
        Self { number, tail, changes, guid: LOG_GUID, flushed: 8 * MIB, last: 8 * MIB }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let heads = (64 + self.changes.len() * 32).div_ceil(4096);
        let mut bytes = vec![0; heads * 4096];
        for (index, change) in self.changes.iter().enumerate() {
            let mut descriptor = Vec::new();
            match change {
                Change::Data(target, sector) => {
                    descriptor.extend(b"desc");
                    descriptor.extend(&sector[4092..]);
                    descriptor.extend(&sector[..8]);
                    descriptor.extend(target.to_le_bytes());
                    let number = self.number.to_le_bytes();
                    bytes.extend(b"data");
                    bytes.extend(&number[4..]);
                    bytes.extend(&sector[8..4092]);
                    bytes.extend(&number[..4]);
                }
                Change::Zero(target, length) => {
                    descriptor.extend(b"zero\0\0\0\0");
                    descriptor.extend(length.to_le_bytes());
                    descriptor.extend(target.to_le_bytes());
                }
            }
            descriptor.extend(self.number.to_le_bytes());
            let at = 64 + index * 32;
            bytes[at..at + 32].copy_from_slice(&descriptor);
        }
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, b"loge");
        put(12, &u32::try_from(self.tail).unwrap().to_le_bytes());
        put(16, &self.number.to_le_bytes());
        put(24, &u32::try_from(self.changes.len()).unwrap().to_le_bytes());
        put(32, &guid(self.guid));
        put(48, &self.flushed.to_le_bytes());
        put(56, &self.last.to_le_bytes());
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        sealed(bytes)
    }
}

/// An entry with its checksum.
pub(crate) fn sealed(mut entry: Vec<u8>) -> Vec<u8> {
    entry[4..8].fill(0);
    let crc = crc32c(&entry);
    entry[4..8].copy_from_slice(&crc.to_le_bytes());
    entry
}

/// Shared bytes of which one is another.
pub(crate) struct Flipped {
    pub(crate) bytes: Rc<Vec<u8>>,
    pub(crate) at: usize,
    pub(crate) mask: u8,
    pub(crate) read: Cell<u64>,
}

impl Blob for Flipped {
    fn size(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap()
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        assert!(length <= 1 << 20, "a read of {length} bytes");
        let start = usize::try_from(offset).unwrap().min(self.bytes.len());
        let end = (start + usize::try_from(length).unwrap()).min(self.bytes.len());
        let mut bytes = self.bytes[start..end].to_vec();
        if (start..end).contains(&self.at) {
            bytes[self.at - start] ^= self.mask;
        }
        self.read.set(self.read.get() + u64::from(length));
        assert!(self.read.get() < 64 << 20, "a reader that does not stop");
        Ok(bytes)
    }

    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>> {
        ranges.iter().map(|range| self.read_at(range.offset, u32::try_from(range.length).unwrap())).collect()
    }

    fn prefetch(&self, _ranges: &[ByteRange]) {}
}
