//! A job's memory does not depend on the size of the disk.

use std::{io, num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;
use imprint_data_path::{
    Disk, Limits, WriteOptions,
    io::{BlockSink, BlockSource},
    ports::{
        Codec, CreateRequest, DiskFormat, FormatImage, FormatLayout, Guess, MetadataPage, Placed, PortError,
        Props, Rules,
    },
    write_image,
};

const SIZE: u64 = 512 << 20;
const THREADS: usize = 4;
/// The goal is 128 MiB and 4 MiB a thread for a whole process; a job alone stays far below.
const BOUND_KIB: u64 = 64 << 10;

/// Numbers that compress, calculated as they are read.
struct Numbers;

impl BlockSource for Numbers {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        for (chunk, number) in buf.chunks_mut(8).zip(offset / 8..) {
            let bytes = number.wrapping_mul(0x9E37_79B9).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

/// Takes everything.
struct Sink;

impl BlockSink for Sink {
    fn write_all_at(&self, _buf: &[u8], _offset: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_size(&self, _size: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Compressed units, and no tables.
struct Heap;

#[async_trait]
impl DiskFormat for Heap {
    fn name(&self) -> &str {
        "heap"
    }

    fn writes(&self) -> bool {
        true
    }

    async fn probe(&self, _head: &[u8], _tail: &[u8], _size: u64) -> Result<Option<Guess>, PortError> {
        Ok(None)
    }

    async fn open(
        &self,
        _primary: Arc<dyn BlockSource>,
        _options: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError> {
        Err(PortError::bad_answer("heap.open", "it cannot be read"))
    }

    async fn begin_layout(&self, _request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        Ok(Box::new(HeapLayout(0)))
    }
}

/// Counts the virtual bytes that were placed.
struct HeapLayout(u64);

#[async_trait]
impl FormatLayout for HeapLayout {
    async fn rules(&mut self) -> Result<Rules, PortError> {
        Ok(Rules {
            data_start: 65536,
            unit: 65536,
            align: 1,
            identity: false,
            skip_zero: true,
            codec: Some(Codec { name: "zstd".to_owned(), params: Props::new() }),
            verbatim_if_larger: true,
            verbatim_align: 65536,
            max_encoded: 0,
            align_data: 0,
            frame: Vec::new(),
            interleave_every: 0,
            ascending: true,
        })
    }

    async fn placed(&mut self, runs: &[Placed]) -> Result<(), PortError> {
        self.0 += runs.iter().map(|run| run.length).sum::<u64>();
        Ok(())
    }

    async fn interleave(&mut self, _at: u64) -> Result<Vec<u8>, PortError> {
        Ok(Vec::new())
    }

    async fn metadata(&mut self, _end: u64, _start: u64, _max_bytes: u32) -> Result<MetadataPage, PortError> {
        assert_eq!(self.0, SIZE, "every unit was placed");
        Ok(MetadataPage { segments: Vec::new(), resume: 0, done: true, final_size: None })
    }
}

/// The most memory that this process ever used, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number of KiB")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_disk_needs_no_more_memory_than_a_small_one() {
    let disk = Arc::new(Disk::from_raw(Arc::new(Numbers), &Limits::default()).unwrap());
    let sink: Arc<dyn BlockSink> = Arc::new(Sink);
    let options = WriteOptions { threads: NonZeroUsize::new(THREADS), ..WriteOptions::default() };
    let before = peak_kib();
    let written = write_image(&disk, &Heap, &sink, &options).await.unwrap();
    let grown = peak_kib() - before;
    assert_eq!(written.read_bytes, SIZE);
    assert!(written.written_bytes < SIZE);
    assert!(grown < BOUND_KIB, "the job took {grown} KiB");
}
