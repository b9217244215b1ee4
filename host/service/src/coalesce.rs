//! Coalescing outside of an image creation (S50), and the error of one that took too long.

use imprint_domain::{
    Error, coalesce,
    id::InstanceId,
    rules,
    task::{TaskKind, TaskState},
    task_error::{TaskError, TaskErrorCode},
};
use imprint_store::task::{self, TaskFilter, TaskRecord};

use crate::{
    InstanceTask, Op, Service, change::Change, hypervisor, idempotency, instance, service::DbResult,
};

/// The number of earlier failures of an instance that are considered.
const MAX_HISTORY: u32 = 20;

impl Service {
    /// Merges the layers of a stopped instance's disk into one file. Admins only; the task belongs
    /// to the owner of the instance.
    pub async fn instance_coalesce(&self, op: &Op, id: InstanceId) -> Result<InstanceTask, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        let record = instance::visible(&change.conn(), op, id).await?;
        coalesce::require_mergeable(&record.instance)?;
        instance::require_idle(&change.conn(), id).await?;
        let host = hypervisor::get(&change.conn(), record.instance.hypervisor_id).await?.hypervisor;
        rules::require_online(&host, change.now)?;
        let answer = instance::queue(&mut change, op, record, TaskKind::InstanceCoalesce).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }
}

/// Marks the error of a merge that took too long, where one of the same instance did so before: its
/// owner then learns what helps besides waiting (S49). Returns any other error as it is.
pub(crate) async fn mark_repeated(
    change: &Change<'_>,
    record: &TaskRecord,
    error: TaskError,
) -> Result<TaskError, Error> {
    if !error.is(TaskErrorCode::CoalesceTimeout) {
        return Ok(error);
    }
    let filter = TaskFilter {
        account_id: None,
        state: vec![TaskState::Failed],
        image_id: None,
        instance_id: record.task.instance_id,
        before: None,
        limit: MAX_HISTORY,
    };
    let failed = task::list(&change.conn(), &filter).await.db()?;
    let before = failed.iter().filter(|earlier| earlier.task.id != record.task.id).any(is_timeout);
    Ok(if before { error.repeated() } else { error })
}

fn is_timeout(record: &TaskRecord) -> bool {
    record.task.error.as_ref().is_some_and(|error| error.is(TaskErrorCode::CoalesceTimeout))
}
