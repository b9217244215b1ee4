//! Conversions of usage reports and of billing.

use imprint_domain::billing::{
    Adjustment, Day, HourBucket, Line, LineSubject, Money, Prices, ROUNDING, RateVersion, Term, Totals,
    calendar::start_of_hour, csv::Names, explain::PLACES,
};
use imprint_service as service;

use crate::dto::{billing, usage};

/// Decimal places of the amounts of days, which are not rounded.
const DAY_PLACES: u32 = 9;

impl From<Money> for usage::Money {
    fn from(money: Money) -> Self {
        Self { amount: money.amount(), currency: money.currency.to_string() }
    }
}

fn totals(totals: &Totals) -> Vec<usage::Money> {
    totals.iter().map(usage::Money::from).collect()
}

fn line(line: &Line, names: &Names) -> usage::UsageLine {
    let subject_id = match line.subject {
        LineSubject::Image(id) => Some(id.to_string()),
        LineSubject::Instance(id) => Some(id.to_string()),
        LineSubject::Allowance => None,
    };
    usage::UsageLine {
        id: line.id(),
        kind: line.subject.kind().to_owned(),
        subject_id,
        name: line.name.clone(),
        deleted: line.deleted,
        location_id: line.location_id,
        location_name: names.locations.get(&line.location_id).cloned(),
        month: line.month.to_string(),
        size_bytes: line.measure.and_then(imprint_domain::billing::Measure::image_bytes),
        gb_hours: line.gb_hours().map(|hours| hours.to_decimal(PLACES)),
        gb_months: line.gb_months().map(|months| months.to_decimal(PLACES)),
        hours: line.hours().map(|hours| hours.to_decimal(PLACES)),
        rate: line.rate.as_ref().map(|rate| rate.terms.to_string()),
        rate_id: line.rate.as_ref().map(|rate| rate.id.to_string()),
        charge: line.charge.map(usage::Money::from),
    }
}

fn section(lines: &[Line], names: &Names, is_instances: bool) -> usage::UsageSection {
    let is_meant = |line: &&Line| matches!(line.subject, LineSubject::Instance(_)) == is_instances;
    let sum: Totals = lines.iter().filter(is_meant).filter_map(|line| line.charge).collect();
    usage::UsageSection {
        lines: lines.iter().filter(is_meant).map(|found| line(found, names)).collect(),
        totals: totals(&sum),
    }
}

impl From<&Adjustment> for usage::UsageAdjustment {
    fn from(found: &Adjustment) -> Self {
        Self {
            id: found.id.to_string(),
            reason: found.reason.clone(),
            corrects: found.corrects.to_string(),
            charged_in: found.charged_in.to_string(),
            charge: found.charge.into(),
            created_at: found.created_at,
        }
    }
}

impl From<service::UsageReported> for usage::UsageReport {
    fn from(view: service::UsageReported) -> Self {
        let (report, names) = (view.report, view.names);
        Self {
            account_id: view.account_id,
            account_name: names.accounts.get(&view.account_id).cloned().unwrap_or_default(),
            month: report.period.month.map(|month| month.to_string()),
            from: report.period.from,
            to: report.period.to,
            time_zone: report.zone.to_string(),
            generated_at: report.generated_at,
            closed_at: view.closed_at,
            rounding: ROUNDING.to_owned(),
            images: section(&report.lines, &names, false),
            instances: section(&report.lines, &names, true),
            adjustments: report.adjustments.iter().map(usage::UsageAdjustment::from).collect(),
            totals: totals(&report.totals),
            estimate: report.estimate.map(|estimate| usage::UsageEstimate {
                so_far: totals(&estimate.so_far),
                forecast: totals(&estimate.forecast),
            }),
        }
    }
}

impl From<&Day> for usage::UsageDay {
    fn from(day: &Day) -> Self {
        let charges = day.charges.iter().map(|(currency, amount)| usage::Money {
            amount: amount.to_decimal(DAY_PLACES),
            currency: currency.to_string(),
        });
        Self {
            date: day.date.to_string(),
            stored_gib: day.average_gib().to_decimal(PLACES),
            gib_hours: day.gib_hours().to_decimal(PLACES),
            charges: charges.collect(),
        }
    }
}

impl From<service::UsageDaysView> for usage::UsageDays {
    fn from(view: service::UsageDaysView) -> Self {
        Self {
            from: view.period.from,
            to: view.period.to,
            time_zone: view.time_zone,
            items: view.days.iter().map(usage::UsageDay::from).collect(),
        }
    }
}

impl From<&Term> for usage::UsageTerm {
    fn from(term: &Term) -> Self {
        Self {
            from: term.from,
            to: term.to,
            milliseconds: term.ms,
            bytes: term.measure.image_bytes(),
            gb_hours: term.gb_hours.as_ref().map(|hours| hours.to_decimal(PLACES)),
            formula: term.formula.clone(),
        }
    }
}

impl From<service::UsageExplained> for usage::UsageExplanation {
    fn from(view: service::UsageExplained) -> Self {
        let found = view.explanation;
        let rate = found.line.rate.as_ref();
        Self {
            terms: found.terms.iter().map(usage::UsageTerm::from).collect(),
            hours_per_month: rate.map(|rate| rate.hours_per_month().to_decimal(PLACES)),
            formula: rate.map(|_| found.formula.clone()),
            exact: rate.map(|_| found.line.exact.to_string()),
            rounding: found.rounding.to_owned(),
            time_zone: view.time_zone,
            line: line(&found.line, &view.names),
        }
    }
}

impl From<service::BudgetView> for usage::Budget {
    fn from(view: service::BudgetView) -> Self {
        let (month, spent) = view.spent.unzip();
        Self {
            account_id: view.account_id,
            currency: view.currency,
            notify_amount: view.notify,
            stop_amount: view.stop,
            month,
            spent,
            stopped: view.stopped,
        }
    }
}

impl From<RateVersion> for billing::Rate {
    fn from(version: RateVersion) -> Self {
        let terms = version.terms;
        let (mut gb_month, mut vcpu_hour, mut memory_gb_hour, mut disk_gb_hour) = (None, None, None, None);
        match terms.prices {
            Prices::ImageStorage { gb_month: price, .. } => gb_month = Some(price.to_string()),
            Prices::Instance(prices) => {
                vcpu_hour = Some(prices.vcpu_hour.to_string());
                memory_gb_hour = Some(prices.memory_gb_hour.to_string());
                disk_gb_hour = Some(prices.disk_gb_hour.to_string());
            }
        }
        Self {
            id: version.id.to_string(),
            location_id: version.location_id,
            account_id: version.account_id,
            effective_from: version.effective_from,
            terms: billing::RateTerms {
                kind: terms.kind().to_string(),
                currency: terms.currency.to_string(),
                gb_month,
                vcpu_hour,
                memory_gb_hour,
                disk_gb_hour,
                free_bytes: terms.free_bytes(),
                hours_per_month: terms.hours_per_month.to_string(),
                gb: terms.gb.to_string(),
                partial_hour: terms.partial_hour.to_string(),
            },
            ends: version.ends,
            created_at: version.created_at,
        }
    }
}

impl From<service::PreviewView> for billing::RatePreview {
    fn from(view: service::PreviewView) -> Self {
        let accounts = view.accounts.iter().map(|account| billing::RatePreviewAccount {
            account_id: account.account_id,
            name: account.name.clone(),
            charged: totals(&account.charged),
            would_be: totals(&account.would_be),
        });
        Self {
            month: view.month.to_string(),
            time_zone: view.time_zone,
            charged: totals(&view.charged),
            would_be: totals(&view.would_be),
            accounts: accounts.collect(),
        }
    }
}

impl From<service::BillingUsage> for billing::BillingUsage {
    fn from(view: service::BillingUsage) -> Self {
        let accounts = view.accounts.iter().map(|account| billing::AccountUsage {
            account_id: account.account_id,
            name: account.name.clone(),
            gib_hours: account.gib_hours.to_decimal(PLACES),
            totals: totals(&account.totals),
        });
        let locations = view.locations.iter().map(|place| billing::LocationUsage {
            location_id: place.location_id,
            name: place.name.clone(),
            gib_hours: place.gib_hours.to_decimal(PLACES),
            totals: totals(&place.totals),
        });
        Self {
            month: view.month.to_string(),
            time_zone: view.time_zone,
            generated_at: view.generated_at,
            totals: totals(&view.totals),
            accounts: accounts.collect(),
            locations: locations.collect(),
        }
    }
}

impl From<service::MonthView> for billing::BillingMonth {
    fn from(view: service::MonthView) -> Self {
        Self {
            month: view.month.to_string(),
            time_zone: view.time_zone,
            from: view.period.from,
            to: view.period.to,
            closed_at: view.closed_at,
            closed_by: view.closed_by,
        }
    }
}

impl From<Adjustment> for billing::Adjustment {
    fn from(found: Adjustment) -> Self {
        Self {
            id: found.id.to_string(),
            account_id: found.account_id,
            charge: found.charge.into(),
            reason: found.reason,
            corrects: found.corrects.to_string(),
            charged_in: found.charged_in.to_string(),
            created_at: found.created_at,
            created_by: found.created_by,
        }
    }
}

impl From<service::ReconciliationView> for billing::Reconciliation {
    fn from(view: service::ReconciliationView) -> Self {
        let items = view.items.into_iter().map(|found| billing::Difference {
            kind: found.kind.to_string(),
            account_id: found.account_id,
            about: found.about,
            expected: found.expected,
            found: found.found,
        });
        Self {
            month: view.month.to_string(),
            at: view.at,
            hours: view.hours,
            lines: view.lines,
            differences: view.differences,
            items: items.collect(),
        }
    }
}

impl From<&HourBucket> for billing::FeedHour {
    fn from(bucket: &HourBucket) -> Self {
        use imprint_domain::billing::HourSubject;
        let kind = match bucket.subject {
            HourSubject::Image(_) => "image",
            HourSubject::Instance(_) => "instance",
            HourSubject::Allowance(_) => "allowance",
        };
        let charge = bucket.charge.as_ref();
        Self {
            hour: start_of_hour(bucket.hour),
            kind: kind.to_owned(),
            subject_id: bucket.subject.to_string(),
            name: bucket.name.clone(),
            account_id: bucket.account_id,
            location_id: bucket.location_id,
            quantity: bucket.usage.to_string(),
            rate_id: charge.map(|charge| charge.rate_id.to_string()),
            amount: charge.map(|charge| charge.amount.to_string()),
            currency: charge.map(|charge| charge.currency.to_string()),
        }
    }
}

impl From<service::FeedView> for billing::Feed {
    fn from(view: service::FeedView) -> Self {
        Self {
            items: view.items.iter().map(billing::FeedHour::from).collect(),
            next_cursor: view.next_cursor,
            more: view.more,
            metered_until: view.metered_until,
        }
    }
}
