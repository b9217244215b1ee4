//! What admins see and set of billing: rates, months, adjustments, totals, the feed.

use chrono::{DateTime, Utc};
use imprint_domain::id::{AccountId, LocationId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::usage::Money;

/// A version of a rate. It applies from its hour on until the next version does.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rate {
    /// The id of the version.
    pub id: String,
    /// The location.
    pub location_id: LocationId,
    /// The account that it applies to instead of that of the location; `null` for all.
    #[schema(required)]
    pub account_id: Option<AccountId>,
    /// The hour from which it applies.
    pub effective_from: DateTime<Utc>,
    /// The prices and how they are counted; where the version ends a rate, those that end.
    pub terms: RateTerms,
    /// Whether it ends the rate: from its hour on, an account pays the rate of its location again,
    /// and a location charges nothing.
    pub ends: bool,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
}

/// The prices of a rate and how they are counted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateTerms {
    /// `image_storage` or `instance`.
    #[schema(example = "image_storage")]
    pub kind: String,
    /// The currency (ISO 4217).
    #[schema(example = "EUR", min_length = 3, max_length = 3)]
    pub currency: String,
    /// The price of a GB of images for a month; for `image_storage`. At most 9 decimal places.
    #[serde(default)]
    #[schema(example = "0.05", max_length = 40)]
    pub gb_month: Option<String>,
    /// The price of a virtual processor for an hour; for `instance`.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub vcpu_hour: Option<String>,
    /// The price of a GB of memory for an hour; for `instance`.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub memory_gb_hour: Option<String>,
    /// The price of a GB of disks for an hour; for `instance`.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub disk_gb_hour: Option<String>,
    /// The bytes of images that cost nothing; for `image_storage`.
    #[serde(default)]
    #[schema(required = false)]
    pub free_bytes: u64,
    /// The hours of a month: `730`, or `calendar` for those that the month has.
    #[serde(default = "fixed")]
    #[schema(required = false, example = "730")]
    pub hours_per_month: String,
    /// The bytes of a GB: `gib` for 1073741824, `gb` for 1000000000.
    #[serde(default = "gib")]
    #[schema(required = false, example = "gib")]
    pub gb: String,
    /// The hour in which something is deleted: `pro_rata` until the deletion, `round_up` as a
    /// whole.
    #[serde(default = "pro_rata")]
    #[schema(required = false, example = "pro_rata")]
    pub partial_hour: String,
}

fn fixed() -> String {
    "730".to_owned()
}

fn gib() -> String {
    "gib".to_owned()
}

fn pro_rata() -> String {
    "pro_rata".to_owned()
}

/// A new version of a rate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateCreate {
    /// The location.
    pub location_id: LocationId,
    /// The account, if it applies to one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// The hour from which it applies: a whole hour that has not started. Without it, the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<DateTime<Utc>>,
    /// The prices and how they are counted.
    pub terms: RateTerms,
}

/// The end of a rate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateEnd {
    /// The location.
    pub location_id: LocationId,
    /// The account, if its own rate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// `image_storage` or `instance`.
    #[schema(example = "image_storage")]
    pub kind: String,
    /// The hour from which it does not apply any more: a whole hour that has not started. Without
    /// it, the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<DateTime<Utc>>,
}

/// A rate to compare with what a month has cost.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RatePreviewRequest {
    /// The month, `YYYY-MM`, that has started.
    #[schema(example = "2026-11")]
    pub month: String,
    /// The location.
    pub location_id: LocationId,
    /// The account, if the rate applies to one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// The prices and how they are counted.
    pub terms: RateTerms,
}

/// What a rate would have cost, beside what it did cost.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RatePreview {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The time zone that the month is of.
    pub time_zone: String,
    /// What was charged in the location for what the rate is about, by currency.
    pub charged: Vec<Money>,
    /// What the rate would have charged, by currency.
    pub would_be: Vec<Money>,
    /// The accounts, in the order of their names; at most 1000.
    pub accounts: Vec<RatePreviewAccount>,
}

/// The same, of one account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RatePreviewAccount {
    /// The account.
    pub account_id: AccountId,
    /// The name of the account.
    pub name: String,
    /// What was charged, by currency.
    pub charged: Vec<Money>,
    /// What the rate would have charged, by currency.
    pub would_be: Vec<Money>,
}

/// Which rates to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RatesQuery {
    /// The location, if only its rates are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<LocationId>)]
    pub location_id: Option<String>,
}

/// The versions of all rates.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rates {
    /// The versions, the latest of each rate first.
    pub items: Vec<Rate>,
}

/// The month to sum up.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MonthQuery {
    /// The month, `YYYY-MM`; without it, the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "2026-11")]
    pub period: Option<String>,
}

/// What all accounts used in a month.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BillingUsage {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The time zone that the month is of.
    pub time_zone: String,
    /// When the figures were made.
    pub generated_at: DateTime<Utc>,
    /// What all accounts are charged, by currency.
    pub totals: Vec<Money>,
    /// The accounts, those that are charged most first; at most 1000.
    pub accounts: Vec<AccountUsage>,
    /// The locations.
    pub locations: Vec<LocationUsage>,
}

/// What an account used in a month.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountUsage {
    /// The account.
    pub account_id: AccountId,
    /// The name of the account.
    pub name: String,
    /// The size of its images over time in GiB-hours.
    pub gib_hours: String,
    /// What it is charged, adjustments included, by currency.
    pub totals: Vec<Money>,
}

/// What was used in a location in a month.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LocationUsage {
    /// The location.
    pub location_id: LocationId,
    /// Its name; `null` once it is deleted.
    #[schema(required)]
    pub name: Option<String>,
    /// The size of images over time in GiB-hours.
    pub gib_hours: String,
    /// What is charged for it, by currency.
    pub totals: Vec<Money>,
}

/// A month.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BillingMonth {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The time zone that it is a month of.
    pub time_zone: String,
    /// The start.
    pub from: DateTime<Utc>,
    /// The end, which is not part of it.
    pub to: DateTime<Utc>,
    /// When it was closed; `null` while it is open.
    #[schema(required)]
    pub closed_at: Option<DateTime<Utc>>,
    /// The admin that closed it; `null` while it is open, and when its time had come.
    #[schema(required)]
    pub closed_by: Option<AccountId>,
}

/// The months since the first usage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BillingMonths {
    /// The months, the latest first; at most 120.
    pub items: Vec<BillingMonth>,
}

/// An adjustment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Adjustment {
    /// The id of the adjustment.
    pub id: String,
    /// The account.
    pub account_id: AccountId,
    /// The amount; negative for a credit.
    pub charge: Money,
    /// Why, for the customer to read.
    pub reason: String,
    /// The month that it corrects, `YYYY-MM`.
    pub corrects: String,
    /// The month in which it is charged, `YYYY-MM`.
    pub charged_in: String,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
    /// The admin that made it.
    pub created_by: AccountId,
}

/// A correction of a closed month, which is charged or credited in the current one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustmentCreate {
    /// The account.
    pub account_id: AccountId,
    /// The closed month that it corrects, `YYYY-MM`.
    #[schema(example = "2026-11")]
    pub corrects: String,
    /// The currency (ISO 4217).
    #[schema(example = "EUR", min_length = 3, max_length = 3)]
    pub currency: String,
    /// The amount as a decimal number; negative for a credit.
    #[schema(example = "-4.20", max_length = 40)]
    pub amount: String,
    /// Why, for the customer to read; 1 to 512 characters.
    #[schema(min_length = 1, max_length = 512)]
    pub reason: String,
}

/// What was recomputed from the intervals and the rates.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Reconciliation {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// When it was done.
    pub at: DateTime<Utc>,
    /// The hours of the ledger that were compared.
    pub hours: u64,
    /// The frozen lines that were compared; 0 while the month is open.
    pub lines: u64,
    /// The number of differences.
    pub differences: u64,
    /// The first differences; at most 100.
    pub items: Vec<Difference>,
}

/// A difference between what is written and what should be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// `hour_missing`, `hour_unexpected`, `hour_differs`, `line_missing`, `line_unexpected` or
    /// `line_differs`.
    pub kind: String,
    /// The account.
    pub account_id: AccountId,
    /// What it is about: the subject and the hour, or the line.
    pub about: String,
    /// What should be there.
    #[schema(required)]
    pub expected: Option<String>,
    /// What is there.
    #[schema(required)]
    pub found: Option<String>,
}

/// Where the feed continues.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// The `next_cursor` of the answer before; without it, the feed begins at the first hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The most hours to return, 1 to 500; 50 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// A part of the feed: hours that do not change any more, each once, in a fixed order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Feed {
    /// The hours.
    pub items: Vec<FeedHour>,
    /// Where the feed continues, now or when there are more hours: keep it with what was read.
    #[schema(required)]
    pub next_cursor: Option<String>,
    /// Whether there are more hours now.
    pub more: bool,
    /// The hours before this one are complete; `null` before the first one.
    #[schema(required)]
    pub metered_until: Option<DateTime<Utc>>,
}

/// An hour of an image, an instance or an allowance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FeedHour {
    /// The start of the hour.
    pub hour: DateTime<Utc>,
    /// `image`, `instance`, or `allowance`.
    pub kind: String,
    /// The id of the image or the instance; that of the account for an allowance.
    pub subject_id: String,
    /// The name that it had.
    pub name: String,
    /// The account.
    pub account_id: AccountId,
    /// The location.
    pub location_id: LocationId,
    /// How much of what was used in the hour.
    pub quantity: String,
    /// The version of the rate; `null` without one.
    #[schema(required)]
    pub rate_id: Option<String>,
    /// The exact amount, before a line of a report is rounded.
    #[schema(required)]
    pub amount: Option<String>,
    /// The currency.
    #[schema(required)]
    pub currency: Option<String>,
}
