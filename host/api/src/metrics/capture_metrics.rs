//! Prometheus metrics of captures.

use imprint_service::CaptureMetrics;

use super::{line, metric};

/// Appends the metrics of captures in the text format.
pub(crate) fn append(text: &mut String, captures: CaptureMetrics) {
    let name = "imprint_captures_over_time_limit";
    metric(
        text,
        name,
        "gauge",
        "Captures that failed because they took too long, and were not retried since.",
    );
    line(text, format_args!("{name} {}", captures.over_time_limit));
}
