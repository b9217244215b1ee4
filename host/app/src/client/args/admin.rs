//! The arguments of `imprint admin`.

use std::str::FromStr;

use clap::{Args, Subcommand};
use imprint_domain::{
    account::Role, capture_format::CaptureFormat, id::TokenId, import::ImportProfile, size::ByteSize,
};

use super::{ConfirmArgs, Connection, WaitArgs};

/// A limit that is typed: a number, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit<T>(pub(crate) Option<T>);

impl<T: FromStr> FromStr for Limit<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|limit| Self(Some(limit))) }
    }
}

/// Arguments of `imprint admin`.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

/// The commands of `imprint admin`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Merge the layers of a stopped instance's disk into one file
    Coalesce {
        /// Id or name
        instance: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Accounts: list, create, set limits
    #[command(subcommand)]
    Account(AccountCommand),
    /// Locations: list, set, delete
    #[command(subcommand)]
    Location(LocationCommand),
    /// Secrets: rotate
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Hypervisors: delete, and the tokens of their agents
    #[command(subcommand)]
    Hypervisor(AdminHypervisorCommand),
}

/// The commands of `imprint admin secrets`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Seal every secret again with the first key of the server's key file
    Rotate,
}

/// The commands of `imprint admin hypervisor`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminHypervisorCommand {
    /// Delete a hypervisor without instances, after its agent was stopped
    Delete {
        /// Id or name
        hypervisor: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
    /// List the tokens of a hypervisor's agent
    Tokens {
        /// Id or name
        hypervisor: String,
    },
    /// Revoke a token of a hypervisor's agent
    RevokeToken {
        /// Id or name
        hypervisor: String,
        /// Id of the token
        token: TokenId,
    },
}

/// The commands of `imprint admin location`.
#[derive(Debug, Subcommand)]
pub(crate) enum LocationCommand {
    /// List locations with their settings
    List,
    /// Change settings of a location; the others stay as they are
    Set(LocationSetArgs),
    /// Delete a location without hypervisors, instances and images
    Delete {
        /// Id or name
        location: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

/// Arguments of `imprint admin location set`.
#[derive(Debug, Args)]
pub(crate) struct LocationSetArgs {
    /// Id or name
    pub(crate) location: String,
    /// Whether customers may create images there
    #[arg(long, value_name = "BOOL")]
    pub(crate) images_enabled: Option<bool>,
    /// Whether customers may share images there, and deploy shared ones
    #[arg(long, value_name = "BOOL")]
    pub(crate) sharing_enabled: Option<bool>,
    /// Whether customers may mount ISOs there
    #[arg(long, value_name = "BOOL")]
    pub(crate) iso_enabled: Option<bool>,
    /// Whether customers may export their images there
    #[arg(long, value_name = "BOOL")]
    pub(crate) export_enabled: Option<bool>,
    /// Most images of an account without a limit of its own there; `none` for no limit
    #[arg(long, value_name = "NUMBER")]
    pub(crate) image_limit: Option<Limit<u32>>,
    /// Most bytes of images of an account without a limit of its own there; `none` for no limit
    #[arg(long, value_name = "SIZE")]
    pub(crate) image_bytes_limit: Option<Limit<ByteSize>>,
    /// Whether the layers of a stopped instance's disk are merged before its image is created
    #[arg(long, value_name = "BOOL")]
    pub(crate) coalesce_before_capture: Option<bool>,
    /// Longest time that merging layers may take, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) coalesce_timeout: Option<u32>,
    /// Longest time that a capture may freeze a guest's file systems, in milliseconds
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) freeze_limit_ms: Option<u32>,
    /// Whether customers may import images there
    #[arg(long, value_name = "BOOL")]
    pub(crate) import_enabled: Option<bool>,
    /// Which files are imported: any, or strict_vhd for single VHD files only
    #[arg(long, value_name = "PROFILE")]
    pub(crate) import_profile: Option<ImportProfile>,
    /// Largest disk that is imported, such as 160G
    #[arg(long, value_name = "SIZE")]
    pub(crate) import_limit: Option<ByteSize>,
    /// Whether disks with Windows are imported
    #[arg(long, value_name = "BOOL")]
    pub(crate) import_windows: Option<bool>,
    /// Longest time that a capture waits for a guest to give back unused space, in seconds; 0 does
    /// not ask it
    #[arg(long, value_name = "SECONDS")]
    pub(crate) reclaim_limit: Option<u32>,
    /// Format that images of instances are stored in: qcow2, raw or vhd
    #[arg(long, value_name = "FORMAT")]
    pub(crate) capture_format: Option<CaptureFormat>,
    /// Largest Windows disk that images are created of, now and ever, such as 160G
    #[arg(long, value_name = "SIZE")]
    pub(crate) windows_limit: Option<ByteSize>,
    /// Content of a Windows disk from which on a notice recommends to create an image, such as 140G
    #[arg(long, value_name = "SIZE")]
    pub(crate) windows_warning: Option<ByteSize>,
    /// What failed captures tell customers about support, in one line; `none` removes it
    #[arg(long, value_name = "TEXT")]
    pub(crate) support_text: Option<String>,
    /// Page of the support; `none` removes it
    #[arg(long, value_name = "URL")]
    pub(crate) support_url: Option<String>,
    /// Page that says which parts of the system do not work; `none` removes it
    #[arg(long, value_name = "URL")]
    pub(crate) status_url: Option<String>,
}

/// The commands of `imprint admin account`.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// List accounts with their limits and what their images take
    List,
    /// Create an account; the password is asked for
    Create(AccountCreateArgs),
    /// Change the limits of an account
    Set(AccountSetArgs),
}

/// Arguments of `imprint admin account create`.
#[derive(Debug, Args)]
pub(crate) struct AccountCreateArgs {
    /// Name to sign in with
    pub(crate) name: String,
    /// What the account may do: customer or admin
    #[arg(long, default_value = "customer")]
    pub(crate) role: Role,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) limits: AccountLimitArgs,
}

/// Arguments of `imprint admin account set`.
#[derive(Debug, Args)]
pub(crate) struct AccountSetArgs {
    /// Id or name
    pub(crate) account: String,
    #[command(flatten)]
    pub(crate) limits: AccountLimitArgs,
}

/// The limits of an account.
#[derive(Debug, Args)]
pub(crate) struct AccountLimitArgs {
    /// Most images in all locations together; `none` takes the limit of each location
    #[arg(long, value_name = "NUMBER")]
    pub(crate) image_limit: Option<Limit<u32>>,
    /// Most bytes of images in all locations together; `none` takes the limit of each location
    #[arg(long, value_name = "SIZE")]
    pub(crate) image_bytes_limit: Option<Limit<ByteSize>>,
}
