//! Cuts intervals at the ends of months and where rates change, and finds what is free.

use std::collections::HashMap;

use super::{
    HOUR_MS,
    calendar::{Month, MonthPart, Period, Zone, millis},
    rate::{PartialHour, RateBook, RateVersion, Segment},
    usage::{IntervalEnd, RateKind, UsageInterval},
};
use crate::{
    id::{AccountId, LocationId},
    time::Timestamp,
};

/// A part of an interval with one rate in one month, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) interval: &'a UsageInterval,
    pub(super) rate: Option<&'a RateVersion>,
    pub(super) month: Month,
    /// The length of the whole calendar month.
    pub(super) length_ms: i64,
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Piece<'_> {
    pub(super) const fn ms(&self) -> u64 {
        self.to.saturating_sub(self.from).unsigned_abs()
    }
}

type Owner = (AccountId, LocationId, RateKind);

/// Cuts the intervals of a period.
pub(super) struct Cutter<'a> {
    book: &'a RateBook<'a>,
    period: (i64, i64),
    /// Until when intervals count that have no end.
    open_until: i64,
    months: Vec<MonthPart>,
    segments: HashMap<Owner, Vec<Segment<'a>>>,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(book: &'a RateBook<'a>, period: Period, zone: Zone, now: Timestamp) -> Self {
        Self {
            book,
            period: (millis(period.from), millis(period.to)),
            open_until: millis(now),
            months: period.months(zone),
            segments: HashMap::new(),
        }
    }

    /// Calls `each` with the pieces of an interval, in their order.
    pub(super) fn cut(&mut self, interval: &'a UsageInterval, mut each: impl FnMut(Piece<'a>)) {
        let (start, end) = (millis(interval.started_at), self.end(interval));
        let (from, to) = (start.max(self.period.0), end.min(self.period.1));
        if from >= to {
            return;
        }
        let owner = (interval.account_id, interval.location_id, interval.subject.rate_kind());
        let (book, period) = (self.book, self.period);
        let segments =
            self.segments.entry(owner).or_insert_with(|| book.segments(owner.0, owner.1, owner.2, period));
        for month in self.months.iter().filter(|month| month.from < to && from < month.to) {
            let (from, to) = (from.max(month.from), to.min(month.to));
            for segment in segments.iter().filter(|segment| segment.from < to && from < segment.to) {
                each(Piece {
                    interval,
                    rate: segment.rate,
                    month: month.month,
                    length_ms: month.length_ms,
                    from: from.max(segment.from),
                    to: to.min(segment.to),
                });
            }
        }
    }

    /// Returns when an interval stops to count: the end of its last hour where the rate of that
    /// hour rounds up.
    fn end(&self, interval: &UsageInterval) -> i64 {
        let Some(ended_at) = interval.ended_at else { return self.open_until };
        let end = millis(ended_at);
        if interval.ended_by != Some(IntervalEnd::Deleted) || end.rem_euclid(HOUR_MS) == 0 {
            return end;
        }
        let kind = interval.subject.rate_kind();
        match self.book.at(interval.account_id, interval.location_id, kind, ended_at) {
            Some(rate) if rate.terms.partial_hour == PartialHour::RoundUp => {
                end.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS)
            }
            Some(_) | None => end,
        }
    }
}

/// What is free of an account's images in a location, by one rate in one month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FreeKey {
    pub(super) account: AccountId,
    pub(super) location: LocationId,
    pub(super) month: Month,
    pub(super) rate: crate::id::RateId,
}

/// A time in which the same number of bytes is free, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct FreePart {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) bytes: u64,
}

/// The images of an account in a location, by one rate in one month.
pub(super) struct FreeGroup<'a> {
    pub(super) rate: &'a RateVersion,
    pub(super) length_ms: i64,
    /// Where bytes come (positive) and go (negative).
    steps: Vec<(i64, i128)>,
}

/// Collects the pieces of images that have something free.
#[derive(Default)]
pub(super) struct FreeGroups<'a>(HashMap<FreeKey, FreeGroup<'a>>);

impl<'a> FreeGroups<'a> {
    pub(super) fn add(&mut self, piece: &Piece<'a>) {
        let Some(rate) = piece.rate else { return };
        let Some(bytes) = piece.interval.measure.image_bytes() else { return };
        if rate.terms.free_bytes() == 0 {
            return;
        }
        let key = FreeKey {
            account: piece.interval.account_id,
            location: piece.interval.location_id,
            month: piece.month,
            rate: rate.id,
        };
        let group = self.0.entry(key).or_insert_with(|| FreeGroup {
            rate,
            length_ms: piece.length_ms,
            steps: Vec::new(),
        });
        group.steps.extend([(piece.from, i128::from(bytes)), (piece.to, -i128::from(bytes))]);
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = (FreeKey, FreeGroup<'a>)> {
        self.0.into_iter()
    }
}

impl FreeGroup<'_> {
    /// Returns the times in which bytes are free: those of all images at each instant, but no more
    /// than the rate gives away.
    pub(super) fn parts(mut self) -> Vec<FreePart> {
        self.steps.sort_unstable();
        let free = self.rate.terms.free_bytes();
        let mut parts: Vec<FreePart> = Vec::new();
        let (mut total, mut from) = (0_i128, i64::MIN);
        for (at, step) in self.steps {
            let bytes = u64::try_from(total).unwrap_or(u64::MAX).min(free);
            if at > from && bytes > 0 {
                match parts.last_mut() {
                    Some(last) if last.to == from && last.bytes == bytes => last.to = at,
                    Some(_) | None => parts.push(FreePart { from, to: at, bytes }),
                }
            }
            from = at;
            total += step;
        }
        parts
    }
}
