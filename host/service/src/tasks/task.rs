//! Tasks: list, show, wait, cancel, retry.

use std::{collections::HashMap, time::Duration};

use imprint_domain::{
    Error,
    id::{AccountId, HypervisorId, ImageId, InstanceId, RequestId, TaskId},
    storage_test::StorageTest,
    support::{Support, SupportText, WebLink},
    task::{Phase, Task, TaskKind, TaskState},
    task_error::TaskError,
    time::Timestamp,
};
use imprint_store::{
    Conn,
    task::{self, TaskFilter, TaskRecord},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    Op, Page, PageRequest, Service, catalogue,
    change::Change,
    db_result::DbResult,
    page::Listing,
    tasks::{
        hub::wait_for_change,
        lifecycle::{self, invalid_transition},
        retry,
        scheduler::{Decision, schedule},
    },
};

/// The public properties of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    /// The task's id.
    pub id: TaskId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// What the task does.
    pub kind: TaskKind,
    /// The state of the task.
    pub state: TaskState,
    /// 0, 25, 50 or 100 (D9).
    pub checkpoint: u8,
    /// The current phase.
    pub phase: Phase,
    /// The progress in percent, once the total is known.
    pub percent: Option<u8>,
    /// Bytes that have been processed.
    pub bytes_done: u64,
    /// Bytes to process, once known.
    pub bytes_total: Option<u64>,
    /// The current rate in bytes per second.
    pub rate_bps: Option<u64>,
    /// The remaining time in seconds, at that rate.
    pub eta_s: Option<u64>,
    /// The position in the queue while it is queued; 1 is the next one.
    pub queue_position: Option<u32>,
    /// What it waits for, human-readable.
    pub waiting_for: Option<String>,
    /// Attempts that were started.
    pub attempt: u32,
    /// The image it works on.
    pub image_id: Option<ImageId>,
    /// The instance it works on.
    pub instance_id: Option<InstanceId>,
    /// Why the last attempt failed.
    pub error: Option<TaskErrorView>,
    /// Whether its cancellation was requested.
    pub cancel_requested: bool,
    /// When it was requested.
    pub created_at: Timestamp,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When a reconciler fails it if it is not over.
    pub deadline: Timestamp,
    /// What a connection test found, once it is over.
    #[serde(default)]
    pub storage_test: Option<StorageTest>,
}

/// Why the last attempt of a task failed, as it is shown: the catalogue's sentences for all,
/// the technical detail for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskErrorView {
    /// The stable code.
    pub code: String,
    /// What happened, in a few words.
    pub title: String,
    /// What happened, as a sentence with the figures that belong to it.
    pub detail: String,
    /// What the customer does about it.
    pub action: String,
    /// Whether a later attempt can succeed without anything being changed.
    pub retryable: bool,
    /// The id by which the provider finds the cause in the log.
    pub reference: TaskId,
    /// The id of the request that asked for the task.
    pub request_id: RequestId,
    /// What the hypervisor, the storage or a plugin said: may hold paths and settings. `None` for
    /// customers.
    pub operator_detail: Option<String>,
    /// How the provider's support is reached, where that is what to do.
    #[serde(default)]
    pub support: Option<SupportView>,
}

/// How the provider's support is reached; each part where the provider gives it and it may help.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupportView {
    /// What to do.
    pub text: Option<SupportText>,
    /// The page of the support.
    pub url: Option<WebLink>,
    /// The page that says which parts of the system do not work.
    pub status_url: Option<WebLink>,
}

/// Who a view is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The owner of what is shown.
    Customer,
    /// An admin, who also sees the technical detail of errors.
    Operator,
}

impl Audience {
    /// Returns who the actor of a request is.
    pub(crate) fn of(op: &Op) -> Self {
        if op.is_admin() { Self::Operator } else { Self::Customer }
    }
}

fn error_view(task: &Task, error: &TaskError, audience: Audience) -> TaskErrorView {
    TaskErrorView {
        code: error.code().to_owned(),
        title: error.entry().title.to_owned(),
        detail: error.customer_detail(),
        action: error.customer_action(),
        retryable: error.is_retryable(),
        reference: task.id,
        request_id: task.request_id,
        operator_detail: match audience {
            Audience::Customer => None,
            Audience::Operator => Some(error.operator_detail().to_owned()),
        },
        support: None,
    }
}

/// The tasks to list, latest first.
#[derive(Clone, Debug, Default)]
pub struct TaskList {
    /// The accepted states; empty accepts all.
    pub state: Vec<TaskState>,
    /// The image, if only its tasks are listed.
    pub image_id: Option<ImageId>,
    /// The instance, if only its tasks are listed.
    pub instance_id: Option<InstanceId>,
    /// The page to return.
    pub page: PageRequest,
}

/// The longest wait for a change.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// The age in seconds up to which a rate is shown.
const RATE_VALID_S: i64 = 30;

fn percent(task: &Task) -> Option<u8> {
    let total = task.progress.bytes_total?;
    if task.state == TaskState::Succeeded {
        return Some(100);
    }
    if total == 0 {
        return None;
    }
    let share = u128::from(task.progress.bytes_done.min(total)) * 100 / u128::from(total);
    u8::try_from(share).ok()
}

/// A task as it is shown, without its place in the queue.
fn bare_view(record: &TaskRecord, now: Timestamp, audience: Audience) -> TaskView {
    let task = &record.task;
    let fresh = task.throughput.sampled_at.is_some_and(|at| (now - at).num_seconds() < RATE_VALID_S);
    let rate_bps = task.throughput.bytes_per_second.filter(|_| fresh && task.state == TaskState::Running);
    let eta_s = match (rate_bps, task.progress.bytes_total) {
        (Some(rate), Some(total)) if rate > 0 => {
            Some(total.saturating_sub(task.progress.bytes_done).div_ceil(rate))
        }
        (Some(_) | None, Some(_) | None) => None,
    };
    TaskView {
        id: task.id,
        account_id: task.account_id,
        kind: task.kind,
        state: task.state,
        checkpoint: task.checkpoint(),
        phase: task.progress.phase,
        percent: percent(task),
        bytes_done: task.progress.bytes_done,
        bytes_total: task.progress.bytes_total,
        rate_bps,
        eta_s,
        queue_position: None,
        waiting_for: None,
        attempt: task.attempts,
        image_id: task.image_id,
        instance_id: task.instance_id,
        error: task.error.as_ref().map(|error| error_view(task, error, audience)),
        cancel_requested: task.cancel_requested,
        created_at: task.created_at,
        started_at: task.started_at,
        finished_at: task.finished_at,
        deadline: task.deadline,
        storage_test: storage_test(record, audience),
    }
}

/// Returns what a connection test found. It has settings, which are for admins.
fn storage_test(record: &TaskRecord, audience: Audience) -> Option<StorageTest> {
    if record.task.kind != TaskKind::StorageTest || audience != Audience::Operator {
        return None;
    }
    serde_json::from_str(record.result.as_deref()?).ok()
}

/// Views of tasks; the queue of a hypervisor is decided once for all of them.
pub(crate) struct Viewer<'a> {
    conn: &'a Conn<'a>,
    now: Timestamp,
    audience: Audience,
    queues: HashMap<HypervisorId, Vec<(TaskId, Decision)>>,
    supports: HashMap<HypervisorId, Support>,
}

impl<'a> Viewer<'a> {
    pub(crate) fn new(conn: &'a Conn<'a>, now: Timestamp, audience: Audience) -> Self {
        Self { conn, now, audience, queues: HashMap::new(), supports: HashMap::new() }
    }

    /// Returns how the provider's support is reached, where the error advises to.
    async fn support(&mut self, task: &Task, error: &TaskError) -> Result<Option<SupportView>, Error> {
        let (support, status) = (error.advises_support(), error.advises_status_page());
        if !support && !status {
            return Ok(None);
        }
        let id = task.hypervisor_id;
        if !self.supports.contains_key(&id) {
            let hypervisor = catalogue::hypervisor::get(self.conn, id).await?.hypervisor;
            let location = catalogue::location::get(self.conn, hypervisor.location_id).await?.location;
            self.supports.insert(id, location.support);
        }
        let found = self.supports.get(&id).cloned().unwrap_or_default();
        let view = SupportView {
            text: found.text.filter(|_| support),
            url: found.url.filter(|_| support),
            status_url: found.status_url.filter(|_| status),
        };
        Ok((view != SupportView::default()).then_some(view))
    }

    /// The task as it is shown.
    pub(crate) async fn view(&mut self, record: &TaskRecord) -> Result<TaskView, Error> {
        let mut view = bare_view(record, self.now, self.audience);
        if let (Some(error), Some(shown)) = (&record.task.error, &mut view.error) {
            shown.support = self.support(&record.task, error).await?;
        }
        if record.task.state != TaskState::Queued {
            return Ok(view);
        }
        let hypervisor = record.task.hypervisor_id;
        if !self.queues.contains_key(&hypervisor) {
            let decided = schedule(self.conn, hypervisor, self.now).await?;
            self.queues.insert(hypervisor, decided);
        }
        let queue = self.queues.get(&hypervisor).map(Vec::as_slice).unwrap_or_default();
        match queue.iter().position(|(id, _)| *id == record.task.id) {
            Some(index) => {
                view.queue_position = u32::try_from(index + 1).ok();
                view.waiting_for = Some(match &queue[index].1 {
                    Decision::Run => "the agent to take it".to_owned(),
                    Decision::Wait(reason) => reason.to_string(),
                });
            }
            None => {
                let before = task::queued_before(self.conn, hypervisor, record.task.id).await.db()?;
                view.queue_position = Some(before.saturating_add(1));
                view.waiting_for = Some("the tasks before it".to_owned());
            }
        }
        Ok(view)
    }
}

/// Returns one task as its owner sees it.
pub(crate) async fn view(conn: &Conn<'_>, record: &TaskRecord, now: Timestamp) -> Result<TaskView, Error> {
    view_for(conn, record, now, Audience::Customer).await
}

/// Returns one task as that audience sees it.
pub(crate) async fn view_for(
    conn: &Conn<'_>,
    record: &TaskRecord,
    now: Timestamp,
    audience: Audience,
) -> Result<TaskView, Error> {
    Viewer::new(conn, now, audience).view(record).await
}

/// Reads a task that must exist and be visible to the actor.
async fn visible(conn: &Conn<'_>, op: &Op, id: TaskId) -> Result<TaskRecord, Error> {
    let found = task::get(conn, id).await.db()?;
    found.filter(|record| op.sees(record.task.account_id)).ok_or_else(|| Error::not_found("task"))
}

impl Service {
    /// Returns a page of the account's tasks, latest first; for admins of all accounts.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; an error of the database.
    pub async fn task_list(&self, op: &Op, list: &TaskList) -> Result<Page<TaskView>, Error> {
        op.require_read()?;
        let account_id = (!op.is_admin()).then(|| op.account_id());
        let what =
            format!("tasks {account_id:?} {:?} {:?} {:?}", list.state, list.image_id, list.instance_id);
        let listing = Listing::new(&list.page, &what)?;
        let filter = TaskFilter {
            account_id,
            state: list.state.clone(),
            image_id: list.image_id,
            instance_id: list.instance_id,
            before: listing.after()?,
            limit: listing.rows(),
        };
        let conn = self.read();
        let rows = task::list(&conn, &filter).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.task.id)?;
        let mut viewer = Viewer::new(&conn, self.now(), Audience::of(op));
        let mut items = Vec::with_capacity(rows.len());
        for record in &rows {
            items.push(viewer.view(record).await?);
        }
        Ok(Page { items, next_page_token })
    }

    /// Returns one task.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; [`imprint_domain::Code::NotFound`]
    /// for what does not exist or is not visible; an error of the database.
    pub async fn task_show(&self, op: &Op, id: TaskId) -> Result<TaskView, Error> {
        op.require_read()?;
        let conn = self.read();
        let record = visible(&conn, op, id).await?;
        view_for(&conn, &record, self.now(), Audience::of(op)).await
    }

    /// Returns one task as soon as it is over or has changed, or after `wait` (at most 60 s).
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; [`imprint_domain::Code::NotFound`]
    /// for what does not exist or is not visible; an error of the database.
    pub async fn task_wait(&self, op: &Op, id: TaskId, wait: Duration) -> Result<TaskView, Error> {
        op.require_read()?;
        let until = Instant::now() + wait.min(MAX_WAIT);
        let mut receiver = self.hub().follow();
        let mut record = visible(&self.read(), op, id).await?;
        let seen = record.change;
        while !record.task.state.is_final() && record.change == seen {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            wait_for_change(&mut receiver, record.task.account_id, left).await;
            record = visible(&self.read(), op, id).await?;
        }
        view_for(&self.read(), &record, self.now(), Audience::of(op)).await
    }

    /// Cancels a task: a queued one at once, a running one through its agent. Cancelling twice
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; [`imprint_domain::Code::NotFound`]
    /// for what does not exist or is not visible; [`imprint_domain::Code::InvalidTransition`] when
    /// the state does not allow it; failures of the database.
    pub async fn task_cancel(&self, op: &Op, id: TaskId) -> Result<TaskView, Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        let mut record = visible(&change.conn(), op, id).await?;
        cancel(&mut change, op, &mut record).await?;
        let answer = view_for(&change.conn(), &record, change.now, Audience::of(op)).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Gives a failed or cancelled task a new attempt (S127).
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; [`imprint_domain::Code::NotFound`]
    /// for what does not exist or is not visible; [`imprint_domain::Code::InvalidTransition`] when
    /// the state does not allow it; failures of the database.
    pub async fn task_retry(&self, op: &Op, id: TaskId) -> Result<TaskView, Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        let mut record = visible(&change.conn(), op, id).await?;
        match record.task.state {
            TaskState::Failed | TaskState::Cancelled => {}
            TaskState::Queued | TaskState::Running => {
                return Err(invalid_transition("the task is not over yet"));
            }
            TaskState::Succeeded => {
                return Err(invalid_transition("the task has succeeded; there is nothing to retry"));
            }
        }
        retry::prepare(&mut change, &record).await?;
        lifecycle::retry(&mut change, &mut record).await?;
        change.audit(op, "task.retry", id).await?;
        let answer = view_for(&change.conn(), &record, change.now, Audience::of(op)).await?;
        change.commit().await?;
        Ok(answer)
    }
}

/// Cancels a task that is not over: at once when it is queued, otherwise by its agent.
///
/// # Errors
///
/// [`imprint_domain::Code::InvalidTransition`] for a task that cannot be cancelled or is over.
pub(crate) async fn cancel(change: &mut Change<'_>, op: &Op, record: &mut TaskRecord) -> Result<(), Error> {
    if !record.task.kind.spec().cancellable {
        return Err(invalid_transition("a deletion cannot be cancelled"));
    }
    match record.task.state {
        TaskState::Queued => lifecycle::cancel(change, record).await?,
        TaskState::Running if record.task.cancel_requested => {}
        TaskState::Running => {
            record.task.request_cancellation()?;
            lifecycle::save(change, record).await?;
        }
        TaskState::Cancelled => {}
        TaskState::Succeeded | TaskState::Failed => {
            return Err(invalid_transition("the task is already over"));
        }
    }
    change.audit(op, "task.cancel", record.task.id).await
}
