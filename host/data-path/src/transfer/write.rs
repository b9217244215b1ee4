//! Writes a disk as a new image: the pipeline for the payload, the format plugin for rules, headers
//! and tables.

mod clone;
mod turn;

use std::{num::NonZeroUsize, sync::Arc};

use imprint_ports::{
    BlockSink, CreateRequest, DiskFormat, FormatLayout, MetadataPage, MetadataSegment, PortError, Props,
};
use tokio_util::sync::CancellationToken;

use crate::{
    digest::{Digests, DiskDigest},
    disk::{Disk, stated::while_checked},
    error::EngineError,
    transfer::{
        movement::{Event, Manner, Moved, Movement, Mover, Pass, Running, WritePlan},
        place::Layout,
        progress::Progress,
    },
    util::num::{from_u32, to_u64},
};

pub use clone::{Cloned, clone_image};

/// Bytes of tables asked for in one call.
const METADATA_PAGE: u32 = 1 << 20;
/// Tables of one image: this, and a thirty-second of the virtual size.
const METADATA_FLOOR: u64 = 64 << 20;

/// How an image is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Variant of the format.
    pub subformat: Option<String>,
    /// For the format plugin: `compress` = `none|zlib|zstd`, `cluster-size`, ...
    pub format_options: Props,
    /// Compression level in the encoder's own scale: 1 to 12 for zlib, deflate and gzip (default 1,
    /// which compresses better than QEMU's default), -7 to 19 for zstd (default 3). Level 0 of the
    /// former is the fastest encoder of the platform (ISA-L on x86-64, level 1 elsewhere): within 1
    /// % of QEMU's size.
    pub level: Option<i32>,
    /// Virtual size of the new image, where it shall be larger than the disk: what comes behind the
    /// disk reads as zeroes. The logical digest stays that of the disk.
    pub grow_to: Option<u64>,
    /// Default: one for each core, and a few that work while others wait.
    pub threads: Option<NonZeroUsize>,
    /// Stops the job within 100 ms, between two windows.
    pub cancel: CancellationToken,
    /// Kept up to date while the job runs.
    pub progress: Arc<Progress>,
    /// Reads the file again once it is durable, and fails with `verify.mismatch` if it is not what
    /// was written. For sinks that can be read.
    pub verify: bool,
    /// Who moves the bytes.
    pub mover: Mover,
    /// Whether the bytes are on stable storage when [`write_image`] returns (the default), or in
    /// the system's hands only.
    pub durable: bool,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            subformat: None,
            format_options: Props::new(),
            level: None,
            grow_to: None,
            threads: None,
            cancel: CancellationToken::new(),
            progress: Arc::default(),
            verify: false,
            mover: Mover::default(),
            durable: true,
        }
    }
}

impl WriteOptions {
    /// What a job runs with that stops with `cancel`.
    pub(crate) fn running(&self, cancel: &CancellationToken) -> Running {
        Running { threads: self.threads, cancel: cancel.clone(), progress: self.progress.clone() }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// Length of the file.
    pub file_size: u64,
    /// Virtual bytes in 64 KiB clusters that are not zero.
    pub data_bytes: u64,
    /// Bytes that were written: payload and tables, without holes.
    pub written_bytes: u64,
    /// Bytes that were read from the sources.
    pub read_bytes: u64,
    /// Digest of the disk, the same in every format.
    pub logical: DiskDigest,
    /// Digest of the file.
    pub stored: DiskDigest,
}

/// What was written without a look at what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// See [`Written::virtual_size`].
    pub virtual_size: u64,
    /// See [`Written::file_size`].
    pub file_size: u64,
    /// See [`Written::data_bytes`].
    pub data_bytes: u64,
    /// See [`Written::written_bytes`].
    pub written_bytes: u64,
    /// See [`Written::read_bytes`].
    pub read_bytes: u64,
}

/// Writes a disk to a sink in the given format. When this returns, the bytes are durable (unless
/// the options say that they need not be); making them visible is the caller's business. On any
/// error, also when the future is dropped, the threads stop, and the caller discards the sink.
///
/// The bytes depend on the disk, the format and the options only, not on the number of threads. A
/// sink that can only be appended to gets the same bytes as a file, except where a layout packs
/// compressed units into gaps that were left before.
///
/// What a wrapper states of the disk's digest is compared on the way.
pub async fn write_image(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Written, EngineError> {
    let (copied, Moved { logical, stored, .. }) =
        transfer(disk, format, sink, options, Digests::Computed).await?;
    let Copied { virtual_size, file_size, data_bytes, written_bytes, read_bytes } = copied;
    Ok(Written { virtual_size, file_size, data_bytes, written_bytes, read_bytes, logical, stored })
}

/// The same file as [`write_image`] makes, without digests: for who has no use for them, or has
/// them already. Therefore without verification as well.
pub async fn copy_image(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Copied, EngineError> {
    if options.verify {
        let what = "verification needs the digests; write with them".to_owned();
        return Err(EngineError::InvalidOption { what });
    }
    Ok(transfer(disk, format, sink, options, Digests::Skipped).await?.0)
}

/// Moves the disk, and compares what is stated of it beside that.
async fn transfer(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
    digests: Digests,
) -> Result<(Copied, Moved), EngineError> {
    let moving = async {
        let cancel = options.cancel.child_token();
        let _stop_when_dropped = cancel.clone().drop_guard();
        let manner = Manner::of(sink.as_ref());
        let Begun { plugin, layout, virtual_size } = begin(disk, format, options, manner, &cancel).await?;
        let WriteOptions { level, durable, .. } = *options;
        // Two passes over the source have to agree.
        let digests = if manner == Manner::Append { Digests::Computed } else { digests };
        let plan = WritePlan { layout, virtual_size, level, durable, manner, digests };
        let movement = options.mover.0.write(disk, sink, &plan, &options.running(&cancel)).await?;
        let mut talk = Conversation { plugin, movement, cancel, layout: plan.layout, virtual_size };
        let file_size = match manner {
            Manner::Sparse | Manner::Dense => talk.in_any_order().await?,
            Manner::Append => talk.in_turn().await?,
        };
        let moved = talk.movement.finish(file_size, options.verify).await?;
        let Moved { data_bytes, written_bytes, read_bytes, .. } = moved;
        Ok((Copied { virtual_size, file_size, data_bytes, written_bytes, read_bytes }, moved))
    };
    while_checked(disk, &options.cancel, moving).await
}

/// A format plugin that has said how it lays out a disk.
struct Begun {
    plugin: Box<dyn FormatLayout>,
    layout: Layout,
    virtual_size: u64,
}

async fn begin(
    disk: &Disk,
    format: &dyn DiskFormat,
    options: &WriteOptions,
    manner: Manner,
    cancel: &CancellationToken,
) -> Result<Begun, EngineError> {
    let virtual_size = options.grow_to.unwrap_or(disk.size());
    if virtual_size < disk.size() {
        let what = format!("a disk of {} bytes does not fit into {virtual_size}", disk.size());
        return Err(EngineError::InvalidOption { what });
    }
    let request = CreateRequest {
        virtual_size,
        allocated: disk.map().stored_bytes(),
        subformat: options.subformat.clone(),
        options: options.format_options.clone(),
        append_only: manner == Manner::Append,
    };
    let mut plugin = or_cancelled(cancel, format.begin_layout(&request)).await?;
    let layout = Layout::parse(&or_cancelled(cancel, plugin.rules()).await?)?;
    if let Layout::Units(rules) = &layout
        && !rules.skip_zero
        && virtual_size > disk.size()
    {
        return Err(EngineError::Unsupported {
            what: "growing a disk in a layout that stores zeroes".to_owned(),
        });
    }
    if options.level.is_some() && !layout.encodes() {
        let what = "this layout is not compressed; leave the level out, or ask for compression".to_owned();
        return Err(EngineError::InvalidOption { what });
    }
    Ok(Begun { plugin, layout, virtual_size })
}

/// Between the format plugin and whoever moves the bytes.
struct Conversation {
    plugin: Box<dyn FormatLayout>,
    movement: Box<dyn Movement>,
    cancel: CancellationToken,
    layout: Layout,
    virtual_size: u64,
}

impl Conversation {
    /// Payload first, then tables as they come. Says how long the file is.
    async fn in_any_order(&mut self) -> Result<u64, EngineError> {
        let end = self.payload(Pass::Write).await?;
        let mut tables = Tables::new(&self.layout, end, self.virtual_size);
        while let Some(segments) = tables.next(self.plugin.as_mut(), &self.cancel).await? {
            self.movement.tables(segments).await?;
        }
        tables.file_size()
    }

    /// Lets the payload move, and hands its placements to the format plugin as they come. Says
    /// where it ends.
    async fn payload(&mut self, pass: Pass) -> Result<u64, EngineError> {
        self.movement.start(pass).await?;
        loop {
            match self.movement.next().await? {
                Event::Placed(runs) => or_cancelled(&self.cancel, self.plugin.placed(&runs)).await?,
                Event::Interleave { at } => {
                    let bytes = or_cancelled(&self.cancel, self.plugin.interleave(at)).await?;
                    self.movement.interleave(bytes).await?;
                }
                Event::End { end } => return Ok(end),
            }
        }
    }
}

async fn or_cancelled<T>(
    cancel: &CancellationToken,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, EngineError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(EngineError::Cancelled),
        answer = call => Ok(answer?),
    }
}

/// The pages of headers and tables that the format plugin gives, checked.
struct Tables {
    /// Where the payload lies: tables stay outside.
    payload: (u64, u64),
    /// Bytes so far.
    bytes: u64,
    limit: u64,
    /// End of everything.
    end: u64,
    final_size: Option<u64>,
    /// Where the next page starts, in the plugin's own terms; `None` behind the last one.
    next: Option<u64>,
}

impl Tables {
    fn new(layout: &Layout, end: u64, virtual_size: u64) -> Self {
        Self {
            payload: (layout.data_start(), end),
            bytes: 0,
            limit: METADATA_FLOOR + virtual_size / 32,
            end,
            final_size: None,
            next: Some(0),
        }
    }

    /// The next page.
    async fn next(
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

    /// How long the file is, after the last page.
    fn file_size(&self) -> Result<u64, EngineError> {
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
            return Err(bad_tables("come in pages that are too large or get nowhere"));
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
                return Err(bad_tables("lie over the payload"));
            }
            self.end = self.end.max(end);
        }
        Ok(())
    }
}

fn bad_tables(what: &str) -> EngineError {
    let message = format!("the format plugin's tables {what}; report this to its author");
    PortError::bad_answer("plugin.metadata", message).into()
}

#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod tests;
