//! An agent with fakes of everything around it, in a temporary folder.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use cap_std::fs::Dir;
use chrono::Utc;
use imprint_agent_protocol::{
    Assignment, AssignmentKind, CaptureAssignment, DeployAssignment, Devices, ImageRef, InstanceRef, Seed,
    StorageKindReport, StorageRef,
};
use imprint_domain::{
    consistency::Consistency,
    id::{DiskId, ImageId, InstanceId, StorageId, TaskId},
    image::{Compression, ImageFormat},
    name::Name,
    plugin_kind::StorageKind,
    size::ByteSize,
    time::{Environment, Timestamp},
};
use imprint_ports::{
    DiskFormat, DiskInspector, Driver, ErrorClass, Launch, PortError, Props, RESERVED_NAMES, Secrets,
    SettingFinding, StorageBackend, StorageMarker,
    findings::{OsFamily, Presence},
};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    SOON,
    control_plane::FakeControl,
    driver::FakeDriver,
    format::{FakeFormat, WRAPPER},
    inspector::FakeInspector,
    storage::FakeStorage,
};
use crate::{
    machine::{
        instance::{Definition, InstanceDir, disk_file},
        process,
    },
    ports::{DriverGrants, FolderPlace, Ports},
    runtime::agent::{Agent, AgentError},
    settings::{Folders, Program, Settings},
    tests::stack::{STACK, StackFormat},
};

pub(in crate::tests) struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn now(&self) -> Timestamp {
        Utc::now()
    }

    fn new_uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// Everything together, in a temporary folder.
pub(in crate::tests) struct World {
    pub(in crate::tests) folder: TempDir,
    pub(in crate::tests) control: Arc<FakeControl>,
    pub(in crate::tests) ports: Arc<FakePorts>,
    pub(in crate::tests) settings: Settings,
}

pub(in crate::tests) struct FakePorts {
    pub(in crate::tests) storage: Arc<FakeStorage>,
    pub(in crate::tests) driver: Arc<FakeDriver>,
    pub(in crate::tests) hold: Arc<AtomicBool>,
    /// What the plugin of the storage finds in its settings; `None` when it checks nothing.
    pub(in crate::tests) findings: Mutex<Option<Vec<SettingFinding>>>,
    /// Whether the storage has no folder of the host: its plugin looks after the marker.
    pub(in crate::tests) remote: AtomicBool,
    /// Whether such a storage can only be read.
    pub(in crate::tests) remote_is_read_only: AtomicBool,
    /// The secrets that the storage was opened with, each time.
    pub(in crate::tests) opened_with: Mutex<Vec<Secrets>>,
    /// The sizes of the disks that were looked into.
    pub(in crate::tests) looked: Arc<Mutex<Vec<u64>>>,
    /// What is found inside of every disk: the family of its system, and whether that is a domain
    /// controller.
    pub(in crate::tests) finds: Mutex<(OsFamily, Presence)>,
}

impl FakePorts {
    /// Does what a plugin does that recognises its storage by itself.
    fn look_for(&self, marker: Option<StorageMarker>) -> Result<(), PortError> {
        let Some(StorageMarker { name, is_required }) = marker else { return Ok(()) };
        let path = self.storage.folder().join(name);
        match path.exists() {
            true => {}
            false if is_required => {
                return Err(PortError::host(ErrorClass::Conflict, "storage.marker", "it has no marker"));
            }
            false if self.remote_is_read_only.load(Ordering::SeqCst) => {}
            false => fs::write(path, b"").unwrap(),
        }
        Ok(())
    }
}

#[async_trait]
impl Ports for FakePorts {
    fn plugins(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("fake".to_owned(), "1".to_owned())])
    }

    fn drivers_with_devices(&self) -> Vec<String> {
        vec!["fake".to_owned()]
    }

    fn findings(&self) -> Vec<String> {
        vec!["the plugin damaged.wasm is not used".to_owned()]
    }

    fn format(&self, name: &str) -> Option<Arc<dyn DiskFormat>> {
        if name == STACK {
            return Some(Arc::new(StackFormat { hold: self.hold.clone() }));
        }
        let known = ["raw", "qcow2", WRAPPER].contains(&name);
        let format: Arc<dyn DiskFormat> = Arc::new(FakeFormat::new(name, self.hold.clone()));
        known.then_some(format)
    }

    fn formats(&self) -> Vec<Arc<dyn DiskFormat>> {
        ["raw", WRAPPER].into_iter().filter_map(|name| self.format(name)).collect()
    }

    fn inspector(&self) -> Option<Arc<dyn DiskInspector>> {
        Some(Arc::new(FakeInspector { looked: self.looked.clone(), finds: *self.finds.lock().unwrap() }))
    }

    fn storage_kinds(&self) -> Vec<StorageKindReport> {
        Vec::new()
    }

    fn storage_folder(&self, _storage: &StorageRef) -> Result<Option<FolderPlace>, PortError> {
        let place = FolderPlace { base: self.storage.folder().to_owned(), sub_folder: None };
        Ok((!self.remote.load(Ordering::SeqCst)).then_some(place))
    }

    async fn storage(
        &self,
        _storage: &StorageRef,
        folder: Option<Arc<Dir>>,
        secrets: Secrets,
        marker: Option<StorageMarker>,
    ) -> Result<Arc<dyn StorageBackend>, PortError> {
        if self.remote.load(Ordering::SeqCst) {
            assert!(folder.is_none(), "there is no folder");
            self.look_for(marker)?;
        } else {
            assert!(folder.is_some() && marker.is_none(), "the plugin gets the folder that was checked");
        }
        self.opened_with.lock().unwrap().push(secrets);
        Ok(self.storage.clone())
    }

    async fn check_storage(
        &self,
        _storage: &StorageRef,
        _folder: Option<Arc<Dir>>,
        _secrets: Secrets,
    ) -> Result<Option<Vec<SettingFinding>>, PortError> {
        Ok(self.findings.lock().unwrap().clone())
    }

    async fn driver(&self, _kind: &str, grants: &DriverGrants) -> Result<Arc<dyn Driver>, PortError> {
        assert_eq!(grants.settings["accelerator"], "tcg");
        Ok(self.driver.clone())
    }
}

/// A running agent.
pub(in crate::tests) struct Started {
    stop: CancellationToken,
    task: JoinHandle<Result<(), AgentError>>,
}

impl Started {
    pub(in crate::tests) async fn stop(self) {
        self.stop.cancel();
        timeout(SOON, self.task).await.expect("the agent stops in time").unwrap().unwrap();
    }
}

pub(in crate::tests) const DISK_SIZE: u64 = 4 << 20;

impl World {
    pub(in crate::tests) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let storage = Arc::new(FakeStorage::new(path("storage")));
        // As an earlier agent left it.
        fs::write(storage.path(&format!("{RESERVED_NAMES}{}", storage_ref().id)), b"").unwrap();
        let driver = Arc::new(FakeDriver::new(path("exports")));
        let mut settings = Settings::new(path("data"), folder.path().join("r"));
        settings.programs = vec![Program {
            name: "guest".to_owned(),
            path: PathBuf::from("/usr/bin/tail"),
            package: "coreutils".to_owned(),
        }];
        settings.stop_guests = true;
        let ports = Arc::new(FakePorts {
            storage,
            driver,
            hold: Arc::default(),
            findings: Mutex::default(),
            remote: AtomicBool::default(),
            remote_is_read_only: AtomicBool::default(),
            opened_with: Mutex::default(),
            looked: Arc::default(),
            finds: Mutex::new((OsFamily::Unknown, Presence::Unknown)),
        });
        Self { folder, control: FakeControl::new(storage_ref()), ports, settings }
    }

    pub(in crate::tests) fn driver(&self) -> &FakeDriver {
        &self.ports.driver
    }

    pub(in crate::tests) fn folders(&self) -> Folders {
        Folders::create(&self.settings).unwrap()
    }

    pub(in crate::tests) fn agent(&self) -> Agent {
        Agent::new(
            self.settings.clone(),
            self.ports.clone(),
            self.control.clone(),
            Arc::new(SystemEnvironment),
        )
        .unwrap()
    }

    pub(in crate::tests) fn start(&self) -> Started {
        let agent = self.agent();
        let stop = CancellationToken::new();
        let token = stop.clone();
        Started { stop, task: tokio::spawn(async move { agent.run(token).await }) }
    }

    /// A stopped instance with some bytes on its disk.
    pub(in crate::tests) fn stopped_instance(&self) -> InstanceRef {
        let instance = instance_ref();
        let dir = InstanceDir::new(&self.folders(), instance.id);
        fs::create_dir(dir.folder()).unwrap();
        let mut bytes = vec![0; usize::try_from(DISK_SIZE).unwrap()];
        bytes[..100_000].fill(3);
        bytes[2_000_000..2_500_000].fill(5);
        fs::write(dir.file(&disk_file("raw")), &bytes).unwrap();
        let settings = BTreeMap::from([("accelerator".to_owned(), "tcg".to_owned())]);
        dir.define(&Definition::new(instance.clone(), "fake".to_owned(), settings)).unwrap();
        self.driver().serves(dir.file(&disk_file("raw")));
        instance
    }

    /// The same with a process.
    pub(in crate::tests) fn running_instance(&self) -> InstanceRef {
        let instance = self.stopped_instance();
        let dir = InstanceDir::new(&self.folders(), instance.id);
        let launch = Launch {
            program: "guest".to_owned(),
            arguments: vec![
                "-n0".to_owned(),
                "-f".to_owned(),
                dir.file(&disk_file("raw")).display().to_string(),
            ],
            environment: Props::new(),
        };
        process::start(Path::new("/usr/bin/tail"), &launch, &dir.process_record(), &dir.file("process.log"))
            .unwrap();
        instance
    }

    /// Nothing but finished things is left: no journal, result, log of an upload, scratch file or
    /// temporary name.
    pub(in crate::tests) fn assert_nothing_left(&self, keys: &[&str]) {
        let folders = self.folders();
        for folder in [folders.journal(), folders.results(), folders.uploads(), folders.scratch()] {
            let names: Vec<_> =
                fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert!(names.is_empty(), "{}: {names:?}", folder.display());
        }
        assert_eq!(self.ports.storage.names(), keys);
    }

    pub(in crate::tests) fn capture(&self, instance: &InstanceRef) -> Assignment {
        assignment(AssignmentKind::Capture(CaptureAssignment {
            instance: instance.clone(),
            image: image_ref("raw"),
            compression: Compression::None,
            want: Consistency::Application,
            minimum: Consistency::Crash,
            freeze_limit_ms: 2000,
            reclaim_limit_s: 0,
            scratch_limit: None,
            coalesce_timeout_s: Some(7200),
            windows: None,
        }))
    }

    pub(in crate::tests) fn deploy(&self, disk_size: u64, digest: Option<String>) -> Assignment {
        let instance = InstanceRef {
            id: InstanceId::new(Uuid::now_v7()),
            disk_size: ByteSize::new(disk_size).unwrap(),
            ..instance_ref()
        };
        assignment(AssignmentKind::Deploy(DeployAssignment {
            instance,
            image: Some(image_ref("raw")),
            devices: Devices::default(),
            source: None,
            logical_digest: digest.map(|text| text.parse().unwrap()),
            seed: Seed {
                instance_id: None,
                hostname: "web-1".to_owned(),
                ssh_keys: Vec::new(),
                user_data: None,
                user: None,
                config_drive: false,
            },
            start: true,
            replace: false,
        }))
    }
}

pub(in crate::tests) fn assignment(work: AssignmentKind) -> Assignment {
    Assignment {
        task_id: TaskId::new(Uuid::now_v7()),
        fence: 1,
        attempt: 1,
        lease_until: Utc::now() + chrono::Duration::seconds(30),
        deadline: Utc::now() + chrono::Duration::hours(1),
        kind: work,
    }
}

pub(in crate::tests) fn storage_ref() -> StorageRef {
    StorageRef {
        id: StorageId::new(Uuid::from_u128(9)),
        kind: StorageKind::local(),
        settings: BTreeMap::new(),
        secrets_version: 0,
        initialise: true,
    }
}

pub(in crate::tests) fn image_ref(format: &str) -> ImageRef {
    ImageRef {
        id: ImageId::new(Uuid::from_u128(4)),
        storage: storage_ref(),
        key: "image-1".to_owned(),
        format: format.parse().unwrap(),
    }
}

fn instance_ref() -> InstanceRef {
    InstanceRef {
        id: InstanceId::new(Uuid::now_v7()),
        name: Name::parse("web 1").unwrap(),
        disk_id: DiskId::new(Uuid::now_v7()),
        disk_format: ImageFormat::Raw,
        disk_size: ByteSize::new(DISK_SIZE).unwrap(),
        vcpus: 1,
        memory: ByteSize::new(256 << 20).unwrap(),
        vm_mode: None,
    }
}
