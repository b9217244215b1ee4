//! The arguments of `imprint stock-image` and `imprint media-group`.

use clap::{Args, Subcommand};
use imprint_domain::image::{ImageFormat, catalogue::OsType};

use super::{ConfirmArgs, Connection, WaitArgs};

/// Arguments of `imprint stock-image`.
#[derive(Debug, Args)]
pub(crate) struct StockImageArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: StockImageCommand,
}

/// The commands of `imprint stock-image`.
#[derive(Debug, Subcommand)]
pub(crate) enum StockImageCommand {
    /// List stock images by family and version; for operators also hidden ones
    List,
    /// Show a stock image
    Show {
        /// Id or name
        image: String,
    },
    /// Add a file of a stock storage as a stock image; `imprint storage browse` lists its files
    Add(StockImageAddArgs),
    /// Change a stock image and how it is offered
    Update(StockImageUpdateArgs),
    /// Say that a stock image should not be used for new instances any more
    Deprecate {
        /// Id or name
        image: String,
        /// What customers read, such as `Use Debian 13 instead.`
        #[arg(long, value_name = "TEXT")]
        notice: String,
        /// The stock image to use instead, by id or name
        #[arg(long, value_name = "IMAGE")]
        replacement: Option<String>,
    },
    /// Remove the notice of a deprecated stock image
    Undeprecate {
        /// Id or name
        image: String,
    },
    /// Hide a stock image: customers neither see nor deploy it
    Hide {
        /// Id or name
        image: String,
    },
    /// Offer a hidden stock image again
    Unhide {
        /// Id or name
        image: String,
    },
    /// Delete a stock image; its file and the instances made from it stay
    Delete {
        /// Id or name
        image: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

/// Arguments of `imprint stock-image add`.
#[derive(Debug, Args)]
pub(crate) struct StockImageAddArgs {
    /// Name of the stock image
    #[arg(long)]
    pub(crate) name: String,
    /// Description, shown when an instance is created
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,
    /// Storage for stock images, by id or name
    #[arg(long)]
    pub(crate) storage: String,
    /// File in it, by its path below the storage's folder
    #[arg(long, value_name = "PATH")]
    pub(crate) file: String,
    /// Format of the file: raw, qcow2, vhd, vhdx, vmdk, vdi or ova
    #[arg(long)]
    pub(crate) format: ImageFormat,
    /// Location where it can be deployed, by id or name
    #[arg(long)]
    pub(crate) location: String,
    /// Operating system: linux, windows, bsd or other [default: other]
    #[arg(long, value_name = "TYPE")]
    pub(crate) os_type: Option<OsType>,
    /// Its system takes neither SSH keys nor user scripts at its first boot
    #[arg(long)]
    pub(crate) no_cloud_init: bool,
    /// Media group, by id or label
    #[arg(long, value_name = "GROUP")]
    pub(crate) media_group: Option<String>,
    /// Family that it is a version of, such as debian-12
    #[arg(long, requires = "family_version")]
    pub(crate) family: Option<String>,
    /// Version within the family, such as 20241001
    #[arg(long, requires = "family")]
    pub(crate) family_version: Option<String>,
    /// Hide it from customers for now
    #[arg(long)]
    pub(crate) hidden: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `imprint stock-image update`. What is not given stays.
#[derive(Debug, Args)]
pub(crate) struct StockImageUpdateArgs {
    /// Id or name
    pub(crate) image: String,
    /// The new name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The new description
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// The operating system: linux, windows, bsd or other
    #[arg(long, value_name = "TYPE")]
    pub(crate) os_type: Option<OsType>,
    /// Whether its system takes SSH keys and user scripts at its first boot
    #[arg(long, value_name = "true|false")]
    pub(crate) cloud_init: Option<bool>,
    /// The new media group, by id or label
    #[arg(long, value_name = "GROUP", conflicts_with = "no_media_group")]
    pub(crate) media_group: Option<String>,
    /// Take it out of its media group
    #[arg(long)]
    pub(crate) no_media_group: bool,
    /// The new family
    #[arg(long, conflicts_with = "no_family")]
    pub(crate) family: Option<String>,
    /// The new version within the family
    #[arg(long, conflicts_with = "no_family")]
    pub(crate) family_version: Option<String>,
    /// Take it out of its family
    #[arg(long)]
    pub(crate) no_family: bool,
}

/// Arguments of `imprint media-group`.
#[derive(Debug, Args)]
pub(crate) struct MediaGroupArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: MediaGroupCommand,
}

/// The commands of `imprint media-group`.
#[derive(Debug, Subcommand)]
pub(crate) enum MediaGroupCommand {
    /// List media groups in their order; for operators also hidden ones
    List,
    /// Show a media group
    Show {
        /// Id or label
        group: String,
    },
    /// Add a media group
    Create {
        /// Label of the media group, such as Linux
        #[arg(long)]
        label: String,
        /// Description of the media group
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// Place among all media groups, from 0 [default: the last]
        #[arg(long)]
        position: Option<u32>,
        /// Do not offer its images to customers
        #[arg(long)]
        hidden: bool,
    },
    /// Change the label or the description of a media group
    Update(MediaGroupUpdateArgs),
    /// Move a media group to another place
    Move {
        /// Id or label
        group: String,
        /// Place among all media groups, from 0
        position: u32,
    },
    /// Hide a media group: its images are not offered to customers
    Hide {
        /// Id or label
        group: String,
    },
    /// Offer the images of a hidden media group again
    Unhide {
        /// Id or label
        group: String,
    },
    /// Delete a media group without images
    Delete {
        /// Id or label
        group: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

/// Arguments of `imprint media-group update`. What is not given stays.
#[derive(Debug, Args)]
pub(crate) struct MediaGroupUpdateArgs {
    /// Id or label
    pub(crate) group: String,
    /// The new label
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// The new description
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}
