//! Reports with the columns of the FinOps Open Cost and Usage Specification (FOCUS), version 1.2.

use super::{
    calendar::Zone,
    csv::{Names, quantity, record, some, subject, time},
    line::{Line, LineSubject},
    rate::Prices,
    report::{Adjustment, Report},
};

/// The columns, in the order of their names.
const COLUMNS: [&str; 44] = [
    "AvailabilityZone",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
];

/// A record under construction: fields by the names of their columns.
struct Record([String; COLUMNS.len()]);

impl Record {
    fn new(names: &Names, values: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let mut record = Self([const { String::new() }; COLUMNS.len()]);
        for column in ["InvoiceIssuerName", "ProviderName", "PublisherName"] {
            record.set(column, names.provider.clone());
        }
        for (column, value) in values {
            record.set(column, value);
        }
        record
    }

    fn set(&mut self, column: &str, value: String) {
        if let Some((field, _)) = self.0.iter_mut().zip(COLUMNS).find(|(_, name)| *name == column) {
            *field = value;
        }
    }
}

/// Writes a report as CSV with the columns of FOCUS: lines that have a rate, then adjustments. All
/// four costs of a record are the amount that is charged, so that their sums are the report's
/// totals.
pub fn focus(report: &Report, names: &Names) -> String {
    let mut text = String::new();
    record(&mut text, COLUMNS.map(str::to_owned));
    for line in &report.lines {
        if let Some(fields) = usage(report.zone, names, line) {
            record(&mut text, fields.0);
        }
    }
    for adjustment in &report.adjustments {
        record(&mut text, correction(report.zone, names, adjustment).0);
    }
    text
}

fn usage(zone: Zone, names: &Names, line: &Line) -> Option<Record> {
    let (rate, charge) = line.rate.as_ref().zip(line.charge)?;
    let (unit, month) = (rate.terms.gb.unit(), line.month.period(zone));
    let (category, service, kind, meter) = match line.subject {
        LineSubject::Image(_) => ("Storage", "Image storage", "Image", "Stored size"),
        LineSubject::Allowance => ("Storage", "Image storage", "", "Free allowance"),
        LineSubject::Instance(_) => ("Compute", "Instances", "Instance", "Time"),
    };
    let mut fields = Record::new(
        names,
        [
            ("BillingAccountId", line.account_id.to_string()),
            ("BillingAccountName", names.account(line.account_id)),
            ("BillingAccountType", "Account".to_owned()),
            ("BillingCurrency", charge.currency.to_string()),
            ("BillingPeriodStart", time(month.from)),
            ("BillingPeriodEnd", time(month.to)),
            (
                "ChargeCategory",
                if line.subject == LineSubject::Allowance { "Credit" } else { "Usage" }.to_owned(),
            ),
            ("ChargeDescription", format!("{service}: {}", rate.terms)),
            ("ChargeFrequency", "Usage-Based".to_owned()),
            ("ChargePeriodStart", time(line.from)),
            ("ChargePeriodEnd", time(line.to)),
            ("RegionId", line.location_id.to_string()),
            ("RegionName", names.location(line.location_id)),
            ("ResourceId", subject(line)),
            ("ResourceName", line.name.clone()),
            ("ResourceType", kind.to_owned()),
            ("ServiceCategory", category.to_owned()),
            ("ServiceName", service.to_owned()),
            ("SkuId", format!("{}.{}", rate.terms.kind(), line.location_id)),
            ("SkuMeter", meter.to_owned()),
            ("SkuPriceId", rate.id.to_string()),
        ],
    );
    for column in ["BilledCost", "ContractedCost", "EffectiveCost", "ListCost"] {
        fields.set(column, charge.amount());
    }
    // FOCUS has no quantities and prices for credits.
    if line.subject != LineSubject::Allowance {
        priced(&mut fields, line, rate.terms.prices, unit);
        fields.set("PricingCategory", "Standard".to_owned());
        fields.set("PricingCurrency", charge.currency.to_string());
    }
    Some(fields)
}

fn priced(fields: &mut Record, line: &Line, prices: Prices, unit: &str) {
    let (consumed, consumed_unit, priced, priced_unit, price) = match prices {
        Prices::ImageStorage { gb_month, .. } => (
            line.gb_hours(),
            format!("{unit}-Hours"),
            line.gb_months(),
            format!("{unit}-Months"),
            gb_month.to_string(),
        ),
        // The size of an instance may change: this is the price of an hour on the average.
        Prices::Instance(_) => {
            (line.hours(), "Hours".to_owned(), line.hours(), "Hours".to_owned(), some(hourly(line)))
        }
    };
    fields.set("ConsumedQuantity", quantity(consumed));
    fields.set("ConsumedUnit", consumed_unit);
    fields.set("PricingQuantity", quantity(priced));
    fields.set("PricingUnit", priced_unit);
    fields.set("ListUnitPrice", price.clone());
    fields.set("ContractedUnitPrice", price);
}

fn hourly(line: &Line) -> Option<String> {
    Some(line.exact.over(&line.hours()?)?.to_decimal(super::csv::PLACES))
}

fn correction(zone: Zone, names: &Names, adjustment: &Adjustment) -> Record {
    let month = adjustment.charged_in.period(zone);
    let corrected = adjustment.corrects.period(zone);
    let mut fields = Record::new(
        names,
        [
            ("BillingAccountId", adjustment.account_id.to_string()),
            ("BillingAccountName", names.account(adjustment.account_id)),
            ("BillingAccountType", "Account".to_owned()),
            ("BillingCurrency", adjustment.charge.currency.to_string()),
            ("BillingPeriodStart", time(month.from)),
            ("BillingPeriodEnd", time(month.to)),
            ("ChargeCategory", "Adjustment".to_owned()),
            ("ChargeClass", "Correction".to_owned()),
            ("ChargeDescription", format!("Correction of {}: {}", adjustment.corrects, adjustment.reason)),
            ("ChargeFrequency", "One-Time".to_owned()),
            ("ChargePeriodStart", time(corrected.from)),
            ("ChargePeriodEnd", time(corrected.to)),
            ("ServiceCategory", "Other".to_owned()),
            ("ServiceName", "Corrections".to_owned()),
        ],
    );
    for column in ["BilledCost", "ContractedCost", "EffectiveCost", "ListCost"] {
        fields.set(column, adjustment.charge.amount());
    }
    fields
}
