use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cap_std::{ambient_authority, fs::Dir};
use chrono::Utc;
use imprint_agent_protocol::{
    Assignment, CaptureWork, ClaimRequest, ClaimResponse, ControlPlane, DeployWork, Finish, Heartbeat,
    HeartbeatResponse, ImageRef, InstanceRef, Outcome, ProgressReport, ProgressResponse, ProtocolError,
    Register, RegisterResponse, Seed, StorageRef, Work,
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
    BlockSource, ByteRange, CaptureOutcome, CapturePlan, CaptureRequest, CaptureStatus, CheckPage, Codec,
    CreateRequest, DiskFormat, Driver, ErrorClass, Extent, ExtentKind, ExtentPage, FormatImage, FormatLayout,
    Guess, ImageInfo, JournalNote, Launch, Listing, LocalFile, MetadataPage, NbdSource, Object, Placed,
    PortError, Power, PowerAction, Props, QuiesceReport, ReadLocator, Recovered, Rules, SharedJournal,
    SourceRef, Space, StartedCapture, StorageBackend, Upload, Vm, VmSpec, WriteRequest, WriteTarget,
};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::{Notify, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::stack::{STACK, StackFormat};
use crate::{
    agent::{Agent, AgentError},
    instance::{Definition, Home, disk_file},
    ports::{DriverGrants, Ports},
    settings::{Folders, Program, Settings},
};

/// Generous: the machine may be busy.
pub(super) const SOON: Duration = Duration::from_secs(30);

pub(super) struct SystemEnvironment;

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

/// What the fake control plane has heard.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) registers: Vec<Register>,
    pub(super) heartbeats: Vec<Heartbeat>,
    pub(super) progress: Vec<ProgressReport>,
    pub(super) finishes: Vec<Finish>,
}

/// How the fake control plane answers.
#[derive(Default)]
pub(super) struct Script {
    pub(super) refuse_finishes: Option<ProtocolError>,
    pub(super) progress_error: Option<ProtocolError>,
    pub(super) cancel: bool,
    pub(super) max_work: u32,
    pub(super) max_captures: u32,
}

pub(super) struct FakeControl {
    queue: Mutex<VecDeque<Assignment>>,
    queued: Notify,
    heard: watch::Sender<Heard>,
    pub(super) script: Mutex<Script>,
    storage: StorageRef,
}

impl FakeControl {
    fn new(storage: StorageRef) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            queued: Notify::new(),
            heard: watch::Sender::new(Heard::default()),
            script: Mutex::new(Script { max_work: 4, max_captures: 1, ..Script::default() }),
            storage,
        })
    }

    pub(super) fn give(&self, assignment: Assignment) {
        self.queue.lock().unwrap().push_back(assignment);
        self.queued.notify_one();
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().unwrap().len()
    }

    /// Waits until what was heard is as wished.
    pub(super) async fn until<T>(&self, wished: impl Fn(&Heard) -> Option<T>) -> T {
        let mut heard = self.heard.subscribe();
        let seen =
            timeout(SOON, heard.wait_for(|heard| wished(heard).is_some())).await.expect("in time").unwrap();
        wished(&seen).unwrap()
    }

    pub(super) async fn outcome(&self, task: TaskId) -> Outcome {
        self.until(|heard| {
            heard
                .finishes
                .iter()
                .find(|finish| finish.lease.task_id == task)
                .map(|finish| finish.outcome.clone())
        })
        .await
    }

    pub(super) fn finishes(&self) -> usize {
        self.heard.borrow().finishes.len()
    }
}

#[async_trait]
impl ControlPlane for FakeControl {
    async fn register(&self, request: Register) -> Result<RegisterResponse, ProtocolError> {
        self.heard.send_modify(|heard| heard.registers.push(request));
        let script = self.script.lock().unwrap();
        Ok(RegisterResponse {
            driver: "fake".parse().unwrap(),
            driver_settings: BTreeMap::from([("accelerator".to_owned(), "tcg".to_owned())]),
            max_work: script.max_work,
            max_captures: script.max_captures,
            storages: vec![self.storage.clone()],
            control_plane_time: Utc::now(),
        })
    }

    async fn heartbeat(&self, request: Heartbeat) -> Result<HeartbeatResponse, ProtocolError> {
        // The progress reports carry the wish too, but only while the bytes move.
        let cancel = self.script.lock().unwrap().cancel;
        let cancelled = request.leases.iter().filter(|_| cancel).map(|lease| lease.task_id).collect();
        self.heard.send_modify(|heard| heard.heartbeats.push(request));
        Ok(HeartbeatResponse { lost: Vec::new(), cancelled, storages: vec![self.storage.clone()] })
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, ProtocolError> {
        let wait = Duration::from_millis(u64::from(request.wait_ms));
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let mut assignments = Vec::new();
            {
                let mut queue = self.queue.lock().unwrap();
                let mut captures = request.max_captures;
                while assignments.len() < usize::try_from(request.max).unwrap() {
                    let fits = |work: &Assignment| captures > 0 || !matches!(work.work, Work::Capture(_));
                    let Some(index) = queue.iter().position(fits) else { break };
                    let assignment = queue.remove(index).unwrap();
                    if matches!(assignment.work, Work::Capture(_)) {
                        captures -= 1;
                    }
                    assignments.push(assignment);
                }
            }
            if !assignments.is_empty()
                || tokio::time::timeout_at(deadline, self.queued.notified()).await.is_err()
            {
                return Ok(ClaimResponse { assignments });
            }
        }
    }

    async fn progress(&self, report: ProgressReport) -> Result<ProgressResponse, ProtocolError> {
        let answer = {
            let script = self.script.lock().unwrap();
            script.progress_error.clone().map_or(Ok(ProgressResponse { cancel: script.cancel }), Err)
        };
        self.heard.send_modify(|heard| heard.progress.push(report));
        answer
    }

    async fn finish(&self, report: Finish) -> Result<(), ProtocolError> {
        let refused = self.script.lock().unwrap().refuse_finishes.clone();
        self.heard.send_modify(|heard| heard.finishes.push(report));
        refused.map_or(Ok(()), Err)
    }
}

/// A format whose files are the disks themselves. While `hold` is set its tables never come.
pub(super) struct FakeFormat {
    name: String,
    hold: Arc<AtomicBool>,
}

#[async_trait]
impl DiskFormat for FakeFormat {
    fn name(&self) -> &str {
        &self.name
    }

    fn writes(&self) -> bool {
        true
    }

    async fn probe(&self, _head: &[u8], _tail: &[u8], _size: u64) -> Result<Option<Guess>, PortError> {
        let raw = Guess { confidence: 1, format: self.name.clone(), subformat: None };
        Ok((self.name == "raw").then_some(raw))
    }

    async fn open(
        &self,
        primary: Arc<dyn BlockSource>,
        _: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError> {
        let skip = if self.name == WRAPPER { WRAPPED_AT } else { 0 };
        Ok(Box::new(FakeImage { name: self.name.clone(), size: primary.size() - skip, skip }))
    }

    async fn begin_layout(&self, request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        // Scratch files hold no data; only real copies are held up.
        let hold = if request.allocated > 0 { self.hold.clone() } else { Arc::default() };
        Ok(Box::new(FakeLayout { hold }))
    }
}

/// A format whose files hold a raw disk behind some bytes of their own.
pub(super) const WRAPPER: &str = "vdi";
pub(super) const WRAPPED_AT: u64 = 65536;

struct FakeImage {
    name: String,
    size: u64,
    /// Where the disk begins, and with that whether this is a wrapper.
    skip: u64,
}

#[async_trait]
impl FormatImage for FakeImage {
    async fn info(&mut self) -> Result<ImageInfo, PortError> {
        Ok(ImageInfo {
            format: self.name.clone(),
            subformat: None,
            virtual_size: self.size,
            unit: 1,
            facts: match self.skip {
                0 => Props::new(),
                _ => Props::from([("contains".to_owned(), "raw".to_owned())]),
            },
        })
    }

    async fn sources(&mut self) -> Result<Vec<SourceRef>, PortError> {
        let primary = SourceRef {
            role: "primary".to_owned(),
            reference: String::new(),
            format_hint: None,
            required: true,
        };
        Ok(vec![primary])
    }

    async fn codecs(&mut self) -> Result<Vec<Codec>, PortError> {
        Ok(Vec::new())
    }

    async fn metadata_ranges(&mut self, _start: u64, _max: u32) -> Result<Vec<ByteRange>, PortError> {
        Ok(Vec::new())
    }

    async fn extents(&mut self, start: u64, end: u64, _max: u32) -> Result<ExtentPage, PortError> {
        let extent = Extent {
            offset: start,
            length: end - start,
            kind: ExtentKind::Data,
            source: 0,
            codec: 0,
            source_offset: start + self.skip,
            source_length: 0,
        };
        Ok(ExtentPage { extents: vec![extent], resume: end, done: true })
    }

    async fn check(&mut self, _start: u64, _max: u32) -> Result<CheckPage, PortError> {
        Ok(CheckPage { items: Vec::new(), resume: 0, done: true })
    }
}

struct FakeLayout {
    hold: Arc<AtomicBool>,
}

#[async_trait]
impl FormatLayout for FakeLayout {
    async fn rules(&mut self) -> Result<Rules, PortError> {
        Ok(Rules {
            data_start: 0,
            unit: 65536,
            align: 65536,
            identity: true,
            skip_zero: true,
            codec: None,
            verbatim_if_larger: false,
            verbatim_align: 0,
            max_encoded: 0,
            align_data: 0,
            frame: Vec::new(),
            interleave_every: 0,
            ascending: true,
        })
    }

    async fn placed(&mut self, _runs: &[Placed]) -> Result<(), PortError> {
        Ok(())
    }

    async fn interleave(&mut self, _at: u64) -> Result<Vec<u8>, PortError> {
        Ok(Vec::new())
    }

    async fn metadata(&mut self, end: u64, _start: u64, _max: u32) -> Result<MetadataPage, PortError> {
        if self.hold.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(MetadataPage { segments: Vec::new(), resume: 0, done: true, final_size: Some(end) })
    }
}

/// A storage in a folder. Temporary names begin with a dot.
pub(super) struct FakeStorage {
    folder: PathBuf,
    pub(super) available: AtomicU64,
    pub(super) full_at_commit: AtomicBool,
}

impl FakeStorage {
    fn dir(&self) -> Arc<Dir> {
        Arc::new(Dir::open_ambient_dir(&self.folder, ambient_authority()).unwrap())
    }

    /// Every name in the folder, temporary ones too.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key)
    }
}

#[async_trait]
impl StorageBackend for FakeStorage {
    async fn space(&self) -> Result<Option<Space>, PortError> {
        Ok(Some(Space { total: 1 << 40, available: self.available.load(Ordering::SeqCst) }))
    }

    async fn stat(&self, key: &str) -> Result<Object, PortError> {
        let size = fs::metadata(self.path(key)).map_err(not_found)?.len();
        Ok(Object { key: key.to_owned(), size, stored: None, modified_ms: None })
    }

    async fn list(&self, _prefix: &str, _resume: Option<&str>, _max: u32) -> Result<Listing, PortError> {
        Ok(Listing { objects: Vec::new(), resume: None })
    }

    async fn open_read(&self, key: &str) -> Result<ReadLocator, PortError> {
        Ok(ReadLocator::File(LocalFile { dir: self.dir(), path: key.to_owned() }))
    }

    async fn delete(&self, key: &str) -> Result<(), PortError> {
        fs::remove_file(self.path(key)).ok();
        Ok(())
    }

    async fn begin_upload(&self, request: &WriteRequest) -> Result<Box<dyn Upload>, PortError> {
        let temporary = format!(".{}", request.key);
        let target = WriteTarget::File(LocalFile { dir: self.dir(), path: temporary.clone() });
        Ok(Box::new(FakeUpload {
            token: temporary.clone().into_bytes(),
            target,
            temporary: self.path(&temporary),
            key: request.key.clone(),
            path: self.path(&request.key),
            full: self.full_at_commit.load(Ordering::SeqCst),
        }))
    }

    async fn cleanup(&self, token: &[u8]) -> Result<(), PortError> {
        fs::remove_file(self.path(std::str::from_utf8(token).unwrap())).ok();
        Ok(())
    }
}

fn not_found(error: std::io::Error) -> PortError {
    PortError::host(ErrorClass::NotFound, "storage.not-found", error)
}

struct FakeUpload {
    token: Vec<u8>,
    target: WriteTarget,
    temporary: PathBuf,
    key: String,
    path: PathBuf,
    full: bool,
}

#[async_trait]
impl Upload for FakeUpload {
    fn token(&self) -> &[u8] {
        &self.token
    }

    fn target(&self) -> &WriteTarget {
        &self.target
    }

    async fn commit(&mut self, total: u64, _digests: &[(String, Vec<u8>)]) -> Result<Object, PortError> {
        if self.full {
            return Err(PortError::host(ErrorClass::LimitExceeded, "storage.no-space", "no space"));
        }
        fs::rename(&self.temporary, &self.path).map_err(not_found)?;
        Ok(Object { key: self.key.clone(), size: total, stored: None, modified_ms: None })
    }

    async fn abort(&mut self) -> Result<(), PortError> {
        fs::remove_file(&self.temporary).ok();
        Ok(())
    }
}

/// What the fake driver shall do.
#[derive(Clone, Debug)]
pub(super) struct Behaviour {
    pub(super) level: Consistency,
    pub(super) expected: Consistency,
    /// Hangs in `begin_capture` behind this note.
    pub(super) hang_behind: Option<&'static str>,
    pub(super) panic_in_plan: bool,
    pub(super) broken: Option<String>,
    pub(super) refuse_recovery: bool,
    pub(super) ignore_shutdown: bool,
    pub(super) program: String,
}

/// A driver whose instances are processes that do nothing, and whose captures are served by
/// `qemu-nbd`.
pub(super) struct FakeDriver {
    pub(super) behaviour: Mutex<Behaviour>,
    calls: watch::Sender<Vec<String>>,
    folder: PathBuf,
    disk: Mutex<PathBuf>,
    server: tokio::sync::Mutex<Option<Child>>,
    pids: Mutex<BTreeMap<String, PathBuf>>,
}

impl FakeDriver {
    fn call(&self, text: impl Into<String>) {
        self.calls.send_modify(|calls| calls.push(text.into()));
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    pub(super) fn serves(&self, disk: PathBuf) {
        *self.disk.lock().unwrap() = disk;
    }

    async fn serve(&self, socket: &Path) {
        let disk = self.disk.lock().unwrap().clone();
        let child = Command::new("qemu-nbd")
            .args([
                "--read-only",
                "--persistent",
                "--shared=8",
                "--format=raw",
                "--export-name=disk",
                "--socket",
            ])
            .arg(socket)
            .arg(&disk)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("install qemu-utils");
        *self.server.lock().await = Some(child);
        let connect = async {
            while tokio::net::UnixStream::connect(socket).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, connect).await.expect("qemu-nbd listens in time");
    }

    async fn take_down(&self) {
        if let Some(mut child) = self.server.lock().await.take() {
            child.kill().await.unwrap();
        }
    }
}

fn note(journal: &SharedJournal, step: &str) {
    journal.record(&JournalNote { step: step.to_owned(), data: Props::new() }).unwrap();
}

#[async_trait]
impl Driver for FakeDriver {
    async fn requirements(&self) -> Result<Vec<(String, String)>, PortError> {
        Ok(Vec::new())
    }

    async fn describe(&self, vm_id: &str) -> Result<Vm, PortError> {
        Ok(Vm {
            id: vm_id.to_owned(),
            power: Power::Running,
            hypervisor_version: "1".to_owned(),
            guest_agent: None,
            disks: Vec::new(),
            facts: Props::new(),
        })
    }

    async fn plan_capture(&self, _request: &CaptureRequest) -> Result<CapturePlan, PortError> {
        let behaviour = self.behaviour.lock().unwrap().clone();
        assert!(!behaviour.panic_in_plan, "asked to panic");
        let virtual_size = fs::metadata(&*self.disk.lock().unwrap()).unwrap().len();
        Ok(CapturePlan {
            method: "fake".to_owned(),
            expected: behaviour.expected,
            virtual_size,
            remarks: vec!["no guest agent".to_owned()],
        })
    }

    async fn begin_capture(
        &self,
        request: &CaptureRequest,
        journal: &SharedJournal,
    ) -> Result<StartedCapture, PortError> {
        self.call("begin");
        let behaviour = self.behaviour.lock().unwrap().clone();
        assert!(request.scratch_path.exists(), "the scratch file is there before the capture begins");
        for step in ["adding-scratch", "freezing", "stopping", "resumed", "thawed", "exporting"] {
            note(journal, step);
            if behaviour.hang_behind == Some(step) {
                self.call("hangs");
                std::future::pending::<()>().await;
            }
        }
        let socket = self.folder.join(format!("{}.sock", request.capture_id));
        self.serve(&socket).await;
        let virtual_size = fs::metadata(&*self.disk.lock().unwrap()).unwrap().len();
        Ok(StartedCapture {
            source: NbdSource {
                socket,
                export: "disk".to_owned(),
                meta_contexts: vec!["base:allocation".to_owned()],
                max_connections: 2,
            },
            content: "raw".to_owned(),
            virtual_size,
            quiesce: QuiesceReport {
                level: behaviour.level,
                frozen_filesystems: 1,
                freeze_ms: 10,
                frozen_total_ms: 20,
                vm_stopped_ms: 3,
                downgrade_reason: (behaviour.level == Consistency::Crash)
                    .then(|| "no guest agent".to_owned()),
            },
            method: "fake".to_owned(),
        })
    }

    async fn capture_status(&self, _vm_id: &str, _capture_id: &str) -> Result<CaptureStatus, PortError> {
        self.call("status");
        let broken = self.behaviour.lock().unwrap().broken.clone();
        Ok(CaptureStatus { power: Power::Running, scratch_used: 0, broken })
    }

    async fn end_capture(
        &self,
        _vm_id: &str,
        _capture_id: &str,
        outcome: CaptureOutcome,
        journal: &SharedJournal,
    ) -> Result<(), PortError> {
        note(journal, "ending");
        self.take_down().await;
        self.call(format!("end {outcome:?}"));
        Ok(())
    }

    async fn recover(
        &self,
        _vm_id: &str,
        _capture_id: &str,
        journal: &SharedJournal,
    ) -> Result<Recovered, PortError> {
        let refuse = self.behaviour.lock().unwrap().refuse_recovery;
        let steps: Vec<_> = journal.notes().into_iter().map(|note| note.step).collect();
        self.take_down().await;
        self.call(format!("recover {}", steps.join(" ")));
        if refuse {
            return Err(PortError::host(ErrorClass::Transient, "fake.busy", "the monitor is busy"));
        }
        Ok(Recovered { power: Power::Running, actions: Vec::new() })
    }

    async fn define(&self, spec: &VmSpec) -> Result<Launch, PortError> {
        self.pids.lock().unwrap().insert(spec.id.clone(), PathBuf::from(&spec.paths["pidfile"]));
        Ok(Launch {
            program: self.behaviour.lock().unwrap().program.clone(),
            arguments: vec!["-n0".to_owned(), "-f".to_owned(), spec.disks[0].path.display().to_string()],
            environment: Props::new(),
        })
    }

    async fn set_power(&self, vm_id: &str, action: PowerAction) -> Result<Power, PortError> {
        self.call(format!("{action:?}"));
        let ignored =
            matches!(action, PowerAction::Shutdown) && self.behaviour.lock().unwrap().ignore_shutdown;
        if !ignored {
            let pid_file = self.pids.lock().unwrap()[vm_id].clone();
            let home = pid_file.parent().unwrap();
            let process = crate::process::Process::find(&home.join("process.json"), &pid_file, vm_id);
            process.unwrap().signal(rustix::process::Signal::TERM).unwrap();
        }
        Ok(Power::Running)
    }
}

/// Everything together, in a temporary folder.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) control: Arc<FakeControl>,
    pub(super) ports: Arc<FakePorts>,
    pub(super) settings: Settings,
}

pub(super) struct FakePorts {
    pub(super) storage: Arc<FakeStorage>,
    pub(super) driver: Arc<FakeDriver>,
    pub(super) hold: Arc<AtomicBool>,
}

#[async_trait]
impl Ports for FakePorts {
    fn plugins(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("fake".to_owned(), "1".to_owned())])
    }

    fn format(&self, name: &str) -> Option<Arc<dyn DiskFormat>> {
        if name == STACK {
            return Some(Arc::new(StackFormat { hold: self.hold.clone() }));
        }
        let known = ["raw", "qcow2", WRAPPER].contains(&name);
        let format: Arc<dyn DiskFormat> =
            Arc::new(FakeFormat { name: name.to_owned(), hold: self.hold.clone() });
        known.then_some(format)
    }

    fn formats(&self) -> Vec<Arc<dyn DiskFormat>> {
        ["raw", WRAPPER].into_iter().filter_map(|name| self.format(name)).collect()
    }

    async fn storage(&self, _storage: &StorageRef) -> Result<Arc<dyn StorageBackend>, PortError> {
        Ok(self.storage.clone())
    }

    async fn driver(&self, _kind: &str, grants: &DriverGrants) -> Result<Arc<dyn Driver>, PortError> {
        assert_eq!(grants.settings["accelerator"], "tcg");
        Ok(self.driver.clone())
    }
}

/// An agent at work.
pub(super) struct Started {
    stop: CancellationToken,
    task: JoinHandle<Result<(), AgentError>>,
}

impl Started {
    pub(super) async fn stop(self) {
        self.stop.cancel();
        timeout(SOON, self.task).await.expect("the agent stops in time").unwrap().unwrap();
    }
}

pub(super) const DISK_SIZE: u64 = 4 << 20;

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let storage = Arc::new(FakeStorage {
            folder: path("storage"),
            available: AtomicU64::new(1 << 40),
            full_at_commit: AtomicBool::new(false),
        });
        let behaviour = Behaviour {
            level: Consistency::Filesystem,
            expected: Consistency::Filesystem,
            hang_behind: None,
            panic_in_plan: false,
            broken: None,
            refuse_recovery: false,
            ignore_shutdown: false,
            program: "guest".to_owned(),
        };
        let driver = Arc::new(FakeDriver {
            behaviour: Mutex::new(behaviour),
            calls: watch::Sender::default(),
            folder: path("exports"),
            disk: Mutex::default(),
            server: tokio::sync::Mutex::default(),
            pids: Mutex::default(),
        });
        let mut settings = Settings::new(path("data"), folder.path().join("r"));
        settings.programs = vec![Program {
            name: "guest".to_owned(),
            path: PathBuf::from("/usr/bin/tail"),
            package: "coreutils".to_owned(),
        }];
        settings.stop_guests = true;
        let ports = Arc::new(FakePorts { storage, driver, hold: Arc::default() });
        Self { folder, control: FakeControl::new(storage_ref()), ports, settings }
    }

    pub(super) fn driver(&self) -> &FakeDriver {
        &self.ports.driver
    }

    pub(super) fn folders(&self) -> Folders {
        Folders::make(&self.settings).unwrap()
    }

    pub(super) fn agent(&self) -> Agent {
        Agent::new(
            self.settings.clone(),
            self.ports.clone(),
            self.control.clone(),
            Arc::new(SystemEnvironment),
        )
        .unwrap()
    }

    pub(super) fn start(&self) -> Started {
        let agent = self.agent();
        let stop = CancellationToken::new();
        let token = stop.clone();
        Started { stop, task: tokio::spawn(async move { agent.run(token).await }) }
    }

    /// A stopped instance with some bytes on its disk.
    pub(super) fn stopped_instance(&self) -> InstanceRef {
        let instance = instance_ref();
        let home = Home::new(&self.folders(), instance.id);
        fs::create_dir(home.folder()).unwrap();
        let mut bytes = vec![0; usize::try_from(DISK_SIZE).unwrap()];
        bytes[..100_000].fill(3);
        bytes[2_000_000..2_500_000].fill(5);
        fs::write(home.file(&disk_file("raw")), &bytes).unwrap();
        let settings = BTreeMap::from([("accelerator".to_owned(), "tcg".to_owned())]);
        home.define(&Definition::new(instance.clone(), "fake".to_owned(), settings)).unwrap();
        self.driver().serves(home.file(&disk_file("raw")));
        instance
    }

    /// The same with a process.
    pub(super) fn running_instance(&self) -> InstanceRef {
        let instance = self.stopped_instance();
        let home = Home::new(&self.folders(), instance.id);
        let launch = Launch {
            program: "guest".to_owned(),
            arguments: vec![
                "-n0".to_owned(),
                "-f".to_owned(),
                home.file(&disk_file("raw")).display().to_string(),
            ],
            environment: Props::new(),
        };
        crate::process::start(
            Path::new("/usr/bin/tail"),
            &launch,
            &home.process_record(),
            &home.file("process.log"),
        )
        .unwrap();
        instance
    }

    /// Nothing but finished things is left: no journal, result, scratch file or temporary name.
    pub(super) fn assert_nothing_left(&self, keys: &[&str]) {
        let folders = self.folders();
        for folder in [folders.journal(), folders.results(), folders.scratch()] {
            let names: Vec<_> =
                fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert!(names.is_empty(), "{}: {names:?}", folder.display());
        }
        assert_eq!(self.ports.storage.names(), keys);
    }

    pub(super) fn capture(&self, instance: &InstanceRef) -> Assignment {
        assignment(Work::Capture(CaptureWork {
            instance: instance.clone(),
            image: image_ref("raw"),
            compression: Compression::None,
            want: Consistency::Application,
            minimum: Consistency::Crash,
            freeze_limit_ms: 2000,
            scratch_limit: None,
            coalesce_timeout_s: Some(7200),
        }))
    }

    pub(super) fn deploy(&self, disk_size: u64, digest: Option<String>) -> Assignment {
        let instance = InstanceRef {
            id: InstanceId::new(Uuid::now_v7()),
            disk_size: ByteSize::new(disk_size).unwrap(),
            ..instance_ref()
        };
        assignment(Work::Deploy(DeployWork {
            instance,
            image: image_ref("raw"),
            logical_digest: digest.map(|text| text.parse().unwrap()),
            seed: Seed { hostname: "web-1".to_owned(), ssh_keys: Vec::new(), user_data: None },
            start: true,
        }))
    }
}

pub(super) fn assignment(work: Work) -> Assignment {
    Assignment {
        task_id: TaskId::new(Uuid::now_v7()),
        fence: 1,
        attempt: 1,
        lease_until: Utc::now() + chrono::Duration::seconds(30),
        deadline: Utc::now() + chrono::Duration::hours(1),
        work,
    }
}

pub(super) fn storage_ref() -> StorageRef {
    StorageRef {
        id: StorageId::new(Uuid::from_u128(9)),
        kind: StorageKind::local(),
        settings: BTreeMap::new(),
    }
}

pub(super) fn image_ref(format: &str) -> ImageRef {
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
    }
}
