//! Months, days and hours of billing, in the time zone that the operator set.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::HOUR_MS;
use crate::time::Timestamp;

/// The longest period of a report, in days.
pub const MAX_PERIOD_DAYS: i64 = 400;

/// A time zone of the IANA database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

/// The text is no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time zone; give a name of the IANA database, such as UTC or Europe/Berlin")]
pub struct UnknownZone(String);

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// Returns the instant at which a day starts: midnight, or the first instant after it where
    /// the clocks skip midnight.
    fn start_of(self, day: NaiveDate) -> Timestamp {
        let midnight = day.and_time(chrono::NaiveTime::MIN);
        // A gap of the clock is at most a day long, and starts and ends at quarters of hours.
        (0..=96)
            .filter_map(|quarter| midnight.checked_add_signed(TimeDelta::minutes(15 * quarter)))
            .find_map(|local| self.0.from_local_datetime(&local).earliest())
            .map_or_else(|| midnight.and_utc(), |start| start.with_timezone(&Utc))
    }

    /// Returns the day that an instant is in.
    pub fn day_of(self, at: Timestamp) -> NaiveDate {
        at.with_timezone(&self.0).date_naive()
    }

    /// Returns the month that an instant is in.
    pub fn month_of(self, at: Timestamp) -> Month {
        let day = self.day_of(at);
        Month { year: day.year(), month: day.month() }
    }

    /// Returns a day's start and end.
    pub(super) fn day(self, day: NaiveDate) -> (Timestamp, Timestamp) {
        let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
        (self.start_of(day), self.start_of(next))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        text.parse().map(Self).map_err(|_| UnknownZone(text.chars().take(64).collect()))
    }
}

/// A calendar month, written as `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Month {
    year: i32,
    month: u32,
}

/// The text is no month.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no month; give a year from 1970 to 9998 and a month, such as 2026-11")]
pub struct ParseMonthError(String);

impl Month {
    fn first_day(self) -> NaiveDate {
        NaiveDate::from_ymd_opt(self.year, self.month, 1).unwrap_or_default()
    }

    fn shifted(day: Option<NaiveDate>) -> Option<Self> {
        day.map(|day| Self { year: day.year(), month: day.month() })
    }

    /// Returns the month after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self::shifted(self.first_day().checked_add_months(Months::new(1))).unwrap_or(self)
    }

    /// Returns the month before this one.
    #[must_use]
    pub fn previous(self) -> Self {
        Self::shifted(self.first_day().checked_sub_months(Months::new(1))).unwrap_or(self)
    }

    /// Returns the period of the month in a time zone.
    pub fn period(self, zone: Zone) -> Period {
        let (from, to) = (zone.start_of(self.first_day()), zone.start_of(self.next().first_day()));
        Period { from, to, month: Some(self) }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = ParseMonthError;

    fn from_str(text: &str) -> Result<Self, ParseMonthError> {
        let parse = || {
            let (year, month) = text.split_once('-')?;
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
                return None;
            }
            let month = Self { year: year.parse().ok()?, month: month.parse().ok()? };
            let known = (1970..=9998).contains(&month.year) && (1..=12).contains(&month.month);
            known.then_some(month)
        };
        parse().ok_or_else(|| ParseMonthError(text.chars().take(16).collect()))
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl TryFrom<String> for Month {
    type Error = ParseMonthError;

    fn try_from(text: String) -> Result<Self, ParseMonthError> {
        text.parse()
    }
}

/// The period of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The start.
    pub from: Timestamp,
    /// The end, which is not part of it.
    pub to: Timestamp,
    /// The month, if the period is one.
    pub month: Option<Month>,
}

/// The instants are not the start and the end of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a period ends after it starts, has at most {MAX_PERIOD_DAYS} days and lies between 1970 and 9998")]
pub struct InvalidPeriod;

impl Period {
    /// Checks a period that need not be a month.
    ///
    /// # Errors
    ///
    /// [`InvalidPeriod`] when it does not end after it starts, is longer than
    /// [`MAX_PERIOD_DAYS`], or lies before 1970 or after 9998.
    pub fn between(from: Timestamp, to: Timestamp) -> Result<Self, InvalidPeriod> {
        let known = from.timestamp() >= 0 && to.year() <= 9998;
        if known && from < to && (to - from).num_days() <= MAX_PERIOD_DAYS {
            Ok(Self { from, to, month: None })
        } else {
            Err(InvalidPeriod)
        }
    }

    /// Returns the months that the period is a part of, cut to it, in their order.
    pub(super) fn months(self, zone: Zone) -> Vec<MonthPart> {
        let mut parts = Vec::new();
        let mut month = zone.month_of(self.from);
        loop {
            let whole = month.period(zone);
            let length_ms = millis(whole.to) - millis(whole.from);
            let (from, to) = (whole.from.max(self.from), whole.to.min(self.to));
            if from < to {
                parts.push(MonthPart { month, length_ms, from: millis(from), to: millis(to) });
            }
            let next = month.next();
            if whole.to >= self.to || next == month {
                return parts;
            }
            month = next;
        }
    }
}

/// The part of a month that lies in a period, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct MonthPart {
    pub(super) month: Month,
    /// The length of the whole month.
    pub(super) length_ms: i64,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Returns the milliseconds since 1970.
pub(super) const fn millis(at: Timestamp) -> i64 {
    at.timestamp_millis()
}

/// Returns the instant of a number of milliseconds since 1970; the latest where it is beyond.
pub(super) fn instant(ms: i64) -> Timestamp {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Returns the hour that an instant is in, in whole hours of universal time since 1970.
pub const fn hour_of(at: Timestamp) -> i64 {
    at.timestamp_millis().div_euclid(HOUR_MS)
}

/// Returns the start of an hour.
pub fn start_of_hour(hour: i64) -> Timestamp {
    instant(hour.saturating_mul(HOUR_MS))
}
