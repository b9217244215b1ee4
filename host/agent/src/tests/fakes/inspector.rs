//! An inspector that notes what it is given.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use imprint_ports::{
    BlockSource, DiskInspector, ErrorClass, PortError,
    findings::{DiskFindings, DiskFirmware, Medium, OsFamily, PartitionScheme, Presence, SystemFinding},
};

/// Fails on a disk of an odd number of sectors, and finds a system on others, or none.
pub(in crate::tests) struct FakeInspector {
    /// The sizes of the disks that it was given.
    pub(in crate::tests) looked: Arc<Mutex<Vec<u64>>>,
    /// The family of the system that it finds, and whether that is a domain controller.
    pub(in crate::tests) finds: (OsFamily, Presence),
}

#[async_trait]
impl DiskInspector for FakeInspector {
    fn name(&self) -> &str {
        "fake"
    }

    async fn inspect(&self, disk: Arc<dyn BlockSource>) -> Result<DiskFindings, PortError> {
        let size = disk.size();
        self.looked.lock().unwrap().push(size);
        let mut sector = [0; 512];
        disk.read_exact_at(&mut sector, 0).unwrap();
        if size / 512 % 2 == 1 {
            return Err(PortError::host(ErrorClass::Internal, "plugin.trap", "the inspector trapped"));
        }
        Ok(DiskFindings {
            inspector: "fake 1".to_owned(),
            size,
            medium: Medium::Disk,
            partition_scheme: PartitionScheme::None,
            partitions: Vec::new(),
            file_systems: Vec::new(),
            system: SystemFinding { family: self.finds.0, ..SystemFinding::default() },
            cloud_init: Presence::Unknown,
            guest_agent: Presence::Unknown,
            ssh_server: Presence::Unknown,
            domain_controller: self.finds.1,
            boot_loaders: Vec::new(),
            firmware: DiskFirmware::Unknown,
            used_until: None,
            used_bytes: None,
            unread: Vec::new(),
            facts: Default::default(),
        })
    }
}
