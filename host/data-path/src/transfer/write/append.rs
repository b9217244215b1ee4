//! Writing to a sink that takes every byte in order: a pipe, a socket, an upload in parts.
//!
//! What comes before the payload must be known first: it is, where the file is the disk, and where
//! the layout gives its head in advance. Otherwise a dry pass finds the placements first, and the
//! second pass must find the same.

use std::collections::VecDeque;

use imprint_ports::{ErrorClass, MetadataSegment, Placed, PortError};

use super::{
    prepare::or_cancelled,
    session::WriteSession,
    tables::{Tables, bad_tables},
};
use crate::{
    error::EngineError,
    transfer::{
        place::{FileTooLarge, Layout},
        plan::{Event, Pass},
    },
    util::num::{from_u32, to_u64, to_usize},
};

/// The largest number of bytes of tables that are held until they are written.
const MAX_HELD_TABLES: u64 = 128 << 20;
/// The longest head that a layout may give in advance, in bytes.
const MAX_HEAD: u64 = 1 << 20;

/// The result of the dry pass.
#[derive(Default)]
struct DryPass {
    placements: blake3::Hasher,
    interleaved: VecDeque<(u64, Vec<u8>)>,
    held: u64,
}

impl DryPass {
    fn placed(&mut self, runs: &[Placed]) {
        for Placed { offset, length, file_offset, stored_length } in runs {
            for number in [*offset, *length, *file_offset, u64::from(*stored_length)] {
                self.placements.update(&number.to_le_bytes());
            }
        }
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), EngineError> {
        self.held += to_u64(bytes);
        if self.held <= MAX_HELD_TABLES {
            Ok(())
        } else {
            Err(PortError::host(
                ErrorClass::LimitExceeded,
                "limit.table",
                format!(
                    "the image's tables are larger than {} MiB, which is all that a stream can wait for; use larger units, or write to a file",
                    MAX_HELD_TABLES >> 20
                ),
            )
            .into())
        }
    }
}

impl WriteSession {
    /// Writes everything in the order of the file. Returns the file's length.
    pub(super) async fn write_in_order(&mut self) -> Result<u64, EngineError> {
        let data_start = self.layout.data_start();
        if let Layout::Identity { .. } = self.layout {
            let end = data_start.checked_add(self.virtual_size).ok_or(FileTooLarge)?;
            let (front, behind, file_size) = self.all_tables(end, DryPass::default()).await?;
            self.transfer.tables(front).await?;
            self.payload(Pass::Write).await?;
            self.transfer.tables(behind).await?;
            return Ok(file_size);
        }
        match self.head(data_start).await? {
            Some(head) => self.write_in_one_pass(head).await,
            None => self.write_in_two_passes().await,
        }
    }

    /// Returns what comes before the payload, if it is known already.
    async fn head(&mut self, data_start: u64) -> Result<Option<Vec<u8>>, EngineError> {
        if data_start == 0 {
            return Ok(Some(Vec::new()));
        }
        let mut head = or_cancelled(&self.cancel, self.plugin.interleave(0)).await?;
        if to_u64(head.len()) > data_start.min(MAX_HEAD) {
            return Err(bad_tables("begin with a head that is longer than its place"));
        }
        if head.is_empty() || data_start > MAX_HEAD {
            return Ok(None);
        }
        head.resize(to_usize(data_start), 0);
        Ok(Some(head))
    }

    /// Writes the file in one pass: the head is known.
    async fn write_in_one_pass(&mut self, head: Vec<u8>) -> Result<u64, EngineError> {
        self.transfer.tables(vec![MetadataSegment { file_offset: 0, bytes: head.clone() }]).await?;
        let end = self.payload(Pass::Write).await?;
        let (front, behind, file_size) = self.all_tables(end, DryPass::default()).await?;
        let matches_head = |segment: &MetadataSegment| {
            let start = to_usize(segment.file_offset);
            head.get(start..start + segment.bytes.len()) == Some(&segment.bytes)
        };
        if !front.iter().all(matches_head) {
            return Err(bad_tables("begin with another head than before the payload"));
        }
        self.transfer.tables(behind).await?;
        Ok(file_size)
    }

    /// Writes the file in two passes, the first to find the placements: the head depends on the
    /// payload.
    async fn write_in_two_passes(&mut self) -> Result<u64, EngineError> {
        let mut dry_pass = DryPass::default();
        let end = self.measure(&mut dry_pass).await?;
        let found = dry_pass.placements.finalize();
        let interleaved = std::mem::take(&mut dry_pass.interleaved);
        let (front, behind, file_size) = self.all_tables(end, dry_pass).await?;
        self.transfer.tables(front).await?;
        let mut second = DryPass { interleaved, ..DryPass::default() };
        if self.repeat(&mut second).await? != end || second.placements.finalize() != found {
            return Err(EngineError::SourceChanged);
        }
        self.transfer.tables(behind).await?;
        Ok(file_size)
    }

    async fn measure(&mut self, dry_pass: &mut DryPass) -> Result<u64, EngineError> {
        self.transfer.start(Pass::Dry).await?;
        loop {
            match self.transfer.next().await? {
                Event::Placed(runs) => {
                    dry_pass.placed(&runs);
                    or_cancelled(&self.cancel, self.plugin.placed(&runs)).await?;
                }
                Event::Interleave { at } => {
                    let bytes = or_cancelled(&self.cancel, self.plugin.interleave(at)).await?;
                    dry_pass.reserve(bytes.len())?;
                    dry_pass.interleaved.push_back((at, bytes.clone()));
                    self.transfer.interleave(bytes).await?;
                }
                Event::End { end } => return Ok(end),
            }
        }
    }

    /// The second pass: the format plugin has given everything already.
    async fn repeat(&mut self, second: &mut DryPass) -> Result<u64, EngineError> {
        self.transfer.start(Pass::Write).await?;
        loop {
            match self.transfer.next().await? {
                Event::Placed(runs) => second.placed(&runs),
                Event::Interleave { at } => {
                    let known = second.interleaved.pop_front().filter(|(known, _)| *known == at);
                    let (_, bytes) = known.ok_or(EngineError::SourceChanged)?;
                    self.transfer.interleave(bytes).await?;
                }
                Event::End { end } => return Ok(end),
            }
        }
    }

    /// Returns all tables, those before the payload and those behind it, in the order of the file,
    /// and the file's length.
    async fn all_tables(
        &mut self,
        end: u64,
        mut dry_pass: DryPass,
    ) -> Result<(Vec<MetadataSegment>, Vec<MetadataSegment>, u64), EngineError> {
        let mut tables = Tables::new(&self.layout, end, self.virtual_size);
        let mut all = Vec::new();
        while let Some(segments) = tables.next(self.plugin.as_mut(), &self.cancel).await? {
            for segment in segments.into_iter().filter(|segment| !segment.bytes.is_empty()) {
                dry_pass.reserve(segment.bytes.len() + from_u32(SEGMENT_BYTES))?;
                all.push(segment);
            }
        }
        all.sort_unstable_by_key(|segment| segment.file_offset);
        let ends = all.iter().map(|segment| segment.file_offset + to_u64(segment.bytes.len()));
        if ends.zip(all.iter().skip(1)).any(|(end, next)| next.file_offset < end) {
            let message = "the format plugin's tables overlap each other; report this to its author";
            return Err(PortError::bad_answer("plugin.layout-overlap", message).into());
        }
        let front = all.iter().take_while(|segment| segment.file_offset < self.layout.data_start()).count();
        let behind = all.split_off(front);
        Ok((all, behind, tables.file_size()?))
    }
}

/// The memory that a segment takes in addition to its bytes.
const SEGMENT_BYTES: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_wait_have_a_bound() {
        let mut dry_pass = DryPass::default();
        assert!(dry_pass.reserve(to_usize(MAX_HELD_TABLES)).is_ok());
        let error = dry_pass.reserve(1).unwrap_err();
        assert_eq!(error.code(), "limit.table");
        assert!(error.to_string().contains("write to a file"));
    }
}
