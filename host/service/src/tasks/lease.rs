//! Leases of tasks, and the errors of calls under them.

use imprint_agent_protocol::{HeldLease, ProtocolError};
use imprint_domain::{
    Code, Error,
    id::{AgentId, HypervisorId},
};
use imprint_store::task::{self, TaskRecord};

use crate::{change::Change, db_result::DbResult};

/// Maps a failure of the control plane: the agent keeps working and repeats its call.
pub(crate) fn unavailable(error: Error) -> ProtocolError {
    tracing::warn!(code = error.code.as_str(), internal = error.internal, "an agent's call failed");
    // The hypervisor itself has been removed.
    if error.code == Code::NotFound {
        return ProtocolError::Unauthenticated;
    }
    ProtocolError::Unavailable { detail: error.detail }
}

pub(crate) fn refused(detail: impl std::fmt::Display) -> ProtocolError {
    ProtocolError::Refused { detail: detail.to_string() }
}

/// Reads the task under a lease that is still held. One that has expired is held until it is taken
/// back.
pub(crate) async fn leased_task(
    change: &Change<'_>,
    hypervisor_id: HypervisorId,
    agent_id: AgentId,
    lease: HeldLease,
) -> Result<TaskRecord, ProtocolError> {
    let found = task::get(&change.conn(), lease.task_id).await.db().map_err(unavailable)?;
    found
        .filter(|record| holds_lease(record, hypervisor_id, agent_id, lease.fence))
        .ok_or(ProtocolError::LeaseLost)
}

/// Returns whether an agent process of a hypervisor holds the lease that it was given with `fence`.
pub(crate) fn holds_lease(
    record: &TaskRecord,
    hypervisor_id: HypervisorId,
    agent_id: AgentId,
    fence: u64,
) -> bool {
    record.task.hypervisor_id == hypervisor_id && record.task.is_leased_to(agent_id, fence)
}
