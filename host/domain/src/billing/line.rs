//! Lines of a report.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    calendar::Month,
    currency::Money,
    exact::Exact,
    rate::{Gb, RateTerms},
    usage::{Measure, Usage, UsageSubject},
};
use crate::{
    id::{AccountId, ImageId, InstanceId, LocationId, RateId},
    time::Timestamp,
};

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineSubject {
    /// An image.
    Image(ImageId),
    /// What is free of the images of an account in a location: a negative amount.
    Allowance,
    /// An instance.
    Instance(InstanceId),
}

impl LineSubject {
    /// Returns the word for the kind of subject: `image`, `allowance` or `instance`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Allowance => "allowance",
            Self::Instance(_) => "instance",
        }
    }
}

impl From<UsageSubject> for LineSubject {
    fn from(subject: UsageSubject) -> Self {
        match subject {
            UsageSubject::Image(id) => Self::Image(id),
            UsageSubject::Instance(id) => Self::Instance(id),
        }
    }
}

impl fmt::Display for LineSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(id) => id.fmt(f),
            Self::Allowance => f.write_str("free"),
            Self::Instance(id) => id.fmt(f),
        }
    }
}

/// The rate of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRate {
    /// The version.
    pub id: RateId,
    /// The start of the hour from which the version applies.
    pub effective_from: Timestamp,
    /// The prices and how they are counted.
    pub terms: RateTerms,
    /// The milliseconds that the month has by the rate.
    pub month_ms: u64,
}

impl LineRate {
    /// Returns the hours that the month has by the rate. They need not be whole: there are zones
    /// that change their clocks by half an hour.
    pub fn hours_per_month(&self) -> Exact {
        Exact::quotient(&[(u128::from(self.month_ms), 1)], &[HOUR])
    }
}

/// A line of a report: one subject, in one location, by one version of a rate, in one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The account that pays.
    pub account_id: AccountId,
    /// What the line is about.
    pub subject: LineSubject,
    /// The location.
    pub location_id: LocationId,
    /// The calendar month.
    pub month: Month,
    /// The start of the first time that counts.
    pub from: Timestamp,
    /// The end of the last time that counts.
    pub to: Timestamp,
    /// The name that the subject had last; empty for an allowance.
    pub name: String,
    /// Whether the subject was deleted until the end of the period.
    pub deleted: bool,
    /// The measure that the subject had last in this line; `None` for an allowance.
    pub measure: Option<Measure>,
    /// What was used, or is free.
    pub usage: Usage,
    /// The rate; `None` where there was none, and nothing is charged.
    pub rate: Option<LineRate>,
    /// The exact amount, before it is rounded.
    pub exact: Exact,
    /// The amount that is charged; negative for an allowance.
    pub charge: Option<Money>,
}

/// The milliseconds of an hour, as quantities are divided by them.
const HOUR: u128 = 3_600_000;

impl Line {
    /// Returns the text by which the line is known in its report.
    pub fn id(&self) -> String {
        let rate = self.rate.as_ref().map_or_else(|| "none".to_owned(), |rate| rate.id.to_string());
        format!("{}.{}.{rate}.{}", self.subject, self.location_id, self.month)
    }

    /// Returns how many bytes a GB of this line has; 2^30 without a rate.
    pub fn gb(&self) -> Gb {
        self.rate.as_ref().map_or(Gb::Gib, |rate| rate.terms.gb)
    }

    /// Returns the size over time in GB-hours; `None` for an instance.
    pub fn gb_hours(&self) -> Option<Exact> {
        gb_hours(self.usage, self.gb())
    }

    /// Returns the size over time in GB-months: the GB-hours divided by the hours of the month.
    /// `None` for an instance, and without a rate, which says how many hours a month has.
    pub fn gb_months(&self) -> Option<Exact> {
        gb_months(self.usage, self.rate.as_ref()?)
    }

    /// Returns the hours for which an instance was there; `None` for images.
    pub fn hours(&self) -> Option<Exact> {
        match self.usage {
            Usage::Image { .. } => None,
            Usage::Instance { ms, .. } => Some(Exact::quotient(&[(ms, 1)], &[HOUR])),
        }
    }

    /// Where the line stands in a report: what is of one subject in the order of time.
    pub(super) fn sort_key(&self) -> (u8, &str, LineSubject, LocationId, Month, Timestamp, Option<RateId>) {
        let section = match self.subject {
            LineSubject::Image(_) => 0,
            LineSubject::Allowance => 1,
            LineSubject::Instance(_) => 2,
        };
        let rate = self.rate.as_ref().map(|rate| rate.id);
        (section, &self.name, self.subject, self.location_id, self.month, self.from, rate)
    }
}

/// Returns bytes over time in GB-hours.
pub(super) fn gb_hours(usage: Usage, gb: Gb) -> Option<Exact> {
    match usage {
        Usage::Image { byte_ms } => Some(Exact::quotient(&[(byte_ms, 1)], &[u128::from(gb.bytes()), HOUR])),
        Usage::Instance { .. } => None,
    }
}

/// Returns bytes over time in GB-months.
pub(super) fn gb_months(usage: Usage, rate: &LineRate) -> Option<Exact> {
    let gb = u128::from(rate.terms.gb.bytes());
    match usage {
        Usage::Image { byte_ms } => Some(Exact::quotient(&[(byte_ms, 1)], &[gb, u128::from(rate.month_ms)])),
        Usage::Instance { .. } => None,
    }
}
