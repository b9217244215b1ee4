//! The arguments of `imprint webhook`.

use clap::{Args, Subcommand};

use super::{ConfirmArgs, Connection};

/// Arguments of `imprint webhook`.
#[derive(Debug, Args)]
pub(crate) struct WebhookArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: WebhookCommand,
}

/// The commands of `imprint webhook`.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// List webhooks, oldest first
    List,
    /// Show a webhook
    Show {
        /// Id or name
        webhook: String,
    },
    /// Add a webhook; its secret is printed once
    Create {
        /// Name of the webhook
        #[arg(long)]
        name: String,
        /// Events to send, with commas in between, such as image.*,export.changed [default: all]
        #[arg(long, value_name = "EVENTS", value_delimiter = ',')]
        events: Vec<String>,
        /// Address that messages are sent to
        url: String,
    },
    /// Change a webhook, or switch it on or off
    Update {
        /// Id or name
        webhook: String,
        /// The new name
        #[arg(long)]
        name: Option<String>,
        /// The new address
        #[arg(long)]
        url: Option<String>,
        /// Events to send, with commas in between; `all` for all
        #[arg(long, value_name = "EVENTS", value_delimiter = ',')]
        events: Option<Vec<String>>,
        /// Whether messages are sent
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
    },
    /// Give a webhook a new secret, which is printed once
    RotateSecret {
        /// Id or name
        webhook: String,
    },
    /// Send a message that tests a webhook
    Test {
        /// Id or name
        webhook: String,
    },
    /// List the attempts to deliver messages, the latest first
    Deliveries {
        /// Id or name
        webhook: String,
    },
    /// Deliver events again, from one of them on
    Redeliver {
        /// Id or name
        webhook: String,
        /// Number of the event, as `deliveries` prints it
        sequence: u64,
    },
    /// Delete a webhook
    Delete {
        /// Id or name
        webhook: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}
