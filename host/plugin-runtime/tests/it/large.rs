//! The shipped formats with images as large as they may be, within the processor time of a call
//! that their manifests ask for: what grows with an image goes in slices.

use std::{io, sync::Arc};

use imprint_corpus::{Bytes, vhdx::Forge};
use imprint_plugin_runtime::{HostOptions, PluginHost, PluginSource};
use imprint_ports::{BlockSource, Props};

use crate::components::shipped;

/// Pages of each kind that are asked for, at most: all of them differ in nothing but their place.
const PAGES: usize = 48;
const MIB: u64 = 1 << 20;

struct Sparse {
    bytes: Bytes,
    /// What every byte of `filled` is.
    filled: std::ops::Range<u64>,
    fill: u8,
}

impl BlockSource for Sparse {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        buf.copy_from_slice(&self.bytes.get(offset, buf.len()));
        let end = offset + u64::try_from(buf.len()).unwrap();
        let filled = self.filled.start.clamp(offset, end)..self.filled.end.clamp(offset, end);
        let inside = |at: u64| usize::try_from(at - offset).unwrap();
        buf[inside(filled.start)..inside(filled.end)].fill(self.fill);
        Ok(())
    }
}

fn sparse(bytes: Bytes) -> Sparse {
    Sparse { bytes, filled: 0..0, fill: 0 }
}

/// Asks the image for its map and its check, page by page; returns the code of a refusal to
/// open it.
async fn ask(name: &str, source: Sparse) -> Result<(), String> {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    host.load_component(&shipped(name), PluginSource::Embedded).await.unwrap();
    let format = host.format(name.trim_start_matches("format-")).unwrap();
    let mut used = 0;
    let mut report = |call: &str| {
        let now = host.usage().cpu_ms;
        eprintln!("{name} {call}: {} ms", now - std::mem::replace(&mut used, now));
    };
    let source = Arc::new(source);
    let mut image = match format.open(source.clone(), &Props::new()).await {
        Ok(image) => image,
        Err(error) => {
            report("open");
            return Err(error.code);
        }
    };
    report("open");
    let size = image.info().await.unwrap().virtual_size;
    let mut start = 0;
    for _ in 0..PAGES {
        let ranges = image.metadata_ranges(start, 4096).await.unwrap().len();
        report("metadata-ranges");
        start += u64::try_from(ranges).unwrap();
        if ranges == 0 {
            break;
        }
    }
    let mut at = 0;
    for _ in 0..PAGES {
        let page = image.extents(at, size, 4096).await.unwrap();
        report("extents");
        at = page.resume;
        if page.done {
            break;
        }
    }
    // An instance may read so much metadata in all, which the map has used by now.
    let mut image = format.open(source, &Props::new()).await.map_err(|error| error.code)?;
    let mut token = 0;
    for _ in 0..PAGES {
        let page = image.check(token, 1000).await.unwrap();
        report("check");
        token = page.resume;
        if page.done {
            break;
        }
    }
    Ok(())
}

/// The numbers below `count`, each once, in no order.
fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |number| number * 2_654_435_761 % count)
}

fn be(bytes: &mut Bytes, at: u64, value: u32) {
    bytes.put(at, &value.to_be_bytes());
}

fn qcow2(cluster_bits: u32, size: u64, l1: (u32, u64), refcounts: u64) -> Bytes {
    let mut bytes = Bytes::new();
    for (at, value) in
        [(0, 0x5146_49fb), (4, 3), (20, cluster_bits), (36, l1.0), (56, 1), (96, 4), (100, 112)]
    {
        be(&mut bytes, at, value);
    }
    for (at, value) in [(24, size), (40, l1.1), (48, refcounts)] {
        bytes.put(at, &value.to_be_bytes());
    }
    bytes
}

#[tokio::test]
async fn qcow2_with_tables_in_no_order() {
    let tables = 1_u64 << 22;
    let mut bytes = qcow2(9, 1 << 37, (1 << 22, MIB), 512);
    let l1: Vec<u8> = shuffled(tables).flat_map(|table| (64 * MIB + table * 512).to_be_bytes()).collect();
    bytes.put(MIB, &l1).resize(64 * MIB + tables * 512);
    ask("format-qcow2", sparse(bytes)).await.unwrap();
}

#[tokio::test]
async fn qcow2_with_all_refcounts() {
    let (size, cluster) = (2_u64 << 40, 65536);
    let mut bytes = qcow2(16, MIB, (1, 2 * cluster), 3 * cluster);
    let blocks = size / cluster / 32768;
    let table: Vec<u8> = (0..blocks).flat_map(|_| (4 * cluster).to_be_bytes()).collect();
    bytes.put(3 * cluster, &table).resize(size);
    ask("format-qcow2", sparse(bytes)).await.unwrap();
}

#[tokio::test]
async fn vdi_with_the_longest_map() {
    let (blocks, data) = (1_u32 << 26, 257 << 20);
    let mut bytes = Bytes::new();
    let words = [
        (0x40, 0xbeda_107f),
        (0x44, 0x0001_0001),
        (0x48, 0x180),
        (0x4c, 1),
        (0x154, 4096),
        (0x158, data),
        (0x168, 512),
        (0x174, 1 << 14),
        (0x178, 1 << 20),
        (0x180, blocks),
        (0x188, 1),
    ];
    for (at, word) in words {
        bytes.put(at, &u32::to_le_bytes(word));
    }
    bytes.resize(data.into());
    ask("format-vdi", Sparse { bytes, filled: 4096..4096 + 4 * u64::from(blocks), fill: 0xff })
        .await
        .unwrap();
}

#[tokio::test]
async fn vhd_with_blocks_in_no_order() {
    let sealed = |mut bytes: Vec<u8>, at: usize| {
        let sum = bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add((*byte).into()));
        bytes[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
        bytes
    };
    let (size, block) = (0xff00_0000_u64 * 512, 512 << 10);
    let blocks = size / block;
    let mut footer = vec![0; 512];
    footer[..16].copy_from_slice(b"conectix\0\0\0\x02\0\x01\0\0");
    footer[16..24].copy_from_slice(&512_u64.to_be_bytes());
    footer[28..32].copy_from_slice(b"win ");
    footer[40..48].copy_from_slice(&size.to_be_bytes());
    footer[48..56].copy_from_slice(&size.to_be_bytes());
    footer[56..64].copy_from_slice(&[0xff, 0xff, 16, 0xff, 0, 0, 0, 3]);
    let footer = sealed(footer, 64);
    let mut header = vec![0; 1024];
    header[..16].copy_from_slice(b"cxsparse\xff\xff\xff\xff\xff\xff\xff\xff");
    header[16..24].copy_from_slice(&1536_u64.to_be_bytes());
    header[24..28].copy_from_slice(&[0, 1, 0, 0]);
    header[28..32].copy_from_slice(&u32::try_from(blocks).unwrap().to_be_bytes());
    header[32..36].copy_from_slice(&u32::try_from(block).unwrap().to_be_bytes());
    let data = 32 * MIB;
    let place = |block: u64| u32::try_from(data / 512 + block * 1025).unwrap();
    let table: Vec<u8> = shuffled(blocks).flat_map(|block| place(block).to_be_bytes()).collect();
    let mut bytes = Bytes::new();
    bytes.put(0, &footer).put(512, &sealed(header, 36)).put(1536, &table);
    bytes.put(data + blocks * 1025 * 512, &footer);
    ask("format-vhd", sparse(bytes)).await.unwrap();
}

#[tokio::test]
async fn vmdk_with_tables_in_no_order() {
    let (capacity, tables) = (62_u64 << 40, (62_u64 << 40) / (32 << 20));
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\nRW {} SPARSE \"a.vmdk\"\n",
        capacity / 512
    );
    let (directory, first) = ((tables * 4).div_ceil(512), 65536);
    let mut bytes = Bytes::new();
    bytes.put(0, b"KDMV\x01\0\0\0\x03\0\0\0").put(12, &(capacity / 512).to_le_bytes());
    bytes.put(20, &128_u64.to_le_bytes()).put(28, &1_u64.to_le_bytes()).put(36, &20_u64.to_le_bytes());
    bytes.put(44, &512_u32.to_le_bytes()).put(48, &128_u64.to_le_bytes());
    bytes.put(56, &(128 + directory).to_le_bytes()).put(73, b"\n \r\n").put(512, text.as_bytes());
    let entries: Vec<u8> = shuffled(2 * tables)
        .flat_map(|table| u32::try_from(first + table * 4).unwrap().to_le_bytes())
        .collect();
    let (redundant, used) = entries.split_at(entries.len() / 2);
    bytes.put(128 * 512, redundant).put((128 + directory) * 512, used);
    bytes.resize((first + 8 * tables) * 512);
    ask("format-vmdk", sparse(bytes)).await.unwrap();
}

#[tokio::test]
async fn vhdx_with_the_longest_table() {
    let mut forge = Forge::new();
    let length = 513 * MIB;
    for at in [192 << 10, 256 << 10] {
        forge.file.le64(at + 32, 8 * MIB).le32(at + 40, u32::try_from(length).unwrap());
    }
    forge.file.le64((2 << 20) + (64 << 10) + 8, 64 << 40).resize(8 * MIB + length);
    ask("format-vhdx", sparse(forge.seal())).await.unwrap();
}
