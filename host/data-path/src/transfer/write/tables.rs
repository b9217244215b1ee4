//! The headers and tables of a new image, as its format plugin gives them.

use imprint_ports::{FormatLayout, MetadataPage, MetadataSegment, PortError};
use tokio_util::sync::CancellationToken;

use super::prepare::or_cancelled;
use crate::{
    error::EngineError,
    transfer::place::Layout,
    util::num::{from_u32, to_u64},
};

/// The number of bytes of tables requested in one call.
const METADATA_PAGE: u32 = 1 << 20;
/// The largest number of bytes of tables of one image: this, and a thirty-second of the virtual
/// size.
const METADATA_FLOOR: u64 = 64 << 20;

/// The pages of headers and tables that the format plugin gives, checked.
pub(super) struct Tables {
    /// The range of the payload: tables stay outside.
    payload: (u64, u64),
    /// The number of bytes so far.
    bytes: u64,
    limit: u64,
    /// The end of everything so far.
    end: u64,
    final_size: Option<u64>,
    /// The start of the next page, in the plugin's own terms; `None` behind the last one.
    next: Option<u64>,
}

impl Tables {
    pub(super) fn new(layout: &Layout, end: u64, virtual_size: u64) -> Self {
        Self {
            payload: (layout.data_start(), end),
            bytes: 0,
            limit: METADATA_FLOOR + virtual_size / 32,
            end,
            final_size: None,
            next: Some(0),
        }
    }

    /// Returns the next page; `None` behind the last one.
    pub(super) async fn next(
        &mut self,
        plugin: &mut dyn FormatLayout,
        cancel: &CancellationToken,
    ) -> Result<Option<Vec<MetadataSegment>>, EngineError> {
        let Some(start) = self.next else { return Ok(None) };
        let page = or_cancelled(cancel, plugin.metadata(self.payload.1, start, METADATA_PAGE)).await?;
        self.check(&page, start)?;
        self.final_size = page.final_size.or(self.final_size);
        self.next = (!page.done).then_some(page.resume);
        Ok(Some(page.segments))
    }

    /// Returns the file's length, after the last page.
    pub(super) fn file_size(&self) -> Result<u64, EngineError> {
        match self.final_size.unwrap_or(self.end) {
            size if size < self.end => Err(PortError::bad_answer(
                "plugin.final-size",
                "the format plugin's final size is smaller than what it wrote; report this to its author",
            )
            .into()),
            size => Ok(size),
        }
    }

    fn check(&mut self, page: &MetadataPage, start: u64) -> Result<(), EngineError> {
        let bytes: u64 = page.segments.iter().map(|segment| to_u64(segment.bytes.len())).sum();
        if bytes > to_u64(from_u32(METADATA_PAGE)) || (!page.done && page.resume <= start) {
            return Err(bad_tables("come in pages that are too large or make no progress"));
        }
        self.bytes += bytes;
        if self.bytes > self.limit {
            return Err(bad_tables("are larger than any disk of this size needs"));
        }
        for segment in &page.segments {
            let end = segment
                .file_offset
                .checked_add(to_u64(segment.bytes.len()))
                .ok_or_else(|| bad_tables("end behind any file's end"))?;
            if end > self.payload.0 && segment.file_offset < self.payload.1 {
                return Err(bad_tables("overlap the payload"));
            }
            self.end = self.end.max(end);
        }
        Ok(())
    }
}

pub(super) fn bad_tables(what: &str) -> EngineError {
    let message = format!("the format plugin's tables {what}; report this to its author");
    PortError::bad_answer("plugin.metadata", message).into()
}
