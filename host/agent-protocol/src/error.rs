//! What can go wrong between agent and control plane.

use serde::{Deserialize, Serialize};

/// Why a call was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ProtocolError {
    /// The lease is over or somebody else's: stop the work, undo it, and do not report it again.
    #[error("the lease of this task is lost; stop working on it")]
    LeaseLost,
    /// The token is unknown, revoked, or of another hypervisor.
    #[error("the agent's token is not valid; create a new one and pass it with --token-file")]
    Unauthenticated,
    /// Agent and control plane speak different versions.
    #[error("agent speaks protocol {agent}, control plane {control_plane}; install the same version on both")]
    Version {
        /// The agent's.
        agent: u32,
        /// The control plane's.
        control_plane: u32,
    },
    /// This agent process is not the hypervisor's present one: register again.
    #[error("this agent process is not registered; register again")]
    NotRegistered,
    /// The report makes no sense.
    #[error("the control plane refused the report: {detail}")]
    Refused {
        /// Why.
        detail: String,
    },
    /// The control plane cannot be reached or failed: try again later, and keep working.
    #[error("the control plane cannot be reached: {detail}")]
    Unavailable {
        /// Why.
        detail: String,
    },
}
