//! An image for people.

use imprint_api::dto::image::{Image, ImageFindings};

use super::{
    output::{duration, pairs, size, text, time},
    table::Table,
};
use crate::findings_text;

/// Returns all that an image has, line by line.
pub(super) fn details(image: &Image) -> Table {
    let mut lines = vec![
        ("id", image.id.to_string()),
        ("name", image.name.clone()),
        ("description", image.description.clone()),
        ("tags", image.tags.join(", ")),
        ("metadata", pairs(&image.metadata)),
        ("protected", if image.protected { "yes, it cannot be deleted" } else { "no" }.to_owned()),
        ("kind", image.kind.to_string()),
        ("operating system", image.os_type.to_string()),
        ("cloud-init", if image.cloud_init { "yes" } else { "no: takes no SSH keys and scripts" }.to_owned()),
        ("status", format!("{} ({})", image.status, image.status_text)),
        ("source instance", text(image.source_instance.as_ref().map(|source| &source.name))),
        ("size", size(image.size_bytes)),
        ("virtual size", size(image.virtual_size_bytes)),
        ("format", text(image.format.as_ref())),
        ("consistency", text(image.consistency)),
        ("logical digest", text(image.logical_digest.as_ref())),
        ("stored digest", text(image.stored_digest.as_ref())),
        ("location", image.location_id.to_string()),
        ("task", text(image.task_id)),
        ("created", time(Some(image.created_at))),
        ("available", time(image.available_at)),
    ];
    if let Some(capture) = &image.capture {
        let milliseconds = |time: Option<u32>| time.map(|time| format!("{time} ms"));
        lines.extend([
            ("consistency lowered", text(capture.downgraded_because.as_ref())),
            ("file systems frozen", text(milliseconds(capture.frozen_ms))),
            ("processors stopped", text(milliseconds(capture.stopped_ms))),
        ]);
        if let Some(took) = capture.took_ms {
            let seconds = capture.estimated_s.map(duration);
            lines.push((
                "creating it took",
                format!("{} (estimated: {})", duration(took.div_ceil(1000)), text(seconds)),
            ));
        }
        lines.extend(capture.method.iter().map(|method| ("capture method", method.clone())));
    }
    if let Some(import) = &image.import {
        lines.extend([
            ("imported from", import.origin.clone()),
            ("imported file", format!("{} {}", size(import.file_bytes), text(import.format.as_ref()))),
            ("it was packed as", text(import.packing)),
        ]);
    }
    if let Some(entry) = &image.catalogue {
        lines.extend([
            ("media group", text(entry.media_group_id)),
            ("family", text(entry.family.as_ref())),
            ("version", text(entry.family_version.as_ref())),
            ("latest of its family", if entry.latest { "yes" } else { "no" }.to_owned()),
            ("hidden", if entry.hidden { "yes, customers do not see it" } else { "no" }.to_owned()),
            ("deprecated", text(entry.deprecation.as_ref().map(|found| &found.notice))),
            ("replacement", text(entry.deprecation.as_ref().and_then(|found| found.replacement_id))),
        ]);
    }
    if let Some(shared) = &image.shared {
        lines.extend([
            ("shared by", shared.owner.clone()),
            ("shared until", time(shared.expires_at)),
            ("share", shared.share_id.to_string()),
        ]);
    }
    if let Some(place) = &image.storage {
        lines.extend([("storage", place.id.to_string()), ("file", place.key.clone())]);
    }
    Table::details(lines)
}

/// Returns what was found inside of an image, line by line, and what one has to know.
pub(super) fn inside(found: &ImageFindings) -> Table {
    let mut lines = vec![("looked into", time(found.inspected_at))];
    match &found.findings {
        Some(findings) => lines.extend(findings_text::pairs(findings)),
        None => lines.push(("found", "nothing has looked into this image".to_owned())),
    }
    lines.extend(found.notices.iter().map(|notice| ("notice", notice.text.clone())));
    Table::details(lines)
}
