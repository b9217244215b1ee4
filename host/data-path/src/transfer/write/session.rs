//! The conversation between the format plugin and a transfer.

use imprint_ports::FormatLayout;
use tokio_util::sync::CancellationToken;

use super::{prepare::or_cancelled, tables::Tables};
use crate::{
    error::EngineError,
    transfer::{
        backend::Transfer,
        place::Layout,
        plan::{Event, Pass},
    },
};

/// Passes placements and tables between the format plugin and a transfer.
pub(super) struct WriteSession {
    pub(super) plugin: Box<dyn FormatLayout>,
    pub(super) transfer: Box<dyn Transfer>,
    pub(super) cancel: CancellationToken,
    pub(super) layout: Layout,
    pub(super) virtual_size: u64,
}

impl WriteSession {
    /// Writes the payload first, then tables as they come. Returns the file's length.
    pub(super) async fn write_in_any_order(&mut self) -> Result<u64, EngineError> {
        let end = self.payload(Pass::Write).await?;
        let mut tables = Tables::new(&self.layout, end, self.virtual_size);
        while let Some(segments) = tables.next(self.plugin.as_mut(), &self.cancel).await? {
            self.transfer.tables(segments).await?;
        }
        tables.file_size()
    }

    /// Moves the payload and passes its placements to the format plugin as they come. Returns where
    /// it ends.
    pub(super) async fn payload(&mut self, pass: Pass) -> Result<u64, EngineError> {
        self.transfer.start(pass).await?;
        loop {
            match self.transfer.next().await? {
                Event::Placed(runs) => or_cancelled(&self.cancel, self.plugin.placed(&runs)).await?,
                Event::Interleave { at } => {
                    let bytes = or_cancelled(&self.cancel, self.plugin.interleave(at)).await?;
                    self.transfer.interleave(bytes).await?;
                }
                Event::End { end } => return Ok(end),
            }
        }
    }
}
