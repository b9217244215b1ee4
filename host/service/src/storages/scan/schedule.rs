//! Scans that start by themselves, and the end of the quarantine.

use chrono::TimeDelta;
use imprint_domain::{
    Error,
    id::{AccountId, HypervisorId, RequestId, StorageId},
    storage_scan::{ObjectClass, QUARANTINE_DAYS},
    time::Timestamp,
};
use imprint_store::{
    Conn, hypervisor,
    storage::{self, StorageFilter},
    storage_scan,
};

use super::{
    compare::compare,
    complete::KEPT_DAYS,
    reconcile::queue_clean,
    request::{active_task, queue_scan},
};
use crate::{Service, change::Change, db_result::DbResult};

/// The most storages that one run looks at; a provider has some ten.
const MAX_STORAGES: u32 = 500;
/// The most objects of a storage whose quarantine one run ends.
const MAX_ENDED: u32 = 500;

impl Service {
    /// Starts the scans that are due, and has the objects removed whose quarantine has ended.
    /// Returns the number of tasks.
    pub(crate) async fn scan_storages(&self) -> Result<u32, Error> {
        let Some(account) = self.operator_account(&self.read()).await? else { return Ok(0) };
        let storages =
            storage::list(&self.read(), &StorageFilter::default(), None, MAX_STORAGES).await.db()?;
        let mut count = 0;
        // One storage at a time is read as a whole.
        let mut may_be_deep = true;
        for record in storages {
            let id = record.storage.id;
            // What cannot be done does not wait for the one writer of the database.
            if (self.is_due(&self.read(), id, record.created_at).await?
                || self.has_ended_quarantine(id).await?)
                && online_agent(&self.read(), id, self.now()).await?.is_some()
            {
                let deep = may_be_deep && self.is_deep_due(id, record.created_at).await?;
                count += self.scan_one(account, (id, record.created_at), deep).await?;
                may_be_deep &= !deep;
            }
        }
        Ok(count)
    }

    /// Returns whether the last scan of a storage is too long ago. A new storage is first scanned
    /// when it is as old.
    async fn is_due(&self, conn: &Conn<'_>, id: StorageId, created_at: Timestamp) -> Result<bool, Error> {
        let hours = self.settings().storage_scan_h;
        if hours == 0 {
            return Ok(false);
        }
        let last = storage_scan::latest(conn, id, None, 1).await.db()?;
        let since = last.first().map_or(created_at, |scan| scan.started_at);
        Ok(since + TimeDelta::hours(i64::from(hours)) <= self.now())
    }

    /// Returns whether the last deep scan of a storage is too long ago.
    async fn is_deep_due(&self, id: StorageId, created_at: Timestamp) -> Result<bool, Error> {
        let days = self.settings().storage_deep_scan_d.min(KEPT_DAYS);
        if days == 0 {
            return Ok(false);
        }
        let since = storage_scan::last_deep(&self.read(), id).await.db()?.unwrap_or(created_at);
        Ok(since + TimeDelta::days(i64::from(days)) <= self.now())
    }

    async fn has_ended_quarantine(&self, id: StorageId) -> Result<bool, Error> {
        let before = self.now() - TimeDelta::days(QUARANTINE_DAYS);
        Ok(!storage_scan::quarantined_before(&self.read(), id, before, 1).await.db()?.is_empty())
    }

    async fn scan_one(
        &self,
        account: AccountId,
        (id, created_at): (StorageId, Timestamp),
        deep: bool,
    ) -> Result<u32, Error> {
        let mut change = Change::begin(self).await?;
        let Some(online) = online_agent(&change.conn(), id, change.now).await? else { return Ok(0) };
        let to = (id, online);
        let by = (account, RequestId::new(self.new_uuid()));
        let mut count = 0;
        if self.is_due(&change.conn(), id, created_at).await?
            && active_task(&change.conn(), id).await?.is_none()
        {
            queue_scan(&mut change, by, to, deep).await?;
            count += 1;
        }
        let before = change.now - TimeDelta::days(QUARANTINE_DAYS);
        let mut ended = storage_scan::quarantined_before(&change.conn(), id, before, MAX_ENDED).await.db()?;
        if let Some(record) = storage::get(&change.conn(), id).await.db()? {
            compare(&change.conn(), &record.storage, &mut ended, (change.now, change.now)).await?;
            storage_scan::put_objects(&change.tx, &ended).await.db()?;
        }
        // What an image uses again is not removed.
        ended.retain(|object| object.class == ObjectClass::Quarantined);
        if !ended.is_empty() {
            let keys = ended.iter().map(|object| object.key.clone()).collect();
            queue_clean(&mut change, by, to, keys).await?;
            for object in &mut ended {
                object.class = ObjectClass::InProgress;
            }
            storage_scan::put_objects(&change.tx, &ended).await.db()?;
            count += 1;
        }
        change.commit().await?;
        Ok(count)
    }
}

/// Returns a hypervisor that reaches the storage and is online.
async fn online_agent(conn: &Conn<'_>, id: StorageId, now: Timestamp) -> Result<Option<HypervisorId>, Error> {
    let bound = hypervisor::of_storage(conn, id).await.db()?;
    Ok(bound.iter().find(|record| record.hypervisor.is_online(now)).map(|record| record.hypervisor.id))
}
