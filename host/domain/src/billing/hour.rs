//! What was used in one hour of universal time: the rows of the ledger and of the feed.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use super::{
    calendar::{Period, Zone, start_of_hour},
    currency::Currency,
    cut::{Cutter, FreeGroups},
    exact::Exact,
    rate::{RateBook, RateVersion},
    report::free_usage,
    usage::{Usage, UsageInterval, UsageSubject},
};
use crate::id::{AccountId, ImageId, InstanceId, LocationId, RateId};

/// What an hour is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HourSubject {
    /// An image.
    Image(ImageId),
    /// An instance.
    Instance(InstanceId),
    /// What is free of the images of an account: a negative amount.
    Allowance(AccountId),
}

impl From<UsageSubject> for HourSubject {
    fn from(subject: UsageSubject) -> Self {
        match subject {
            UsageSubject::Image(id) => Self::Image(id),
            UsageSubject::Instance(id) => Self::Instance(id),
        }
    }
}

impl fmt::Display for HourSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(id) => id.fmt(f),
            Self::Instance(id) => id.fmt(f),
            Self::Allowance(id) => id.fmt(f),
        }
    }
}

/// What an hour of a subject costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourCharge {
    /// The version of the rate.
    pub rate_id: RateId,
    /// The exact amount.
    pub amount: Exact,
    /// The currency.
    pub currency: Currency,
}

/// What was used in an hour. There is one of each subject in each location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourBucket {
    /// The hour, in whole hours of universal time since 1970.
    pub hour: i64,
    /// What it is about.
    pub subject: HourSubject,
    /// The account.
    pub account_id: AccountId,
    /// The location.
    pub location_id: LocationId,
    /// The name that the subject had; empty for an allowance.
    pub name: String,
    /// What was used, or is free.
    pub usage: Usage,
    /// What it costs; `None` without a rate.
    pub charge: Option<HourCharge>,
}

/// Computes what was used in an hour that is over, ordered by subject and location.
///
/// The result depends on the hour, the intervals in it and the rates alone: whoever computes it
/// again, at any time, gets the same. All images that an account has in a location are given
/// together, because what is free depends on all of them; those outside of the hour do not count.
pub fn hour_buckets(
    hour: i64,
    intervals: &[UsageInterval],
    book: &RateBook<'_>,
    zone: Zone,
) -> Vec<HourBucket> {
    let (from, to) = (start_of_hour(hour), start_of_hour(hour.saturating_add(1)));
    let period = Period { from, to, month: None };
    let mut cutter = Cutter::new(book, period, zone, to);
    let mut free = FreeGroups::default();
    let mut buckets: HashMap<(HourSubject, LocationId), HourBucket> = HashMap::new();
    for interval in intervals {
        cutter.cut(interval, |piece| {
            free.add(&piece);
            let usage = interval.measure.over(piece.ms());
            let charge = piece.rate.map(|rate| charge(rate, usage, piece.length_ms));
            let subject = HourSubject::from(interval.subject);
            buckets
                .entry((subject, interval.location_id))
                .and_modify(|bucket| {
                    bucket.name.clone_from(&interval.name);
                    bucket.add(usage, charge.as_ref());
                })
                .or_insert_with(|| HourBucket {
                    hour,
                    subject,
                    account_id: interval.account_id,
                    location_id: interval.location_id,
                    name: interval.name.clone(),
                    usage,
                    charge: charge.clone(),
                });
        });
    }
    let allowances = allowances(hour, free);
    let mut all: Vec<HourBucket> = buckets.into_values().chain(allowances).collect();
    all.sort_by_key(|bucket| (bucket.subject, bucket.location_id));
    all
}

fn charge(rate: &RateVersion, usage: Usage, length_ms: i64) -> HourCharge {
    let amount = rate.terms.price(usage, rate.terms.month_ms(length_ms));
    HourCharge { rate_id: rate.id, amount, currency: rate.terms.currency }
}

/// Returns what is free. A month may start within the hour, so that there are two groups of it.
fn allowances(hour: i64, free: FreeGroups<'_>) -> Vec<HourBucket> {
    let mut buckets: BTreeMap<(AccountId, LocationId), HourBucket> = BTreeMap::new();
    for (key, group) in free.into_iter() {
        let (rate, length_ms) = (group.rate, group.length_ms);
        let usage = free_usage(&group.parts());
        let charge = charge(rate, usage, length_ms);
        let charge = HourCharge { amount: -charge.amount, ..charge };
        buckets
            .entry((key.account, key.location))
            .and_modify(|bucket| bucket.add(usage, Some(&charge)))
            .or_insert_with(|| HourBucket {
                hour,
                subject: HourSubject::Allowance(key.account),
                account_id: key.account,
                location_id: key.location,
                name: String::new(),
                usage,
                charge: Some(charge.clone()),
            });
    }
    buckets.into_values().filter(|bucket| !bucket.usage.is_zero()).collect()
}

impl HourBucket {
    /// Adds to the bucket. The rate is the same: rates change between hours only.
    fn add(&mut self, usage: Usage, charge: Option<&HourCharge>) {
        self.usage += usage;
        if let (Some(sum), Some(charge)) = (&mut self.charge, charge) {
            sum.amount += &charge.amount;
        }
    }
}
