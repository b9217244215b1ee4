//! What every reader of a disk format owes its host, whatever the file is: an error, or a map that
//! is in order and inside the file, in bounded time and memory.

use imprint_corpus::Bytes;
use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{ExtentKind, Format, Image},
    host::Blob,
    inspector::Inspector,
    mock::MockHost,
    types::{ByteRange, Props},
};

/// Pages of a map, of tables and of findings that are asked for: a plugin answers one page at a
/// time, so a long map is no more than more pages.
const PAGES: u32 = 40;
/// Pages of a check, each of which may walk far: one input that takes a second takes the time of
/// thousands.
const CHECK_PAGES: u32 = 4;
const EXTENTS: u32 = 512;
/// The host's bounds of one read (`wit/host`).
const MAX_READ: u64 = 1 << 20;
const MAX_RANGES: usize = 1024;
/// What one image may read; the host ends a job in the same way, at the manifest's `metadata-read`.
/// Less here, because one input that reads gigabytes of zeroes takes the time of thousands.
const MAX_READS: u64 = 48 << 20;

/// A file with holes, with the bounds of the real host.
struct Sparse {
    bytes: Bytes,
    read: std::cell::Cell<u64>,
}

impl Sparse {
    fn get(&self, offset: u64, length: u64) -> Vec<u8> {
        let length = length.min(self.bytes.size().saturating_sub(offset));
        self.bytes.get(offset, usize::try_from(length).unwrap_or_default())
    }

    /// Counts a read before it is done.
    fn spend(&self, length: u64) -> Result<()> {
        self.read.set(self.read.get().saturating_add(length));
        if self.read.get() > MAX_READS {
            return Err(Error::limit("plugin.metadata-limit", "more is read than an image may read"));
        }
        Ok(())
    }
}

impl Blob for Sparse {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        if u64::from(length) > MAX_READ {
            return Err(Error::limit("blob.read", "a read over 1 MiB"));
        }
        self.spend(length.into())?;
        Ok(self.get(offset, length.into()))
    }

    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>> {
        let total = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.length));
        if total > MAX_READ || ranges.len() > MAX_RANGES {
            return Err(Error::limit("blob.read", "scattered reads over 1 MiB or 1024 ranges"));
        }
        self.spend(total)?;
        Ok(ranges.iter().map(|range| self.get(range.offset, range.length)).collect())
    }

    fn prefetch(&self, _ranges: &[ByteRange]) {}
}

/// Reads a packed file (see [`Bytes::unpack`]) with a format, as the host would.
pub fn read<F: Format>(input: &[u8]) {
    let bytes = Bytes::unpack(input);
    let size = bytes.size();
    let head = bytes.get(0, usize::try_from(size.min(64 << 10)).unwrap_or_default());
    let tail_at = size.saturating_sub(4 << 10);
    let tail = bytes.get(tail_at, usize::try_from(size - tail_at).unwrap_or_default());
    if let Some(guess) = F::probe(&head, &tail, size) {
        assert!(guess.confidence <= 100 && !guess.format.is_empty());
    }
    let blob = Sparse { bytes, read: std::cell::Cell::new(0) };
    if let Ok(mut image) = F::open(Box::new(blob), &Props::new()) {
        // An error ends it, as it ends the host's work.
        let _ended = look(&mut image, size);
    }
}

/// Looks inside of a packed disk with an inspector, as the host would: findings within the bounds
/// of the contract, or an error.
pub fn inspect<I: Inspector>(input: &[u8]) {
    let blob = Sparse { bytes: Bytes::unpack(input), read: std::cell::Cell::new(0) };
    let size = blob.size();
    if let Ok(found) = I::inspect(&MockHost::new(), Box::new(blob), &[]) {
        let counts = [found.partitions.len(), found.file_systems.len(), found.unread.len()];
        assert!(counts.iter().all(|count| *count <= 256), "{counts:?}");
        assert!(found.file_systems.iter().all(|found| found.offset <= size), "inside of the disk");
        assert!(found.unread.iter().all(|unread| !unread.code.is_empty() && unread.reason.len() <= 1000));
    }
}

fn look(image: &mut impl Image, file: u64) -> Result<()> {
    let info = image.info()?;
    assert!(info.unit > 0, "units have a length");
    let sources = image.sources()?;
    assert!(sources.first().is_some_and(|source| source.role == "primary"), "the first source is the file");
    let codecs = image.codecs().len();
    ranges(image)?;
    let mut at = 0;
    for _ in 0..PAGES {
        if at >= info.virtual_size {
            break;
        }
        let page = image.extents(at, info.virtual_size, EXTENTS)?;
        assert!(!page.extents.is_empty() && page.extents.len() <= 512, "a page holds what was asked for");
        for extent in &page.extents {
            assert_eq!(extent.offset, at, "in order and without gaps");
            assert!(extent.length > 0, "no empty extents");
            at = at.checked_add(extent.length).expect("no extent ends beyond the largest offset");
            let stored = match extent.kind {
                ExtentKind::Zero | ExtentKind::Hole => continue,
                ExtentKind::Data => extent.length,
                ExtentKind::Encoded => {
                    assert!(usize::from(extent.codec) < codecs, "a codec that is listed");
                    extent.source_length.into()
                }
            };
            assert!(usize::from(extent.source) < sources.len(), "a source that is listed");
            let end = extent
                .source_offset
                .checked_add(stored)
                .expect("no stored range ends beyond the largest offset");
            assert!(extent.source > 0 || end <= file, "stored at {end} of {file}");
        }
        assert_eq!(page.resume, at, "it goes on where the page ends");
        assert_eq!(page.done, at >= info.virtual_size, "it is done at the end");
    }
    check(image)
}

fn ranges(image: &mut impl Image) -> Result<()> {
    let mut start = 0;
    for _ in 0..PAGES {
        let page = image.metadata_ranges(start, EXTENTS)?;
        assert!(page.len() <= 512, "a page holds what was asked for");
        let Ok(length) = u64::try_from(page.len()) else { break };
        if length == 0 {
            break;
        }
        start += length;
        assert!(page.iter().all(|range| range.offset.checked_add(range.length).is_some()));
    }
    Ok(())
}

fn check(image: &mut impl Image) -> Result<()> {
    let mut start = 0;
    for _ in 0..CHECK_PAGES {
        let page = image.check(start, EXTENTS)?;
        assert!(page.items.len() <= 512, "a page holds what was asked for");
        if page.done {
            break;
        }
        assert!(page.resume > start, "the check gets on");
        start = page.resume;
    }
    Ok(())
}
