//! Plain images whose payload is not copied but shared with the source (reflink).

use std::{io, sync::Arc};

use imprint_ports::{BlockSink, ByteRange, DiskFormat, Placed};

use super::{
    prepare::{PreparedTransfer, or_cancelled, prepare},
    tables::Tables,
};
use crate::{
    disk::Disk,
    error::EngineError,
    map::extent_map::Content,
    transfer::{
        options::WriteOptions,
        place::{FileTooLarge, Layout, Placer, Unit},
        plan::WriteMode,
        progress::Progress,
    },
    util::{
        blocking::run_blocking,
        num::{align_down, to_u64, to_usize},
    },
};

/// The number of bytes of the disk between two checks of the cancellation.
const BATCH: u64 = 64 << 20;
/// The smallest block that file systems share, in bytes. Those with larger blocks refuse, and the
/// range is copied.
const BLOCK: u64 = 4096;

/// The result of [`clone_image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cloned {
    /// The size in bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// The length of the file in bytes.
    pub file_size: u64,
    /// The number of bytes of payload that the file shares with the source.
    pub cloned_bytes: u64,
    /// The number of bytes of payload that had to be copied, because they are not whole blocks.
    pub copied_bytes: u64,
}

/// Writes a disk to an empty file like [`crate::write_image`], without moving its bytes: the new
/// file shares the blocks of the source. `None` where that is impossible, and nothing was written:
/// when the disk or the layout has encoded or framed units, when source and target are not files of
/// one file system, or when that cannot share blocks (XFS and btrfs can).
///
/// The bytes are not read: there are no digests, and zeroes in allocated blocks stay allocated. For
/// digests, and whenever the result has to be proven, use `write_image`. The file's content depends
/// on the disk, the format and the options only.
///
/// # Errors
///
/// As [`crate::write_image`].
pub async fn clone_image(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Option<Cloned>, EngineError> {
    let cancel = options.cancel.child_token();
    let _stop_when_dropped = cancel.clone().drop_guard();
    let mode = WriteMode::of(sink.as_ref());
    // A declared digest has to be compared, and that reads the bytes.
    if mode != WriteMode::Sparse || disk.map().encoded_bytes() > 0 || disk.declared_digest().is_some() {
        return Ok(None);
    }
    let PreparedTransfer { mut plugin, layout, virtual_size } =
        prepare(disk, format, options, mode, &cancel).await?;
    let Some(placing) = Placing::of(&layout) else { return Ok(None) };
    options.progress.add_total(disk.map().stored_bytes());
    let mut cloning = Cloning {
        disk: disk.clone(),
        sink: sink.clone(),
        progress: options.progress.clone(),
        placing,
        at: 0,
        cloned: 0,
        copied: 0,
    };
    let end = loop {
        let (back, outcome) = run_blocking(move || {
            let outcome = cloning.step();
            (cloning, outcome)
        })
        .await?;
        cloning = back;
        match outcome? {
            Step::Impossible => return Ok(None),
            Step::Placed(reports) => {
                for report in reports {
                    or_cancelled(&cancel, plugin.placed(&report)).await?;
                }
            }
            Step::End(reports) => {
                for report in reports {
                    or_cancelled(&cancel, plugin.placed(&report)).await?;
                }
                break cloning.end(virtual_size)?;
            }
        }
        if cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
    };
    let mut tables = Tables::new(&layout, end, virtual_size);
    while let Some(segments) = tables.next(plugin.as_mut(), &cancel).await? {
        let sink = sink.clone();
        run_blocking(move || {
            segments.iter().try_for_each(|segment| {
                let at = segment.file_offset;
                sink.write_all_at(&segment.bytes, at).map_err(|error| EngineError::write(at, error))
            })
        })
        .await??;
    }
    let file_size = tables.file_size()?;
    let (target, source, durable) = (sink.clone(), disk.clone(), options.durable);
    run_blocking(move || {
        target.set_size(file_size).map_err(|error| EngineError::write(file_size, error))?;
        if durable {
            target.sync().map_err(|error| EngineError::write(0, error))?;
        }
        source.check_unchanged()
    })
    .await??;
    let Cloning { cloned, copied, .. } = cloning;
    Ok(Some(Cloned { virtual_size, file_size, cloned_bytes: cloned, copied_bytes: copied }))
}

/// Where payload is placed.
enum Placing {
    Identity { data_start: u64 },
    Units { unit: u64, placer: Box<Placer> },
}

impl Placing {
    /// Returns the placement; `None` for layouts whose payload is not the disk's own bytes in whole
    /// blocks.
    fn of(layout: &Layout) -> Option<Self> {
        match layout {
            Layout::Identity { data_start } => {
                data_start.is_multiple_of(BLOCK).then_some(Self::Identity { data_start: *data_start })
            }
            Layout::Units(rules) => {
                let unit = u64::from(rules.unit);
                let plain = rules.codec.is_none()
                    && rules.skip_zero
                    && rules.frame.length == 0
                    && rules.interleave_every == 0
                    && unit <= BATCH
                    && [unit, rules.data_start, rules.verbatim_align].iter().all(|n| n.is_multiple_of(BLOCK));
                plain.then(|| Self::Units { unit, placer: Box::new(Placer::new(rules.clone(), false)) })
            }
        }
    }
}

/// The result of a batch.
enum Step {
    /// The first range could not be shared.
    Impossible,
    Placed(Vec<Vec<Placed>>),
    /// The last placements.
    End(Vec<Vec<Placed>>),
}

struct Cloning {
    disk: Arc<Disk>,
    sink: Arc<dyn BlockSink>,
    progress: Arc<Progress>,
    placing: Placing,
    /// The virtual offset up to which the disk is done.
    at: u64,
    cloned: u64,
    copied: u64,
}

/// A range of the disk, and its offset in the file.
struct Run {
    range: ByteRange,
    to: u64,
}

impl Cloning {
    fn step(&mut self) -> Result<Step, EngineError> {
        let Some(from) = self.disk.map().next_stored(self.at)? else {
            return Ok(Step::End(match &mut self.placing {
                Placing::Identity { .. } => Vec::new(),
                Placing::Units { placer, .. } => placer.take_reports(),
            }));
        };
        let from = align_down(from, BATCH);
        let range = ByteRange { offset: from, length: BATCH.min(self.disk.size() - from) };
        let runs = self.place(range)?;
        for Run { range, to } in runs {
            let disk = self.disk.clone();
            for piece in disk.map().pieces(range) {
                let piece = piece?;
                let Content::Data { source, at } = piece.content else { continue };
                let to = to + (piece.range.offset - range.offset);
                if !self.transfer(source, ByteRange { offset: at, length: piece.range.length }, to)? {
                    return Ok(Step::Impossible);
                }
                self.progress.count_done(piece.range.length);
            }
        }
        self.at = range.offset + range.length;
        Ok(Step::Placed(match &mut self.placing {
            Placing::Identity { .. } => Vec::new(),
            Placing::Units { placer, .. } => std::iter::from_fn(|| placer.take_report()).collect(),
        }))
    }

    /// Returns where the parts of a batch are placed: units that hold something, neighbours
    /// together.
    fn place(&mut self, range: ByteRange) -> Result<Vec<Run>, EngineError> {
        let (unit, placer) = match &mut self.placing {
            Placing::Identity { data_start } => {
                return Ok(vec![Run { range, to: *data_start + range.offset }]);
            }
            Placing::Units { unit, placer } => (*unit, placer),
        };
        let mut units: Vec<Unit> = Vec::new();
        for piece in self.disk.map().pieces(range) {
            let piece = piece?;
            if !matches!(piece.content, Content::Data { .. }) {
                continue;
            }
            let end = piece.range.offset + piece.range.length;
            let mut offset = align_down(piece.range.offset, unit);
            if units.last().is_some_and(|last| last.offset == offset) {
                offset += unit;
            }
            while offset < end {
                units.push(Unit { offset, encoded: None, file_offset: 0, joined: false });
                offset += unit;
            }
        }
        placer.begin_batch();
        // Ranges that stay empty read as zeroes in a new file.
        placer.place(&mut units, &mut Vec::new())?;
        let mut runs: Vec<Run> = Vec::new();
        for placed in units {
            match runs.last_mut() {
                Some(run)
                    if run.range.offset + run.range.length == placed.offset
                        && run.to + run.range.length == placed.file_offset =>
                {
                    run.range.length += unit;
                }
                Some(_) | None => runs.push(Run {
                    range: ByteRange { offset: placed.offset, length: unit },
                    to: placed.file_offset,
                }),
            }
        }
        Ok(runs)
    }

    /// Shares whole blocks and copies the rest; `false` when the very first range cannot be shared.
    fn transfer(&mut self, source: u16, range: ByteRange, to: u64) -> Result<bool, EngineError> {
        let shared = self.share(source, range, to)?;
        self.cloned += shared;
        if self.cloned == 0 {
            return Ok(false);
        }
        self.copy(source, range, to, shared)?;
        Ok(true)
    }

    /// Returns how many bytes at the start of a range the file shares now.
    fn share(&self, source: u16, range: ByteRange, to: u64) -> Result<u64, EngineError> {
        let length = align_down(range.length, BLOCK);
        if length == 0 || !range.offset.is_multiple_of(BLOCK) || !to.is_multiple_of(BLOCK) {
            return Ok(0);
        }
        let blocks = ByteRange { offset: range.offset, length };
        match self.sink.clone_range(self.disk.source(source), blocks, to) {
            Ok(()) => Ok(length),
            Err(error) if must_copy(&error) => Ok(0),
            Err(error) => Err(EngineError::write(to, error)),
        }
    }

    fn copy(&mut self, source: u16, range: ByteRange, to: u64, mut done: u64) -> Result<(), EngineError> {
        let mut buffer = vec![0; to_usize((range.length - done).min(1 << 20))];
        while done < range.length {
            let length = (range.length - done).min(to_u64(buffer.len()));
            let bytes = &mut buffer[..to_usize(length)];
            let at = range.offset + done;
            self.disk
                .source(source)
                .read_exact_at(bytes, at)
                .map_err(|error| EngineError::read(at, length, error))?;
            self.sink.write_all_at(bytes, to + done).map_err(|error| EngineError::write(to + done, error))?;
            self.progress.count_read(length);
            self.progress.count_written(length);
            self.copied += length;
            done += length;
        }
        Ok(())
    }

    /// Returns the file offset at which the payload ends.
    fn end(&self, virtual_size: u64) -> Result<u64, FileTooLarge> {
        match &self.placing {
            Placing::Identity { data_start } => data_start.checked_add(virtual_size).ok_or(FileTooLarge),
            Placing::Units { placer, .. } => Ok(placer.end()),
        }
    }
}

/// Returns whether an error means that these files cannot share these blocks
/// (ioctl_ficlonerange(2)), and not that something failed.
fn must_copy(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::Unsupported
        || matches!(
            Errno::from_io_error(error),
            Some(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOTTY | Errno::PERM)
        )
}

#[cfg(test)]
mod tests;
