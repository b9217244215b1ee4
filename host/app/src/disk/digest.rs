//! `imprint disk digest`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use imprint_data_path::{Disk, EngineError, Limits, WriteOptions};
use serde_json::json;

use super::{
    args::{CommonArgs, Declared, ReadArgs, ThreadArgs},
    failure::Failure,
    image::{Image, Trust},
    report::Report,
    source::{self, Location},
    watch::Watch,
};

/// Arguments of `imprint disk digest`.
#[derive(Args)]
pub(crate) struct DigestArgs {
    /// The image: a file, a block device, `-` (standard input), http(s)://HOST/PATH or
    /// nbd+unix:///EXPORT?socket=PATH
    file: PathBuf,
    /// Format of the image [default: by its name]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Compute the stored digest: that of the file's bytes, whatever their format
    #[arg(long, conflicts_with = "format")]
    stored: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// Prints the logical digest of a disk, or the stored digest of a file.
pub(super) async fn digest(args: &DigestArgs, watch: &Watch) -> Result<(), Failure> {
    let location = Location::of(&args.file)?;
    let name = location.shown();
    let (disk, opened) = if args.stored {
        (file_as_disk(&location, args, watch).await?, None)
    } else {
        let plugins = args.common.plugins().await?;
        let declared = Declared::by("--format", args.format.as_ref());
        let image = Image::open(&plugins, &args.file, declared, &args.read, Trust::Confirmed, watch).await?;
        let disk = watch.until(image.disk()).await.map_err(|error| image.failure(error))?;
        (disk, Some((image.format().to_owned(), plugins.usage().memory_peak)))
    };
    let options = WriteOptions { threads: args.threads.threads, ..watch.options() };
    let digest = watch.progress("reading", imprint_data_path::digest(&disk, &options)).await;
    let digest = digest.map_err(|error| Failure::engine(&name, &error))?.to_string();
    let line = format!("{digest}  {name}");
    let report = match opened {
        Some((format, memory)) => json!({
            "path": name,
            "format": format,
            "virtual_size": disk.size(),
            "logical_digest": digest,
            "plugin_memory_peak": memory,
        }),
        None => json!({"path": name, "file_size": disk.size(), "stored_digest": digest}),
    };
    Report::new(args.common.output).answer(&report, &[line])
}

/// Opens the bytes of a file as a disk, whatever their format.
async fn file_as_disk(location: &Location, args: &DigestArgs, watch: &Watch) -> Result<Arc<Disk>, Failure> {
    let source = source::open(location, &args.read, watch).await?.source;
    let opening =
        tokio::task::spawn_blocking(move || Ok(Arc::new(Disk::from_raw(source, &Limits::default())?)));
    let opened = opening.await.unwrap_or(Err(EngineError::WorkerLost));
    opened.map_err(|error| Failure::engine(&location.shown(), &error))
}
