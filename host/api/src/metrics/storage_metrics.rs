//! Prometheus metrics of image storages.

use imprint_domain::{size::ByteSize, storage::HealthClass};
use imprint_service::StorageMetrics;

use super::{line, metric};

/// A figure of every image storage that has it.
struct Gauge {
    name: &'static str,
    help: &'static str,
    value: fn(&StorageMetrics) -> Option<u64>,
}

const GAUGES: [Gauge; 6] = [
    Gauge {
        name: "imprint_storage_available_bytes",
        help: "The smallest free space that an agent reported.",
        value: |storage| storage.available_bytes.map(ByteSize::bytes),
    },
    Gauge {
        name: "imprint_storage_total_bytes",
        help: "The size of the image storage.",
        value: |storage| storage.total_bytes.map(ByteSize::bytes),
    },
    Gauge {
        name: "imprint_storage_reserved_bytes",
        help: "Free space that is reserved for tasks.",
        value: |storage| Some(storage.reserved_bytes.bytes()),
    },
    Gauge {
        name: "imprint_storage_images",
        help: "Images on the image storage.",
        value: |storage| Some(storage.images),
    },
    Gauge {
        name: "imprint_storage_image_bytes",
        help: "The bytes of their files.",
        value: |storage| Some(storage.image_bytes.bytes()),
    },
    Gauge {
        name: "imprint_storage_problem",
        help: "0 healthy, 1 not reported, 2 nearly full, 3 read-only, 4 unreachable.",
        value: |storage| {
            let class = HealthClass::ALL.iter().position(|class| *class == storage.health)?;
            u64::try_from(class).ok()
        },
    },
];

/// Appends the metrics of image storages in the text format.
pub(crate) fn append(text: &mut String, storages: &[StorageMetrics]) {
    for gauge in &GAUGES {
        metric(text, gauge.name, "gauge", gauge.help);
        for storage in storages {
            if let Some(value) = (gauge.value)(storage) {
                let (id, name, role, state) =
                    (storage.id, escape(&storage.name), storage.role, storage.state);
                line(
                    text,
                    format_args!(
                        "{}{{id=\"{id}\",name=\"{name}\",role=\"{role}\",state=\"{state}\"}} {value}",
                        gauge.name
                    ),
                );
            }
        }
    }
    append_scans(text, storages);
}

/// Appends what the last scans found.
fn append_scans(text: &mut String, storages: &[StorageMetrics]) {
    let scanned = || storages.iter().filter_map(|storage| Some((storage, storage.scan.as_ref()?)));
    metric(text, "imprint_storage_objects", "gauge", "Objects of the last complete scan, by class.");
    for (storage, scan) in scanned() {
        for (class, count) in &scan.objects {
            let (id, name) = (storage.id, escape(&storage.name));
            let labels = format_args!("{{id=\"{id}\",name=\"{name}\",class=\"{class}\"}}");
            line(text, format_args!("imprint_storage_objects{labels} {count}"));
        }
    }
    let help = "The end of the last complete scan, in seconds since 1970.";
    metric(text, "imprint_storage_scan_timestamp_seconds", "gauge", help);
    for (storage, scan) in scanned() {
        let (id, name, at) = (storage.id, escape(&storage.name), scan.finished_at.timestamp());
        let labels = format_args!("{{id=\"{id}\",name=\"{name}\"}}");
        line(text, format_args!("imprint_storage_scan_timestamp_seconds{labels} {at}"));
    }
}

/// Returns a name as a label's value.
fn escape(name: &imprint_domain::name::Name) -> String {
    name.as_str().replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use imprint_domain::{
        id::StorageId,
        name::Name,
        storage::{StorageRole, StorageState},
        storage_scan::ObjectClass,
    };
    use imprint_service::ScanMetrics;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn names_cannot_break_the_format_and_what_is_not_known_is_left_out() {
        let storage = StorageMetrics {
            id: StorageId::new(Uuid::from_u128(1)),
            name: Name::parse("a\"} 1 \\").unwrap(),
            role: StorageRole::Customer,
            state: StorageState::Active,
            health: HealthClass::NearlyFull,
            available_bytes: None,
            total_bytes: None,
            reserved_bytes: ByteSize::MIB,
            images: 3,
            image_bytes: ByteSize::GIB,
            scan: Some(ScanMetrics {
                finished_at: DateTime::from_timestamp(7, 0).unwrap(),
                objects: BTreeMap::from([(ObjectClass::Orphan, 4), (ObjectClass::Missing, 0)]),
            }),
        };
        let mut text = String::new();
        append(&mut text, &[storage]);
        let labels = format!(
            "id=\"{}\",name=\"a\\\"}} 1 \\\\\",role=\"customer\",state=\"active\"",
            StorageId::new(Uuid::from_u128(1))
        );
        assert!(text.contains(&format!("imprint_storage_problem{{{labels}}} 2\n")), "{text}");
        assert!(text.contains(&format!("imprint_storage_images{{{labels}}} 3\n")), "{text}");
        let labels = labels.trim_end_matches(",role=\"customer\",state=\"active\"");
        assert!(
            text.contains(&format!("imprint_storage_objects{{{labels},class=\"orphan\"}} 4\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("imprint_storage_objects{{{labels},class=\"missing\"}} 0\n")),
            "{text}"
        );
        assert!(text.contains(&format!("imprint_storage_scan_timestamp_seconds{{{labels}}} 7\n")), "{text}");
        assert!(!text.contains("imprint_storage_available_bytes{"), "{text}");
    }
}
