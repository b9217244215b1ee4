//! The wire between the control plane and the agents.
//!
//! An agent calls the control plane, never the other way. It registers, claims work, keeps its
//! leases alive with heartbeats, reports progress, and reports the end of each piece of work until
//! the control plane has taken it: every report is idempotent, and one that carries an old fence is
//! refused with [`ProtocolError::LeaseLost`].
//!
//! [`ControlPlane`] is the whole protocol. `service` implements it; the agent in the same process
//! calls it directly, a remote one through HTTP with the same shapes as JSON
//! (`POST /api/v1/agent/{register,heartbeat,claim,progress,finish}`, bearer token of the
//! hypervisor).

mod error;
mod report;
mod work;

use async_trait::async_trait;
pub use error::ProtocolError;
use imprint_domain::id::HypervisorId;
pub use report::{
    CaptureResult, ClaimRequest, ClaimResponse, DeployResult, Finish, Heartbeat, HeartbeatResponse,
    HeldLease, ImageResult, InstanceReport, Outcome, ProgressReport, ProgressResponse, Register,
    RegisterResponse, StorageReport,
};
pub use work::{
    AdoptWork, Assignment, CaptureWork, CoalesceWork, DeleteImageWork, DeployWork, ImageRef, InstanceRef,
    PowerWork, Seed, StorageRef, Work,
};

/// The version of these shapes. An agent and a control plane with different ones refuse each other
/// at registration.
pub const PROTOCOL_VERSION: u32 = 2;

/// The longest that [`ControlPlane::claim`] waits for work, in milliseconds.
pub const MAX_CLAIM_WAIT_MS: u32 = 10_000;

/// Seconds between heartbeats.
pub const HEARTBEAT_S: u64 = 5;

/// Who speaks: proven by the token over HTTP, known in process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The hypervisor that the agent's token belongs to.
    pub hypervisor_id: HypervisorId,
}

/// What an agent may ask of the control plane.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// First call of an agent process: says what it can do, and learns its settings. Work that an
    /// earlier process of the same hypervisor held is handed back (its leases end now).
    async fn register(&self, request: Register) -> Result<RegisterResponse, ProtocolError>;
    /// Every [`HEARTBEAT_S`] seconds: prolongs leases, tells what instances and storages look like.
    async fn heartbeat(&self, request: Heartbeat) -> Result<HeartbeatResponse, ProtocolError>;
    /// Waits for work, at most as long as the request says.
    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, ProtocolError>;
    /// How far a piece of work is; at most twice a second for each.
    async fn progress(&self, report: ProgressReport) -> Result<ProgressResponse, ProtocolError>;
    /// How a piece of work ended. Sent again until it is answered.
    async fn finish(&self, report: Finish) -> Result<(), ProtocolError>;
}
