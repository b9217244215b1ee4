//! Writes a disk as a new image: the pipeline for the payload, the format plugin for rules, headers and tables.

use std::{num::NonZeroUsize, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    digest::DiskDigest,
    disk::Disk,
    error::EngineError,
    io::BlockSink,
    movement::{Event, Moved, Movement, Mover, Running, WritePlan},
    num::{from_u32, to_u64},
    place::Layout,
    ports::{CreateRequest, DiskFormat, FormatLayout, MetadataPage, PortError, Props},
    progress::Progress,
};

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
    /// Compression level in the encoder's own scale: 1 to 12 for zlib and deflate, -7 to 19 for zstd (default 3). Zlib and
    /// deflate without a level are encoded by ISA-L on x86-64 (elsewhere by libdeflate at its level 1): the fastest of all,
    /// and within 1 % of the size that QEMU's default gives.
    pub level: Option<i32>,
    /// Virtual size of the new image, where it shall be larger than the disk: what comes behind the disk reads as zeroes.
    /// The logical digest stays that of the disk.
    pub grow_to: Option<u64>,
    /// Default: one for each core, and a few that work while others wait.
    pub threads: Option<NonZeroUsize>,
    /// Stops the job within 100 ms, between two windows.
    pub cancel: CancellationToken,
    /// Kept up to date while the job runs.
    pub progress: Arc<Progress>,
    /// Who moves the bytes.
    pub mover: Mover,
    /// Whether the bytes are on stable storage when [`write_image`] returns (the default), or in the system's hands only.
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

/// Writes a disk to an empty sink in the given format. When this returns, the bytes are durable (unless the options say that they
/// need not be); making them visible is the caller's business. On any error, also when the future is dropped, the threads stop, and the caller discards the sink.
///
/// The bytes depend on the disk, the format and the options only, not on the number of threads.
pub async fn write_image(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Written, EngineError> {
    let cancel = options.cancel.child_token();
    let _stop_when_dropped = cancel.clone().drop_guard();
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
        append_only: false,
    };
    let mut plugin = or_cancelled(&cancel, format.begin_layout(&request)).await?;
    let layout = Layout::parse(&or_cancelled(&cancel, plugin.rules()).await?)?;
    if let Layout::Units(rules) = &layout
        && !rules.skip_zero
        && virtual_size > disk.size()
    {
        return Err(EngineError::Unsupported {
            what: "growing a disk in a layout that stores zeroes".to_owned(),
        });
    }
    let plan = WritePlan { layout, virtual_size, level: options.level, durable: options.durable };
    let mut movement = options.mover.0.write(disk, sink, &plan, &options.running(&cancel)).await?;
    let end = move_payload(plugin.as_mut(), movement.as_mut(), &cancel).await?;
    let mut tables = Tables {
        payload: (plan.layout.data_start(), end),
        written: 0,
        end,
        limit: METADATA_FLOOR + virtual_size / 32,
    };
    let declared = tables.write_all(plugin.as_mut(), movement.as_mut(), &cancel).await?;
    let file_size = declared.unwrap_or(tables.end);
    if file_size < tables.end {
        return Err(PortError::bad_answer(
            "plugin.final-size",
            "the format plugin's final size is smaller than what it wrote; report this to its author",
        )
        .into());
    }
    let Moved { logical, stored, data_bytes, written_bytes, read_bytes } = movement.finish(file_size).await?;
    Ok(Written { virtual_size, file_size, data_bytes, written_bytes, read_bytes, logical, stored })
}

/// Lets the payload move, and hands its placements to the format plugin as they come. Says where it ends.
async fn move_payload(
    plugin: &mut dyn FormatLayout,
    movement: &mut dyn Movement,
    cancel: &CancellationToken,
) -> Result<u64, EngineError> {
    movement.start().await?;
    loop {
        match movement.next().await? {
            Event::Placed(runs) => or_cancelled(cancel, plugin.placed(&runs)).await?,
            Event::End { end } => return Ok(end),
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

/// Writes the pages of headers and tables that the format plugin gives.
struct Tables {
    /// Where the payload lies: tables stay outside.
    payload: (u64, u64),
    written: u64,
    /// End of everything written.
    end: u64,
    limit: u64,
}

impl Tables {
    /// The file's final size, if the plugin names one.
    async fn write_all(
        &mut self,
        plugin: &mut dyn FormatLayout,
        movement: &mut dyn Movement,
        cancel: &CancellationToken,
    ) -> Result<Option<u64>, EngineError> {
        let payload_end = self.payload.1;
        let (mut start, mut final_size) = (0, None);
        loop {
            let page = or_cancelled(cancel, plugin.metadata(payload_end, start, METADATA_PAGE)).await?;
            self.check(&page, start)?;
            final_size = page.final_size.or(final_size);
            start = page.resume;
            let done = page.done;
            movement.tables(page.segments).await?;
            if done {
                return Ok(final_size);
            }
        }
    }

    fn check(&mut self, page: &MetadataPage, start: u64) -> Result<(), EngineError> {
        let bad = |what: &str| {
            PortError::bad_answer(
                "plugin.metadata",
                format!("the format plugin's tables {what}; report this to its author"),
            )
        };
        let bytes: u64 = page.segments.iter().map(|segment| to_u64(segment.bytes.len())).sum();
        if bytes > to_u64(from_u32(METADATA_PAGE)) || (!page.done && page.resume <= start) {
            return Err(bad("come in pages that are too large or get nowhere").into());
        }
        self.written += bytes;
        if self.written > self.limit {
            return Err(bad("are larger than any disk of this size needs").into());
        }
        for segment in &page.segments {
            let end = segment
                .file_offset
                .checked_add(to_u64(segment.bytes.len()))
                .ok_or_else(|| bad("end behind any file's end"))?;
            if end > self.payload.0 && segment.file_offset < self.payload.1 {
                return Err(bad("lie over the payload").into());
            }
            self.end = self.end.max(end);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
