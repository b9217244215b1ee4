//! What an inspector found inside of a disk, for people.

use imprint_ports::findings::{DiskFindings, FileSystemFinding, PartitionFinding, Presence, SystemFinding};

use crate::terminal::{printable, size};

/// Returns findings as names and texts, in the order in which they are shown.
pub(crate) fn pairs(found: &DiskFindings) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("looked by", printable(&found.inspector)),
        ("medium", found.medium.to_string()),
        ("partition table", found.partition_scheme.to_string()),
    ];
    lines.extend(found.partitions.iter().map(|partition| ("partition", of_partition(partition))));
    lines.extend(found.file_systems.iter().map(|found| ("file system", of_file_system(found))));
    lines.push(("system", of_system(&found.system)));
    let answers = [
        ("cloud-init", found.cloud_init),
        ("guest agent", found.guest_agent),
        ("SSH server", found.ssh_server),
        ("domain controller", found.domain_controller),
    ];
    lines.extend(answers.map(|(name, presence)| (name, answer(presence).to_owned())));
    let loaders: Vec<_> = found.boot_loaders.iter().map(ToString::to_string).collect();
    lines
        .push(("boot loader", if loaders.is_empty() { "none found".to_owned() } else { loaders.join(", ") }));
    lines.push(("firmware", found.firmware.to_string()));
    lines.extend(found.used_bytes.map(|bytes| ("in use", size(bytes))));
    lines.extend(found.used_until.map(|end| ("used until", size(end))));
    let fact =
        |(key, value): (&String, &String)| ("besides", format!("{} {}", printable(key), printable(value)));
    lines.extend(found.facts.iter().map(fact));
    lines.extend(found.unread.iter().map(|unread| {
        let (what, reason) = (printable(&unread.what), printable(&unread.reason));
        ("not read", format!("{what} at {} [{}]: {reason}", unread.offset, printable(&unread.code)))
    }));
    lines
}

fn of_partition(partition: &PartitionFinding) -> String {
    let name = partition.name.as_deref().map(|name| format!(" '{}'", printable(name))).unwrap_or_default();
    let boot = if partition.bootable { ", bootable" } else { "" };
    format!(
        "{}: {} at {}, type {}{name}{boot}",
        partition.number,
        size(partition.length),
        partition.start,
        printable(&partition.kind)
    )
}

fn of_file_system(found: &FileSystemFinding) -> String {
    let mut text = printable(&found.kind);
    if let Some(partition) = found.partition {
        text.push_str(&format!(" in partition {partition}"));
    }
    let texts = [("label", &found.label), ("uuid", &found.uuid)];
    for (name, value) in texts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        text.push_str(&format!(", {name} '{}'", printable(value)));
    }
    let sizes = [("size", found.size), ("used", found.used)];
    for (name, bytes) in sizes.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))) {
        text.push_str(&format!(", {name} {}", size(bytes)));
    }
    if found.encrypted {
        text.push_str(", encrypted");
    }
    text
}

fn of_system(system: &SystemFinding) -> String {
    let mut parts = vec![system.family.to_string()];
    let more = [
        &system.name,
        &system.distribution,
        &system.version,
        &system.edition,
        &system.build,
        &system.architecture,
    ];
    parts.extend(more.into_iter().flatten().map(|text| printable(text)));
    parts.dedup();
    parts.join(", ")
}

fn answer(presence: Presence) -> &'static str {
    match presence {
        Presence::Present => "yes",
        Presence::Absent => "no",
        Presence::Unknown => "unknown",
    }
}
