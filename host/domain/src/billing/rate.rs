//! Rates: what usage costs, in versions (S115, S137).

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    HOUR_MS,
    calendar::{hour_of, millis, start_of_hour},
    currency::Currency,
    exact::{Exact, decimal_text, parse_decimal},
    usage::{RateKind, Usage},
};
use crate::{
    error::{Code, Error},
    id::{AccountId, LocationId, RateId},
    string_enum::string_enum,
    time::Timestamp,
};

string_enum! {
    /// How many hours a month has (D3).
    pub enum HoursPerMonth {
        /// 730, in every month.
        Fixed730 = "730",
        /// Those of the calendar month in the time zone of billing.
        Calendar = "calendar",
    }

    /// How many bytes a GB has (D2).
    pub enum Gb {
        /// 2^30.
        Gib = "gib",
        /// 10^9.
        Gb = "gb",
    }

    /// How the hour counts in which something is deleted (D4, S118).
    pub enum PartialHour {
        /// Until the deletion, to the millisecond.
        ProRata = "pro_rata",
        /// Until the end of that hour of universal time.
        RoundUp = "round_up",
    }
}

impl Gb {
    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Gib => 1 << 30,
            Self::Gb => 1_000_000_000,
        }
    }

    /// Returns the unit's name, as reports print it.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Gib => "GiB",
            Self::Gb => "GB",
        }
    }
}

/// A price in units of 10^-9 of a currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Price(u64);

/// The text is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no price; give a decimal number from 0 to 1000000000 with at most 9 decimal places")]
pub struct ParsePriceError(String);

impl Price {
    /// The decimal places of a price.
    pub const PLACES: u32 = 9;
    const UNIT: u128 = 1_000_000_000;

    /// Returns the units of 10^-9.
    pub(super) fn nanos(self) -> u128 {
        u128::from(self.0)
    }
}

impl fmt::Display for Price {
    /// Writes the decimal number without zeroes at its end, and with two places at least.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = decimal_text(i128::from(self.0), Self::PLACES);
        let (head, tail) = text.split_at(text.len() - 7);
        write!(f, "{head}{}", tail.trim_end_matches('0'))
    }
}

impl FromStr for Price {
    type Err = ParsePriceError;

    fn from_str(text: &str) -> Result<Self, ParsePriceError> {
        parse_decimal(text, Self::PLACES)
            .and_then(|nanos| u64::try_from(nanos).ok())
            .filter(|nanos| *nanos <= 1_000_000_000 * 1_000_000_000 && !text.starts_with('-'))
            .map(Self)
            .ok_or_else(|| ParsePriceError(text.chars().take(64).collect()))
    }
}

impl From<Price> for String {
    fn from(price: Price) -> Self {
        price.to_string()
    }
}

impl TryFrom<String> for Price {
    type Error = ParsePriceError;

    fn try_from(text: String) -> Result<Self, ParsePriceError> {
        text.parse()
    }
}

/// The prices of instances for an hour. Prices of plans are to stand beside these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancePrices {
    /// Of a virtual processor.
    pub vcpu_hour: Price,
    /// Of a GB of memory.
    pub memory_gb_hour: Price,
    /// Of a GB of disks.
    pub disk_gb_hour: Price,
}

/// The prices of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Prices {
    /// Of images.
    ImageStorage {
        /// The price of a GB for a month.
        gb_month: Price,
        /// The bytes of all images of an account in the location that cost nothing.
        free_bytes: u64,
    },
    /// Of instances.
    Instance(InstancePrices),
}

/// The prices of a rate and how they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateTerms {
    /// The prices.
    pub prices: Prices,
    /// Their currency.
    pub currency: Currency,
    /// How many hours a month has.
    pub hours_per_month: HoursPerMonth,
    /// How many bytes a GB has.
    pub gb: Gb,
    /// How the hour counts in which something is deleted.
    pub partial_hour: PartialHour,
}

impl RateTerms {
    /// Returns what the rate is for.
    pub const fn kind(&self) -> RateKind {
        match self.prices {
            Prices::ImageStorage { .. } => RateKind::ImageStorage,
            Prices::Instance(_) => RateKind::Instance,
        }
    }

    /// Returns the bytes that cost nothing.
    pub const fn free_bytes(&self) -> u64 {
        match self.prices {
            Prices::ImageStorage { free_bytes, .. } => free_bytes,
            Prices::Instance(_) => 0,
        }
    }

    /// Returns the milliseconds that a month has by this rate, of a calendar month of `length_ms`.
    pub(super) fn month_ms(&self, length_ms: i64) -> u64 {
        match self.hours_per_month {
            HoursPerMonth::Fixed730 => 730 * HOUR_MS.unsigned_abs(),
            HoursPerMonth::Calendar => length_ms.unsigned_abs(),
        }
    }

    /// Returns the exact price of usage in a month of `month_ms`. Usage of another kind costs
    /// nothing.
    pub(super) fn price(&self, usage: Usage, month_ms: u64) -> Exact {
        let gb = u128::from(self.gb.bytes());
        match (self.prices, usage) {
            // Image size (GB) x Per-GB storage rate / Hours per month, for each hour.
            (Prices::ImageStorage { gb_month, .. }, Usage::Image { byte_ms }) => {
                Exact::quotient(&[(byte_ms, gb_month.nanos())], &[gb, u128::from(month_ms), Price::UNIT])
            }
            (Prices::Instance(prices), Usage::Instance { ms: _, vcpu_ms, memory_byte_ms, disk_byte_ms }) => {
                Exact::quotient(
                    &[
                        (vcpu_ms, prices.vcpu_hour.nanos() * gb),
                        (memory_byte_ms, prices.memory_gb_hour.nanos()),
                        (disk_byte_ms, prices.disk_gb_hour.nanos()),
                    ],
                    &[gb, u128::from(HOUR_MS.unsigned_abs()), Price::UNIT],
                )
            }
            (Prices::ImageStorage { .. }, Usage::Instance { .. })
            | (Prices::Instance(_), Usage::Image { .. }) => Exact::zero(),
        }
    }
}

impl fmt::Display for RateTerms {
    /// Writes the rate in words, with its units.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, currency) = (self.gb.unit(), self.currency);
        match self.prices {
            Prices::ImageStorage { gb_month, .. } => {
                write!(f, "{gb_month} {currency} per {unit}-month")?;
                match self.hours_per_month {
                    HoursPerMonth::Fixed730 => f.write_str(" of 730 hours"),
                    HoursPerMonth::Calendar => f.write_str(" of the hours of the calendar month"),
                }
            }
            Prices::Instance(prices) => write!(
                f,
                "{} {currency} per vCPU-hour, {} {currency} per {unit}-hour of memory, {} {currency} per \
                 {unit}-hour of disk",
                prices.vcpu_hour, prices.memory_gb_hour, prices.disk_gb_hour
            ),
        }
    }
}

/// A version of a rate. It applies from its hour on until the next version does.
///
/// One that ends a rate applies to nothing: from its hour on, an account pays the rate of its
/// location again, and a location charges nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateVersion {
    /// The version's id.
    pub id: RateId,
    /// The location.
    pub location_id: LocationId,
    /// The account that it applies to instead of the location's rate; `None` for all.
    pub account_id: Option<AccountId>,
    /// The start of the hour from which it applies.
    pub effective_from: Timestamp,
    /// The prices and how they are counted; of one that ends a rate, those that end.
    pub terms: RateTerms,
    /// Whether it ends the rate.
    pub ends: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// The admin that made it; `None` where no account did.
    pub created_by: Option<AccountId>,
}

/// Returns the hour from which a new version applies: the wanted one, or the next.
///
/// # Errors
///
/// [`Code::InvalidRequest`] when it is no whole hour of universal time, [`Code::RateInPast`] when
/// the hour has started: a change never rewrites hours (S137).
pub fn check_effective_from(wanted: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Error> {
    let next = start_of_hour(hour_of(now).saturating_add(1));
    let Some(wanted) = wanted else { return Ok(next) };
    if wanted != start_of_hour(hour_of(wanted)) {
        let text = "a rate applies from a whole hour of universal time on, such as 2026-11-01T14:00:00Z";
        return Err(Error::new(Code::InvalidRequest, text).at("/effective_from"));
    }
    if wanted <= now {
        return Err(Error::new(
            Code::RateInPast,
            format!("the hour has started and keeps its rate; the next one starts at {}", rfc3339(next)),
        )
        .at("/effective_from")
        .with("earliest", rfc3339(next)));
    }
    Ok(wanted)
}

fn rfc3339(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

type Versions<'a> = Vec<(i64, &'a RateVersion)>;

/// Finds the version that applies to an account in a location at an hour.
#[derive(Debug, Default)]
pub struct RateBook<'a>(BTreeMap<(LocationId, RateKind, Option<AccountId>), Versions<'a>>);

impl<'a> RateBook<'a> {
    /// Sorts the versions.
    pub fn new(versions: impl IntoIterator<Item = &'a RateVersion>) -> Self {
        let mut book: BTreeMap<_, Versions<'a>> = BTreeMap::new();
        for version in versions {
            let key = (version.location_id, version.terms.kind(), version.account_id);
            book.entry(key).or_default().push((millis(version.effective_from), version));
        }
        for versions in book.values_mut() {
            versions.sort_by_key(|(from, version)| (*from, version.id));
        }
        Self(book)
    }

    /// Returns the version that applies at an instant: that of the account, or else that of the
    /// location.
    pub fn at(
        &self,
        account: AccountId,
        location: LocationId,
        kind: RateKind,
        at: Timestamp,
    ) -> Option<&'a RateVersion> {
        self.at_ms(account, location, kind, millis(at))
    }

    fn at_ms(
        &self,
        account: AccountId,
        location: LocationId,
        kind: RateKind,
        at: i64,
    ) -> Option<&'a RateVersion> {
        [Some(account), None].into_iter().find_map(|owner| {
            let versions = self.0.get(&(location, kind, owner))?;
            let after = versions.partition_point(|(from, _)| *from <= at);
            versions.get(after.checked_sub(1)?).map(|(_, version)| *version).filter(|version| !version.ends)
        })
    }

    /// Cuts the time from `from` to `to` where the version that applies changes.
    pub(super) fn segments(
        &self,
        account: AccountId,
        location: LocationId,
        kind: RateKind,
        (from, to): (i64, i64),
    ) -> Vec<Segment<'a>> {
        let starts = [Some(account), None]
            .into_iter()
            .filter_map(|owner| self.0.get(&(location, kind, owner)))
            .flatten()
            .map(|(start, _)| *start);
        let mut cuts: Vec<i64> = starts.filter(|start| (from..to).contains(start)).chain([from]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let ends = cuts.iter().skip(1).copied().chain([to]).collect::<Vec<_>>();
        cuts.into_iter()
            .zip(ends)
            .map(|(from, to)| Segment { from, to, rate: self.at_ms(account, location, kind, from) })
            .collect()
    }
}

/// A time in which one version applies, or none, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) rate: Option<&'a RateVersion>,
}
