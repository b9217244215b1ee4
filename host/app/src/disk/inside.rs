//! What `imprint disk inspect --inside` shows: what an inspector found in a disk.

use imprint_data_path::{WriteOptions, logical_source};
use imprint_ports::findings::DiskFindings;

use super::{failure::Failure, image::Image, report::line, watch::Watch};
use crate::{findings_text, plugin_ports::PluginPorts};

/// Looks inside of the disk in an image.
///
/// # Errors
///
/// The image cannot be read, or there is no inspector, or it fails.
pub(super) async fn look(
    plugins: &PluginPorts,
    image: &Image,
    watch: &Watch,
) -> Result<DiskFindings, Failure> {
    let Some(inspector) = plugins.inspectors().into_iter().next() else {
        return Err(Failure::usage(
            "plugin.not-found",
            "no plugin looks inside of disks; install an inspector".to_owned(),
        ));
    };
    let looking = async {
        let disk = image.disk().await?;
        let options = WriteOptions { cancel: watch.options().cancel, ..WriteOptions::default() };
        let source = logical_source(&disk, &options).await?;
        Ok(inspector.inspect(source).await?)
    };
    watch.until(looking).await.map_err(|error| image.failure(error))
}

/// Returns findings as lines of text.
pub(super) fn lines(found: &DiskFindings) -> Vec<String> {
    findings_text::pairs(found).into_iter().map(|(name, text)| line(name, text)).collect()
}
