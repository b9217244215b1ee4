//! How much one call of a plugin does, in units that do not depend on the machine.

use std::{cell::Cell, rc::Rc};

use imprint_plugin_sdk::{
    error::Result,
    format::{Format, Image},
    host::Blob,
    types::{ByteRange, Props},
};

/// Bytes that a call of the host is worth: it crosses into another world.
const CALL: u64 = 512;
/// Bytes of tables that one call of a plugin may read, with [`CALL`] for each call of the host: an
/// L1 table and a refcount table of the largest image, which are read when it is opened. A plugin
/// that reads more in one call uses more than a quarter of its processor time on a slow machine.
const MOST: u64 = 44 << 20;

/// A blob that counts what is read.
struct Metered {
    blob: Box<dyn Blob>,
    read: Rc<Cell<u64>>,
}

impl Metered {
    fn count(&self, bytes: u64) {
        self.read.set(self.read.get() + CALL + bytes);
    }
}

impl Blob for Metered {
    fn size(&self) -> u64 {
        self.blob.size()
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.count(length.into());
        self.blob.read_at(offset, length)
    }

    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>> {
        self.count(ranges.iter().map(|range| range.length).sum());
        self.blob.read_many(ranges)
    }

    fn read_each(&self, offsets: &[u64], length: u32) -> Result<Vec<u8>> {
        self.count(u64::try_from(offsets.len()).unwrap() * u64::from(length));
        self.blob.read_each(offsets, length)
    }

    fn prefetch(&self, ranges: &[ByteRange]) {
        self.blob.prefetch(ranges);
    }
}

/// Opens the image and asks it for everything, page by page, and asserts that no call does more
/// than a bounded part of it, whatever the image has.
pub fn assert_calls_are_short<F: Format>(blob: Box<dyn Blob>) {
    let read = Rc::new(Cell::new(0));
    let check = |call: &str| {
        let bytes = read.take();
        assert!(bytes <= MOST, "{call} read {bytes} bytes; {MOST} are possible");
    };
    let mut image = F::open(Box::new(Metered { blob, read: read.clone() }), &Props::new()).unwrap();
    check("open");
    let size = image.info().unwrap().virtual_size;
    check("info");
    let mut start = 0;
    loop {
        let ranges = image.metadata_ranges(start, 4096).unwrap().len();
        check("metadata-ranges");
        start += u64::try_from(ranges).unwrap();
        if ranges == 0 {
            break;
        }
    }
    let mut at = 0;
    while at < size {
        let page = image.extents(at, size, 4096).unwrap();
        check("extents");
        assert!(page.resume > at, "the map advances");
        at = page.resume;
    }
    let mut token = 0;
    loop {
        let page = image.check(token, 1000).unwrap();
        check("check");
        if page.done {
            break;
        }
        assert!(page.resume > token, "the check advances");
        token = page.resume;
    }
}
