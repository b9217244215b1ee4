//! The connection test of an image storage, as a task of a hypervisor's agent.

use std::collections::{BTreeMap, BTreeSet};

use imprint_domain::{
    Code, Error,
    id::{HypervisorId, StorageId, TaskId},
    plugin_kind::StorageKind,
    secret::Secrets,
    storage::{StorageRole, StorageState},
    task::TaskKind,
};
use imprint_store::{secret::of_task, storage_kind as kinds};

use crate::{
    Op, Service, TaskView,
    catalogue::{hypervisor, storage_kind, storage_secrets},
    change::Change,
    db_result::DbResult,
    idempotency,
    secrets::seal,
    storages::view,
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
        storage_test::TestSubject,
        task::{Audience, view_for},
    },
};

/// A connection test of a storage that is not stored.
#[derive(Clone, Debug)]
pub struct StorageTestCreate {
    /// The hypervisor that tries the storage.
    pub hypervisor_id: HypervisorId,
    /// The plugin that reaches it.
    pub kind: StorageKind,
    /// The purpose of the storage.
    pub role: StorageRole,
    /// The plugin's settings.
    pub settings: BTreeMap<String, String>,
    /// The plugin's secrets. They are stored sealed, and removed when the test ends.
    pub secrets: Secrets,
}

/// A connection test of a stored storage, perhaps with changes that are not stored.
#[derive(Clone, Debug)]
pub struct StoredStorageTest {
    /// The hypervisor that tries the storage.
    pub hypervisor_id: HypervisorId,
    /// The settings to test instead of the stored ones.
    pub settings: Option<BTreeMap<String, String>>,
    /// The secrets to test instead of the stored ones; the others are those that are stored.
    pub secrets: Secrets,
}

/// The task of a connection test.
#[derive(Clone, Debug)]
pub struct StorageTestTask {
    /// The task; its result is in it when it is over.
    pub task: TaskView,
    /// Whether an earlier request with the same idempotency key queued it.
    pub replayed: bool,
}

/// A test with settings that are checked.
struct Checked {
    hypervisor_id: HypervisorId,
    subject: TestSubject,
    secrets: Secrets,
}

impl Service {
    /// Tests settings before a storage is made of them: queues a task of the hypervisor's agent.
    /// Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not
    /// exist; [`Code::InvalidRequest`] for a kind, a setting or a secret that is wrong;
    /// [`Code::HypervisorOffline`]; an error of the database.
    pub async fn storage_test(&self, op: &Op, request: StorageTestCreate) -> Result<StorageTestTask, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(StorageTestTask { task: stored, replayed: true });
        }
        let settings = storage_kind::check_settings(
            &change.conn(),
            &request.kind,
            &request.settings,
            &request.secrets,
            &BTreeSet::new(),
        )
        .await?;
        let subject = TestSubject {
            storage_id: None,
            kind: request.kind,
            role: request.role,
            read_only: false,
            settings,
        };
        let checked = Checked { hypervisor_id: request.hypervisor_id, subject, secrets: request.secrets };
        let answer = queue(&mut change, op, checked).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(StorageTestTask { task: answer, replayed: false })
    }

    /// Tests a stored storage, perhaps with changes: queues a task of the hypervisor's agent.
    /// Admins only.
    ///
    /// # Errors
    ///
    /// As [`Service::storage_test`].
    pub async fn stored_storage_test(
        &self,
        op: &Op,
        id: StorageId,
        request: StoredStorageTest,
    ) -> Result<StorageTestTask, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(StorageTestTask { task: stored, replayed: true });
        }
        let stored = view::get(&change.conn(), id).await?.storage;
        let mut kept = storage_secrets::names(&change.conn(), id).await?;
        kept.retain(|name| !request.secrets.contains_key(name));
        let settings = storage_kind::check_settings(
            &change.conn(),
            &stored.kind,
            request.settings.as_ref().unwrap_or(&stored.settings),
            &request.secrets,
            &kept,
        )
        .await?;
        let subject = TestSubject {
            storage_id: Some(id),
            kind: stored.kind,
            role: stored.role,
            read_only: stored.state != StorageState::Active,
            settings,
        };
        let checked = Checked { hypervisor_id: request.hypervisor_id, subject, secrets: request.secrets };
        let answer = queue(&mut change, op, checked).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(StorageTestTask { task: answer, replayed: false })
    }
}

async fn queue(change: &mut Change<'_>, op: &Op, test: Checked) -> Result<TaskView, Error> {
    require_agent(change, &test).await?;
    let task_id = TaskId::new(change.service.new_uuid());
    let new = NewTask {
        account_id: op.account_id(),
        kind: TaskKind::StorageTest,
        image_id: None,
        instance_id: None,
        hypervisor_id: test.hypervisor_id,
        payload: TaskPayload::StorageTest(test.subject),
        request_id: op.request_id,
    };
    let task = lifecycle::new_task(change, task_id, new)?;
    lifecycle::queue(change, &task).await?;
    for (name, secret) in &test.secrets {
        let sealed = seal::seal(change, &task_id, name, secret)?;
        of_task::put(&change.tx, task_id, &sealed).await.db()?;
    }
    change.audit(op, "storage.test", task_id).await?;
    view_for(&change.conn(), &task, change.now, Audience::of(op)).await
}

/// Refuses a hypervisor that cannot carry the test out now.
async fn require_agent(change: &Change<'_>, test: &Checked) -> Result<(), Error> {
    let at = "/hypervisor_id";
    let found = hypervisor::get(&change.conn(), test.hypervisor_id).await.map_err(|error| error.at(at))?;
    if !found.hypervisor.is_online(change.now) {
        let detail = "the agent of this hypervisor is offline; start it, or choose another hypervisor";
        return Err(Error::new(Code::HypervisorOffline, detail).at(at));
    }
    let kind = &test.subject.kind;
    let on = kinds::of_kind(&change.conn(), kind).await.db()?;
    if on.iter().any(|record| record.hypervisor_id == test.hypervisor_id) {
        return Ok(());
    }
    let detail = format!("this hypervisor has no plugin for storages of the kind `{kind}`; install it there");
    Err(Error::new(Code::InvalidRequest, detail).at(at))
}
