//! Billing: what is stored for how long, by which rate, and what it costs (S112-S121, X10).
//!
//! Everything here is computed from two lists that only grow: intervals of usage and versions of
//! rates. Time is counted in whole milliseconds, sizes over time in byte-milliseconds, amounts are
//! fractions. An amount is rounded once, in a line of a report. `docs/BILLING.md` says the same in
//! words.

pub mod budget;
pub mod calendar;
pub mod csv;
pub mod currency;
mod cut;
pub mod exact;
pub mod explain;
pub mod focus;
pub mod hour;
pub mod line;
pub mod rate;
pub mod reconcile;
pub mod report;
pub mod usage;

#[cfg(test)]
mod tests;

pub use budget::{Budget, BudgetState};
pub use calendar::{Month, Period, Zone};
pub use currency::{Currency, Money, Totals};
pub use exact::Exact;
pub use explain::{Explanation, Term, explain};
pub use hour::{HourBucket, HourSubject, hour_buckets};
pub use line::{Line, LineRate, LineSubject};
pub use rate::{
    Gb, HoursPerMonth, InstancePrices, PartialHour, Price, Prices, RateBook, RateTerms, RateVersion,
};
pub use reconcile::{Difference, DifferenceKind, compare_hours, compare_lines};
pub use report::{Adjustment, Day, Estimate, Report, ReportInput, days, report};
pub use usage::{IntervalEnd, Measure, RateKind, Usage, UsageInterval, UsageSubject};

/// The milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// How amounts are rounded, as every report says it.
pub const ROUNDING: &str = "Each line is computed exactly and rounded once, to the smallest unit of the currency, half away \
     from zero. The total is the sum of the rounded lines.";
