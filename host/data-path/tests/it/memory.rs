//! A job's memory does not depend on the size of the disk.

use std::{io, num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;
use imprint_data_path::{AppendSink, Disk, Limits, WriteOptions, write_image};
use imprint_ports::{
    BlockSink, BlockSource, Codec, CreateRequest, DiskFormat, FormatImage, FormatLayout, FrameField, Guess,
    MetadataPage, Placed, PortError, Props, Rules,
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

/// Units by these rules, and no tables.
struct Heap(Rules);

impl Heap {
    fn new(change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules {
            data_start: 65536,
            unit: 65536,
            align: 1,
            identity: false,
            skip_zero: true,
            codec: None,
            verbatim_if_larger: true,
            verbatim_align: 65536,
            max_encoded: 0,
            align_data: 0,
            frame: Vec::new(),
            interleave_every: 0,
            ascending: true,
        };
        change(&mut rules);
        Self(rules)
    }

    fn compressed() -> Self {
        Self::new(|rules| rules.codec = Some(Codec { name: "zstd".to_owned(), params: Props::new() }))
    }
}

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
        Ok(Box::new(HeapLayout(0, self.0.clone())))
    }
}

/// Counts the virtual bytes that were placed.
struct HeapLayout(u64, Rules);

#[async_trait]
impl FormatLayout for HeapLayout {
    async fn rules(&mut self) -> Result<Rules, PortError> {
        Ok(self.1.clone())
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

/// Writes the disk; says by how many KiB the process grew.
async fn grown(format: &Heap, sink: Arc<dyn BlockSink>, threads: usize) -> u64 {
    let disk = Arc::new(Disk::from_raw(Arc::new(Numbers), &Limits::default()).expect("it is a disk"));
    let options = WriteOptions { threads: NonZeroUsize::new(threads), ..WriteOptions::default() };
    let before = peak_kib();
    let written = write_image(&disk, format, &sink, &options).await.expect("the sink takes everything");
    assert_eq!(written.data_bytes, SIZE);
    peak_kib() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_disk_needs_no_more_memory_than_a_small_one() {
    let grown = grown(&Heap::compressed(), Arc::new(Sink), THREADS).await;
    assert!(grown < BOUND_KIB, "the job took {grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_needs_no_more() {
    let grown = grown(&Heap::compressed(), Arc::new(AppendSink::new(io::sink())), THREADS).await;
    assert!(grown < BOUND_KIB, "the job took {grown} KiB");
}

/// Each gap shares a block of the stored digest with the units around it.
#[tokio::test(flavor = "multi_thread")]
async fn gaps_between_units_cost_nothing() {
    let format = Heap::new(|rules| {
        (rules.align, rules.verbatim_align, rules.align_data) = (512, 512, 4096);
        rules.frame = vec![FrameField::Literal(vec![0xFF; 512])];
    });
    let grown = grown(&format, Arc::new(Sink), THREADS).await;
    assert!(grown < BOUND_KIB, "the job took {grown} KiB");
}

/// The most that any job may take.
const MOST_KIB: u64 = 256 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn large_units_run_on_fewer_threads() {
    let format = Heap::new(|rules| {
        (rules.unit, rules.align, rules.verbatim_align) = (32 << 20, 512, 512);
        rules.codec = Some(Codec { name: "zstd".to_owned(), params: Props::new() });
    });
    let grown = grown(&format, Arc::new(Sink), 16).await;
    assert!(grown < MOST_KIB, "the job took {grown} KiB");
}
