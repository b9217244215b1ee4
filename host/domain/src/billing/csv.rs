//! Reports as CSV by RFC 4180.

use std::collections::BTreeMap;

use super::{
    exact::Exact,
    line::{Line, LineSubject},
    report::{Adjustment, Report},
    usage::Measure,
};
use crate::{
    id::{AccountId, LocationId},
    time::Timestamp,
};

/// Names that reports print beside ids.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Of accounts.
    pub accounts: BTreeMap<AccountId, String>,
    /// Of locations; those that are deleted have none.
    pub locations: BTreeMap<LocationId, String>,
    /// Of the provider, who sends the invoices.
    pub provider: String,
}

impl Names {
    pub(super) fn account(&self, id: AccountId) -> String {
        self.accounts.get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn location(&self, id: LocationId) -> String {
        self.locations.get(&id).cloned().unwrap_or_default()
    }
}

/// The columns, in their order.
const COLUMNS: [&str; 27] = [
    "account_id",
    "account_name",
    "kind",
    "subject_id",
    "name",
    "deleted",
    "location_id",
    "location_name",
    "month",
    "from",
    "to",
    "time_zone",
    "size_bytes",
    "vcpus",
    "memory_bytes",
    "disk_bytes",
    "gb",
    "gb_hours",
    "gb_months",
    "hours",
    "hours_per_month",
    "partial_hour",
    "rate",
    "rate_id",
    "exact",
    "charge",
    "currency",
];

/// The decimal places of quantities.
pub(super) const PLACES: u32 = 9;

/// Writes a report as CSV with a header: lines, then adjustments. Lines end with CR LF.
pub fn csv(report: &Report, names: &Names) -> String {
    let mut text = String::new();
    record(&mut text, COLUMNS.map(str::to_owned));
    for line in &report.lines {
        record(&mut text, line_fields(report, names, line));
    }
    for adjustment in &report.adjustments {
        record(&mut text, adjustment_fields(report, names, adjustment));
    }
    text
}

fn line_fields(report: &Report, names: &Names, line: &Line) -> [String; COLUMNS.len()] {
    let rate = line.rate.as_ref();
    let instance = match line.measure {
        Some(Measure::Instance { vcpus, memory_bytes, disk_bytes }) => {
            Some((vcpus, memory_bytes, disk_bytes))
        }
        Some(Measure::Image { .. }) | None => None,
    };
    [
        line.account_id.to_string(),
        names.account(line.account_id),
        line.subject.kind().to_owned(),
        subject(line),
        line.name.clone(),
        line.deleted.to_string(),
        line.location_id.to_string(),
        names.location(line.location_id),
        line.month.to_string(),
        time(line.from),
        time(line.to),
        report.zone.to_string(),
        some(line.measure.and_then(Measure::image_bytes)),
        some(instance.map(|(vcpus, ..)| vcpus)),
        some(instance.map(|(_, memory, _)| memory)),
        some(instance.map(|(.., disks)| disks)),
        line.gb().unit().to_owned(),
        quantity(line.gb_hours()),
        quantity(line.gb_months()),
        quantity(line.hours()),
        quantity(rate.map(|rate| rate.hours_per_month())),
        some(rate.map(|rate| rate.terms.partial_hour)),
        some(rate.map(|rate| rate.terms)),
        some(rate.map(|rate| rate.id)),
        line.exact.to_string(),
        some(line.charge.map(|charge| charge.amount())),
        some(line.charge.map(|charge| charge.currency)),
    ]
}

fn adjustment_fields(report: &Report, names: &Names, adjustment: &Adjustment) -> [String; COLUMNS.len()] {
    let mut fields = [const { String::new() }; COLUMNS.len()];
    let values = [
        ("account_id", adjustment.account_id.to_string()),
        ("account_name", names.account(adjustment.account_id)),
        ("kind", "adjustment".to_owned()),
        ("subject_id", adjustment.id.to_string()),
        ("name", format!("Correction of {}: {}", adjustment.corrects, adjustment.reason)),
        ("month", adjustment.charged_in.to_string()),
        ("time_zone", report.zone.to_string()),
        ("charge", adjustment.charge.amount()),
        ("currency", adjustment.charge.currency.to_string()),
    ];
    for (column, value) in values {
        if let Some((field, _)) = fields.iter_mut().zip(COLUMNS).find(|(_, name)| *name == column) {
            *field = value;
        }
    }
    fields
}

/// Returns the id of a line's subject; empty for an allowance.
pub(super) fn subject(line: &Line) -> String {
    match line.subject {
        LineSubject::Image(_) | LineSubject::Instance(_) => line.subject.to_string(),
        LineSubject::Allowance => String::new(),
    }
}

pub(super) fn some(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

pub(super) fn quantity(value: Option<Exact>) -> String {
    some(value.map(|exact| exact.to_decimal(PLACES)))
}

pub(super) fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// Writes a record. A field is quoted where it has to be, and quotes in it are doubled.
pub(super) fn record<const N: usize>(text: &mut String, fields: [String; N]) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        if field.contains(['"', ',', '\r', '\n']) || field.starts_with(' ') || field.ends_with(' ') {
            text.push('"');
            text.push_str(&field.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(field);
        }
    }
    text.push_str("\r\n");
}
