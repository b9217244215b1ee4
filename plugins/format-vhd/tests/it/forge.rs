//! Images built byte by byte, so that each can be wrong in one place, and chains of differencing
//! disks.

pub(crate) const BLOCK: u64 = 512 << 10;
pub(crate) const HEADER: u64 = 512;
pub(crate) const BAT: u64 = 1536;
pub(crate) const NAMES: u64 = 2048;
pub(crate) const DATA: u64 = 8192;
/// Of the disk that is spoilt.
pub(crate) const SIZE: u64 = 4 * BLOCK;
const SECTOR: u64 = 512;
const MAXIMAL: [u8; 4] = [0xff, 0xff, 16, 255];

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

/// Puts the checksum at `at` right.
pub(crate) fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = !bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
}

pub(crate) fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

/// A footer of Hyper-V's kind.
pub(crate) fn footer(kind: u32, size: u64, id: [u8; 16]) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    put(&mut bytes, 0, b"conectix");
    put(&mut bytes, 8, &2_u32.to_be_bytes());
    put(&mut bytes, 12, &0x0001_0000_u32.to_be_bytes());
    put(&mut bytes, 16, &(if kind == 2 { u64::MAX } else { HEADER }).to_be_bytes());
    put(&mut bytes, 28, b"win \0\x06\0\x03Wi2k");
    put(&mut bytes, 40, &size.to_be_bytes());
    put(&mut bytes, 48, &size.to_be_bytes());
    put(&mut bytes, 56, &MAXIMAL);
    put(&mut bytes, 60, &kind.to_be_bytes());
    put(&mut bytes, 68, &id);
    seal(&mut bytes, 64);
    bytes
}

pub(crate) fn header(entries: u32, block: u32) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    put(&mut bytes, 0, b"cxsparse");
    put(&mut bytes, 8, &u64::MAX.to_be_bytes());
    put(&mut bytes, 16, &BAT.to_be_bytes());
    put(&mut bytes, 24, &0x0001_0000_u32.to_be_bytes());
    put(&mut bytes, 28, &entries.to_be_bytes());
    put(&mut bytes, 32, &block.to_be_bytes());
    seal(&mut bytes, 36);
    bytes
}

/// A valid dynamic disk of four blocks, of which the first and the third exist, to be spoilt.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) bytes: Vec<u8>,
}

impl Forge {
    pub(crate) fn new() -> Self {
        let mut bytes = vec![0x5a; index(DATA + 2 * (BLOCK + SECTOR))];
        bytes[..index(DATA)].fill(0);
        bytes[index(BAT)..index(BAT) + 512].fill(0xff);
        let mut forge = Self { bytes };
        for (block, number) in [(0_u64, 0_u64), (2, 1)] {
            let at = DATA + number * (BLOCK + SECTOR);
            forge.entry(block, u32::try_from(at / SECTOR).unwrap());
            forge.bytes[index(at)..index(at) + 512].fill(0);
            forge.bytes[index(at)..index(at) + 128].fill(0xff);
        }
        let footer = footer(3, SIZE, [7; 16]);
        put(&mut forge.bytes, 0, &footer);
        put(&mut forge.bytes, index(HEADER), &header(4, u32::try_from(BLOCK).unwrap()));
        forge.bytes.extend(footer);
        forge
    }

    /// The same with a parent.
    pub(crate) fn differencing() -> Self {
        let mut forge = Self::new();
        forge.footers(|footer| footer[63] = 4);
        forge.header(|header| {
            put(header, 40, &[9; 16]);
            let name: Vec<u8> = "base.vhd".encode_utf16().flat_map(u16::to_be_bytes).collect();
            put(header, 64, &name);
        });
        forge
    }

    pub(crate) fn fixed(size: u64) -> Self {
        let mut bytes = vec![0x33; index(size)];
        bytes.extend(footer(2, size, [7; 16]));
        Self { bytes }
    }

    pub(crate) fn entry(&mut self, block: u64, sector: u32) -> &mut Self {
        put(&mut self.bytes, index(BAT + block * 4), &sector.to_be_bytes());
        self
    }

    /// Changes the last 512 bytes, and the first where they are a copy, and puts the checksums
    /// right.
    pub(crate) fn footers(&mut self, change: impl Fn(&mut [u8])) -> &mut Self {
        let end = self.bytes.len() - 512;
        if self.bytes.starts_with(b"conectix") {
            change(&mut self.bytes[..512]);
            seal(&mut self.bytes[..512], 64);
        }
        change(&mut self.bytes[end..]);
        seal(&mut self.bytes[end..], 64);
        self
    }

    pub(crate) fn header(&mut self, change: impl Fn(&mut [u8])) -> &mut Self {
        let header = &mut self.bytes[index(HEADER)..index(HEADER) + 1024];
        change(header);
        seal(header, 36);
        self
    }

    /// A name of the parent on a platform, in slot `slot`.
    pub(crate) fn locator(&mut self, slot: usize, platform: &[u8; 4], text: &[u8]) -> &mut Self {
        let at = NAMES + 512 * u64::try_from(slot).unwrap();
        put(&mut self.bytes, index(at), text);
        self.header(|header| {
            let entry = 576 + 24 * slot;
            put(header, entry, platform);
            put(header, entry + 4, &512_u32.to_be_bytes());
            put(header, entry + 8, &u32::try_from(text.len()).unwrap().to_be_bytes());
            put(header, entry + 16, &at.to_be_bytes());
        })
    }
}

/// One layer of a chain, to be written as a file.
pub(crate) struct LayerSpec<'a> {
    pub(crate) size: u64,
    pub(crate) block: u32,
    pub(crate) id: [u8; 16],
    /// Id and file name of the parent.
    pub(crate) parent: Option<([u8; 16], &'a str)>,
    /// Sectors that the layer has, ascending, with their bytes.
    pub(crate) sectors: &'a [(u64, [u8; 512])],
}

impl LayerSpec<'_> {
    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let block = u64::from(self.block);
        let entries = u32::try_from(self.size.div_ceil(block)).unwrap();
        let table = (u64::from(entries) * 4).next_multiple_of(SECTOR);
        let footer = footer(if self.parent.is_some() { 4 } else { 3 }, self.size, self.id);
        let mut header = header(entries, self.block);
        let names_at = BAT + table;
        let mut names = Vec::new();
        if let Some((id, name)) = self.parent {
            put(&mut header, 40, &id);
            let utf16 = |text: &str| -> Vec<u16> { text.encode_utf16().collect() };
            let big: Vec<u8> = utf16(name).into_iter().flat_map(u16::to_be_bytes).collect();
            put(&mut header, 64, &big);
            let little: Vec<u8> =
                utf16(&format!(".\\{name}")).into_iter().flat_map(u16::to_le_bytes).collect();
            for (slot, (platform, text)) in
                [(b"W2ru", little), (b"MacX", format!("file://./{name}").into_bytes())]
                    .into_iter()
                    .enumerate()
            {
                let entry = 576 + 24 * slot;
                put(&mut header, entry, platform);
                put(&mut header, entry + 4, &512_u32.to_be_bytes());
                put(&mut header, entry + 8, &u32::try_from(text.len()).unwrap().to_be_bytes());
                put(&mut header, entry + 16, &(names_at + u64::try_from(names.len()).unwrap()).to_be_bytes());
                names.extend(&text);
                names.resize(names.len().next_multiple_of(512), 0);
            }
            seal(&mut header, 36);
        }
        let bitmap = (block / SECTOR / 8).next_multiple_of(SECTOR);
        let mut bat = vec![u32::MAX; index(table / 4)];
        let mut blocks: Vec<u8> = Vec::new();
        let data = names_at + u64::try_from(names.len()).unwrap();
        let mut last = None;
        for (sector, content) in self.sectors {
            let number = sector * SECTOR / block;
            if last != Some(number) {
                last = Some(number);
                bat[index(number)] =
                    u32::try_from((data + u64::try_from(blocks.len()).unwrap()) / SECTOR).unwrap();
                blocks.resize(blocks.len() + index(bitmap + block), 0);
            }
            let start = blocks.len() - index(bitmap + block);
            let within = sector - number * block / SECTOR;
            blocks[start + index(within / 8)] |= 0x80 >> (within % 8);
            put(&mut blocks, start + index(bitmap + within * SECTOR), content);
        }
        let table: Vec<u8> = bat.into_iter().flat_map(u32::to_be_bytes).collect();
        [footer.clone(), header, table, names, blocks, footer].concat()
    }
}
