//! A change: one write transaction with its events and audit rows, and the followers and agents to
//! wake once it is committed.

use std::collections::BTreeSet;

use imprint_domain::{
    Error,
    account::Role,
    event::EventKind,
    id::{
        AccountId, ExportId, HypervisorId, ImageId, InstanceId, IsoId, MediaGroupId, RequestId, StorageId,
        TaskId,
    },
    image::ImageKind,
    share::Share,
    task::TaskState,
    time::Timestamp,
};
use imprint_store::{
    Conn, WriteTx, account, audit,
    event::{self, NewEvent},
    image::ImageRecord,
    instance::InstanceRecord,
    share,
    task::{self, TaskRecord},
};

use crate::{Authenticated, Op, Service, db_result::DbResult, metering};

/// A change in progress; dropping it rolls it back.
pub(crate) struct Change<'a> {
    pub(crate) service: &'a Service,
    pub(crate) tx: WriteTx,
    pub(crate) now: Timestamp,
    accounts: BTreeSet<AccountId>,
    hypervisors: BTreeSet<HypervisorId>,
    /// Hypervisors whose queue was reordered.
    reordered: BTreeSet<HypervisorId>,
    /// Tasks whose followers were notified.
    notified: BTreeSet<TaskId>,
}

/// The number of waiting tasks at the head of a queue whose followers are notified when it is
/// reordered.
const MAX_QUEUE_NOTIFICATIONS: u32 = 50;

impl<'a> Change<'a> {
    /// Waits for the write lock and starts a transaction.
    pub(crate) async fn begin(service: &'a Service) -> Result<Self, Error> {
        let tx = service.store().write_tx().await.db()?;
        // Read after the wait, so that decisions by the clock are current.
        let now = service.now();
        let (accounts, hypervisors) = (BTreeSet::new(), BTreeSet::new());
        Ok(Self {
            service,
            tx,
            now,
            accounts,
            hypervisors,
            reordered: BTreeSet::new(),
            notified: BTreeSet::new(),
        })
    }

    /// Returns a connection that reads inside the transaction.
    pub(crate) fn conn(&self) -> Conn<'_> {
        self.tx.conn()
    }

    /// Commits, and wakes followers and agents.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        for hypervisor in std::mem::take(&mut self.reordered) {
            self.notify_waiting(hypervisor).await?;
        }
        self.tx.commit().await.db()?;
        for account in self.accounts {
            self.service.hub().wake_followers(account);
        }
        for hypervisor in self.hypervisors {
            self.service.hub().wake_agent(hypervisor);
        }
        Ok(())
    }

    /// Records that the tasks behind this one have another position in the queue, or another reason
    /// to wait (X12).
    pub(crate) fn queue_reordered(&mut self, record: &TaskRecord) {
        self.reordered.insert(record.task.hypervisor_id);
    }

    /// Records that a hypervisor runs another number of tasks at once from now on: its agent is
    /// woken, and those that wait for it have another reason to.
    pub(crate) fn limits_changed(&mut self, id: HypervisorId) {
        self.reordered.insert(id);
        self.hypervisors.insert(id);
    }

    async fn notify_waiting(&mut self, id: HypervisorId) -> Result<(), Error> {
        let waiting =
            task::of_hypervisor(&self.conn(), id, TaskState::Queued, MAX_QUEUE_NOTIFICATIONS).await.db()?;
        for record in waiting {
            if !self.notified.contains(&record.task.id) {
                self.task_changed(&record).await?;
            }
        }
        Ok(())
    }

    /// Writes an audit row.
    pub(crate) async fn audit(
        &self,
        op: &Op,
        action: &str,
        resource: impl std::fmt::Display,
    ) -> Result<(), Error> {
        let actor = match op.actor.by {
            Authenticated::Session(id) => id.to_string(),
            Authenticated::Token(id) => id.to_string(),
            Authenticated::System => "system".to_owned(),
        };
        let record = audit::AuditRecord {
            id: self.service.new_uuid(),
            at: self.now,
            account_id: Some(op.account_id()),
            actor,
            action: action.to_owned(),
            resource: resource.to_string(),
            request_id: op.request_id,
        };
        audit::insert(&self.tx, &record).await.db()
    }

    /// Writes an audit row about somebody without an account, who has a link. `made_by` is the id
    /// of the request that made the link.
    pub(crate) async fn audit_link(
        &self,
        request_id: RequestId,
        made_by: &str,
        action: &str,
        resource: String,
    ) -> Result<(), Error> {
        let record = audit::AuditRecord {
            id: self.service.new_uuid(),
            at: self.now,
            account_id: None,
            actor: format!("link {made_by}"),
            action: action.to_owned(),
            resource,
            request_id,
        };
        audit::insert(&self.tx, &record).await.db()
    }

    async fn append_event(&mut self, event: NewEvent) -> Result<(), Error> {
        event::append(&self.tx, &event).await.db()?;
        self.accounts.insert(event.account_id);
        Ok(())
    }

    fn new_event(&self, account_id: AccountId, kind: EventKind) -> NewEvent {
        NewEvent {
            account_id,
            kind,
            image_id: None,
            instance_id: None,
            media_group_id: None,
            share_id: None,
            storage_id: None,
            iso_id: None,
            export_id: None,
            task_id: None,
            at: self.now,
        }
    }

    /// Writes the event of an image that was created or changed, for its owner and those that it is
    /// shared with; of a stock image for every admin. What it costs follows it.
    pub(crate) async fn image_changed(&mut self, record: &ImageRecord) -> Result<(), Error> {
        let id = record.image.id;
        metering::image(&self.tx, self.now, self.service.new_uuid(), record).await?;
        self.image_appeared(record.image.account_id, id).await?;
        if record.image.kind == ImageKind::Stock {
            for admin in account::ids_of_role(&self.conn(), Role::Admin).await.db()? {
                if admin != record.image.account_id {
                    self.image_appeared(admin, id).await?;
                }
            }
        }
        if record.image.kind == ImageKind::Custom && record.image.stored.is_some() {
            for recipient in share::recipients(&self.conn(), id, self.now).await.db()? {
                self.image_appeared(recipient, id).await?;
            }
        }
        Ok(())
    }

    /// Writes the event of an image that has changed, or is there from now on, for one account.
    pub(crate) async fn image_appeared(&mut self, account: AccountId, id: ImageId) -> Result<(), Error> {
        let base = self.new_event(account, EventKind::ImageChanged);
        self.append_event(NewEvent { image_id: Some(id), ..base }).await
    }

    /// Writes the event of a share that was offered or whose state has changed, for both sides. For
    /// the recipient a share that is over is gone.
    pub(crate) async fn share_changed(&mut self, share: &Share) -> Result<(), Error> {
        let of_recipient =
            if share.recorded.is_open() { EventKind::ShareChanged } else { EventKind::ShareDeleted };
        for (account, kind) in [(share.owner_id, EventKind::ShareChanged), (share.recipient_id, of_recipient)]
        {
            let base = self.new_event(account, kind);
            self.append_event(NewEvent { share_id: Some(share.id), ..base }).await?;
        }
        Ok(())
    }

    /// Writes the event of an image that is gone for an account.
    pub(crate) async fn image_removed(&mut self, account: AccountId, id: ImageId) -> Result<(), Error> {
        let base = self.new_event(account, EventKind::ImageDeleted);
        self.append_event(NewEvent { image_id: Some(id), ..base }).await
    }

    /// Writes the event of an instance that was created or changed. What it costs follows it.
    pub(crate) async fn instance_changed(&mut self, record: &InstanceRecord) -> Result<(), Error> {
        metering::instance(&self.tx, self.now, self.service.new_uuid(), record).await?;
        let instance_id = Some(record.instance.id);
        let base = self.new_event(record.instance.account_id, EventKind::InstanceChanged);
        self.append_event(NewEvent { instance_id, ..base }).await
    }

    /// Writes the event of an instance that was removed.
    pub(crate) async fn instance_removed(&mut self, account: AccountId, id: InstanceId) -> Result<(), Error> {
        let base = self.new_event(account, EventKind::InstanceDeleted);
        self.append_event(NewEvent { instance_id: Some(id), ..base }).await
    }

    /// Writes the event of an image storage that was added or changed, for every admin.
    pub(crate) async fn storage_changed(&mut self, id: StorageId) -> Result<(), Error> {
        self.storage_event(EventKind::StorageChanged, id).await
    }

    /// Writes the event of an image storage that was removed, for every admin.
    pub(crate) async fn storage_removed(&mut self, id: StorageId) -> Result<(), Error> {
        self.storage_event(EventKind::StorageDeleted, id).await
    }

    /// Writes the event of an ISO that was registered or changed, for every admin.
    pub(crate) async fn iso_changed(&mut self, id: IsoId) -> Result<(), Error> {
        self.iso_event(EventKind::IsoChanged, id).await
    }

    /// Writes the event of an ISO that was removed, for every admin.
    pub(crate) async fn iso_removed(&mut self, id: IsoId) -> Result<(), Error> {
        self.iso_event(EventKind::IsoDeleted, id).await
    }

    /// Writes the event of an export that was asked for or changed, for its account.
    pub(crate) async fn export_changed(&mut self, account: AccountId, id: ExportId) -> Result<(), Error> {
        let base = self.new_event(account, EventKind::ExportChanged);
        self.append_event(NewEvent { export_id: Some(id), ..base }).await
    }

    /// Writes the event of an export that was removed.
    pub(crate) async fn export_removed(&mut self, account: AccountId, id: ExportId) -> Result<(), Error> {
        let base = self.new_event(account, EventKind::ExportDeleted);
        self.append_event(NewEvent { export_id: Some(id), ..base }).await
    }

    async fn iso_event(&mut self, kind: EventKind, id: IsoId) -> Result<(), Error> {
        for admin in account::ids_of_role(&self.conn(), Role::Admin).await.db()? {
            let base = self.new_event(admin, kind);
            self.append_event(NewEvent { iso_id: Some(id), ..base }).await?;
        }
        Ok(())
    }

    async fn storage_event(&mut self, kind: EventKind, id: StorageId) -> Result<(), Error> {
        for admin in account::ids_of_role(&self.conn(), Role::Admin).await.db()? {
            let base = self.new_event(admin, kind);
            self.append_event(NewEvent { storage_id: Some(id), ..base }).await?;
        }
        Ok(())
    }

    /// Writes the event of a change of what is charged, for every admin and for the account that it
    /// is about, if it is about one.
    pub(crate) async fn billing_changed(
        &mut self,
        kind: EventKind,
        account: Option<AccountId>,
    ) -> Result<(), Error> {
        let mut accounts: BTreeSet<AccountId> = account.into_iter().collect();
        accounts.extend(account::ids_of_role(&self.conn(), Role::Admin).await.db()?);
        for account in accounts {
            let event = self.new_event(account, kind);
            self.append_event(event).await?;
        }
        Ok(())
    }

    /// Writes the event of a task that its operator has to look into, for every admin.
    pub(crate) async fn task_alert(&mut self, id: TaskId) -> Result<(), Error> {
        for admin in account::ids_of_role(&self.conn(), Role::Admin).await.db()? {
            let base = self.new_event(admin, EventKind::TaskAlert);
            self.append_event(NewEvent { task_id: Some(id), ..base }).await?;
        }
        Ok(())
    }

    /// Writes the event of a media group that was added or changed, for every admin.
    pub(crate) async fn media_group_changed(&mut self, id: MediaGroupId) -> Result<(), Error> {
        self.media_group_event(EventKind::MediaGroupChanged, id).await
    }

    /// Writes the event of a media group that was removed, for every admin.
    pub(crate) async fn media_group_removed(&mut self, id: MediaGroupId) -> Result<(), Error> {
        self.media_group_event(EventKind::MediaGroupDeleted, id).await
    }

    async fn media_group_event(&mut self, kind: EventKind, id: MediaGroupId) -> Result<(), Error> {
        for admin in account::ids_of_role(&self.conn(), Role::Admin).await.db()? {
            let base = self.new_event(admin, kind);
            self.append_event(NewEvent { media_group_id: Some(id), ..base }).await?;
        }
        Ok(())
    }

    /// Writes the event of a task that was created, made progress or ended; the agent is woken to
    /// read its queue.
    pub(crate) async fn task_changed(&mut self, record: &TaskRecord) -> Result<(), Error> {
        let base = self.new_event(record.task.account_id, EventKind::TaskChanged);
        let task_id = Some(record.task.id);
        self.append_event(NewEvent { task_id, ..base }).await?;
        self.notified.insert(record.task.id);
        self.hypervisors.insert(record.task.hypervisor_id);
        Ok(())
    }
}
