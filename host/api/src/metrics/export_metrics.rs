//! Prometheus metrics of exports.

use imprint_service::ExportMetrics;

use super::{line, metric};

/// Appends the metrics of exports in the text format.
pub(crate) fn append(text: &mut String, exports: &[ExportMetrics]) {
    let name = "imprint_exports";
    metric(text, name, "gauge", "Exports of images, by status.");
    for ExportMetrics { status, count, .. } in exports {
        line(text, format_args!("{name}{{status=\"{status}\"}} {count}"));
    }
    let name = "imprint_export_bytes";
    metric(text, name, "gauge", "Bytes of the files of exports, by status.");
    for ExportMetrics { status, bytes, .. } in exports {
        line(text, format_args!("{name}{{status=\"{status}\"}} {bytes}"));
    }
}
