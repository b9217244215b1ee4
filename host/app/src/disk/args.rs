//! Arguments that the disk commands share.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::Args;
use imprint_ports::Props;

use super::failure::Failure;
use crate::{output_format::OutputFormat, plugin_ports::PluginPorts};

/// Arguments of every disk command.
#[derive(Args)]
pub(super) struct CommonArgs {
    /// Format of the answer; with `json` errors are JSON, too
    #[arg(long, short, value_enum, default_value = "table")]
    pub(super) output: OutputFormat,
    /// Folder with format plugins, used in addition to the shipped ones and instead of those with
    /// the same id
    #[arg(long, value_name = "DIR")]
    pub(super) plugin_dir: Option<PathBuf>,
}

impl CommonArgs {
    /// Loads the disk formats.
    ///
    /// # Errors
    ///
    /// A plugin cannot be loaded.
    pub(super) async fn plugins(&self) -> Result<PluginPorts, Failure> {
        PluginPorts::load_formats(self.plugin_dir.as_deref()).await.map_err(Failure::plugins)
    }
}

/// Arguments of every command that reads an image.
#[derive(Args)]
pub(super) struct ReadArgs {
    /// Disk of an OVA with several disks: the name of its file, or its id
    #[arg(long, value_name = "NAME")]
    pub(super) disk: Option<String>,
    /// Read a qcow2 image marked corrupt
    #[arg(long)]
    pub(super) salvage: bool,
    /// Read a raw disk that is a LUKS volume, encrypted as it is
    #[arg(long)]
    pub(super) allow_luks: bool,
    /// File that the image may refer to: a parent, or a part of the disk; may be given several
    /// times. References match by the name of the file alone. The format is that of the name, or is
    /// put before it: `raw:base.bin`
    #[arg(long, value_name = "[FORMAT:]FILE")]
    pub(super) with: Vec<String>,
    /// Which of the sizes in a VHD header to use, where programs differ
    #[arg(long, value_name = "SIZE", value_parser = ["current", "geometry"])]
    pub(super) vhd_size: Option<String>,
    /// Do not read the manifest of an OVA, nor compare the disk with the digest in it
    #[arg(long)]
    pub(super) ignore_manifest: bool,
    /// Certificates (PEM) of authorities for https:// servers, in addition to those of the system
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// Folder for a copy of standard input, which is read to its end first
    /// [default: $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    pub(super) spool_dir: Option<PathBuf>,
}

impl ReadArgs {
    /// Returns the options for the format plugin, which ignores those of other formats.
    pub(super) fn options(&self) -> Props {
        let flags = [
            ("salvage", self.salvage),
            ("allow-luks", self.allow_luks),
            ("ignore-manifest", self.ignore_manifest),
        ];
        let flags =
            flags.iter().filter(|(_, set)| *set).map(|(key, _)| ((*key).to_owned(), "true".to_owned()));
        let values = [("disk", &self.disk), ("size", &self.vhd_size)];
        let values = values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        flags.chain(values).collect()
    }
}

/// Arguments of commands that use all processors.
#[derive(Args)]
pub(super) struct ThreadArgs {
    /// Threads that read, hash and compress [default: one per core]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<NonZeroUsize>,
}

/// The format of an image, as declared on the command line, and the option that declares it.
#[derive(Clone, Copy)]
pub(super) struct Declared<'a> {
    /// The name of the format; without it, the name of the file declares it.
    pub(super) format: Option<&'a str>,
    /// The option, for messages: `--format`, `--from` or `--to`.
    pub(super) option: &'static str,
}

impl<'a> Declared<'a> {
    /// The format that `option` declares, if it is given.
    pub(super) fn by(option: &'static str, format: Option<&'a String>) -> Self {
        Self { format: format.map(String::as_str), option }
    }
}
