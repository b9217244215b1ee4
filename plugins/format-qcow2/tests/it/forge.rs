//! Images built byte by byte, so that each can be wrong in one place.

pub(crate) const CLUSTER: u64 = 65536;
pub(crate) const REFCOUNT_TABLE: u64 = CLUSTER;
pub(crate) const REFCOUNT_BLOCK: u64 = 2 * CLUSTER;
pub(crate) const L1: u64 = 3 * CLUSTER;
pub(crate) const L2: u64 = 4 * CLUSTER;
pub(crate) const DATA: u64 = 5 * CLUSTER;
pub(crate) const COPIED: u64 = 1 << 63;
pub(crate) const COMPRESSED: u64 = 1 << 62;
/// Where the width of sector counts begins in a compressed entry of these images.
pub(crate) const SECTORS: u32 = 54;

/// A valid version 3 image of 1 GiB with two data clusters, to be spoilt.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) bytes: Vec<u8>,
}

impl Forge {
    pub(crate) fn new() -> Self {
        let mut forge = Self { bytes: vec![0; usize::try_from(7 * CLUSTER).unwrap()] };
        forge.u32(0, 0x5146_49fb).u32(4, 3).u32(20, 16).u64(24, 1 << 30);
        forge.u32(36, 2).u64(40, L1).u64(48, REFCOUNT_TABLE).u32(56, 1);
        forge.u32(96, 4).u32(100, 112);
        forge.u64(REFCOUNT_TABLE, REFCOUNT_BLOCK);
        for cluster in 0..7 {
            forge.u16(REFCOUNT_BLOCK + 2 * cluster, 1);
        }
        forge.u64(L1, L2 | COPIED).u64(L2, DATA | COPIED).u64(L2 + 80, (DATA + CLUSTER) | COPIED);
        let data = usize::try_from(DATA).unwrap();
        forge.bytes[data..].fill(0x5a);
        forge
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

    pub(crate) fn u16(&mut self, at: u64, value: u16) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, at: u64, value: u32) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, at: u64, value: u64) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    /// An extension at the start of the extension area.
    pub(crate) fn extension(&mut self, kind: u32, data: &[u8]) -> &mut Self {
        self.u32(112, kind).u32(116, u32::try_from(data.len()).unwrap()).put(120, data)
    }

    /// A name of a parent.
    pub(crate) fn backing(&mut self, name: &str) -> &mut Self {
        self.u64(8, 512).u32(16, u32::try_from(name.len()).unwrap()).put(512, name.as_bytes())
    }
}
