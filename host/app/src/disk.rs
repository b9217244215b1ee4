//! `imprint disk`: the data path on files of this machine, without a server.
//!
//! The format of an image is what its owner declares, with an option or with the file's name;
//! content only confirms it. Nothing that an image names is ever opened. Exit status: 0 done, 1
//! failed (or `compare` found a difference), 2 wrong usage, 3 the image was refused, with
//! `error[CODE]: ...` on standard error.

mod compare;
mod convert;
mod destination;
mod failure;
mod image;
mod inspect;
mod map;
mod report;
mod source;
mod spool;
mod target;
mod watch;

use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Subcommand, ValueEnum};
use imprint_data_path::{Disk, EngineError, Limits, WriteOptions};
use imprint_ports::Props;
use serde_json::json;

use self::{
    failure::Failure,
    image::{Image, Trust},
    report::Report,
    source::Location,
    watch::Watch,
};
use crate::plugin_ports::PluginPorts;

/// `imprint disk ...`
#[derive(Subcommand)]
pub(crate) enum DiskCommand {
    /// What a file says of itself: format, sizes, references to other files (as text), findings
    Inspect(inspect::InspectArgs),
    /// Where a disk has data: extents {offset, length, kind}, kind in data, zero, hole, encoded
    Map(map::MapArgs),
    /// Write a disk as a new image, in any format to any format
    Convert(convert::ConvertArgs),
    /// Consistency of the format's own tables
    Check(inspect::CheckArgs),
    /// The logical digest: the same for the same disk in every format
    Digest(DigestArgs),
    /// Whether two images hold the same disk, or where they first differ
    Compare(compare::CompareArgs),
}

/// How the answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs: one JSON document.
    Json,
}

/// What every command takes.
#[derive(Args)]
struct CommonArgs {
    /// How the answer is told
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// A folder with format plugins, used beside the shipped ones and instead of those with the
    /// same id
    #[arg(long, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
}

/// What may be read that is refused otherwise.
#[derive(Args)]
struct ReadArgs {
    /// Which disk of an OVA with several: its file's name or its id
    #[arg(long, value_name = "NAME")]
    disk: Option<String>,
    /// Read a qcow2 image that says of itself that it is damaged
    #[arg(long)]
    salvage: bool,
    /// Take a raw disk that is a LUKS volume as it is
    #[arg(long)]
    allow_luks: bool,
    /// A file that the image may refer to: a parent, a part of the disk; may be given several
    /// times. References match by the file's name alone. The format is told by the name, or before
    /// it: `raw:base.bin`
    #[arg(long, value_name = "[FORMAT:]FILE")]
    with: Vec<String>,
    /// Which of the sizes that a VHD states is meant, where programs differ about it
    #[arg(long, value_name = "SIZE", value_parser = ["current", "geometry"])]
    vhd_size: Option<String>,
    /// Do not compare the disk of an OVA with the digest that its manifest states
    #[arg(long)]
    ignore_manifest: bool,
    /// Certificates of authorities (PEM) that may vouch for https:// servers, beside those of the
    /// system
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Folder for what comes through standard input, which is put aside first
    /// [default: $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    spool_dir: Option<PathBuf>,
}

impl ReadArgs {
    /// For the format plugin, which ignores what it does not know.
    fn options(&self) -> Props {
        let given = [("salvage", self.salvage), ("allow-luks", self.allow_luks)];
        let flags =
            given.iter().filter(|(_, set)| *set).map(|(key, _)| ((*key).to_owned(), "true".to_owned()));
        let words = [("disk", &self.disk), ("size", &self.vhd_size)];
        let words = words.into_iter().filter_map(|(key, word)| Some((key.to_owned(), word.clone()?)));
        flags.chain(words).collect()
    }
}

/// How much of the machine a command may use.
#[derive(Args)]
struct WorkArgs {
    /// Threads that read, hash and compress [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// Arguments of `imprint disk digest`.
#[derive(Args)]
pub(crate) struct DigestArgs {
    /// The image: a file, a block device, `-` (standard input), http[s]://HOST/PATH or
    /// nbd+unix:///EXPORT?socket=PATH
    file: PathBuf,
    /// Its format [default: by the file's name]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// The digest of the file's own bytes, whatever they mean: the stored digest
    #[arg(long, conflicts_with = "format")]
    stored: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs a command to its end, or until SIGINT, SIGTERM or SIGHUP; then nothing is left behind.
pub(crate) async fn run(command: DiskCommand) -> ExitCode {
    let watch = Watch::start();
    let done = match command {
        DiskCommand::Inspect(args) => inspect::inspect(&args, &watch).await,
        DiskCommand::Map(args) => map::map(&args, &watch).await,
        DiskCommand::Convert(args) => convert::convert(&args, &watch).await,
        DiskCommand::Check(args) => inspect::check(&args, &watch).await,
        DiskCommand::Digest(args) => digest(&args, &watch).await,
        DiskCommand::Compare(args) => compare::compare(&args, &watch).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            failure.status()
        }
    }
}

impl CommonArgs {
    async fn plugins(&self) -> Result<PluginPorts, Failure> {
        PluginPorts::load_formats(self.plugin_dir.as_deref()).await.map_err(Failure::plugins)
    }
}

async fn digest(args: &DigestArgs, watch: &Watch) -> Result<(), Failure> {
    let name = Location::of(&args.file).shown();
    let (disk, opened) = match args.stored {
        true => (file_as_disk(args, watch).await.map_err(|error| Failure::engine(&name, &error))?, None),
        false => {
            let plugins = args.common.plugins().await?;
            let declared = args.format.as_deref();
            let image =
                Image::open(&plugins, &args.file, declared, &args.read, Trust::Confirmed, watch).await?;
            let disk = watch.until(image.disk()).await.map_err(|error| image.failure(error))?;
            (disk, Some((image.format().to_owned(), plugins.usage().memory_peak)))
        }
    };
    let options = WriteOptions { threads: args.work.threads, ..watch.options() };
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

/// A file's bytes as a disk, without asking anybody what they mean.
async fn file_as_disk(args: &DigestArgs, watch: &Watch) -> Result<Arc<Disk>, EngineError> {
    let source = source::open(&Location::of(&args.file), &args.read, watch).await?.source;
    let opening =
        tokio::task::spawn_blocking(move || Ok(Arc::new(Disk::from_raw(source, &Limits::default())?)));
    opening.await.unwrap_or(Err(EngineError::WorkerLost))
}
