//! The usage report: what an account stored, for how long, and what it costs.

use chrono::{DateTime, Utc};
use imprint_domain::id::{AccountId, LocationId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    /// The amount as a decimal number, with the digits of the currency's smallest unit.
    #[schema(example = "12.34")]
    pub amount: String,
    /// The currency (ISO 4217).
    #[schema(example = "EUR")]
    pub currency: String,
}

/// What a usage report is about.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// The month, `YYYY-MM`, in the time zone of billing; without it and without `from`, the
    /// current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "2026-11")]
    pub period: Option<String>,
    /// The start of the period, instead of a month; with `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// The end of the period, which is not part of it; with `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<DateTime<Utc>>,
    /// The account; only admins may name one that is not theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<AccountId>)]
    pub account_id: Option<String>,
    /// The location, if only one is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<LocationId>)]
    pub location_id: Option<String>,
    /// `images` or `instances`, if only one section is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// `json` (the default), `csv`, or `focus`: CSV with the columns of the FinOps Open Cost and
    /// Usage Specification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// What is explained: a line of a report.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// The `id` of the line.
    pub line: String,
    /// The month of the report, `YYYY-MM`; without it and without `from`, the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// The start of the period, instead of a month; with `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// The end of the period; with `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<DateTime<Utc>>,
    /// The account; only admins may name one that is not theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<AccountId>)]
    pub account_id: Option<String>,
}

/// The Cloud Usage report of an account. The sum of its lines is its total.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageReport {
    /// The account.
    pub account_id: AccountId,
    /// The name of the account.
    pub account_name: String,
    /// The month, `YYYY-MM`, if the period is one.
    #[schema(required)]
    pub month: Option<String>,
    /// The start of the period.
    pub from: DateTime<Utc>,
    /// The end of the period, which is not part of it.
    pub to: DateTime<Utc>,
    /// The time zone that months and days are of.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// When the report was made; what still costs is counted until then.
    pub generated_at: DateTime<Utc>,
    /// When the month was closed: its lines do not change any more. `null` while it is open.
    #[schema(required)]
    pub closed_at: Option<DateTime<Utc>>,
    /// How amounts are rounded.
    pub rounding: String,
    /// The Images section.
    pub images: UsageSection,
    /// The Instances section.
    pub instances: UsageSection,
    /// Corrections of earlier months that are charged in this one.
    pub adjustments: Vec<UsageAdjustment>,
    /// The sum of all lines and adjustments, by currency.
    pub totals: Vec<Money>,
    /// What the current month costs until now and will cost; `null` for other periods.
    #[schema(required)]
    pub estimate: Option<UsageEstimate>,
}

/// A section of a usage report.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct UsageSection {
    /// The lines.
    pub lines: Vec<UsageLine>,
    /// Their sum, by currency.
    pub totals: Vec<Money>,
}

/// A line of a usage report: one image or instance, in one location, by one version of a rate, in
/// one month. Quantities are decimal numbers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageLine {
    /// What the line is known by, to have it explained.
    pub id: String,
    /// `image`, `instance`, or `allowance`: what is free, as a negative amount.
    pub kind: String,
    /// The id of the image or the instance, which may be deleted; `null` for an allowance.
    #[schema(required)]
    pub subject_id: Option<String>,
    /// The name that the image or the instance had last.
    pub name: String,
    /// Whether it was deleted until the end of the period.
    pub deleted: bool,
    /// The location.
    pub location_id: LocationId,
    /// The name of the location; `null` once it is deleted.
    #[schema(required)]
    pub location_name: Option<String>,
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The size of the image in bytes, as it was last.
    #[schema(required)]
    pub size_bytes: Option<u64>,
    /// The size over time in GB-hours, in the GB of the rate.
    #[schema(required)]
    pub gb_hours: Option<String>,
    /// The same in GB-months: the GB-hours by the hours of the month.
    #[schema(required)]
    pub gb_months: Option<String>,
    /// The hours for which an instance was there.
    #[schema(required)]
    pub hours: Option<String>,
    /// The rate in words, with its GB and its hours of a month; `null` without a rate.
    #[schema(required)]
    pub rate: Option<String>,
    /// The version of the rate; `null` without a rate: then nothing is charged.
    #[schema(required)]
    pub rate_id: Option<String>,
    /// What is charged.
    #[schema(required)]
    pub charge: Option<Money>,
}

/// A correction of a closed month.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageAdjustment {
    /// The id of the adjustment.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The month that is corrected, `YYYY-MM`.
    pub corrects: String,
    /// The month in which it is charged, `YYYY-MM`.
    pub charged_in: String,
    /// The amount; negative for a credit.
    pub charge: Money,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What the current month costs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageEstimate {
    /// Until now, by currency.
    pub so_far: Vec<Money>,
    /// Until the end of the month, if what is there stays as it is.
    pub forecast: Vec<Money>,
}

/// The days of a period.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageDays {
    /// The start of the period.
    pub from: DateTime<Utc>,
    /// The end of the period, which is not part of it.
    pub to: DateTime<Utc>,
    /// The time zone that the days are of.
    pub time_zone: String,
    /// The days, oldest first.
    pub items: Vec<UsageDay>,
}

/// A day. Its amounts are not rounded: rounded is once, in a line of a report.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageDay {
    /// The day, `YYYY-MM-DD`.
    pub date: String,
    /// The GiB of images, as an average over the day.
    pub stored_gib: String,
    /// The size of images over time in GiB-hours.
    pub gib_hours: String,
    /// What the day costs, by currency.
    pub charges: Vec<Money>,
}

/// How a line came about.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageExplanation {
    /// The line.
    pub line: UsageLine,
    /// The parts of its quantity.
    pub terms: Vec<UsageTerm>,
    /// The hours that the month has by the rate.
    #[schema(required)]
    pub hours_per_month: Option<String>,
    /// The formula with its numbers.
    #[schema(required)]
    pub formula: Option<String>,
    /// The amount before it was rounded, as a fraction or a decimal number.
    #[schema(required)]
    pub exact: Option<String>,
    /// How it was rounded.
    pub rounding: String,
    /// The time zone that months are of.
    pub time_zone: String,
}

/// A part of the quantity of a line: a time in which nothing changed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageTerm {
    /// The start.
    pub from: DateTime<Utc>,
    /// The end, which is not part of it.
    pub to: DateTime<Utc>,
    /// The milliseconds that count.
    pub milliseconds: u64,
    /// The bytes that were stored.
    #[schema(required)]
    pub bytes: Option<u64>,
    /// The size over time in GB-hours.
    #[schema(required)]
    pub gb_hours: Option<String>,
    /// What was calculated, with its numbers.
    pub formula: String,
}

/// The budget of an account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// The account.
    pub account_id: AccountId,
    /// The currency of the amounts; `null` without a budget.
    #[schema(required)]
    pub currency: Option<String>,
    /// The cost of a month at which the account is notified.
    #[schema(required)]
    pub notify_amount: Option<String>,
    /// The cost of a month at which new images are refused. Admins set it.
    #[schema(required)]
    pub stop_amount: Option<String>,
    /// The month that `spent` is about, `YYYY-MM`.
    #[schema(required)]
    pub month: Option<String>,
    /// The cost of the month as the last hour saw it.
    #[schema(required)]
    pub spent: Option<String>,
    /// Whether new images are refused at the moment.
    pub stopped: bool,
}

/// A change of the amount at which the account is notified.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetUpdate {
    /// The currency of the amount (ISO 4217); that of the other amount, if there is one.
    #[schema(example = "EUR", min_length = 3, max_length = 3)]
    pub currency: String,
    /// The amount as a decimal number; without it, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "50.00", max_length = 40)]
    pub amount: Option<String>,
}
