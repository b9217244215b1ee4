//! What `docs/BILLING.md` computes, and reports as files.

use chrono::TimeDelta;

use super::super::{
    Adjustment, InstancePrices, Money, ROUNDING, ReportInput, Zone,
    csv::{Names, csv},
    focus::focus,
    report,
};
use super::*;
use crate::id::AdjustmentId;

const TEXT: &str = include_str!("../../../../../docs/BILLING.md");

/// S113, S114.
#[test]
fn the_worked_example_is_right() {
    assert!(TEXT.contains("`Monthly cost = Image size (GB) x Per-GB storage rate`"));
    assert!(TEXT.contains("`Hourly cost = Monthly cost / Hours per month`"));
    assert!(
        TEXT.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("rounded once, to the smallest unit of the currency, half away from zero")
    );
    assert!(ROUNDING.contains("rounded once, to the smallest unit of the currency, half away from zero"));
    let example = TEXT.split_once("## A worked example").unwrap().1;
    let price = example.split_once("Rate: ").unwrap().1.split_once(" EUR").unwrap().0;
    let rows: Vec<Vec<&str>> = example
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .take(3)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let [_, gib, from, until, gb_hours, gb_months, charge] = row[..] else { panic!("{row:?}") };
        let bytes = gib.parse::<u64>().unwrap() << 30;
        let intervals = [interval(image(7), Measure::Image { bytes }, at(from), Some(at(until)))];
        let rates = [rate(1, at("2026-10-01T00:00:00Z"), terms(price, 0))];
        let input = ReportInput {
            intervals: &intervals,
            rates: &rates,
            adjustments: &[],
            period: "2026-11".parse::<super::super::Month>().unwrap().period(Zone::UTC),
            zone: Zone::UTC,
            now: at("2026-12-02T00:00:00Z"),
        };
        let line = &report(&input).lines[0];
        assert_eq!(line.gb_hours().unwrap().to_decimal(3), gb_hours);
        assert_eq!(line.gb_months().unwrap().to_decimal(3), gb_months);
        assert_eq!(line.charge.unwrap().to_string(), charge);
    }
}

fn golden(name: &str, found: &str) {
    let path = format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("IMPRINT_GENERATE").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), found, "{name}");
}

/// S119, S120: deleted images included, and names that need quotes.
#[test]
fn reports_have_not_changed() {
    let from = at("2026-11-01T00:00:00Z");
    let mut odd =
        interval(image(8), Measure::Image { bytes: 40 << 30 }, from, Some(from + TimeDelta::minutes(90)));
    "say \"hello\", world".clone_into(&mut odd.name);
    let measure = Measure::Instance { vcpus: 4, memory_bytes: 8 << 30, disk_bytes: 80 << 30 };
    let intervals = [
        interval(image(7), Measure::Image { bytes: 100 << 30 }, from, None),
        odd,
        interval(instance(9), measure, from + TimeDelta::hours(1), None),
    ];
    let price = |text: &str| text.parse().unwrap();
    let hourly = Prices::Instance(InstancePrices {
        vcpu_hour: price("0.01"),
        memory_gb_hour: price("0.005"),
        disk_gb_hour: price("0.0001"),
    });
    let up = RateTerms { partial_hour: PartialHour::RoundUp, ..terms("0.05", 10 << 30) };
    let rates = [rate(1, from, up), rate(2, from, RateTerms { prices: hourly, ..terms("0", 0) })];
    let euro = "EUR".parse().unwrap();
    let adjustments = [Adjustment {
        id: AdjustmentId::new(Uuid::from_u128(5)),
        account_id: account(),
        charge: Money::parse("-4.20", euro).unwrap(),
        reason: "An image was kept after it was deleted, by mistake".to_owned(),
        corrects: "2026-10".parse().unwrap(),
        charged_in: "2026-11".parse().unwrap(),
        created_at: from,
        created_by: account(),
    }];
    let input = ReportInput {
        intervals: &intervals,
        rates: &rates,
        adjustments: &adjustments,
        period: "2026-11".parse::<super::super::Month>().unwrap().period(Zone::UTC),
        zone: Zone::UTC,
        now: from + TimeDelta::days(10),
    };
    let report = report(&input);
    let names = Names {
        accounts: [(account(), "acme".to_owned())].into(),
        locations: [(location(), "Berlin".to_owned())].into(),
        provider: "Example Hosting".to_owned(),
    };
    golden("usage.csv", &csv(&report, &names));
    golden("usage.focus.csv", &focus(&report, &names));
    let json = serde_json::to_string_pretty(&report.lines).unwrap() + "\n";
    golden("usage.json", &json);
    assert_eq!(serde_json::from_str::<Vec<super::super::Line>>(&json).unwrap(), report.lines);
}
