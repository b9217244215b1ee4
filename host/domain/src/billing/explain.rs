//! How a line came about: each time that counts, with its numbers.

use super::{
    HOUR_MS, ROUNDING,
    calendar::{Period, instant, millis},
    cut::{Cutter, FreeGroups, Piece},
    exact::Exact,
    line::{Line, LineSubject, gb_hours, gb_months},
    rate::{Prices, RateBook},
    report::ReportInput,
    usage::{Measure, Usage, UsageInterval},
};
use crate::time::Timestamp;

/// The decimal places of quantities and of unrounded amounts in texts.
pub const PLACES: u32 = 9;

/// A part of a line: a time in which nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The start.
    pub from: Timestamp,
    /// The end, which is not part of it.
    pub to: Timestamp,
    /// The milliseconds that count.
    pub ms: u64,
    /// How much there was; for an allowance, the bytes that are free.
    pub measure: Measure,
    /// How much there was, times how long.
    pub usage: Usage,
    /// Whether this is the rest of the hour in which the subject was deleted.
    pub rounded_up: bool,
    /// The GB-hours of images.
    pub gb_hours: Option<Exact>,
    /// The GB-months of images; `None` without a rate, too.
    pub gb_months: Option<Exact>,
    /// The exact amount; negative for an allowance, nothing without a rate.
    pub exact: Exact,
    /// What was computed, with its numbers.
    pub formula: String,
}

/// How a line came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The line.
    pub line: Line,
    /// Its parts, oldest first. Their usage and their exact amounts add up to those of the line.
    pub terms: Vec<Term>,
    /// What was computed of their sum, with its numbers.
    pub formula: String,
    /// How amounts are rounded.
    pub rounding: &'static str,
}

/// Explains a line of the report of `input`. A line of a month that was closed is explained from
/// the same intervals and rates.
pub fn explain(input: &ReportInput<'_>, line: &Line) -> Explanation {
    let book = RateBook::new(input.rates);
    let period = Period { month: None, ..input.period };
    let mut cutter = Cutter::new(&book, period, input.zone, input.now);
    let mut spans: Vec<(i64, i64, Measure, bool)> = Vec::new();
    let mut free = FreeGroups::default();
    for interval in input.intervals.iter().filter(|interval| concerns(interval, line)) {
        cutter.cut(interval, |piece| {
            if piece.month != line.month
                || piece.rate.map(|rate| rate.id) != line.rate.as_ref().map(|rate| rate.id)
            {
                return;
            }
            match line.subject {
                LineSubject::Allowance => free.add(&piece),
                LineSubject::Image(_) | LineSubject::Instance(_) => spans.extend(split(&piece)),
            }
        });
    }
    for (_, group) in free.into_iter() {
        let parts = group.parts();
        spans.extend(
            parts.iter().map(|part| (part.from, part.to, Measure::Image { bytes: part.bytes }, false)),
        );
    }
    spans.sort_by_key(|(from, to, ..)| (*from, *to));
    let terms = spans.into_iter().map(|span| term(line, span)).collect();
    Explanation { line: line.clone(), terms, formula: formula(line), rounding: ROUNDING }
}

fn concerns(interval: &UsageInterval, line: &Line) -> bool {
    let subject = LineSubject::from(interval.subject);
    interval.account_id == line.account_id
        && interval.location_id == line.location_id
        && match line.subject {
            LineSubject::Allowance => matches!(subject, LineSubject::Image(_)),
            LineSubject::Image(_) | LineSubject::Instance(_) => subject == line.subject,
        }
}

/// Separates the rest of the last hour, which counts because the rate rounds up.
fn split(piece: &Piece<'_>) -> impl Iterator<Item = (i64, i64, Measure, bool)> {
    let end = piece.interval.ended_at.map_or(piece.to, millis).clamp(piece.from, piece.to);
    let measure = piece.interval.measure;
    [(piece.from, end, measure, false), (end, piece.to, measure, true)]
        .into_iter()
        .filter(|(from, to, ..)| from < to)
}

fn term(line: &Line, (from, to, measure, rounded_up): (i64, i64, Measure, bool)) -> Term {
    let ms = (to - from).unsigned_abs();
    let usage = measure.over(ms);
    let exact = line.rate.as_ref().map_or_else(Exact::zero, |rate| rate.terms.price(usage, rate.month_ms));
    let exact = if line.subject == LineSubject::Allowance { -exact } else { exact };
    Term {
        from: instant(from),
        to: instant(to),
        ms,
        measure,
        usage,
        rounded_up,
        gb_hours: gb_hours(usage, line.gb()),
        gb_months: line.rate.as_ref().and_then(|rate| gb_months(usage, rate)),
        formula: term_formula(line, measure, ms),
        exact,
    }
}

fn number(exact: &Exact) -> String {
    let text = exact.to_decimal(PLACES);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn hours(ms: u64) -> Exact {
    Exact::quotient(&[(u128::from(ms), 1)], &[u128::from(HOUR_MS.unsigned_abs())])
}

fn term_formula(line: &Line, measure: Measure, ms: u64) -> String {
    let (gb, unit) = (line.gb(), line.gb().unit());
    let size = |bytes: u64| number(&Exact::quotient(&[(u128::from(bytes), 1)], &[u128::from(gb.bytes())]));
    let time = number(&hours(ms));
    match measure {
        Measure::Image { bytes } => {
            let product = gb_hours(measure.over(ms), gb).map(|exact| number(&exact)).unwrap_or_default();
            format!("{} {unit} x {time} h = {product} {unit}-hours", size(bytes))
        }
        Measure::Instance { vcpus, memory_bytes, disk_bytes } => format!(
            "({vcpus} vCPUs, {} {unit} of memory, {} {unit} of disk) x {time} h",
            size(memory_bytes),
            size(disk_bytes)
        ),
    }
}

/// Returns what was computed of the sum of the terms.
fn formula(line: &Line) -> String {
    let Some((rate, charge)) = line.rate.as_ref().zip(line.charge) else {
        return "No rate applied, so nothing is charged.".to_owned();
    };
    let (unit, currency) = (rate.terms.gb.unit(), rate.terms.currency);
    let (exact, sign) = (number(&line.exact), if line.subject == LineSubject::Allowance { "-" } else { "" });
    let product = match (rate.terms.prices, line.usage) {
        (Prices::ImageStorage { gb_month, .. }, Usage::Image { .. }) => format!(
            "{sign}{} {unit}-hours x {gb_month} {currency} per {unit}-month / {} hours per month",
            line.gb_hours().map(|exact| number(&exact)).unwrap_or_default(),
            number(&rate.hours_per_month()),
        ),
        (Prices::Instance(prices), Usage::Instance { vcpu_ms, memory_byte_ms, disk_byte_ms, .. }) => {
            let per_hour =
                |amount: u128, unit: u128| number(&Exact::quotient(&[(amount, 1)], &[unit, 3_600_000]));
            let gb = u128::from(rate.terms.gb.bytes());
            format!(
                "{} vCPU-hours x {} {currency} + {} {unit}-hours of memory x {} {currency} + {} {unit}-hours of \
                 disk x {} {currency}",
                per_hour(vcpu_ms, 1),
                prices.vcpu_hour,
                per_hour(memory_byte_ms, gb),
                prices.memory_gb_hour,
                per_hour(disk_byte_ms, gb),
                prices.disk_gb_hour
            )
        }
        (Prices::ImageStorage { .. }, Usage::Instance { .. })
        | (Prices::Instance(_), Usage::Image { .. }) => String::new(),
    };
    format!("{product} = {exact} {currency}, rounded to {charge}")
}
