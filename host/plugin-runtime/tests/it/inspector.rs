//! Inspectors: one that misbehaves, and the shipped one over hostile disks and over a large one.

use std::{io, sync::Arc};

use imprint_corpus::{
    Bytes,
    inside::{Look, cases},
};
use imprint_plugin_runtime::{HostOptions, PluginHost, PluginSource};
use imprint_ports::{
    BlockSource, DiskInspector, Origin, PortError,
    findings::{BootLoader, DiskFindings, Presence},
};

use crate::components::{host, shipped};

/// A disk with holes.
struct Disk(Bytes);

impl BlockSource for Disk {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        buf.copy_from_slice(&self.0.get(offset, buf.len()));
        Ok(())
    }
}

fn inspector(host: &PluginHost) -> Arc<dyn DiskInspector> {
    host.inspectors().pop().expect("one is loaded")
}

async fn look(with: &str) -> Result<DiskFindings, PortError> {
    let host = host(&["hostile-inspector"]).await;
    let mut disk = Bytes::new();
    disk.put(0, format!("INSIDE:{with}\n").as_bytes()).resize(1 << 20);
    let answer = inspector(&host).inspect(Arc::new(Disk(disk))).await;
    // After any failure, the next look works.
    let mut plain = Bytes::new();
    plain.resize(1 << 20);
    let found = inspector(&host).inspect(Arc::new(Disk(plain))).await.unwrap();
    assert_eq!((found.size, found.inspector.as_str()), (1 << 20, "hostile-inspector 0.1.0"));
    answer
}

#[tokio::test]
async fn a_failure_of_the_whole_look_is_a_typed_error() {
    for (mode, origin, code) in [
        ("trap", Origin::Trap, "plugin.trap"),
        ("loop", Origin::Timeout, "plugin.cpu-limit"),
        ("allocate", Origin::Trap, "plugin.memory-limit"),
        ("error", Origin::Plugin, "hostile.corrupt"),
        ("read-forever", Origin::Plugin, "plugin.metadata-limit"),
        ("outside", Origin::BadAnswer, "plugin.bad-answer.findings"),
        ("many", Origin::BadAnswer, "plugin.bad-answer.list"),
        ("long", Origin::BadAnswer, "plugin.bad-answer.text"),
        // It fails where it was told not to look.
        ("again", Origin::Trap, "plugin.trap"),
    ] {
        let error = look(mode).await.unwrap_err();
        assert_eq!((error.origin, error.code.as_str()), (origin, code), "{mode}: {error}");
    }
}

/// A file system that makes the plugin fail is left out; what else the disk has is found.
#[tokio::test]
async fn a_failure_in_one_file_system_costs_no_more_than_that() {
    for (mode, code) in
        [("in-trap", "plugin.trap"), ("in-loop", "plugin.cpu-limit"), ("in-allocate", "plugin.memory-limit")]
    {
        let found = look(mode).await.unwrap();
        assert_eq!(found.file_systems.len(), 2);
        let left_out: Vec<_> = found
            .unread
            .iter()
            .map(|unread| (unread.offset, unread.what.as_str(), unread.code.as_str()))
            .collect();
        assert_eq!(left_out, [(4096, "ext4", code), (8192, "ext4", code)], "{mode}");
        assert!(found.unread[0].reason.contains("the plugin failed in it"), "{:?}", found.unread);
    }
}

#[tokio::test]
async fn texts_of_a_disk_are_made_printable_and_numbers_stay_inside_of_it() {
    let found = look("text").await.unwrap();
    assert_eq!(found.system.name.as_deref(), Some("Linux[31m"));
    assert_eq!(found.unread[0].reason, "notprintable");
    assert_eq!(found.boot_loaders, [BootLoader::Grub, BootLoader::Other]);
    assert_eq!(found.used_until, Some(1 << 20));
}

async fn shipped_host() -> PluginHost {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    host.load_component(&shipped("inspector-disk"), PluginSource::Embedded).await.unwrap();
    host
}

/// Every hostile inside, in the sandbox, within the budget: 2 s of processor time and 64 MiB.
#[tokio::test]
async fn hostile_insides_are_reported_within_the_budget() {
    let host = shipped_host().await;
    let mut used = 0;
    for case in cases() {
        let found = inspector(&host).inspect(Arc::new(Disk(case.disk.clone()))).await;
        let found = found.unwrap_or_else(|error| panic!("{}: {error}", case.id));
        if let Look::Reported(expected) = case.expected {
            let is_expected = |code: &str| expected.iter().any(|expected| code.starts_with(expected));
            assert!(found.unread.iter().any(|unread| is_expected(&unread.code)), "{}: {found:#?}", case.id);
        }
        let now = host.usage().cpu_ms;
        assert!(now - used <= 2000, "{} took {} ms", case.id, now - used);
        used = now;
    }
    let usage = host.usage();
    assert!(usage.memory_peak <= 64 << 20, "{usage:?}");
    assert!(usage.memory_peak > 0);
}

/// A disk of 40 GiB without data costs what its tables cost.
#[tokio::test]
async fn a_large_disk_without_data_costs_next_to_nothing() {
    let host = shipped_host().await;
    let mut disk = Bytes::new();
    disk.resize(40 << 30);
    let found = inspector(&host).inspect(Arc::new(Disk(disk))).await.unwrap();
    assert_eq!((found.file_systems.len(), found.unread.len()), (0, 0));
    assert_eq!((found.cloud_init, found.used_until), (Presence::Unknown, None));
    let usage = host.usage();
    assert!(usage.memory_peak <= 16 << 20 && usage.cpu_ms <= 500, "{usage:?}");
}
