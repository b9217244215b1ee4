//! Formats whose files are the disks themselves, or hold them behind a few bytes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use imprint_ports::{
    BlockSource, ByteRange, CheckPage, Codec, CreateRequest, DiskFormat, Extent, ExtentKind, ExtentPage,
    FormatImage, FormatLayout, Guess, ImageInfo, MetadataPage, Placed, PortError, Props, Rules, SourceRef,
};

/// A format whose files are the disks themselves. While `hold` is set its tables never come.
pub(in crate::tests) struct FakeFormat {
    name: String,
    hold: Arc<AtomicBool>,
}

impl FakeFormat {
    pub(in crate::tests) fn new(name: &str, hold: Arc<AtomicBool>) -> Self {
        Self { name: name.to_owned(), hold }
    }
}

#[async_trait]
impl DiskFormat for FakeFormat {
    fn name(&self) -> &str {
        &self.name
    }

    fn writes(&self) -> bool {
        true
    }

    async fn probe(&self, _head: &[u8], _tail: &[u8], _size: u64) -> Result<Option<Guess>, PortError> {
        let raw = Guess { confidence: 1, format: self.name.clone(), subformat: None };
        Ok((self.name == "raw").then_some(raw))
    }

    async fn open(
        &self,
        primary: Arc<dyn BlockSource>,
        _: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError> {
        let skip = if self.name == WRAPPER { WRAPPED_AT } else { 0 };
        Ok(Box::new(FakeImage { name: self.name.clone(), size: primary.size() - skip, skip }))
    }

    async fn begin_layout(&self, request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        // Scratch files hold no data; only real copies are held up.
        let hold = if request.allocated > 0 { self.hold.clone() } else { Arc::default() };
        Ok(Box::new(FakeLayout { hold }))
    }
}

/// A format whose files hold a raw disk behind some bytes of their own.
pub(in crate::tests) const WRAPPER: &str = "vdi";
pub(in crate::tests) const WRAPPED_AT: u64 = 65536;

struct FakeImage {
    name: String,
    size: u64,
    /// Where the disk begins, and with that whether this is a wrapper.
    skip: u64,
}

#[async_trait]
impl FormatImage for FakeImage {
    async fn info(&mut self) -> Result<ImageInfo, PortError> {
        Ok(ImageInfo {
            format: self.name.clone(),
            subformat: None,
            virtual_size: self.size,
            unit: 1,
            facts: match self.skip {
                0 => Props::new(),
                _ => Props::from([("contains".to_owned(), "raw".to_owned())]),
            },
        })
    }

    async fn sources(&mut self) -> Result<Vec<SourceRef>, PortError> {
        let primary = SourceRef {
            role: "primary".to_owned(),
            reference: String::new(),
            format_hint: None,
            required: true,
        };
        Ok(vec![primary])
    }

    async fn codecs(&mut self) -> Result<Vec<Codec>, PortError> {
        Ok(Vec::new())
    }

    async fn metadata_ranges(&mut self, _start: u64, _max: u32) -> Result<Vec<ByteRange>, PortError> {
        Ok(Vec::new())
    }

    async fn extents(&mut self, start: u64, end: u64, _max: u32) -> Result<ExtentPage, PortError> {
        let extent = Extent {
            offset: start,
            length: end - start,
            kind: ExtentKind::Data,
            source: 0,
            codec: 0,
            source_offset: start + self.skip,
            source_length: 0,
        };
        Ok(ExtentPage { extents: vec![extent], resume: end, done: true })
    }

    async fn check(&mut self, _start: u64, _max: u32) -> Result<CheckPage, PortError> {
        Ok(CheckPage { items: Vec::new(), resume: 0, done: true })
    }
}

/// The rules of files that hold the disk as it is, from a place on.
pub(in crate::tests) fn identity_rules(data_start: u64) -> Rules {
    Rules {
        data_start,
        unit: 65536,
        align: 65536,
        identity: true,
        skip_zero: true,
        codec: None,
        verbatim_if_larger: false,
        verbatim_align: 0,
        max_encoded: 0,
        align_data: 0,
        frame: Vec::new(),
        interleave_every: 0,
        ascending: true,
    }
}

struct FakeLayout {
    hold: Arc<AtomicBool>,
}

#[async_trait]
impl FormatLayout for FakeLayout {
    async fn rules(&mut self) -> Result<Rules, PortError> {
        Ok(identity_rules(0))
    }

    async fn placed(&mut self, _runs: &[Placed]) -> Result<(), PortError> {
        Ok(())
    }

    async fn interleave(&mut self, _at: u64) -> Result<Vec<u8>, PortError> {
        Ok(Vec::new())
    }

    async fn metadata(&mut self, end: u64, _start: u64, _max: u32) -> Result<MetadataPage, PortError> {
        if self.hold.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(MetadataPage { segments: Vec::new(), resume: 0, done: true, final_size: Some(end) })
    }
}
