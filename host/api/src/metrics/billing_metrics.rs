//! Prometheus metrics of metering.

use imprint_service::BillingMetrics;

use super::{line, metric};

/// Appends the metrics of metering in the text format.
pub(crate) fn append(text: &mut String, billing: BillingMetrics) {
    if let Some(until) = billing.metered_until {
        let name = "imprint_billing_metered_until_seconds";
        metric(text, name, "gauge", "Until when all hours are metered, in seconds since 1970.");
        line(text, format_args!("{name} {}", until.timestamp()));
    }
    let name = "imprint_billing_hours_behind";
    metric(text, name, "gauge", "Hours that are over and not metered yet.");
    line(text, format_args!("{name} {}", billing.hours_behind));
    let name = "imprint_billing_metered";
    metric(text, name, "gauge", "Images and instances that cost at the moment.");
    for (subject, count) in [("image", billing.open.images), ("instance", billing.open.instances)] {
        line(text, format_args!("{name}{{subject=\"{subject}\"}} {count}"));
    }
    let name = "imprint_billing_metered_bytes";
    metric(text, name, "gauge", "Bytes of the images that cost at the moment.");
    line(text, format_args!("{name} {}", billing.open.image_bytes));
}
