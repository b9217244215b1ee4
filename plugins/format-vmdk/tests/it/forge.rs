//! Images built byte by byte, so that each can be wrong in one place.

pub(crate) const SECTOR: u64 = 512;
pub(crate) const GRAIN: u64 = 65536;
/// Sector of the redundant directory.
pub(crate) const RGD: u32 = 21;
pub(crate) const RGT: u32 = 22;
pub(crate) const GD: u32 = 26;
pub(crate) const GT: u32 = 27;
/// Sector of the first grain.
pub(crate) const DATA: u32 = 128;
/// 32 MiB less one grain and a half, in sectors.
pub(crate) const CAPACITY: u64 = 65536 - 192;

/// A valid image with two grains, to be spoilt.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn descriptor(kind: &str, lines: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=00c0ffee\nparentCID=ffffffff\ncreateType=\"{kind}\"\n{lines}\n"
    )
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut stored = vec![0; bytes.len() + 1024];
    let mut encoder = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let length = encoder.zlib_compress(bytes, &mut stored).unwrap();
    stored.truncate(length);
    stored
}

impl Forge {
    /// `monolithicSparse` with a redundant directory.
    pub(crate) fn sparse() -> Self {
        let mut forge = Self { bytes: vec![0; 4 * 65536] };
        forge.header(0, 1, 3, GD.into(), 0);
        forge.u64(48, RGD.into());
        forge.text(&descriptor("monolithicSparse", &format!("RW {CAPACITY} SPARSE \"a.vmdk\"")));
        forge.u32(at(RGD), RGT).u32(at(GD), GT);
        for table in [RGT, GT] {
            forge.entry(table, 0, DATA).entry(table, 5, DATA + 128);
        }
        let data = usize::try_from(at(DATA)).unwrap();
        forge.bytes[data..].fill(0x5a);
        forge
    }

    /// `streamOptimized` with a footer: two grains, their table, the directory.
    pub(crate) fn stream() -> Self {
        let mut forge = Self { bytes: vec![0; 65536] };
        forge.header(0, 3, 0x30001, u64::MAX, 1);
        forge.text(&descriptor("streamOptimized", &format!("RW {CAPACITY} SPARSE \"a.vmdk\"")));
        let mut sectors = Vec::new();
        for (address, fill) in [(0_u64, 1_u8), (640, 2)] {
            sectors.push((address / 128, forge.sectors()));
            let stored = zlib(&vec![fill; 65536]);
            forge.append(&address.to_le_bytes());
            forge.append(&u32::try_from(stored.len()).unwrap().to_le_bytes());
            forge.append(&stored).pad();
        }
        forge.marker(4, 1);
        let table = forge.sectors();
        forge.append(&[0; 2048]);
        for (index, sector) in sectors {
            forge.entry(table, index, sector);
        }
        forge.marker(1, 2);
        let directory = forge.sectors();
        forge.append(&table.to_le_bytes()).pad();
        forge.marker(1, 3);
        let footer = u64::from(forge.sectors()) * SECTOR;
        forge.append(&[0; 512]);
        forge.header(footer, 3, 0x30001, directory.into(), 1);
        forge.marker(0, 0);
        forge
    }

    /// A descriptor.
    pub(crate) fn of_text(text: &str) -> Self {
        Self { bytes: text.as_bytes().to_vec() }
    }

    fn header(&mut self, offset: u64, version: u32, flags: u32, directory: u64, compression: u16) {
        self.put(offset, b"KDMV").u32(offset + 4, version).u32(offset + 8, flags);
        self.u64(offset + 12, CAPACITY).u64(offset + 20, 128).u64(offset + 28, 1).u64(offset + 36, 20);
        self.u32(offset + 44, 512).u64(offset + 56, directory).u64(offset + 64, 128);
        self.put(offset + 73, b"\n \r\n").put(offset + 77, &compression.to_le_bytes());
    }

    /// Replaces the embedded descriptor.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(20 * 512, 0);
        self.put(512, &bytes)
    }

    pub(crate) fn entry(&mut self, table: u32, index: u64, sector: u32) -> &mut Self {
        self.u32(at(table) + index * 4, sector)
    }

    fn marker(&mut self, sectors: u64, kind: u32) {
        self.append(&sectors.to_le_bytes()).append(&[0; 4]).append(&kind.to_le_bytes()).pad();
    }

    fn append(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    fn sectors(&self) -> u32 {
        u32::try_from(self.bytes.len() / 512).unwrap()
    }

    /// Where the footer of a stream is.
    pub(crate) fn footer(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap() - 1024
    }

    /// Where the grain table of a stream is.
    pub(crate) fn stream_table(&self) -> u64 {
        self.footer() - 512 - 512 - 512 - 2048
    }

    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        let at = usize::try_from(at).unwrap();
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self
    }

    pub(crate) fn u32(&mut self, at: u64, value: u32) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, at: u64, value: u64) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }
}

/// Byte offset of a sector.
pub(crate) fn at(sector: u32) -> u64 {
    u64::from(sector) * SECTOR
}
