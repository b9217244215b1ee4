//! A format whose files hold some of a disk's clusters and name the file below. The first 64 KiB
//! are its header, as text: a magic word, the parent's reference, its format, and a digit for each
//! cluster; then the clusters, each at its place.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use imprint_ports::{
    BlockSource, ByteRange, CheckPage, Codec, CreateRequest, DiskFormat, ErrorClass, Extent, ExtentKind,
    ExtentPage, FormatImage, FormatLayout, Guess, ImageInfo, MetadataPage, MetadataSegment, Placed,
    PortError, Props, Rules, SourceRef,
};

use super::fakes::{DISK_SIZE, identity_rules};

/// The name that the agent's own code knows such a format by.
pub(super) const STACK: &str = "vhd";
pub(super) const CLUSTER: u64 = 65536;
const MAGIC: &str = "STACK";

/// A layer: what its header says.
#[derive(Clone, Default)]
pub(super) struct Header {
    pub(super) parent: String,
    pub(super) parent_format: String,
    pub(super) snapshots: u32,
    pub(super) present: String,
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let text = format!(
            "{MAGIC}\n{}\n{}\n{}\n{}\n",
            self.parent, self.parent_format, self.snapshots, self.present
        );
        let mut bytes = text.into_bytes();
        bytes.resize(usize::try_from(CLUSTER).unwrap(), 0);
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        if lines.next()? != MAGIC {
            return None;
        }
        let mut next = || lines.next().map(str::to_owned);
        Some(Self {
            parent: next()?,
            parent_format: next()?,
            snapshots: next()?.parse().ok()?,
            present: next()?,
        })
    }
}

/// Writes a layer that holds the given clusters, each filled with its byte.
pub(super) fn write_layer(path: &Path, header: Header, clusters: &[(u64, u8)]) {
    let count = DISK_SIZE / CLUSTER;
    let digit = |index| if clusters.iter().any(|(at, _)| *at == index) { '1' } else { '0' };
    let header = Header { present: (0..count).map(digit).collect(), ..header };
    let mut bytes = header.bytes();
    bytes.resize(usize::try_from(CLUSTER + DISK_SIZE).unwrap(), 0);
    for (index, fill) in clusters {
        let at = usize::try_from(CLUSTER + index * CLUSTER).unwrap();
        bytes[at..at + usize::try_from(CLUSTER).unwrap()].fill(*fill);
    }
    fs::write(path, bytes).unwrap();
}

/// While `hold` is set its tables never come.
pub(super) struct StackFormat {
    pub(super) hold: Arc<AtomicBool>,
}

fn damaged() -> PortError {
    PortError::host(ErrorClass::Corrupt, "corrupt.header", "not a stack file")
}

#[async_trait]
impl DiskFormat for StackFormat {
    fn name(&self) -> &str {
        STACK
    }

    fn writes(&self) -> bool {
        true
    }

    async fn probe(&self, head: &[u8], _tail: &[u8], _size: u64) -> Result<Option<Guess>, PortError> {
        let ours = head.starts_with(MAGIC.as_bytes());
        Ok(ours.then(|| Guess { confidence: 100, format: STACK.to_owned(), subformat: None }))
    }

    async fn open(
        &self,
        primary: Arc<dyn BlockSource>,
        _: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError> {
        let mut bytes = vec![0; usize::try_from(CLUSTER.min(primary.size())).unwrap()];
        primary.read_exact_at(&mut bytes, 0).map_err(|_| damaged())?;
        Ok(Box::new(StackImage(Header::parse(&bytes).ok_or_else(damaged)?)))
    }

    async fn begin_layout(&self, request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        let clusters = usize::try_from(request.virtual_size.div_ceil(CLUSTER)).unwrap();
        let header = Header { present: "1".repeat(clusters), ..Header::default() };
        Ok(Box::new(StackLayout { header, hold: self.hold.clone() }))
    }
}

struct StackImage(Header);

#[async_trait]
impl FormatImage for StackImage {
    async fn info(&mut self) -> Result<ImageInfo, PortError> {
        Ok(ImageInfo {
            format: STACK.to_owned(),
            subformat: None,
            virtual_size: DISK_SIZE,
            unit: u32::try_from(CLUSTER).unwrap(),
            facts: Props::from([("internal-snapshots".to_owned(), self.0.snapshots.to_string())]),
        })
    }

    async fn sources(&mut self) -> Result<Vec<SourceRef>, PortError> {
        let source = |role: &str, reference: &str, hint: &str| SourceRef {
            role: role.to_owned(),
            reference: reference.to_owned(),
            format_hint: (!hint.is_empty()).then(|| hint.to_owned()),
            required: true,
        };
        let mut sources = vec![source("primary", "", "")];
        if !self.0.parent.is_empty() {
            sources.push(source("parent", &self.0.parent, &self.0.parent_format));
        }
        Ok(sources)
    }

    async fn codecs(&mut self) -> Result<Vec<Codec>, PortError> {
        Ok(Vec::new())
    }

    async fn metadata_ranges(&mut self, start: u64, _max: u32) -> Result<Vec<ByteRange>, PortError> {
        Ok((start == 0).then_some(ByteRange { offset: 0, length: CLUSTER }).into_iter().collect())
    }

    async fn extents(&mut self, start: u64, end: u64, _max: u32) -> Result<ExtentPage, PortError> {
        let mut extents = Vec::new();
        let mut at = start;
        while at < end {
            let index = usize::try_from(at / CLUSTER).unwrap();
            let stop = end.min((at / CLUSTER + 1) * CLUSTER);
            let kind =
                if self.0.present.as_bytes()[index] == b'1' { ExtentKind::Data } else { ExtentKind::Hole };
            extents.push(Extent {
                offset: at,
                length: stop - at,
                kind,
                source: 0,
                codec: 0,
                source_offset: if kind == ExtentKind::Data { CLUSTER + at } else { 0 },
                source_length: 0,
            });
            at = stop;
        }
        Ok(ExtentPage { extents, resume: end, done: true })
    }

    async fn check(&mut self, _start: u64, _max: u32) -> Result<CheckPage, PortError> {
        Ok(CheckPage { items: Vec::new(), resume: 0, done: true })
    }
}

struct StackLayout {
    header: Header,
    hold: Arc<AtomicBool>,
}

#[async_trait]
impl FormatLayout for StackLayout {
    async fn rules(&mut self) -> Result<Rules, PortError> {
        Ok(identity_rules(CLUSTER))
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
        let segment = MetadataSegment { file_offset: 0, bytes: self.header.bytes() };
        Ok(MetadataPage { segments: vec![segment], resume: 0, done: true, final_size: Some(end) })
    }
}
