//! What `imprint disk inspect --inside` shows: what an inspector found in a disk.

use imprint_data_path::{WriteOptions, logical_source};
use imprint_ports::findings::{DiskFindings, FileSystemFinding, PartitionFinding, Presence, SystemFinding};

use super::{
    failure::Failure,
    image::Image,
    report::{line, size},
    watch::Watch,
};
use crate::{plugin_ports::PluginPorts, terminal::printable};

/// Looks inside of the disk in an image.
///
/// # Errors
///
/// The image cannot be read, or there is no inspector, or it fails.
pub(super) async fn look(
    plugins: &PluginPorts,
    image: &Image,
    watch: &Watch,
) -> Result<DiskFindings, Failure> {
    let Some(inspector) = plugins.inspectors().into_iter().next() else {
        return Err(Failure::usage(
            "plugin.not-found",
            "no plugin looks inside of disks; install an inspector".to_owned(),
        ));
    };
    let looking = async {
        let disk = image.disk().await?;
        let options = WriteOptions { cancel: watch.options().cancel, ..WriteOptions::default() };
        let source = logical_source(&disk, &options).await?;
        Ok(inspector.inspect(source).await?)
    };
    watch.until(looking).await.map_err(|error| image.failure(error))
}

/// Returns findings as lines of text.
pub(super) fn lines(found: &DiskFindings) -> Vec<String> {
    let mut lines = vec![
        line("looked by", printable(&found.inspector)),
        line("medium", found.medium),
        line("partition table", found.partition_scheme),
    ];
    lines.extend(found.partitions.iter().map(|partition| line("partition", of_partition(partition))));
    lines.extend(found.file_systems.iter().map(|found| line("file system", of_file_system(found))));
    lines.push(line("system", of_system(&found.system)));
    let answers = [
        ("cloud-init", found.cloud_init),
        ("guest agent", found.guest_agent),
        ("SSH server", found.ssh_server),
        ("domain controller", found.domain_controller),
    ];
    lines.extend(answers.map(|(name, presence)| line(name, answer(presence))));
    let loaders: Vec<_> = found.boot_loaders.iter().map(ToString::to_string).collect();
    lines.push(line(
        "boot loader",
        if loaders.is_empty() { "none found".to_owned() } else { loaders.join(", ") },
    ));
    lines.push(line("firmware", found.firmware));
    lines.extend(found.used_bytes.map(|bytes| line("in use", size(bytes))));
    lines.extend(found.used_until.map(|end| line("used until", size(end))));
    lines.extend(found.facts.iter().map(|(key, value)| line(&printable(key), printable(value))));
    lines.extend(found.unread.iter().map(|unread| {
        let (what, reason) = (printable(&unread.what), printable(&unread.reason));
        line("not read", format!("{what} at {} [{}]: {reason}", unread.offset, printable(&unread.code)))
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
