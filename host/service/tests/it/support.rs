//! A small provider: an admin, two customers, a location with a hypervisor and its agent, and an
//! instance.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use imprint_agent_protocol::{
    Assignment, AssignmentKind, CaptureResult, ClaimRequest, ControlPlane, DeployResult, Finish, Heartbeat,
    HeartbeatResponse, HeldLease, ImageResult, ImportResult, InstanceReport, IsoResult, MoveResult,
    ObjectServer, Outcome, PROTOCOL_VERSION, Peer, ProgressReport, ProgressResponse, ProtocolError, Register,
    RegisterResponse, StorageKindReport, StorageReport,
};
use imprint_domain::{
    account::{Role, Scope},
    coalesce::CoalescePolicy,
    consistency::Consistency,
    id::{AgentId, HypervisorId, ImageId, InstanceId, RequestId, StorageId, TaskId},
    image::{
        ImageFormat, StoredImage,
        catalogue::{CatalogueEdit, GuestSystem},
    },
    instance::Power,
    iso::StoredIso,
    location::FreezeLimit,
    name::Name,
    plugin_kind::StorageKind,
    size::ByteSize,
    storage::StorageRole,
    storage_test::StorageTest,
    tag::Tags,
    task::Phase,
    task_error::TaskError,
    time::{Environment, Timestamp},
};
use imprint_service::{
    AccountCreate, Actor, Authenticated, CaptureCreate, Database, HypervisorCreate, ImageTask,
    InstanceCreate, KEY_BYTES, LocationCreate, LocationView, Op, SecretKeys, Service, Settings,
    StockImageCreate, StorageCreate, TaskView,
};
use imprint_store::Target;
use serde_json::json;
use uuid::{Builder, Uuid};

/// A clock that the test holds, and ids and random bytes that follow from a counter.
pub(crate) struct ManualEnvironment {
    now: Mutex<Timestamp>,
    counter: AtomicU64,
}

impl ManualEnvironment {
    fn new() -> Self {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        Self { now: Mutex::new(start), counter: AtomicU64::new(1) }
    }

    pub(crate) fn advance(&self, seconds: i64) {
        *self.now.lock().unwrap() += TimeDelta::seconds(seconds);
    }

    fn next(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }
}

impl Environment for ManualEnvironment {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn new_uuid(&self) -> Uuid {
        let mut tail = [0; 10];
        tail[2..].copy_from_slice(&self.next().to_be_bytes());
        let millis = u64::try_from(self.now().timestamp_millis()).unwrap();
        Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let word = self.next().wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// A public key that is well formed.
pub(crate) const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me";

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) environment: Arc<ManualEnvironment>,
    pub(crate) target: Target,
    pub(crate) admin: Op,
    pub(crate) customer: Op,
    pub(crate) other: Op,
    pub(crate) location: LocationView,
    pub(crate) hypervisor: HypervisorId,
    pub(crate) images: StorageId,
    pub(crate) stock: StorageId,
    pub(crate) stock_image: ImageId,
    pub(crate) instance: InstanceId,
    pub(crate) agent: Agent,
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn size(bytes: u64) -> ByteSize {
    ByteSize::new(bytes).unwrap()
}

pub(crate) fn database(target: &Target) -> Database {
    match target {
        Target::SqliteFile(path) => Database::SqliteFile(path.clone()),
        Target::SqliteMemory => Database::SqliteMemory,
        Target::Postgres(url) => Database::Postgres(url.clone()),
    }
}

/// A key file's text with these keys, each made of one digit.
pub(crate) fn keys(digits: &str) -> SecretKeys {
    let line = |digit: char| format!("{}\n", digit.to_string().repeat(2 * KEY_BYTES));
    SecretKeys::parse(&digits.chars().map(line).collect::<String>()).unwrap()
}

/// Passwords that cost next to nothing.
pub(crate) fn settings() -> Settings {
    Settings { password_memory_kib: 8, secret_keys: keys("1"), storage_scan_h: 0, ..Settings::default() }
}

pub(crate) async fn open(target: &Target, environment: &Arc<ManualEnvironment>) -> Service {
    open_with(target, environment, settings().secret_keys).await
}

pub(crate) async fn open_with(
    target: &Target,
    environment: &Arc<ManualEnvironment>,
    secret_keys: SecretKeys,
) -> Service {
    let environment: Arc<ManualEnvironment> = Arc::clone(environment);
    let settings = Settings { secret_keys, ..settings() };
    Service::open(&database(target), settings, environment).await.unwrap()
}

pub(crate) fn op(actor: Actor) -> Op {
    Op::new(actor, RequestId::new(Uuid::from_u128(1)))
}

impl World {
    pub(crate) async fn open(target: Target) -> Self {
        let environment = Arc::new(ManualEnvironment::new());
        let service = open(&target, &environment).await;
        assert_eq!(service.ensure_admin(Some("admin password".into())).await.unwrap(), None);
        let admin = sign_in(&service, "admin", "admin password").await;
        let location = LocationCreate {
            name: name("Here"),
            images_enabled: true,
            sharing_enabled: true,
            iso_enabled: true,
            import_enabled: true,
            export_enabled: true,
            default_image_limit: None,
            default_image_bytes_limit: None,
            coalesce: CoalescePolicy::default(),
            freeze_limit: FreezeLimit::default(),
        };
        let location = service.location_create(&admin, location).await.unwrap();
        let hypervisor = HypervisorCreate {
            name: name("host-1"),
            location_id: location.id,
            driver: "qemu".parse().unwrap(),
            driver_settings: BTreeMap::new(),
            max_work: None,
            max_captures: None,
        };
        let hypervisor = service.hypervisor_create(&admin, hypervisor).await.unwrap().id;
        let images = storage(&service, &admin, hypervisor, "images", StorageRole::Customer).await;
        let stock = storage(&service, &admin, hypervisor, "stock", StorageRole::Stock).await;
        let customer = account(&service, &admin, "customer").await;
        let other = account(&service, &admin, "other").await;
        let agent = Agent::new(&service, hypervisor, &environment);
        agent.register().await.unwrap();
        let request = StockImageCreate {
            name: name("Small Linux"),
            description: String::new(),
            storage_id: stock,
            key: "small.qcow2".into(),
            format: ImageFormat::Qcow2,
            location_id: location.id,
            guest: GuestSystem::default(),
            catalogue: CatalogueEdit::default(),
        };
        let stock_image = service.stock_image_create(&admin, request).await.unwrap().image.id;
        agent.work_all().await;
        let mut world = Self {
            service,
            environment,
            target,
            admin,
            customer,
            other,
            location,
            hypervisor,
            images,
            stock,
            stock_image,
            instance: InstanceId::new(Uuid::nil()),
            agent,
        };
        world.instance = world.deploy("web-1").await;
        world
    }

    pub(crate) fn deployment(&self, text: &str) -> InstanceCreate {
        InstanceCreate {
            declared_os: None,
            image_id: self.stock_image,
            name: name(text),
            hypervisor_id: None,
            vcpus: None,
            memory: None,
            disk_size: None,
            ssh_key_ids: Vec::new(),
            user_script_id: None,
            ssh_keys: vec![SSH_KEY.into()],
            user_data: Some("#cloud-config\n".into()),
            start: true,
        }
    }

    /// A ready instance of the customer.
    pub(crate) async fn deploy(&self, text: &str) -> InstanceId {
        let made = self.service.instance_create(&self.customer, self.deployment(text)).await.unwrap();
        self.agent.work_all().await;
        made.instance.id
    }

    pub(crate) fn capture_request(&self, text: &str) -> CaptureCreate {
        CaptureCreate {
            instance_id: self.instance,
            name: name(text),
            description: String::new(),
            tags: Tags::default(),
            format: None,
            domain_controller: None,
            compression: None,
            consistency: None,
            storage_id: None,
        }
    }

    pub(crate) async fn capture(&self, text: &str) -> ImageTask {
        self.service.image_capture(&self.customer, self.capture_request(text)).await.unwrap()
    }

    /// An available image of the customer.
    pub(crate) async fn image(&self, text: &str) -> ImageId {
        let made = self.capture(text).await;
        self.agent.work_all().await;
        made.image.id
    }

    pub(crate) async fn task(&self, id: TaskId) -> TaskView {
        self.service.task_show(&self.customer, id).await.unwrap()
    }

    /// Lets time pass while the agent sends its heartbeats.
    pub(crate) async fn pass(&self, seconds: i64, leases: &[HeldLease]) {
        let mut left = seconds;
        while left > 0 {
            let step = left.min(5);
            self.environment.advance(step);
            self.agent.heartbeat(leases).await.unwrap();
            left -= step;
        }
    }
}

pub(crate) async fn sign_in(service: &Service, account: &str, password: &str) -> Op {
    let request = imprint_service::SignIn {
        account: account.into(),
        password: password.into(),
        request_id: RequestId::new(Uuid::from_u128(2)),
    };
    let signed_in = service.session_create(request).await.unwrap();
    op(service.session_authenticate(&signed_in.token).await.unwrap())
}

/// Returns a request with only those scopes.
pub(crate) fn with_scopes(base: &Op, scopes: &[Scope]) -> Op {
    let mut actor = base.actor.clone();
    actor.scopes = scopes.iter().copied().collect();
    actor.by = Authenticated::System;
    op(actor)
}

pub(crate) async fn account(service: &Service, admin: &Op, text: &str) -> Op {
    let request = AccountCreate {
        name: name(text),
        password: "correct horse".into(),
        role: Role::Customer,
        image_limit: None,
        image_bytes_limit: None,
    };
    service.account_create(admin, request).await.unwrap();
    sign_in(service, text, "correct horse").await
}

pub(crate) async fn storage(
    service: &Service,
    admin: &Op,
    hypervisor: HypervisorId,
    text: &str,
    role: StorageRole,
) -> StorageId {
    let settings = BTreeMap::from([("path".to_owned(), format!("/srv/{text}"))]);
    // The tests bind them to several hypervisors, and the program's start to another one.
    let request = StorageCreate {
        shared_path: true,
        ..StorageCreate::new(name(text), role, StorageKind::local(), settings)
    };
    let id = service.storage_create(admin, request).await.unwrap().id;
    service.storage_bind(admin, id, hypervisor).await.unwrap();
    id
}

/// The kind of the shipped plugin for folders.
pub(crate) fn local_kind() -> StorageKindReport {
    let schema = include_str!("../../../../plugins/storage-local/config.schema.json");
    StorageKindReport {
        kind: StorageKind::local(),
        plugin: "storage-local".into(),
        version: "0.1.0".into(),
        summary: "Images in a directory of this machine".into(),
        schema: Some(schema.into()),
    }
}

/// A kind with secrets.
pub(crate) fn vault_kind() -> StorageKindReport {
    let schema = json!({
        "type": "object",
        "properties": {
            "endpoint": {"type": "string", "pattern": "^https?://"},
            "connections": {"type": "integer", "minimum": 1, "maximum": 64, "default": 8},
            "key": {"type": "string", "writeOnly": true, "minLength": 8},
            "session-token": {"type": "string", "writeOnly": true}
        },
        "required": ["endpoint", "key"]
    });
    StorageKindReport {
        kind: "vault".parse().unwrap(),
        plugin: "storage-vault".into(),
        version: "1.2.0".into(),
        summary: "Images behind a key".into(),
        schema: Some(schema.to_string()),
    }
}

/// What an agent process says; the work itself is made up.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) hypervisor: HypervisorId,
    pub(crate) control: Arc<dyn ControlPlane>,
    pub(crate) environment: Arc<ManualEnvironment>,
}

pub(crate) fn lease(work: &Assignment) -> HeldLease {
    HeldLease { task_id: work.task_id, fence: work.fence }
}

/// A digest of 64 times that hexadecimal digit.
pub(crate) fn digest(hex: &str) -> String {
    format!("imprint1:{}", hex.repeat(64))
}

pub(crate) fn stored() -> StoredImage {
    StoredImage {
        size: size(5 << 20),
        virtual_size: size(64 << 20),
        format: ImageFormat::Qcow2,
        logical_digest: digest("1").parse().unwrap(),
        stored_digest: digest("2").parse().unwrap(),
        consistency: Some(Consistency::Filesystem),
    }
}

/// How a piece of work ends well.
pub(crate) fn success(work: &AssignmentKind) -> Outcome {
    match work {
        AssignmentKind::Capture(_) => Outcome::Captured(CaptureResult {
            image: stored(),
            consistency: Consistency::Filesystem,
            downgraded_because: Some("the guest has no freeze hooks".into()),
            method: "cbw-snapshot-access".into(),
            frozen_ms: 40,
            stopped_ms: 0,
            findings: None,
        }),
        AssignmentKind::MoveImage(order) => {
            Outcome::Moved(MoveResult { size: order.size, stored_digest: order.stored_digest.clone() })
        }
        AssignmentKind::Import(_) => Outcome::Imported(ImportResult {
            image: StoredImage { consistency: None, ..stored() },
            file_size: size(7 << 20),
            format: ImageFormat::Vmdk,
            packing: None,
            findings: None,
        }),
        AssignmentKind::RegisterImage(_) | AssignmentKind::VerifyImage(_) => {
            Outcome::ImageRegistered(ImageResult { image: stored(), findings: None })
        }
        AssignmentKind::Deploy(_) => Outcome::Deployed(DeployResult {
            power: Power::Running,
            disk_allocated: size(4 << 20),
            network: None,
        }),
        AssignmentKind::RegisterIso(_) => Outcome::IsoRegistered(IsoResult {
            stored: StoredIso {
                size: size(64 * 2048),
                digest: digest("3").parse().unwrap(),
                label: String::new(),
            },
        }),
        AssignmentKind::ExportImage(_) => crate::exports::exported(),
        AssignmentKind::TestStorage(_) => Outcome::StorageTested(StorageTest::default()),
        AssignmentKind::ScanStorage(_) => Outcome::StorageScanned,
        AssignmentKind::DeleteImage(_)
        | AssignmentKind::CleanStorage(_)
        | AssignmentKind::Start(_)
        | AssignmentKind::Stop(_)
        | AssignmentKind::Coalesce(_)
        | AssignmentKind::ChangeDevices(_)
        | AssignmentKind::DeleteInstance(_) => Outcome::Done,
    }
}

pub(crate) fn failure(retryable: bool) -> Outcome {
    Outcome::Failed(TaskError::reported("qemu.busy", retryable, "try later"))
}

impl Agent {
    pub(crate) fn new(
        service: &Service,
        hypervisor: HypervisorId,
        environment: &Arc<ManualEnvironment>,
    ) -> Self {
        Self {
            id: AgentId::new(environment.new_uuid()),
            hypervisor,
            control: service.control_plane(Peer { hypervisor_id: hypervisor }),
            environment: Arc::clone(environment),
        }
    }

    /// The same machine's next process: what SIGKILL leaves.
    pub(crate) async fn restarted(&self) -> Self {
        self.restarted_with(Vec::new()).await
    }

    /// The same, where those jobs of the killed process go on where they were.
    pub(crate) async fn restarted_with(&self, advanced: Vec<HeldLease>) -> Self {
        let next = Self {
            id: AgentId::new(self.environment.new_uuid()),
            hypervisor: self.hypervisor,
            control: Arc::clone(&self.control),
            environment: Arc::clone(&self.environment),
        };
        let request = Register { advanced, ..next.registration(vec![local_kind(), vault_kind()]) };
        next.control.register(request).await.unwrap();
        next
    }

    pub(crate) async fn register(&self) -> Result<RegisterResponse, ProtocolError> {
        self.register_with(vec![local_kind(), vault_kind()]).await
    }

    pub(crate) async fn register_with(
        &self,
        storage_kinds: Vec<StorageKindReport>,
    ) -> Result<RegisterResponse, ProtocolError> {
        self.control.register(self.registration(storage_kinds)).await
    }

    /// Registers an agent that serves the objects of its storages.
    pub(crate) async fn register_serving(&self, server: ObjectServer) -> RegisterResponse {
        let request = Register { objects: Some(server), ..self.registration(Vec::new()) };
        self.control.register(request).await.unwrap()
    }

    fn registration(&self, storage_kinds: Vec<StorageKindReport>) -> Register {
        Register {
            agent_id: self.id,
            protocol: PROTOCOL_VERSION,
            version: "0.1.0".into(),
            plugins: BTreeMap::new(),
            storage_kinds,
            drivers_with_devices: vec!["qemu".to_owned()],
            findings: Vec::new(),
            objects: None,
            advanced: Vec::new(),
        }
    }

    pub(crate) async fn heartbeat(&self, leases: &[HeldLease]) -> Result<HeartbeatResponse, ProtocolError> {
        self.report(leases, Vec::new()).await
    }

    pub(crate) async fn report(
        &self,
        leases: &[HeldLease],
        storages: Vec<StorageReport>,
    ) -> Result<HeartbeatResponse, ProtocolError> {
        let request =
            Heartbeat { agent_id: self.id, leases: leases.to_vec(), instances: Vec::new(), storages };
        self.control.heartbeat(request).await
    }

    pub(crate) async fn report_instances(&self, instances: Vec<InstanceReport>) {
        let request = Heartbeat { agent_id: self.id, leases: Vec::new(), instances, storages: Vec::new() };
        self.control.heartbeat(request).await.unwrap();
    }

    pub(crate) async fn claim(&self, max: u32, wait_ms: u32) -> Vec<Assignment> {
        let request =
            ClaimRequest { agent_id: self.id, max, max_captures: max, known_captures: None, wait_ms };
        self.control.claim(request).await.unwrap().assignments
    }

    pub(crate) async fn claim_one(&self) -> Assignment {
        self.claim(1, 0).await.pop().expect("there is work")
    }

    pub(crate) async fn progress(
        &self,
        work: &Assignment,
        phase: Phase,
        bytes_done: u64,
    ) -> Result<ProgressResponse, ProtocolError> {
        let report = ProgressReport {
            agent_id: self.id,
            lease: lease(work),
            phase,
            bytes_done,
            bytes_total: Some(1000),
        };
        self.control.progress(report).await
    }

    pub(crate) async fn finish(&self, work: &Assignment, outcome: Outcome) -> Result<(), ProtocolError> {
        self.control.finish(Finish { agent_id: self.id, lease: lease(work), outcome }).await
    }

    /// Does everything that is queued, successfully.
    pub(crate) async fn work_all(&self) {
        loop {
            let work = self.claim(8, 0).await;
            if work.is_empty() {
                return;
            }
            for assignment in work {
                self.finish(&assignment, success(&assignment.kind)).await.unwrap();
            }
        }
    }
}
