//! What a format implements.

use super::shapes::{CreateRequest, Findings, Guess, Info, MetadataPage, Page, Placed, Rules, Source};
use crate::{
    error::{Error, Result},
    host::Blob,
    types::{ByteRange, Codec, Props},
};

/// A disk format.
pub trait Format: Sized + 'static {
    /// An open image.
    type Image: Image;
    /// The layout of a file being written; [`ReadOnly`] for a format that does not write.
    type Layout: Layout;

    /// Returns whether a file may be of this format, by its first 64 KiB, its last 4 KiB (or as
    /// little of them as the manifest asks for) and its size. Pure.
    fn probe(head: &[u8], tail: &[u8], size: u64) -> Option<Guess>;
    /// Opens an image. It may do a bounded amount of work; what grows with the image belongs into
    /// the calls that come in pages.
    ///
    /// # Errors
    ///
    /// Mostly a [`FormatError`](super::FormatError): what is wrong with the file.
    fn open(primary: Box<dyn Blob>, options: &Props) -> Result<Self::Image>;
    /// Begins the layout of a new file.
    ///
    /// # Errors
    ///
    /// [`FormatError::Request`](super::FormatError::Request) or
    /// [`FormatError::Unsupported`](super::FormatError::Unsupported) for what this format cannot
    /// write.
    fn begin_layout(_request: &CreateRequest) -> Result<Self::Layout> {
        Err(Error::unsupported("format.read-only", "this format can be read but not written"))
    }
}

/// An open image.
pub trait Image: 'static {
    /// Returns what the image states about itself.
    ///
    /// # Errors
    ///
    /// A [`FormatError`](super::FormatError).
    fn info(&mut self) -> Result<Info>;
    /// Returns the files that the image refers to; index 0 is always the primary.
    ///
    /// # Errors
    ///
    /// A [`FormatError`](super::FormatError).
    fn sources(&mut self) -> Result<Vec<Source>> {
        Ok(vec![Source::primary()])
    }
    /// Takes the bytes of a source that the format itself must read (a log, an extent); never a
    /// parent.
    ///
    /// # Errors
    ///
    /// A [`FormatError`](super::FormatError) about the source; `unsupported` by default.
    fn attach(&mut self, index: u16, _bytes: Box<dyn Blob>) -> Result<()> {
        Err(Error::unsupported("format.attach", format!("source {index} cannot be attached to this format")))
    }
    /// Returns the codecs that extents refer to.
    fn codecs(&mut self) -> Vec<Codec> {
        Vec::new()
    }
    /// Returns the file ranges that hold this image's own tables, at most `max`, from the `start`th
    /// on; an empty answer ends the list.
    ///
    /// # Errors
    ///
    /// A [`FormatError`](super::FormatError).
    fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>>;
    /// Describes `[start, end)`, at least one extent of it and as much as the
    /// [`Budget`](super::Budget) of a call allows. Use [`MapBuilder`](super::MapBuilder): it
    /// merges, checks the order and stops at `max`.
    ///
    /// # Errors
    ///
    /// A [`FormatError`](super::FormatError).
    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page>;
    /// Returns a page of what is wrong with the format's own tables. `start` is 0, or `resume` of
    /// the page before; only the instance that made a token need accept it. Pages may be empty
    /// before the end: a page ends when the [`Budget`](super::Budget) of a call is used up.
    ///
    /// # Errors
    ///
    /// A [`FormatError`](super::FormatError).
    fn check(&mut self, start: u64, _max: u32) -> Result<Findings> {
        Ok(Findings { items: Vec::new(), resume: start, done: true })
    }
}

/// The layout of a file being written.
pub trait Layout: 'static {
    /// Returns the placement rules.
    fn rules(&mut self) -> Rules;
    /// Takes placements, at most 4096 runs a call; not called with `identity`. A run may be as long
    /// as the disk: the work must not grow with its length.
    ///
    /// # Errors
    ///
    /// [`FormatError::Request`](super::FormatError::Request) for what the rules do not allow.
    fn placed(&mut self, runs: &[Placed]) -> Result<()>;
    /// Returns tables between the units ([`Rules::interleave_every`]): what is to be at `at`, which
    /// is aligned to `align`; at most 1 MiB, perhaps nothing. All placements before it were
    /// reported. So this is the moment for the tables of the group that was just finished. Groups
    /// without stored units are not asked for, nor is the last one: its tables are part of
    /// `metadata`.
    ///
    /// With `append_only` it is also asked once with `at` = 0, before any payload: for the first
    /// `data_start` bytes (or fewer: zeroes follow), at most 1 MiB, if they do not depend on the
    /// payload, and for nothing if they do. A stream that begins like that is written in one pass;
    /// otherwise the host finds out all placements in a pass of its own before it writes.
    /// `metadata` gives the head as always: it must be the same.
    ///
    /// # Errors
    ///
    /// A [`FormatError`](super::FormatError).
    fn interleave(&mut self, _at: u64) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    /// Returns a page of tables and headers, at most `max_bytes`; `end` is where the last stored
    /// byte of the payload ends: not aligned. `start` is 0, or `resume` of the page before.
    ///
    /// # Errors
    ///
    /// A [`FormatError`](super::FormatError).
    fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage>;
}

/// The layout of a format that does not write: there is none.
#[derive(Clone, Copy, Debug)]
pub enum ReadOnly {}

impl Layout for ReadOnly {
    fn rules(&mut self) -> Rules {
        match *self {}
    }

    fn placed(&mut self, _runs: &[Placed]) -> Result<()> {
        match *self {}
    }

    fn metadata(&mut self, _end: u64, _start: u64, _max_bytes: u32) -> Result<MetadataPage> {
        match *self {}
    }
}
