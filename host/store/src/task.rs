//! Tasks.

mod of_images;

use imprint_domain::{
    id::{AccountId, AgentId, HypervisorId, ImageId, InstanceId, RequestId, TaskId},
    task::{Lease, Progress, Task, TaskKind, TaskParts, TaskState, Throughput},
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
    time::Timestamp,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, sea_query::Expr,
};

pub use self::of_images::{active_with_images_of, images_being_moved, worked_on_since};
use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "tasks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub kind: String,
        pub state: String,
        pub phase: String,
        pub bytes_done: i64,
        pub bytes_total: Option<i64>,
        pub image_id: Option<Uuid>,
        pub instance_id: Option<Uuid>,
        pub hypervisor_id: Uuid,
        pub payload: String,
        pub attempts: i64,
        pub attempts_allowed: i64,
        pub cancel_requested: bool,
        pub run_after: DateTimeUtc,
        pub deadline: DateTimeUtc,
        pub agent_id: Option<Uuid>,
        pub fence: i64,
        pub finished_fence: i64,
        pub lease_until: Option<DateTimeUtc>,
        pub error_code: Option<String>,
        pub error_detail: Option<String>,
        pub error_retryable: Option<bool>,
        pub error_context: Option<String>,
        pub request_id: Uuid,
        pub created_at: DateTimeUtc,
        pub started_at: Option<DateTimeUtc>,
        pub finished_at: Option<DateTimeUtc>,
        pub sampled_at: Option<DateTimeUtc>,
        pub sampled_bytes: i64,
        pub rate_bps: Option<i64>,
        pub change: i64,
        pub result: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A task with what its row holds besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// The task.
    pub task: Task,
    /// What to do, as versioned JSON.
    pub payload: String,
    /// The number of changes of the row.
    pub change: u64,
    /// What a task that asks something found out, as JSON.
    pub result: Option<String>,
}

/// The tasks to list, latest first.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// The account; `None` lists the tasks of all.
    pub account_id: Option<AccountId>,
    /// The accepted states; empty accepts all.
    pub state: Vec<TaskState>,
    /// The image, if only its tasks are listed.
    pub image_id: Option<ImageId>,
    /// The instance, if only its tasks are listed.
    pub instance_id: Option<InstanceId>,
    /// The first task that is not listed any more: the last one of the previous page.
    pub before: Option<TaskId>,
    /// The most rows to return.
    pub limit: u32,
}

/// Rows of earlier versions have no context.
fn error_of(row: &row::Model) -> Result<Option<TaskError>, StoreError> {
    let (Some(code), Some(detail), Some(transient)) =
        (&row.error_code, &row.error_detail, row.error_retryable)
    else {
        return Ok(None);
    };
    let context = match &row.error_context {
        Some(text) => codec::json("error_context", text)?,
        None => TaskErrorContext::default(),
    };
    Ok(Some(TaskError::from_parts(code, detail, transient, context)))
}

fn from_row(row: row::Model) -> Result<TaskRecord, StoreError> {
    let fence = codec::to_u64("fence", row.fence)?;
    let lease = match (row.agent_id, row.lease_until) {
        (Some(agent), Some(until)) => Some(Lease { agent_id: AgentId::new(agent), fence, until }),
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    };
    let error = error_of(&row)?;
    let parts = TaskParts {
        id: TaskId::new(row.id),
        account_id: AccountId::new(row.account_id),
        kind: codec::parse("kind", &row.kind)?,
        state: codec::parse("state", &row.state)?,
        progress: Progress {
            phase: codec::parse("phase", &row.phase)?,
            bytes_done: codec::to_u64("bytes_done", row.bytes_done)?,
            bytes_total: row.bytes_total.map(|total| codec::to_u64("bytes_total", total)).transpose()?,
        },
        throughput: Throughput {
            sampled_at: row.sampled_at,
            sampled_bytes: codec::to_u64("sampled_bytes", row.sampled_bytes)?,
            bytes_per_second: row.rate_bps.map(|rate| codec::to_u64("rate_bps", rate)).transpose()?,
        },
        image_id: row.image_id.map(ImageId::new),
        instance_id: row.instance_id.map(InstanceId::new),
        hypervisor_id: HypervisorId::new(row.hypervisor_id),
        attempts: codec::to_u32("attempts", row.attempts)?,
        attempts_allowed: codec::to_u32("attempts_allowed", row.attempts_allowed)?,
        cancel_requested: row.cancel_requested,
        run_after: row.run_after,
        deadline: row.deadline,
        lease,
        fence,
        finished_fence: codec::to_u64("finished_fence", row.finished_fence)?,
        error,
        request_id: RequestId::new(row.request_id),
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    };
    Ok(TaskRecord {
        task: Task::from_parts(parts).map_err(|error| codec::corrupt("state", error))?,
        payload: row.payload,
        change: codec::to_u64("change", row.change)?,
        result: row.result,
    })
}

fn to_row(record: &TaskRecord) -> Result<row::Model, StoreError> {
    let task = &record.task;
    let error = task.error.as_ref();
    Ok(row::Model {
        id: task.id.uuid(),
        account_id: task.account_id.uuid(),
        kind: task.kind.to_string(),
        state: task.state.to_string(),
        phase: task.progress.phase.to_string(),
        bytes_done: codec::to_i64(task.progress.bytes_done),
        bytes_total: task.progress.bytes_total.map(codec::to_i64),
        image_id: task.image_id.map(ImageId::uuid),
        instance_id: task.instance_id.map(InstanceId::uuid),
        hypervisor_id: task.hypervisor_id.uuid(),
        payload: record.payload.clone(),
        attempts: i64::from(task.attempts),
        attempts_allowed: i64::from(task.attempts_allowed),
        cancel_requested: task.cancel_requested,
        run_after: task.run_after,
        deadline: task.deadline,
        agent_id: task.lease.map(|lease| lease.agent_id.uuid()),
        fence: codec::to_i64(task.fence),
        finished_fence: codec::to_i64(task.finished_fence),
        lease_until: task.lease.map(|lease| lease.until),
        error_code: error.map(|error| error.code().to_owned()),
        error_detail: error.map(|error| error.operator_detail().to_owned()),
        error_retryable: error.map(TaskError::is_transient),
        error_context: error.map(|error| codec::to_json("error_context", error.context())).transpose()?,
        request_id: task.request_id.uuid(),
        created_at: task.created_at,
        started_at: task.started_at,
        finished_at: task.finished_at,
        sampled_at: task.throughput.sampled_at,
        sampled_bytes: codec::to_i64(task.throughput.sampled_bytes),
        rate_bps: task.throughput.bytes_per_second.map(codec::to_i64),
        change: codec::to_i64(record.change),
        result: record.result.clone(),
    })
}

fn collect(rows: Vec<row::Model>) -> Result<Vec<TaskRecord>, StoreError> {
    rows.into_iter().map(from_row).collect()
}

/// Reads the task of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads a page of tasks, latest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(conn: &Conn<'_>, filter: &TaskFilter) -> Result<Vec<TaskRecord>, StoreError> {
    let mut query = row::Entity::find().order_by_desc(row::Column::Id).limit(u64::from(filter.limit));
    if let Some(account) = filter.account_id {
        query = query.filter(row::Column::AccountId.eq(account.uuid()));
    }
    if !filter.state.is_empty() {
        query = query.filter(row::Column::State.is_in(filter.state.iter().map(|state| state.as_str())));
    }
    if let Some(image) = filter.image_id {
        query = query.filter(row::Column::ImageId.eq(image.uuid()));
    }
    if let Some(instance) = filter.instance_id {
        query = query.filter(row::Column::InstanceId.eq(instance.uuid()));
    }
    if let Some(before) = filter.before {
        query = query.filter(row::Column::Id.lt(before.uuid()));
    }
    collect(query.all(&conn.0).await?)
}

/// Reads the tasks of a hypervisor in one state, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_hypervisor(
    conn: &Conn<'_>,
    id: HypervisorId,
    state: TaskState,
    limit: u32,
) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::HypervisorId.eq(id.uuid()))
        .filter(row::Column::State.eq(state.as_str()))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    collect(rows)
}

/// Counts the tasks that are queued on a hypervisor before the one of that id.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn queued_before(conn: &Conn<'_>, hypervisor: HypervisorId, id: TaskId) -> Result<u32, StoreError> {
    let before = row::Entity::find()
        .filter(row::Column::HypervisorId.eq(hypervisor.uuid()))
        .filter(row::Column::State.eq(TaskState::Queued.as_str()))
        .filter(row::Column::Id.lt(id.uuid()))
        .count(&conn.0)
        .await?;
    Ok(u32::try_from(before).unwrap_or(u32::MAX))
}

/// Counts the running tasks of a kind on a hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn running_of_kind(conn: &Conn<'_>, id: HypervisorId, kind: TaskKind) -> Result<u32, StoreError> {
    let running = row::Entity::find()
        .filter(row::Column::HypervisorId.eq(id.uuid()))
        .filter(row::Column::State.eq(TaskState::Running.as_str()))
        .filter(row::Column::Kind.eq(kind.as_str()))
        .count(&conn.0)
        .await?;
    Ok(u32::try_from(running).unwrap_or(u32::MAX))
}

/// Counts the tasks that failed with a code.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_failed_with(conn: &Conn<'_>, code: TaskErrorCode) -> Result<u64, StoreError> {
    Ok(row::Entity::find()
        .filter(row::Column::State.eq(TaskState::Failed.as_str()))
        .filter(row::Column::ErrorCode.eq(code.as_str()))
        .count(&conn.0)
        .await?)
}

/// Counts the queued and running tasks of a hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_active_of_hypervisor(conn: &Conn<'_>, id: HypervisorId) -> Result<u64, StoreError> {
    Ok(row::Entity::find()
        .filter(row::Column::HypervisorId.eq(id.uuid()))
        .filter(active())
        .count(&conn.0)
        .await?)
}

fn active() -> sea_orm::sea_query::SimpleExpr {
    row::Column::State.is_in([TaskState::Queued.as_str(), TaskState::Running.as_str()])
}

/// Reads the queued and running tasks of an instance, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn active_of_instance(conn: &Conn<'_>, id: InstanceId) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::InstanceId.eq(id.uuid()))
        .filter(active())
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    collect(rows)
}

/// Reads the queued and running tasks of a kind, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn active_of_kind(conn: &Conn<'_>, kind: TaskKind) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::Kind.eq(kind.as_str()))
        .filter(active())
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    collect(rows)
}

/// Reads the queued and running tasks of an image, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn active_of_image(conn: &Conn<'_>, id: ImageId) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::ImageId.eq(id.uuid()))
        .filter(active())
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    collect(rows)
}

/// Reads the running tasks whose lease ended before `now`, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn with_expired_lease(
    conn: &Conn<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::State.eq(TaskState::Running.as_str()))
        .filter(row::Column::LeaseUntil.lt(now))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    collect(rows)
}

/// Reads the queued and running tasks past their deadline, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn past_deadline(
    conn: &Conn<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(active())
        .filter(row::Column::Deadline.lte(now))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    collect(rows)
}

/// Reads the tasks of a kind that failed before `before`, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn failed_before(
    conn: &Conn<'_>,
    kind: TaskKind,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::State.eq(TaskState::Failed.as_str()))
        .filter(row::Column::Kind.eq(kind.as_str()))
        .filter(row::Column::FinishedAt.lte(before))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    collect(rows)
}

/// Adds a task.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &TaskRecord) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record)?.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes a task's row to what the record says, and counts the change.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn update(tx: &WriteTx, record: &TaskRecord) -> Result<(), StoreError> {
    let mut row = to_row(record)?;
    row.change = row.change.saturating_add(1);
    row::Entity::update(row.into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Writes the end of a task's lease and nothing else, which counts as no change.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn update_lease(tx: &WriteTx, record: &TaskRecord) -> Result<(), StoreError> {
    row::Entity::update_many()
        .col_expr(row::Column::LeaseUntil, Expr::value(record.task.lease.map(|lease| lease.until)))
        .filter(row::Column::Id.eq(record.task.id.uuid()))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Writes the row of a task that was claimed by one guarded update, and counts the change. Returns
/// `false`, and writes nothing, when the row is not queued.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn claim(tx: &WriteTx, record: &TaskRecord) -> Result<bool, StoreError> {
    let mut row = to_row(record)?;
    row.change = row.change.saturating_add(1);
    let done = row::Entity::update_many()
        .set(row.into_active_model().reset_all())
        .filter(row::Column::Id.eq(record.task.id.uuid()))
        .filter(row::Column::State.eq(TaskState::Queued.as_str()))
        .exec(&tx.0)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Removes the tasks of a hypervisor. Images forget those that worked on them.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub(crate) async fn delete_of_hypervisor(tx: &WriteTx, id: HypervisorId) -> Result<(), StoreError> {
    let own = row::Entity::find().filter(row::Column::HypervisorId.eq(id.uuid()));
    let own = own.select_only().column(row::Column::Id).into_query();
    crate::image::forget_tasks(tx, own).await?;
    row::Entity::delete_many().filter(row::Column::HypervisorId.eq(id.uuid())).exec(&tx.0).await?;
    Ok(())
}
