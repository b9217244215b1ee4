//! Rules of billing, one by one.

use chrono::TimeDelta;

use super::super::{
    Budget, Currency, DifferenceKind, Exact, Money, Month, Period, RateBook, RateKind, ReportInput, Zone,
    budget::require_budget, calendar::hour_of, compare_hours, compare_lines, days, explain, hour_buckets,
    rate::check_effective_from, report,
};
use super::*;
use crate::error::Code;

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

fn input<'a>(
    intervals: &'a [UsageInterval],
    rates: &'a [RateVersion],
    period: Period,
    now: Timestamp,
) -> ReportInput<'a> {
    ReportInput { intervals, rates, adjustments: &[], period, zone: Zone::UTC, now }
}

const GIB: u64 = 1 << 30;

#[test]
fn months_have_the_hours_of_their_zone() {
    let hours = |text: &str, name: &str| {
        let period = month(text).period(zone(name));
        (period.to - period.from).num_minutes()
    };
    assert_eq!(hours("2026-03", "Europe/Berlin"), 743 * 60);
    assert_eq!(hours("2026-10", "Europe/Berlin"), 745 * 60);
    assert_eq!(hours("2028-02", "UTC"), 29 * 24 * 60);
    // The clocks of Lord Howe change by half an hour, those of Paraguay skipped a midnight.
    assert_eq!(hours("2026-10", "Australia/Lord_Howe"), 743 * 60 + 30);
    assert_eq!(hours("2023-10", "America/Asuncion"), 743 * 60);
    assert_eq!(month("2026-12").next(), month("2027-01"));
    assert_eq!(month("2026-01").previous(), month("2025-12"));
    for wrong in ["2026-13", "2026-00", "26-01", "2026-1", "1969-12", "+026-01", ""] {
        assert!(wrong.parse::<Month>().is_err(), "{wrong}");
    }
}

#[test]
fn amounts_have_the_digits_of_their_currency() {
    for (code, text, round) in [("JPY", "2", "3"), ("EUR", "2.50", "2.50"), ("BHD", "2.500", "2.500")] {
        let currency: Currency = code.parse().unwrap();
        assert_eq!(Money::parse(text, currency).unwrap().amount(), text);
        // 2.5 is rounded half away from zero.
        assert_eq!(Money::round(&Exact::decimal(25, 1), currency).amount(), round);
        assert_eq!(Money::round(&Exact::decimal(-25, 1), currency).amount(), format!("-{round}"));
    }
    let euro: Currency = "EUR".parse().unwrap();
    for wrong in ["1.234", "1,2", "", "-", ".5", "1.", "1e3", "+1", "99999999999999999999999"] {
        assert!(Money::parse(wrong, euro).is_err(), "{wrong}");
    }
    assert!("eur".parse::<Currency>().is_err() && "E R".parse::<Currency>().is_err());
    // What does not fit 128 bits is rounded alike.
    let whole = Exact::quotient(&[(1_u128 << 100, 1)], &[(1 << 99) + 1]);
    assert_eq!((whole.round(2), whole.round(40)), (200, i128::MAX));
    let exact = Exact::quotient(&[(u128::MAX, u128::MAX)], &[u128::MAX, 3]);
    assert_eq!(exact.to_string().parse(), Ok(exact));
}

/// S137: a change never rewrites the past.
#[test]
fn a_rate_applies_from_an_hour_that_has_not_started() {
    let now = at("2026-11-05T10:20:00Z");
    assert_eq!(check_effective_from(None, now).unwrap(), at("2026-11-05T11:00:00Z"));
    assert!(check_effective_from(Some(at("2026-11-05T11:00:00Z")), now).is_ok());
    let error = check_effective_from(Some(at("2026-11-05T10:00:00Z")), now).unwrap_err();
    assert_eq!(error.code, Code::RateInPast);
    assert_eq!(error.context["earliest"], "2026-11-05T11:00:00Z");
    let error = check_effective_from(Some(at("2026-11-05T11:30:00Z")), now).unwrap_err();
    assert_eq!((error.code, error.pointer.as_deref()), (Code::InvalidRequest, Some("/effective_from")));
}

#[test]
fn the_rate_of_an_account_wins_and_a_change_starts_a_line() {
    let from = at("2026-11-01T00:00:00Z");
    let own =
        RateVersion { account_id: Some(account()), ..rate(2, from + TimeDelta::hours(10), terms("1", 0)) };
    let rates = [rate(1, from, terms("2", 0)), own];
    let intervals = [interval(image(7), Measure::Image { bytes: 73 * GIB }, from, None)];
    let now = from + TimeDelta::hours(20);
    let report = report(&input(&intervals, &rates, month("2026-11").period(Zone::UTC), now));
    let charges: Vec<String> = report.lines.iter().map(|line| line.charge.unwrap().to_string()).collect();
    assert_eq!(charges, ["2.00 EUR", "1.00 EUR"]);
    let estimate = report.estimate.unwrap();
    assert_eq!(estimate.so_far, report.totals);
    assert_eq!(estimate.forecast.of("EUR".parse().unwrap()).amount(), "73.00");
}

#[test]
fn the_rate_of_an_account_ends_and_that_of_the_location_applies_again() {
    let from = at("2026-11-01T00:00:00Z");
    let hour = |hours: i64| from + TimeDelta::hours(hours);
    let own = RateVersion { account_id: Some(account()), ..rate(2, from, terms("1", 0)) };
    let rates = [
        rate(1, from, terms("2", 0)),
        RateVersion {
            id: RateId::new(Uuid::from_u128(3)),
            effective_from: hour(5),
            ends: true,
            ..own.clone()
        },
        own,
        RateVersion { ends: true, ..rate(4, hour(9), terms("2", 0)) },
    ];
    let book = RateBook::new(&rates);
    let applies = |hours: i64| {
        let found = book.at(account(), location(), RateKind::ImageStorage, hour(hours));
        found.map(|version| version.id.uuid().as_u128())
    };
    assert_eq!([0, 4, 5, 8, 9].map(applies), [Some(2), Some(2), Some(1), Some(1), None]);
}

#[test]
fn without_a_rate_nothing_is_charged_and_the_line_says_so() {
    let from = at("2026-11-01T00:00:00Z");
    let intervals =
        [interval(image(7), Measure::Image { bytes: GIB }, from, Some(from + TimeDelta::hours(2)))];
    let input = input(&intervals, &[], month("2026-11").period(Zone::UTC), from + TimeDelta::hours(9));
    let report = report(&input);
    let [line] = &report.lines[..] else { panic!("{report:?}") };
    assert!(line.deleted && line.charge.is_none() && line.rate.is_none());
    assert_eq!(line.gb_hours().unwrap().to_decimal(3), "2.000");
    assert_eq!(explain(&input, line).formula, "No rate applied, so nothing is charged.");
}

#[test]
fn what_is_free_is_a_line_of_its_own_and_never_more_than_there_is() {
    let from = at("2026-11-01T00:00:00Z");
    let rates = [rate(1, from, terms("1", 10 * GIB))];
    let size = |number, gib: u64| {
        interval(image(number), Measure::Image { bytes: gib * GIB }, from, Some(from + TimeDelta::hours(73)))
    };
    let total = |intervals: &[UsageInterval]| {
        let input =
            input(intervals, &rates, month("2026-11").period(Zone::UTC), from + TimeDelta::hours(100));
        let report = report(&input);
        for line in &report.lines {
            let explained = explain(&input, line);
            let sum = explained.terms.iter().fold(Exact::zero(), |sum, term| &sum + &term.exact);
            assert_eq!(sum, line.exact);
        }
        report.totals.of("EUR".parse().unwrap()).amount()
    };
    assert_eq!(total(&[size(7, 4), size(8, 5)]), "0.00");
    assert_eq!(total(&[size(7, 4), size(8, 16)]), "1.00");
}

#[test]
fn the_days_add_up_to_the_lines() {
    let from = at("2026-10-24T10:15:00Z");
    let rates = [rate(1, from - TimeDelta::hours(1), terms("1", 3 * GIB))];
    let intervals =
        [interval(image(7), Measure::Image { bytes: 73 * GIB }, from, Some(at("2026-10-27T01:00:00Z")))];
    let berlin = zone("Europe/Berlin");
    let period = month("2026-10").period(berlin);
    let input = ReportInput { zone: berlin, ..input(&intervals, &rates, period, at("2026-10-29T12:00:00Z")) };
    let days = days(&input);
    assert_eq!(days.len(), 29);
    let euro: Currency = "EUR".parse().unwrap();
    let sum = days.iter().filter_map(|day| day.charges.get(&euro)).fold(Exact::zero(), |sum, day| &sum + day);
    let lines = report(&input).lines.iter().fold(Exact::zero(), |sum, line| &sum + &line.exact);
    assert_eq!(sum, lines);
    // The day on which the clocks are set back has 25 hours.
    assert_eq!(days[24].gib_hours().to_decimal(0), (73 * 25).to_string());
    assert_eq!(days[24].average_gib().to_decimal(0), "73");
}

#[test]
fn a_budget_stops_at_its_amount() {
    let euro: Currency = "EUR".parse().unwrap();
    let money = |text| Money::parse(text, euro).unwrap();
    let budget = Budget { currency: euro, notify: Some(money("5")), stop: Some(money("10")) };
    let state = |text| {
        let state = budget.check(&[money(text)].into_iter().collect());
        (state.notify, state.stop)
    };
    assert_eq!(state("4.99"), (false, false));
    assert_eq!(state("5"), (true, false));
    assert_eq!(state("10"), (true, true));
    assert!(require_budget(&budget, money("9.99")).is_ok());
    let error = require_budget(&budget, money("10")).unwrap_err();
    assert_eq!((error.code, error.context["limit"].as_str()), (Code::BudgetReached, "10.00"));
}

#[test]
fn a_difference_is_found_and_named() {
    let from = at("2026-11-01T00:00:00Z");
    let rates = [rate(1, from, terms("1", 0))];
    let intervals = [
        interval(image(7), Measure::Image { bytes: GIB }, from, None),
        interval(image(8), Measure::Image { bytes: GIB }, from, None),
    ];
    let buckets = hour_buckets(hour_of(from), &intervals, &RateBook::new(&rates), Zone::UTC);
    assert_eq!(buckets.len(), 2);
    assert!(compare_hours(&buckets, &buckets).is_empty());
    let kinds =
        |found: &[_]| -> Vec<_> { compare_hours(&buckets, found).into_iter().map(|it| it.kind).collect() };
    assert_eq!(kinds(&buckets[..1]), [DifferenceKind::HourMissing]);
    let mut other = buckets.clone();
    other[0].usage += Measure::Image { bytes: 1 }.over(1);
    assert_eq!(kinds(&other), [DifferenceKind::HourDiffers]);
    other[0].hour += 1;
    assert_eq!(kinds(&other), [DifferenceKind::HourMissing, DifferenceKind::HourUnexpected]);
    let period = month("2026-11").period(Zone::UTC);
    let report = report(&input(&intervals, &rates, period, from + TimeDelta::hours(5)));
    assert_eq!(compare_lines(&report.lines, &[])[0].kind, DifferenceKind::LineMissing);
}

#[test]
fn a_report_of_ten_thousand_images_is_fast() {
    let from = at("2026-11-01T00:00:00Z");
    let rates =
        [rate(1, from, terms("0.05", 100 * GIB)), rate(2, from + TimeDelta::hours(99), terms("0.06", GIB))];
    let intervals: Vec<UsageInterval> = (0..10_000)
        .map(|number| {
            interval(
                image(number),
                Measure::Image { bytes: 7 * GIB },
                from + TimeDelta::seconds(number.try_into().unwrap()),
                None,
            )
        })
        .collect();
    let started = std::time::Instant::now();
    let report =
        report(&input(&intervals, &rates, month("2026-11").period(Zone::UTC), from + TimeDelta::days(20)));
    let took = started.elapsed();
    assert_eq!(report.lines.len(), 20_002);
    eprintln!("a report of 10,000 images: {took:?}");
    // Debug builds and busy machines are slower; a quiet one needs less than 100 ms.
    assert!(took.as_millis() < if cfg!(debug_assertions) { 10_000 } else { 1_000 }, "{took:?}");
}
