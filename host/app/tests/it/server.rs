//! A control plane with a customer and a stock image, and an agent that ends its tasks with the
//! outcomes that a test chooses.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use imprint_agent_protocol::{
    Assignment, ClaimRequest, ControlPlane, DeployResult, Finish, Heartbeat, HeldLease, ImageResult, Outcome,
    PROTOCOL_VERSION, Peer, Register, StorageReport,
};
use imprint_domain::{
    id::{AgentId, StorageId},
    image::{
        ImageFormat, StoredImage,
        catalogue::{CatalogueEdit, GuestSystem, OsType},
    },
    instance::Power,
    name::Name,
    size::ByteSize,
};
use imprint_service::{Database, LocalRequest, Service, Settings, StockImageCreate, SystemEnvironment};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The longest time that a command may take.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) agent: Agent,
    folder: TempDir,
    stop: CancellationToken,
}

/// An agent that ends its tasks with the given outcomes.
pub(crate) struct Agent {
    control_plane: Arc<dyn ControlPlane>,
    id: AgentId,
    storages: Vec<StorageId>,
}

impl Server {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests hold no clock of their own, and run what they test in the background"
    )]
    pub(crate) async fn start() -> Self {
        let settings = Settings { password_memory_kib: 64, ..Settings::default() };
        let service =
            Service::open(&Database::SqliteMemory, settings, Arc::new(SystemEnvironment)).await.unwrap();
        service.ensure_admin(Some(PASSWORD.to_owned())).await.unwrap();
        let local = LocalRequest {
            location: Name::parse("home").unwrap(),
            hypervisor: Name::parse("this-machine").unwrap(),
            driver: "qemu".parse().unwrap(),
            driver_settings: [].into(),
            customer_path: "/srv/images".to_owned(),
            stock_path: "/srv/stock".to_owned(),
        };
        let setup = service.ensure_local(&local).await.unwrap();
        let account = Name::parse("demo").unwrap();
        service.ensure_customer(&account, Some(PASSWORD.to_owned())).await.unwrap();
        let stock_image = StockImageCreate {
            name: Name::parse("Debian").unwrap(),
            description: String::new(),
            storage_id: setup.stock_storage_id,
            key: "debian.qcow2".to_owned(),
            format: ImageFormat::Qcow2,
            location_id: setup.location_id,
            guest: GuestSystem { os_type: OsType::Linux, cloud_init: true },
            catalogue: CatalogueEdit::default(),
        };
        let admin = service.admin_op().await.unwrap();
        service.stock_image_create(&admin, stock_image).await.unwrap();
        let control_plane = service.control_plane(Peer { hypervisor_id: setup.hypervisor_id });
        let storages = vec![setup.customer_storage_id, setup.stock_storage_id];
        let agent = Agent { control_plane, id: AgentId::new(Uuid::now_v7()), storages };
        agent.report().await;
        agent.work(Outcome::ImageRegistered(ImageResult { image: stored(), findings: None })).await;

        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let options = imprint_api::Options {
            assets: None,
            https: false,
            findings: 0,
            objects: None,
            uploads: None,
            shutdown: stop.clone(),
        };
        tokio::spawn(imprint_api::serve(listener, imprint_api::router(service, options), stop.clone()));
        Self { url, agent, folder: tempfile::tempdir().unwrap(), stop }
    }

    /// Where `imprint login` keeps its token.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.folder.path().join("credentials.json")
    }

    /// Runs the binary; `IMPRINT_PASSWORD` is the accounts' password.
    pub(crate) async fn imprint(&self, args: &[&str]) -> Ran {
        self.imprint_with(args, &[]).await
    }

    /// Runs the binary with more variables.
    pub(crate) async fn imprint_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        let output = tokio::time::timeout(TIMEOUT, command.kill_on_drop(true).output()).await;
        Ran(output.expect("the command ends").unwrap())
    }

    /// Runs the binary with a text as its standard input.
    pub(crate) async fn imprint_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
        Ran(output.expect("the command ends").unwrap())
    }

    fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_imprint"));
        command.args(args).env_clear().env("IMPRINT_PASSWORD", PASSWORD);
        command.env("IMPRINT_CREDENTIALS", self.credentials());
        command
    }

    /// Signs in as the customer.
    pub(crate) async fn login(&self) {
        self.imprint(&["login", "--server", &self.url, "--account", "demo"]).await.expect(0);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Agent {
    async fn report(&self) {
        let register = Register {
            agent_id: self.id,
            protocol: PROTOCOL_VERSION,
            version: "0.1.0".to_owned(),
            plugins: [].into(),
            storage_kinds: Vec::new(),
            drivers_with_devices: vec!["qemu".to_owned()],
            findings: Vec::new(),
            objects: None,
            advanced: Vec::new(),
        };
        self.control_plane.register(register).await.unwrap();
        let room = Some(ByteSize::new(1 << 40).unwrap());
        let storages = self.storages.iter();
        let storages = storages
            .map(|id| StorageReport {
                id: *id,
                total: room,
                available: room,
                problem: None,
                read_only: false,
                marked: true,
            })
            .collect();
        let heartbeat = Heartbeat { agent_id: self.id, leases: Vec::new(), instances: Vec::new(), storages };
        self.control_plane.heartbeat(heartbeat).await.unwrap();
    }

    async fn claim(&self) -> Assignment {
        let request = ClaimRequest {
            agent_id: self.id,
            max: 1,
            max_captures: 1,
            known_captures: None,
            wait_ms: 10_000,
        };
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let mut claimed = self.control_plane.claim(request.clone()).await.unwrap();
            if let Some(assignment) = claimed.assignments.pop() {
                return assignment;
            }
            assert!(tokio::time::Instant::now() < deadline, "no work came");
        }
    }

    /// Takes the next piece of work and ends it.
    pub(crate) async fn work(&self, outcome: Outcome) {
        let assignment = self.claim().await;
        let lease = HeldLease { task_id: assignment.task_id, fence: assignment.fence };
        self.control_plane.finish(Finish { agent_id: self.id, lease, outcome }).await.unwrap();
    }
}

pub(crate) fn stored() -> StoredImage {
    StoredImage {
        size: ByteSize::MIB,
        virtual_size: ByteSize::GIB,
        format: ImageFormat::Qcow2,
        logical_digest: format!("imprint1:{}", "1".repeat(64)).parse().unwrap(),
        stored_digest: format!("sha256:{}", "2".repeat(64)).parse().unwrap(),
        consistency: None,
    }
}

pub(crate) fn deployed() -> Outcome {
    Outcome::Deployed(DeployResult { power: Power::Running, disk_allocated: ByteSize::MIB, network: None })
}

/// A command that has ended.
pub(crate) struct Ran(Output);

impl Ran {
    /// Requires an exit status.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.0.status.code(), Some(status), "{}{}", self.out(), self.err());
        self
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out()).unwrap_or_else(|_| panic!("no JSON: {}{}", self.out(), self.err()))
    }
}
