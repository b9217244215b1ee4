//! The wire between the control plane and the agents.
//!
//! An agent calls the control plane, never the other way. It registers, claims assignments, keeps
//! their leases alive with heartbeats, reports progress, and reports the end of each until the
//! control plane has answered: every report is idempotent, and one that carries an old fence is
//! refused with [`ProtocolError::LeaseLost`]. The one exception are the bytes of objects, which an
//! agent may serve ([`ObjectServer`]): they go from there to another agent, or through the control
//! plane to an admin.
//!
//! **Terms.** A *task* is the control plane's row; an [`Assignment`] is what an agent gets of it; a
//! *job* is the agent's execution of an assignment.
//!
//! [`ControlPlane`] is the whole protocol. `service` implements it; the agent in the same process
//! calls it directly, a remote one through HTTP with the same shapes as JSON
//! (`POST /api/v1/agent/{register,heartbeat,claim,progress,finish,secrets,scanned,reserve}`,
//! bearer token of the hypervisor).

mod assignment;
mod error;
mod import;
mod object;
mod report;
mod upload;

pub use assignment::{
    Assignment, AssignmentKind, CaptureAssignment, CleanStorageAssignment, CoalesceAssignment,
    DeleteImageAssignment, DeployAssignment, Devices, DevicesAssignment, ExportImageAssignment, FurtherDisk,
    ImageRef, ImportAssignment, ImportSource, InstanceRef, IsoRef, MAX_CLEANED, Medium, MoveImageAssignment,
    PowerAssignment, RegisterImageAssignment, RegisterIsoAssignment, ScanStorageAssignment, Seed, StorageRef,
    TestStorageAssignment, VerifyImageAssignment, WindowsLimit,
};
use async_trait::async_trait;
pub use error::ProtocolError;
pub use import::{DigestAlgorithm, FileDigest, InvalidFileDigest, secret_name};
use imprint_domain::id::HypervisorId;
pub use object::{
    Fingerprint, InvalidFingerprint, ObjectGrant, ObjectKey, ObjectServer, ObjectSource, TokenError,
    file_name, object_of_path, object_path,
};
pub use report::{
    CaptureResult, ClaimRequest, ClaimResponse, DeployResult, ExportResult, Finish, Heartbeat,
    HeartbeatResponse, HeldLease, ImageResult, ImportResult, InstanceReport, IsoResult, MAX_SCANNED_OBJECTS,
    MoveResult, Outcome, ProgressReport, ProgressResponse, Register, RegisterResponse, ReserveRequest,
    ReserveResponse, ScanReport, ScanResponse, ScannedDigest, ScannedObject, SecretsRequest, SecretsResponse,
    StorageKindReport, StorageReport,
};
pub use upload::{MAX_MISSING, UploadGrant, UploadState, upload_of_path, upload_path};

/// The version of the protocol. An agent that supports another one than the control plane is
/// refused at its registration.
pub const PROTOCOL_VERSION: u32 = 8;

/// The longest time that [`ControlPlane::claim`] waits for an assignment, in milliseconds.
pub const MAX_CLAIM_WAIT_MS: u32 = 10_000;

/// The time between heartbeats, in seconds.
pub const HEARTBEAT_S: u64 = 5;

/// The agent that calls: proven by its token over HTTP, known inside one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The hypervisor that the agent's token belongs to.
    pub hypervisor_id: HypervisorId,
}

/// The calls of an agent to the control plane.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// Announces an agent process and what it can do, and returns its settings. Tasks that an
    /// earlier process of the same hypervisor worked on go back to the queue.
    ///
    /// # Errors
    ///
    /// Fails when the token or the version does not fit, or the control plane cannot be reached.
    async fn register(&self, request: Register) -> Result<RegisterResponse, ProtocolError>;
    /// Prolongs leases and reports the state of instances and storages. Called every
    /// [`HEARTBEAT_S`] seconds.
    ///
    /// # Errors
    ///
    /// Fails when the agent process is not registered, or the control plane cannot be reached.
    async fn heartbeat(&self, request: Heartbeat) -> Result<HeartbeatResponse, ProtocolError>;
    /// Waits for assignments, at most as long as the request says, and returns them.
    ///
    /// # Errors
    ///
    /// Fails when the agent process is not registered, or the control plane cannot be reached.
    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, ProtocolError>;
    /// Reports the progress of a job, at most twice a second for each.
    ///
    /// # Errors
    ///
    /// Fails when the lease is lost, or the control plane cannot be reached.
    async fn progress(&self, report: ProgressReport) -> Result<ProgressResponse, ProtocolError>;
    /// Reports the end of a job. Repeated until it is answered.
    ///
    /// # Errors
    ///
    /// Fails when the lease is lost, the outcome does not fit the task, or the control plane cannot
    /// be reached.
    async fn finish(&self, report: Finish) -> Result<(), ProtocolError>;
    /// Returns the secrets of a storage that the agent uses.
    ///
    /// # Errors
    ///
    /// Fails when the storage is not bound to the agent's hypervisor, the lease is lost, a secret
    /// cannot be opened, or the control plane cannot be reached.
    async fn secrets(&self, request: SecretsRequest) -> Result<SecretsResponse, ProtocolError>;
    /// Sets what a task reserves of its account's limit and of its storage.
    ///
    /// # Errors
    ///
    /// Fails when the lease is lost, the task reserves nothing, or the control plane cannot be
    /// reached. A refusal is an answer and no error.
    async fn reserve(&self, request: ReserveRequest) -> Result<ReserveResponse, ProtocolError>;
    /// Reports a part of what a scan finds on an image storage. A report may be repeated.
    ///
    /// # Errors
    ///
    /// Fails when the lease is lost, the report is not one of a scan or too long, or the control
    /// plane cannot be reached.
    async fn scanned(&self, report: ScanReport) -> Result<ScanResponse, ProtocolError>;
}
