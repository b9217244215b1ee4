//! Reconcilers: they bring the rows back to a consistent state after any failure (X8).

use chrono::TimeDelta;
use imprint_domain::{
    Error,
    image::ImageStatus,
    instance::InstanceStatus,
    task::{LEASE_S, RetryPolicy, TaskKind, TaskState},
    task_error::{TaskError, TaskErrorCode},
    time::Timestamp,
};
use imprint_store::{event, idempotency, image, instance, session, share, storage, task, task::TaskRecord};

use crate::{
    Service,
    change::Change,
    db_result::DbResult,
    idempotency::KEPT_H,
    sharing::end,
    storages::reservation,
    tasks::{lifecycle, payload::TaskPayload},
};

/// The number of tasks that one run processes; the next run continues.
const BATCH: u32 = 100;
/// The retention of events, in hours.
const EVENTS_KEPT_H: i64 = 24;
/// How long shares are listed that are over, in days.
const SHARES_KEPT_D: i64 = 30;
/// The pause before a failed deletion is retried, in seconds.
const DELETION_PAUSE_S: i64 = 600;

/// What one run changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Tasks whose lease had expired: queued again or failed.
    pub leases: u32,
    /// Tasks past their deadline.
    pub deadlines: u32,
    /// Failed deletions that got a new attempt.
    pub deletions: u32,
    /// Images of drained storages that began to move.
    pub moves: u32,
    /// Exports whose time was over, or whose image is gone.
    pub exports: u32,
    /// Scans of image storages that were due, and removals of objects whose quarantine has ended.
    pub scans: u32,
    /// Shares of images that had expired.
    pub shares: u32,
    /// Rows that had expired: sessions, idempotency keys, events, reservations, shares.
    pub rows: u64,
}

impl Service {
    /// One run of all reconcilers. Idempotent; the program calls it every few seconds. Takes no
    /// input: what changed is found out, never assumed.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn reconcile_once(&self) -> Result<Reconciled, Error> {
        Ok(Reconciled {
            deadlines: self.end_overdue().await?,
            leases: self.take_back_leases().await?,
            deletions: self.repeat_deletions().await?,
            moves: self.drain_storages().await?,
            exports: self.remove_exports().await?,
            scans: self.scan_storages().await?,
            shares: self.expire_shares().await?,
            rows: self.remove_old_rows().await?,
        })
    }

    /// Fails tasks past their deadline. A running one loses its lease, and its agent learns of it
    /// with its next call.
    async fn end_overdue(&self) -> Result<u32, Error> {
        if task::past_deadline(&self.read(), self.now(), 1).await.db()?.is_empty() {
            return Ok(0);
        }
        let mut change = Change::begin(self).await?;
        let overdue = task::past_deadline(&change.conn(), change.now, BATCH).await.db()?;
        let count = overdue.len();
        for mut record in overdue {
            let detail = match record.task.state {
                TaskState::Queued => "no agent took the task in time",
                TaskState::Running | TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled => {
                    "the agent did not end the task in time"
                }
            };
            let error = TaskError::new(TaskErrorCode::DeadlineExceeded, detail);
            lifecycle::attempt_failed(&mut change, &mut record, error, RetryPolicy::Never).await?;
        }
        change.commit().await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Takes back leases that have expired. Agents get a full term after a start of the control
    /// plane, which could not receive their heartbeats before: losing the control plane stops no
    /// copy.
    async fn take_back_leases(&self) -> Result<u32, Error> {
        let expired = |now: Timestamp| {
            let listening_since = self.opened_at() + TimeDelta::seconds(LEASE_S);
            (now >= listening_since).then_some(now)
        };
        let Some(now) = expired(self.now()) else { return Ok(0) };
        if task::with_expired_lease(&self.read(), now, 1).await.db()?.is_empty() {
            return Ok(0);
        }
        let mut change = Change::begin(self).await?;
        let found = task::with_expired_lease(&change.conn(), change.now, BATCH).await.db()?;
        let count = found.len();
        for mut record in found {
            let error = TaskError::new(TaskErrorCode::AgentLost, "the agent did not extend its lease");
            lifecycle::attempt_failed(&mut change, &mut record, error, RetryPolicy::AfterPause).await?;
        }
        change.commit().await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Retries failed deletions: what is being removed must be removed in the end.
    async fn repeat_deletions(&self) -> Result<u32, Error> {
        let mut count = 0;
        for &kind in TaskKind::ALL.iter().filter(|kind| kind.spec().repeat_until_done) {
            let before = self.now() - TimeDelta::seconds(DELETION_PAUSE_S);
            if task::failed_before(&self.read(), kind, before, 1).await.db()?.is_empty() {
                continue;
            }
            let mut change = Change::begin(self).await?;
            for mut record in task::failed_before(&change.conn(), kind, before, BATCH).await.db()? {
                if still_deleting(&change, &record).await? {
                    lifecycle::retry(&mut change, &mut record).await?;
                    count += 1;
                }
            }
            change.commit().await?;
        }
        Ok(count)
    }

    /// Records shares as over that have expired, so that both sides get the events. They permit
    /// nothing from the moment on at which they expired.
    async fn expire_shares(&self) -> Result<u32, Error> {
        if share::expired(&self.read(), self.now(), 1).await.db()?.is_empty() {
            return Ok(0);
        }
        let mut change = Change::begin(self).await?;
        let found = share::expired(&change.conn(), change.now, BATCH).await.db()?;
        let count = found.len();
        for mut share in found {
            end::expire(&mut change, &mut share).await?;
        }
        change.commit().await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    async fn remove_old_rows(&self) -> Result<u64, Error> {
        let change = Change::begin(self).await?;
        let idle_since = change.now - TimeDelta::seconds(self.settings().session_idle_s);
        let sessions = session::delete_expired(&change.tx, change.now, idle_since).await.db()?;
        let keys = idempotency::delete_older(&change.tx, change.now - TimeDelta::hours(KEPT_H)).await.db()?;
        let events =
            event::delete_older(&change.tx, change.now - TimeDelta::hours(EVENTS_KEPT_H)).await.db()?;
        let reservations = reservation::remove_old(&change).await?;
        let shares =
            share::delete_older(&change.tx, change.now - TimeDelta::days(SHARES_KEPT_D)).await.db()?;
        change.commit().await?;
        Ok(sessions + keys + events + reservations + shares)
    }
}

async fn still_deleting(change: &Change<'_>, record: &TaskRecord) -> Result<bool, Error> {
    if let TaskPayload::Object { storage_id, .. } = TaskPayload::of(record)? {
        // A storage that was removed meanwhile keeps its files.
        return Ok(storage::get(&change.conn(), storage_id).await.db()?.is_some());
    }
    if let Some(id) = record.task.image_id {
        let found = image::get(&change.conn(), id).await.db()?;
        return Ok(found.is_some_and(|found| found.image.status == ImageStatus::Deleting));
    }
    if let Some(id) = record.task.instance_id {
        let found = instance::get(&change.conn(), id).await.db()?;
        return Ok(found.is_some_and(|found| found.instance.status == InstanceStatus::Deleting));
    }
    Ok(false)
}
