//! The errors of calls from an agent to the control plane.

use serde::{Deserialize, Serialize};

/// The reason why the control plane did not answer a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ProtocolError {
    /// The lease has ended or belongs to another agent process: the job is to be stopped and
    /// undone, and not reported again.
    #[error("the lease of this task is lost; stop the job")]
    LeaseLost,
    /// The token is unknown, revoked, or belongs to another hypervisor.
    #[error("the agent's token is not valid; create a new one and pass it with --token-file")]
    Unauthenticated,
    /// The agent and the control plane support different protocol versions.
    #[error(
        "the agent supports protocol {agent} and the control plane protocol {control_plane}; install the same version on both"
    )]
    Version {
        /// The version that the agent supports.
        agent: u32,
        /// The version that the control plane supports.
        control_plane: u32,
    },
    /// This agent process is not the one that is registered for the hypervisor.
    #[error("this agent process is not registered; register again")]
    NotRegistered,
    /// The report does not fit the task.
    #[error("the control plane refused the report: {detail}")]
    Refused {
        /// What does not fit.
        detail: String,
    },
    /// The control plane cannot be reached or failed: the agent continues and tries again later.
    #[error("the control plane cannot be reached: {detail}")]
    Unavailable {
        /// What failed.
        detail: String,
    },
}
