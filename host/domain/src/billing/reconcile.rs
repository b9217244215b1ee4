//! Compares what is written with what intervals and rates say.

use std::collections::BTreeMap;

use super::{
    calendar::start_of_hour,
    hour::{HourBucket, HourSubject},
    line::Line,
};
use crate::{
    id::{AccountId, LocationId},
    string_enum::string_enum,
};

string_enum! {
    /// How the ledger differs from what intervals and rates say.
    pub enum DifferenceKind {
        /// An hour should be written and is not.
        HourMissing = "hour_missing",
        /// An hour is written that should not be.
        HourUnexpected = "hour_unexpected",
        /// An hour is written with other figures.
        HourDiffers = "hour_differs",
        /// A line of a closed month should be written and is not.
        LineMissing = "line_missing",
        /// A line of a closed month is written that should not be.
        LineUnexpected = "line_unexpected",
        /// A line of a closed month is written with other figures.
        LineDiffers = "line_differs",
    }
}

/// A difference between what is written and what should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How the ledger differs.
    pub kind: DifferenceKind,
    /// The account.
    pub account_id: AccountId,
    /// What it is about: the hour and its subject, or the line.
    pub about: String,
    /// What should be written; `None` for nothing.
    pub expected: Option<String>,
    /// What is written; `None` for nothing.
    pub found: Option<String>,
}

/// Compares hours of the ledger with those that were computed again. Names do not count: they are
/// what a subject was called when the hour was written.
pub fn compare_hours(expected: &[HourBucket], found: &[HourBucket]) -> Vec<Difference> {
    type Key = (i64, HourSubject, LocationId);
    let key = |bucket: &HourBucket| -> Key { (bucket.hour, bucket.subject, bucket.location_id) };
    compare(
        expected.iter().map(|bucket| (key(bucket), bucket)),
        found.iter().map(|bucket| (key(bucket), bucket)),
        |bucket| Written {
            account_id: bucket.account_id,
            about: format!("{} at {}", bucket.subject, start_of_hour(bucket.hour).to_rfc3339()),
            figures: hour_figures(bucket),
        },
        [DifferenceKind::HourMissing, DifferenceKind::HourUnexpected, DifferenceKind::HourDiffers],
    )
}

/// Compares the lines of a closed month with those that were computed again.
pub fn compare_lines(expected: &[Line], found: &[Line]) -> Vec<Difference> {
    compare(
        expected.iter().map(|line| ((line.account_id, line.id()), line)),
        found.iter().map(|line| ((line.account_id, line.id()), line)),
        |line| Written { account_id: line.account_id, about: line.id(), figures: line_figures(line) },
        [DifferenceKind::LineMissing, DifferenceKind::LineUnexpected, DifferenceKind::LineDiffers],
    )
}

struct Written {
    account_id: AccountId,
    about: String,
    figures: String,
}

fn hour_figures(bucket: &HourBucket) -> String {
    let charge = bucket
        .charge
        .as_ref()
        .map(|charge| format!("{} {} by {}", charge.amount, charge.currency, charge.rate_id));
    format!("{}, {}", bucket.usage, charge.unwrap_or_else(|| "no rate".to_owned()))
}

fn line_figures(line: &Line) -> String {
    let charge = line.charge.map(|charge| format!("{charge} ({})", line.exact));
    format!("{}, {}", line.usage, charge.unwrap_or_else(|| "no rate".to_owned()))
}

fn compare<'a, K: Ord, T: 'a>(
    expected: impl Iterator<Item = (K, &'a T)>,
    found: impl Iterator<Item = (K, &'a T)>,
    written: impl Fn(&T) -> Written,
    [missing, unexpected, differs]: [DifferenceKind; 3],
) -> Vec<Difference> {
    let mut pairs: BTreeMap<K, (Option<&T>, Option<&T>)> = BTreeMap::new();
    for (key, item) in expected {
        pairs.entry(key).or_default().0 = Some(item);
    }
    for (key, item) in found {
        pairs.entry(key).or_default().1 = Some(item);
    }
    let mut differences = Vec::new();
    for (expected, found) in pairs.into_values() {
        let (kind, expected, found) = match (expected.map(&written), found.map(&written)) {
            (Some(expected), Some(found)) => (differs, Some(expected), Some(found)),
            (Some(expected), None) => (missing, Some(expected), None),
            (None, found) => (unexpected, None, found),
        };
        let same_account =
            expected.as_ref().map(|item| item.account_id) == found.as_ref().map(|item| item.account_id);
        let figures = |item: &Option<Written>| item.as_ref().map(|item| item.figures.clone());
        let (should, is) = (figures(&expected), figures(&found));
        if same_account && should == is {
            continue;
        }
        let Some(item) = expected.or(found) else { continue };
        differences.push(Difference {
            kind,
            account_id: item.account_id,
            about: item.about,
            expected: should,
            found: is,
        });
    }
    differences
}
