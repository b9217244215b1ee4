//! Prometheus metrics of webhooks.

use imprint_service::WebhookCounts;

use super::{line, metric};

/// Appends the metrics of webhooks in the text format.
pub(crate) fn append(text: &mut String, counts: WebhookCounts) {
    let name = "imprint_webhooks";
    metric(text, name, "gauge", "Webhooks, by what becomes of their messages.");
    for (state, count) in
        [("working", counts.working), ("failing", counts.failing), ("given_up", counts.given_up)]
    {
        line(text, format_args!("{name}{{state=\"{state}\"}} {count}"));
    }
}
