//! The report of a period: a function of intervals, rates and adjustments.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;

use super::{
    calendar::{Month, Period, Zone, instant, millis},
    currency::{Currency, Money, Totals},
    cut::{Cutter, FreeGroups, FreeKey, FreePart, Piece},
    exact::Exact,
    line::{Line, LineRate, LineSubject},
    rate::{RateBook, RateVersion},
    usage::{IntervalEnd, Measure, Usage, UsageInterval},
};
use crate::{
    id::{AccountId, AdjustmentId, LocationId, RateId},
    time::Timestamp,
};

/// A correction of a closed month, which is charged or credited in a month that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// The adjustment's id.
    pub id: AdjustmentId,
    /// The account.
    pub account_id: AccountId,
    /// The amount; negative for a credit.
    pub charge: Money,
    /// Why, for the customer to read.
    pub reason: String,
    /// The month that it corrects.
    pub corrects: Month,
    /// The month in which it is charged.
    pub charged_in: Month,
    /// When it was made.
    pub created_at: Timestamp,
    /// The admin that made it.
    pub created_by: AccountId,
}

/// What a report is made of. Intervals may be of one account or of several, in one location or in
/// all; those outside of the period do not count. What is free depends on all images that an
/// account has in a location, so these are given together.
#[derive(Clone, Copy, Debug)]
pub struct ReportInput<'a> {
    /// The intervals.
    pub intervals: &'a [UsageInterval],
    /// The versions of rates, of all locations and accounts that the intervals name.
    pub rates: &'a [RateVersion],
    /// The adjustments that are charged in the period.
    pub adjustments: &'a [Adjustment],
    /// The period.
    pub period: Period,
    /// The time zone of months and days.
    pub zone: Zone,
    /// The current time: open intervals count until then.
    pub now: Timestamp,
}

/// What the current month costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Until now.
    pub so_far: Totals,
    /// Until the end of the period, if what is there stays as it is; rates that are set for later
    /// hours of it are known.
    pub forecast: Totals,
}

/// The report of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The period.
    pub period: Period,
    /// The time zone of months and days.
    pub zone: Zone,
    /// When the report was made.
    pub generated_at: Timestamp,
    /// The lines: images, what of them is free, instances.
    pub lines: Vec<Line>,
    /// Corrections of earlier months.
    pub adjustments: Vec<Adjustment>,
    /// The sums of lines and adjustments.
    pub totals: Totals,
    /// What the period costs until now and will cost; `None` when it does not contain the current
    /// time.
    pub estimate: Option<Estimate>,
}

impl Report {
    /// Builds a report from lines that were computed before: those of a closed month.
    pub fn of_lines(
        lines: Vec<Line>,
        adjustments: Vec<Adjustment>,
        period: Period,
        zone: Zone,
        generated_at: Timestamp,
    ) -> Self {
        let totals = totals(&lines, &adjustments);
        Self { period, zone, generated_at, lines, adjustments, totals, estimate: None }
    }
}

/// Returns the sums of lines and adjustments.
pub fn totals(lines: &[Line], adjustments: &[Adjustment]) -> Totals {
    let charges = lines.iter().filter_map(|line| line.charge);
    charges.chain(adjustments.iter().map(|adjustment| adjustment.charge)).collect()
}

/// Computes the report of a period.
pub fn report(input: &ReportInput<'_>) -> Report {
    let book = RateBook::new(input.rates);
    let lines = lines(input, &book, input.now);
    let current = (input.period.from..input.period.to).contains(&input.now);
    let mut report = Report::of_lines(lines, input.adjustments.to_vec(), input.period, input.zone, input.now);
    report.estimate = current.then(|| Estimate {
        so_far: report.totals.clone(),
        forecast: totals(&self::lines(input, &book, input.period.to), input.adjustments),
    });
    report
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct LineKey {
    account: AccountId,
    subject: LineSubject,
    location: LocationId,
    rate: Option<RateId>,
    month: Month,
}

struct Sum<'a> {
    rate: Option<&'a RateVersion>,
    length_ms: i64,
    from: i64,
    to: i64,
    usage: Usage,
    /// The latest interval; `None` for an allowance.
    last: Option<&'a UsageInterval>,
}

/// Computes the lines of a period, open intervals until `now`.
fn lines<'a>(input: &ReportInput<'a>, book: &'a RateBook<'a>, now: Timestamp) -> Vec<Line> {
    let mut cutter = Cutter::new(book, input.period, input.zone, now);
    let mut sums: HashMap<LineKey, Sum<'a>> = HashMap::new();
    let mut free = FreeGroups::default();
    for interval in input.intervals {
        cutter.cut(interval, |piece| {
            free.add(&piece);
            add(&mut sums, piece);
        });
    }
    let deleted = deletions(input);
    let charged = sums.into_iter().map(|(key, sum)| line(key, &sum, deleted.contains_key(&key.subject)));
    let free = free.into_iter().filter_map(|(key, group)| {
        let (rate, length_ms) = (group.rate, group.length_ms);
        allowance(key, rate, length_ms, &group.parts())
    });
    let mut lines: Vec<Line> = charged.chain(free).collect();
    lines.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()).then_with(|| a.account_id.cmp(&b.account_id)));
    lines
}

fn add<'a>(sums: &mut HashMap<LineKey, Sum<'a>>, piece: Piece<'a>) {
    let key = LineKey {
        account: piece.interval.account_id,
        subject: piece.interval.subject.into(),
        location: piece.interval.location_id,
        rate: piece.rate.map(|rate| rate.id),
        month: piece.month,
    };
    let usage = piece.interval.measure.over(piece.ms());
    sums.entry(key)
        .and_modify(|sum| {
            sum.usage += usage;
            sum.from = sum.from.min(piece.from);
            sum.to = sum.to.max(piece.to);
            if sum.last.is_none_or(|last| last.started_at <= piece.interval.started_at) {
                sum.last = Some(piece.interval);
            }
        })
        .or_insert(Sum {
            rate: piece.rate,
            length_ms: piece.length_ms,
            from: piece.from,
            to: piece.to,
            usage,
            last: Some(piece.interval),
        });
}

/// Returns the subjects that were deleted until the end of the period.
fn deletions(input: &ReportInput<'_>) -> HashMap<LineSubject, ()> {
    let gone = input.intervals.iter().filter(|interval| {
        interval.ended_by == Some(IntervalEnd::Deleted)
            && interval.ended_at.is_some_and(|at| at <= input.period.to)
    });
    gone.map(|interval| (interval.subject.into(), ())).collect()
}

fn line(key: LineKey, sum: &Sum<'_>, deleted: bool) -> Line {
    let rate = sum.rate.map(|rate| line_rate(rate, sum.length_ms));
    let exact = rate.as_ref().map_or_else(Exact::zero, |rate| rate.terms.price(sum.usage, rate.month_ms));
    Line {
        account_id: key.account,
        subject: key.subject,
        location_id: key.location,
        month: key.month,
        from: instant(sum.from),
        to: instant(sum.to),
        name: sum.last.map(|interval| interval.name.clone()).unwrap_or_default(),
        deleted,
        measure: sum.last.map(|interval| interval.measure),
        usage: sum.usage,
        charge: rate.as_ref().map(|rate| Money::round(&exact, rate.terms.currency)),
        rate,
        exact,
    }
}

pub(super) fn line_rate(rate: &RateVersion, length_ms: i64) -> LineRate {
    LineRate {
        id: rate.id,
        effective_from: rate.effective_from,
        terms: rate.terms,
        month_ms: rate.terms.month_ms(length_ms),
    }
}

fn allowance(key: FreeKey, rate: &RateVersion, length_ms: i64, parts: &[FreePart]) -> Option<Line> {
    let (first, last) = (parts.first()?, parts.last()?);
    let usage = free_usage(parts);
    let rate = line_rate(rate, length_ms);
    let exact = -rate.terms.price(usage, rate.month_ms);
    Some(Line {
        account_id: key.account,
        subject: LineSubject::Allowance,
        location_id: key.location,
        month: key.month,
        from: instant(first.from),
        to: instant(last.to),
        name: String::new(),
        deleted: false,
        measure: None,
        usage,
        charge: Some(Money::round(&exact, rate.terms.currency)),
        rate: Some(rate),
        exact,
    })
}

pub(super) fn free_usage(parts: &[FreePart]) -> Usage {
    let over =
        |part: &FreePart| Measure::Image { bytes: part.bytes }.over((part.to - part.from).unsigned_abs());
    parts.iter().map(over).fold(Usage::Image { byte_ms: 0 }, |sum, usage| sum + usage)
}

/// What was stored on a day and what it costs. Amounts are exact: rounded is once, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// The day.
    pub date: NaiveDate,
    /// The start of the part of it that is in the period and not in the future.
    pub from: Timestamp,
    /// The end of that part.
    pub to: Timestamp,
    /// The bytes of images times milliseconds.
    pub byte_ms: u128,
    /// The amounts, without adjustments.
    pub charges: BTreeMap<Currency, Exact>,
}

impl Day {
    /// Returns the GiB of images that were stored, as an average over the part of the day.
    pub fn average_gib(&self) -> Exact {
        let ms = u128::from((millis(self.to) - millis(self.from)).unsigned_abs());
        Exact::quotient(&[(self.byte_ms, 1)], &[1 << 30, ms])
    }

    /// Returns the size of images over time in GiB-hours.
    pub fn gib_hours(&self) -> Exact {
        Exact::quotient(&[(self.byte_ms, 1)], &[1 << 30, 3_600_000])
    }
}

/// Sums of what was used and what is free, which share their rate and their month.
struct DaySum<'a> {
    rate: &'a RateVersion,
    length_ms: i64,
    used: Option<Usage>,
    free: Usage,
}

type DaySums<'a> = HashMap<(usize, RateId, Month), DaySum<'a>>;

/// Computes the days of a period until now, oldest first.
pub fn days(input: &ReportInput<'_>) -> Vec<Day> {
    let book = RateBook::new(input.rates);
    let mut cutter = Cutter::new(&book, input.period, input.zone, input.now);
    let mut days = empty_days(input);
    let mut sums: DaySums<'_> = HashMap::new();
    let mut free = FreeGroups::default();
    for interval in input.intervals {
        cutter.cut(interval, |piece| {
            free.add(&piece);
            for (index, part_ms) in over_days(&days, piece.from, piece.to) {
                let usage = piece.interval.measure.over(part_ms);
                if let Some(day) = days.get_mut(index) {
                    day.byte_ms += usage.byte_ms();
                }
                if let Some(rate) = piece.rate {
                    let sum = day_sum(&mut sums, (index, rate.id, piece.month), rate, piece.length_ms);
                    sum.used = Some(sum.used.map_or(usage, |used| used + usage));
                }
            }
        });
    }
    for (key, group) in free.into_iter() {
        let (rate, length_ms) = (group.rate, group.length_ms);
        for part in group.parts() {
            for (index, part_ms) in over_days(&days, part.from, part.to) {
                let sum = day_sum(&mut sums, (index, rate.id, key.month), rate, length_ms);
                sum.free += Measure::Image { bytes: part.bytes }.over(part_ms);
            }
        }
    }
    charge_days(&mut days, sums);
    days
}

fn day_sum<'s, 'a>(
    sums: &'s mut DaySums<'a>,
    key: (usize, RateId, Month),
    rate: &'a RateVersion,
    length_ms: i64,
) -> &'s mut DaySum<'a> {
    sums.entry(key).or_insert(DaySum { rate, length_ms, used: None, free: Usage::Image { byte_ms: 0 } })
}

fn charge_days(days: &mut [Day], sums: DaySums<'_>) {
    for ((index, ..), sum) in sums {
        let Some(day) = days.get_mut(index) else { continue };
        let terms = &sum.rate.terms;
        let month_ms = terms.month_ms(sum.length_ms);
        let used = sum.used.map_or_else(Exact::zero, |used| terms.price(used, month_ms));
        let amount = &used - &terms.price(sum.free, month_ms);
        *day.charges.entry(terms.currency).or_insert_with(Exact::zero) += &amount;
    }
}

fn empty_days(input: &ReportInput<'_>) -> Vec<Day> {
    let end = input.period.to.min(input.now);
    let first = input.zone.day_of(input.period.from);
    first
        .iter_days()
        .map(|date| (date, input.zone.day(date)))
        .take_while(|(_, (start, _))| *start < end)
        .filter(|(_, (start, stop))| start < stop)
        .map(|(date, (start, stop))| Day {
            date,
            from: start.max(input.period.from),
            to: stop.min(end),
            byte_ms: 0,
            charges: BTreeMap::new(),
        })
        .collect()
}

/// Returns the days that a time lies in with the milliseconds of it that each has. What is later
/// than the last day belongs to it: an hour that was rounded up is charged at once.
fn over_days(days: &[Day], from: i64, to: i64) -> Vec<(usize, u64)> {
    let first = days.partition_point(|day| millis(day.to) <= from).min(days.len().saturating_sub(1));
    let last = days.len().saturating_sub(1);
    let mut parts = Vec::new();
    for (index, day) in days.iter().enumerate().skip(first) {
        if millis(day.from) >= to && index != first {
            break;
        }
        let stop = if index == last { to } else { to.min(millis(day.to)) };
        let start = if index == first { from } else { from.max(millis(day.from)) };
        if start < stop {
            parts.push((index, (stop - start).unsigned_abs()));
        }
    }
    parts
}
