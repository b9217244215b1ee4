//! A change: one write transaction with its events and audit rows, and whom to wake once it is
//! committed.

use std::collections::BTreeSet;

use imprint_domain::{
    Error,
    event::EventKind,
    id::{AccountId, HypervisorId, ImageId, InstanceId, TaskId},
    task::TaskState,
    time::Timestamp,
};
use imprint_store::{
    Conn, WriteTx, audit,
    event::{self, Happening},
    image::ImageRecord,
    instance::InstanceRecord,
    task::{self, TaskRecord},
};

use crate::{Authenticated, Op, Service, service::DbResult};

/// A change that is under way; dropping it undoes it.
pub(crate) struct Change<'a> {
    pub(crate) service: &'a Service,
    pub(crate) tx: WriteTx,
    pub(crate) now: Timestamp,
    accounts: BTreeSet<AccountId>,
    hypervisors: BTreeSet<HypervisorId>,
    /// Hypervisors whose queue moved.
    moved: BTreeSet<HypervisorId>,
    /// Tasks that were told of.
    told: BTreeSet<TaskId>,
}

/// Waiting tasks that are told of when their queue moves: those at its head, whose place people
/// watch.
const TOLD_OF_MOVE: u32 = 50;

impl<'a> Change<'a> {
    /// Waits for its turn to write.
    pub(crate) async fn begin(service: &'a Service) -> Result<Self, Error> {
        let tx = service.store().write_tx().await.db()?;
        // After the wait: what is judged by the clock is judged now.
        let now = service.now();
        let (accounts, hypervisors) = (BTreeSet::new(), BTreeSet::new());
        Ok(Self { service, tx, now, accounts, hypervisors, moved: BTreeSet::new(), told: BTreeSet::new() })
    }

    /// To read what the change sees.
    pub(crate) fn conn(&self) -> Conn<'_> {
        self.tx.conn()
    }

    /// Commits, and wakes whoever waits for the news.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        for hypervisor in std::mem::take(&mut self.moved) {
            self.tell_waiting(hypervisor).await?;
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

    /// Notes that tasks behind this one have another place in the queue, or another reason to wait
    /// (X12).
    pub(crate) fn queue_moved(&mut self, record: &TaskRecord) {
        self.moved.insert(record.task.hypervisor_id);
    }

    async fn tell_waiting(&mut self, id: HypervisorId) -> Result<(), Error> {
        let waiting = task::of_hypervisor(&self.conn(), id, TaskState::Queued, TOLD_OF_MOVE).await.db()?;
        for record in waiting {
            if !self.told.contains(&record.task.id) {
                self.task_changed(&record).await?;
            }
        }
        Ok(())
    }

    /// Writes down who did what.
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

    async fn happened(&mut self, happening: Happening) -> Result<(), Error> {
        event::append(&self.tx, &happening).await.db()?;
        self.accounts.insert(happening.account_id);
        Ok(())
    }

    fn happening(&self, account_id: AccountId, kind: EventKind) -> Happening {
        Happening { account_id, kind, image_id: None, instance_id: None, task_id: None, at: self.now }
    }

    /// Tells that an image came to be or changed.
    pub(crate) async fn image_changed(&mut self, record: &ImageRecord) -> Result<(), Error> {
        let image_id = Some(record.image.id);
        let base = self.happening(record.image.account_id, EventKind::ImageChanged);
        self.happened(Happening { image_id, ..base }).await
    }

    /// Tells that an image is gone.
    pub(crate) async fn image_gone(&mut self, account: AccountId, id: ImageId) -> Result<(), Error> {
        let base = self.happening(account, EventKind::ImageDeleted);
        self.happened(Happening { image_id: Some(id), ..base }).await
    }

    /// Tells that an instance came to be or changed.
    pub(crate) async fn instance_changed(&mut self, record: &InstanceRecord) -> Result<(), Error> {
        let instance_id = Some(record.instance.id);
        let base = self.happening(record.instance.account_id, EventKind::InstanceChanged);
        self.happened(Happening { instance_id, ..base }).await
    }

    /// Tells that an instance is gone.
    pub(crate) async fn instance_gone(&mut self, account: AccountId, id: InstanceId) -> Result<(), Error> {
        let base = self.happening(account, EventKind::InstanceDeleted);
        self.happened(Happening { instance_id: Some(id), ..base }).await
    }

    /// Tells that a task came to be, moved on, or ended; the agent looks at its queue again.
    pub(crate) async fn task_changed(&mut self, record: &TaskRecord) -> Result<(), Error> {
        let base = self.happening(record.task.account_id, EventKind::TaskChanged);
        let task_id = Some(record.task.id);
        self.happened(Happening { task_id, ..base }).await?;
        self.told.insert(record.task.id);
        self.hypervisors.insert(record.task.hypervisor_id);
        Ok(())
    }
}
