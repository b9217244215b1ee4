//! The arguments of `imprint image export` and `imprint image exports`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use imprint_domain::{
    export::DiskVariant,
    id::ExportId,
    image::{Compression, ImageFormat},
};

use super::{ConfirmArgs, storage::setting};

/// Arguments of `imprint image export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Id or name
    pub(crate) image: String,
    /// File to write; what an interrupted download left beside it (FILE.part) is continued
    #[arg(required_unless_present = "to", conflicts_with = "to")]
    pub(crate) file: Option<PathBuf>,
    /// Format: raw, qcow2, vhd, vhdx, vmdk, vdi or ova [default: by the ending of the file]
    #[arg(long)]
    pub(crate) format: Option<ImageFormat>,
    /// Variant of a vhd file: dynamic or fixed [default: dynamic]
    #[arg(long)]
    pub(crate) variant: Option<DiskVariant>,
    /// Compression of a qcow2 file: none, zlib or zstd [default: zlib]
    #[arg(long, value_name = "KIND")]
    pub(crate) compression: Option<Compression>,
    /// Keep the export at the server until its time is over; without it, it is deleted when the
    /// file is complete
    #[arg(long)]
    pub(crate) keep: bool,
    /// Storage of yours that takes the file instead: s3://BUCKET/KEY or swift://CONTAINER/KEY. The
    /// secrets are read from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or
    /// OS_AUTH_URL, OS_USERNAME, OS_PROJECT_NAME and OS_PASSWORD, or from files (--secret)
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Setting of that storage, such as region=eu-west-1; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting, requires = "to")]
    pub(crate) settings: Vec<(String, String)>,
    /// Secret of that storage, in a file or `-` for standard input; may be given several times
    #[arg(long = "secret", value_name = "KEY=FILE", value_parser = setting, requires = "to")]
    pub(crate) secrets: Vec<(String, String)>,
    /// Certificates (PEM) of authorities for a storage of the provider that is read directly over
    /// https://, in addition to those of the system
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// The commands of `imprint image exports`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// List the exports of an image, oldest first
    List {
        /// Image, by id or name
        image: String,
    },
    /// Delete an export; what was written to a storage of yours stays there
    Delete {
        /// Image, by id or name
        image: String,
        /// Id of the export
        export: ExportId,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}
