//! The arguments of `imprint usage` and `imprint billing`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};

use super::Connection;

/// Arguments of `imprint usage`.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: UsageCommand,
}

/// The period and the account of a report.
#[derive(Clone, Debug, Args)]
pub(crate) struct PeriodArgs {
    /// Month, such as 2026-11 [default: the current one]
    #[arg(long, value_name = "YYYY-MM")]
    pub(crate) month: Option<String>,
    /// Id of the account; for operators [default: your own]
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,
}

/// The format of a table in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// The report as it is
    Csv,
    /// The columns of the FinOps Open Cost and Usage Specification
    Focus,
}

/// The commands of `imprint usage`.
#[derive(Debug, Subcommand)]
pub(crate) enum UsageCommand {
    /// Show what a month costs, line by line
    Show {
        #[command(flatten)]
        period: PeriodArgs,
    },
    /// Show how a line came about
    Explain {
        /// Id of the line, as `show` prints it
        line: String,
        #[command(flatten)]
        period: PeriodArgs,
    },
    /// Show the days of a month
    Days {
        #[command(flatten)]
        period: PeriodArgs,
    },
    /// Write a report to a file
    Export {
        /// The file
        file: PathBuf,
        /// Format
        #[arg(long, value_enum, default_value_t = TableFormat::Csv)]
        format: TableFormat,
        #[command(flatten)]
        period: PeriodArgs,
    },
    /// Show the budget, or set the cost of a month at which you are notified
    Budget {
        /// The amount, or `none`
        #[arg(long, value_name = "AMOUNT", requires = "currency")]
        notify: Option<String>,
        /// Currency of the amount
        #[arg(long, value_name = "CODE")]
        currency: Option<String>,
    },
}

/// Arguments of `imprint billing`.
#[derive(Debug, Args)]
pub(crate) struct BillingArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: BillingCommand,
}

/// The commands of `imprint billing`.
#[derive(Debug, Subcommand)]
pub(crate) enum BillingCommand {
    /// Rates: list, set, end, preview
    #[command(subcommand)]
    Rate(RateCommand),
    /// Months: list, close
    #[command(subcommand)]
    Month(MonthCommand),
    /// Correct a closed month by an amount that is charged in the current one
    Adjust {
        /// Account, by id or name
        account: String,
        /// The closed month, such as 2026-11
        month: String,
        /// The amount; negative for a credit
        #[arg(allow_hyphen_values = true)]
        amount: String,
        /// Currency of the amount
        #[arg(long, value_name = "CODE")]
        currency: String,
        /// Why, for the customer to read
        #[arg(long)]
        reason: String,
    },
    /// Recompute a month and list every difference to what was written
    Reconcile {
        /// Month, such as 2026-11 [default: the current one]
        #[arg(long, value_name = "YYYY-MM")]
        month: Option<String>,
    },
    /// Read metered hours, for other billing systems
    Feed {
        /// Where to continue: the cursor that was printed before
        #[arg(long)]
        cursor: Option<String>,
        /// Most hours to read, 1 to 500
        #[arg(long, default_value_t = 500)]
        limit: u32,
    },
}

/// The commands of `imprint billing month`.
#[derive(Debug, Subcommand)]
pub(crate) enum MonthCommand {
    /// List the months since the first usage
    List,
    /// Close a month that is over: its lines do not change any more
    Close {
        /// Month, such as 2026-11
        month: String,
    },
}

/// What a rate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RateKindArg {
    /// The storage of images
    Images,
    /// Instances
    Instances,
}

/// The commands of `imprint billing rate`.
#[derive(Debug, Subcommand)]
pub(crate) enum RateCommand {
    /// List the versions of all rates
    List,
    /// Set a rate from an hour on that has not started
    Set {
        #[command(flatten)]
        terms: RateArgs,
        /// The hour, such as 2026-12-01T00:00:00Z [default: the next one]
        #[arg(long, value_name = "TIME")]
        from: Option<DateTime<Utc>>,
    },
    /// End a rate: the account pays that of the location again, the location charges nothing
    End {
        /// Location, by id or name
        location: String,
        /// Account that has its own rate, which ends; by id or name
        #[arg(long)]
        account: Option<String>,
        /// What the rate is for
        #[arg(long, value_enum)]
        kind: RateKindArg,
        /// The hour, such as 2026-12-01T00:00:00Z [default: the next one]
        #[arg(long, value_name = "TIME")]
        from: Option<DateTime<Utc>>,
    },
    /// Show what a rate would have cost in a month; changes nothing
    Preview {
        #[command(flatten)]
        terms: RateArgs,
        /// Month, such as 2026-11
        #[arg(long, value_name = "YYYY-MM")]
        month: String,
    },
}

/// The terms of a rate. Give `--gb-month`, or the three prices of instances.
#[derive(Debug, Args)]
pub(crate) struct RateArgs {
    /// Location, by id or name
    pub(crate) location: String,
    /// Account that it applies to instead of all, by id or name
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Currency
    #[arg(long, value_name = "CODE")]
    pub(crate) currency: String,
    /// Price of a GB of images for a month
    #[arg(long, value_name = "PRICE", required_unless_present = "vcpu_hour")]
    pub(crate) gb_month: Option<String>,
    /// Bytes of images that cost nothing
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) free_bytes: u64,
    /// Price of a virtual processor for an hour
    #[arg(long, value_name = "PRICE", conflicts_with = "gb_month")]
    pub(crate) vcpu_hour: Option<String>,
    /// Price of a GB of memory for an hour
    #[arg(long, value_name = "PRICE", conflicts_with = "gb_month")]
    pub(crate) memory_gb_hour: Option<String>,
    /// Price of a GB of disks for an hour
    #[arg(long, value_name = "PRICE", conflicts_with = "gb_month")]
    pub(crate) disk_gb_hour: Option<String>,
    /// Hours of a month: 730 or calendar
    #[arg(long, value_name = "HOURS", default_value = "730")]
    pub(crate) hours_per_month: String,
    /// Bytes of a GB: gib (2^30) or gb (10^9)
    #[arg(long, default_value = "gib")]
    pub(crate) gb: String,
    /// The hour in which something is deleted: pro_rata or round_up
    #[arg(long, value_name = "RULE", default_value = "pro_rata")]
    pub(crate) partial_hour: String,
}
