//! Opening an image as a disk.

use std::sync::Arc;

use imprint_ports::{BlockSource, DiskFormat};

use super::{chain::open_image, options::OpenOptions, virtual_disk::Disk, wrapped};
use crate::error::EngineError;

impl Disk {
    /// Opens an image: requests its map from the format, validates it, follows parents as far as
    /// the resolver allows. Where the image is a wrapper (the fact `contains`), the disk is the one
    /// inside it.
    ///
    /// When the future is dropped, its work is lost, but nothing is left behind.
    ///
    /// # Errors
    ///
    /// [`EngineError::Port`] from the format plugin, [`EngineError::Map`] for a map that is
    /// refused, [`EngineError::ExternalReference`] and [`EngineError::Chain`] for parents,
    /// [`EngineError::Scratch`], and whatever reading the sources reports.
    pub async fn open(
        format: &dyn DiskFormat,
        blob: Arc<dyn BlockSource>,
        options: &OpenOptions,
    ) -> Result<Self, EngineError> {
        let disk = open_image(format, blob, options).await?;
        if wrapped::is_wrapper(&disk) { wrapped::open(disk, options).await } else { Ok(disk) }
    }
}
