//! What precedes the first byte: the format plugin describes how it lays out the disk.

use imprint_ports::{CreateRequest, DiskFormat, FormatLayout, PortError};
use tokio_util::sync::CancellationToken;

use crate::{
    disk::Disk,
    error::EngineError,
    transfer::{options::WriteOptions, place::Layout, plan::WriteMode},
};

/// A format plugin that has described how it lays out a disk.
pub(super) struct PreparedTransfer {
    pub(super) plugin: Box<dyn FormatLayout>,
    pub(super) layout: Layout,
    pub(super) virtual_size: u64,
}

pub(super) async fn prepare(
    disk: &Disk,
    format: &dyn DiskFormat,
    options: &WriteOptions,
    mode: WriteMode,
    cancel: &CancellationToken,
) -> Result<PreparedTransfer, EngineError> {
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
        append_only: mode == WriteMode::Append,
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
    Ok(PreparedTransfer { plugin, layout, virtual_size })
}

pub(super) async fn or_cancelled<T>(
    cancel: &CancellationToken,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, EngineError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(EngineError::Cancelled),
        answer = call => Ok(answer?),
    }
}
