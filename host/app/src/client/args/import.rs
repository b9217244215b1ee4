//! The arguments of `imprint image import`.

use std::path::PathBuf;

use clap::Args;
use imprint_domain::{id::ImageId, image::ImageFormat};

use super::{WaitArgs, storage::setting};

/// Arguments of `imprint image import`.
#[derive(Debug, Args)]
pub(crate) struct ImageImportArgs {
    /// Name of the new image
    pub(crate) name: String,
    /// File to upload: raw, qcow2, vhd, vhdx, vmdk, vdi or ova, also inside of gz, xz, zst or bz2,
    /// or the tar.gz of Compute Engine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "from", "imprint"])]
    #[arg(required_unless_present_any = ["url", "from", "imprint"])]
    pub(crate) file: Option<PathBuf>,
    /// Address of the file, which the provider's machines fetch
    #[arg(long, value_name = "URL", conflicts_with_all = ["from", "imprint"])]
    pub(crate) url: Option<String>,
    /// Object in a storage of yours: s3://BUCKET/KEY or swift://CONTAINER/KEY. The secrets are read
    /// as for `imprint image export --to`
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
    /// Address of another Imprint that has the image, as a browser shows it
    #[arg(long, value_name = "URL", conflicts_with = "from", requires_all = ["image", "token_file"])]
    pub(crate) imprint: Option<String>,
    /// Id of the image there
    #[arg(long, value_name = "ID", requires = "imprint")]
    pub(crate) image: Option<ImageId>,
    /// File with a token of an account there, or `-` for standard input
    #[arg(long, value_name = "FILE", requires = "imprint")]
    pub(crate) token_file: Option<PathBuf>,
    /// Setting of that storage, such as region=eu-west-1; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting, requires = "from")]
    pub(crate) settings: Vec<(String, String)>,
    /// Secret of that storage, in a file or `-` for standard input; may be given several times
    #[arg(long = "secret", value_name = "KEY=FILE", value_parser = setting, requires = "from")]
    pub(crate) secrets: Vec<(String, String)>,
    /// File with head fields for the requests to that server, such as `Authorization: Bearer ...`,
    /// one on each line
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) header_file: Option<PathBuf>,
    /// Location where the image can be used [default: the only one]
    #[arg(long)]
    pub(crate) location: Option<String>,
    /// Format of the file [default: what its content shows]
    #[arg(long)]
    pub(crate) format: Option<ImageFormat>,
    /// Digest that the file has to have: sha256:, sha512: or md5: and its digits
    #[arg(long)]
    pub(crate) digest: Option<String>,
    /// Description
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Tags of the image, with commas in between
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// Offer it to all customers as a stock image; for administrators
    #[arg(long)]
    pub(crate) stock: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}
