//! Billing: hours that are metered, rates, reports, months, adjustments, budgets, and the feed for
//! other systems. What is computed, `imprint_domain::billing` computes; here are the rows, who may
//! see them, and what happens when.

mod adjustments;
pub(crate) mod budgets;
mod feed;
mod hours;
mod metrics;
mod months;
mod overview;
mod rates;
mod read;
mod reconciliation;
mod usage;

pub use adjustments::AdjustmentCreate;
pub use budgets::BudgetView;
pub use feed::FeedView;
pub use hours::Billed;
pub use metrics::BillingMetrics;
pub use months::MonthView;
pub use overview::{
    AccountUsage, BillingUsage, LocationUsage, PreviewAccount, PreviewView, RatePreviewRequest,
};
pub use rates::{RateCreate, RateEnd, RateTermsRequest};
pub use reconciliation::ReconciliationView;
pub use usage::{UsageDaysView, UsageExplained, UsagePeriod, UsageReported, UsageRequest, UsageSectionKind};
