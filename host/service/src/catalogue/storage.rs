//! Image storages and their binding to hypervisors (S92 to S95).

use std::collections::{BTreeMap, BTreeSet};

use imprint_domain::{
    Error,
    id::{HypervisorId, StorageId},
    name::Name,
    plugin_kind::StorageKind,
    secret::{SecretText, Secrets},
    size::ByteSize,
    storage::{ImageStorage, StorageRole, StorageState, Weight},
};
use imprint_store::storage::{self, StorageFilter, StorageRecord};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Page, PageRequest, Service, StorageView,
    catalogue::{hypervisor, storage_kind, storage_secrets},
    change::Change,
    db_result::DbResult,
    idempotency,
    page::Listing,
    storages::view::{get, view, views},
    validate::name_taken,
};

/// A new image storage.
#[derive(Clone, Debug)]
pub struct StorageCreate {
    /// The unique name.
    pub name: Name,
    /// The purpose of the storage.
    pub role: StorageRole,
    /// The plugin that reaches it.
    pub kind: StorageKind,
    /// The plugin's settings; for `local`: `path`, absolute.
    pub settings: BTreeMap<String, String>,
    /// The plugin's secrets, which are stored sealed.
    pub secrets: Secrets,
    /// How much it is preferred for new images; `None` takes 100.
    pub weight: Option<Weight>,
    /// Whether the path is the same storage on every machine that it will be bound to.
    pub shared_path: bool,
    /// The free space below which it is nearly full; `None` takes 5 %, at most 10 GiB.
    pub min_free: Option<ByteSize>,
}

impl StorageCreate {
    /// Returns a new storage with the defaults of everything that can be left out.
    pub const fn new(
        name: Name,
        role: StorageRole,
        kind: StorageKind,
        settings: BTreeMap<String, String>,
    ) -> Self {
        Self {
            name,
            role,
            kind,
            settings,
            secrets: Secrets::new(),
            weight: None,
            shared_path: false,
            min_free: None,
        }
    }
}

/// The storages to list.
#[derive(Clone, Debug, Default)]
pub struct StorageList {
    /// The role, if only one is listed.
    pub role: Option<StorageRole>,
    /// The state, if only one is listed.
    pub state: Option<StorageState>,
    /// The kind, if only one is listed.
    pub kind: Option<StorageKind>,
    /// The hypervisor that they are bound to, if only those are listed.
    pub hypervisor_id: Option<HypervisorId>,
    /// The page to return.
    pub page: PageRequest,
}

/// What is stored of the answer to a creation: the rest is read again when it is repeated.
#[derive(Serialize, Deserialize)]
struct Created {
    id: StorageId,
}

impl Service {
    /// Returns a page of image storages, oldest first. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin; an error of the database.
    pub async fn storage_list(&self, op: &Op, list: &StorageList) -> Result<Page<StorageView>, Error> {
        op.require_admin()?;
        let filter = StorageFilter {
            role: list.role,
            state: list.state,
            kind: list.kind.clone(),
            hypervisor_id: list.hypervisor_id,
        };
        let listing = Listing::new(&list.page, &format!("storages {filter:?}"))?;
        let conn = self.read();
        let rows = storage::list(&conn, &filter, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.storage.id)?;
        Ok(Page { items: views(&conn, rows, self.now()).await?, next_page_token })
    }

    /// Returns one image storage. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::NotFound`]; an error of the database.
    pub async fn storage_show(&self, op: &Op, id: StorageId) -> Result<StorageView, Error> {
        op.require_admin()?;
        let conn = self.read();
        let record = get(&conn, id).await?;
        view(&conn, record, self.now()).await
    }

    /// Creates an image storage. Admins only; `name_taken`.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::NameTaken`]; [`imprint_domain::Code::InvalidRequest`]; an error of
    /// the database.
    pub async fn storage_create(&self, op: &Op, request: StorageCreate) -> Result<StorageView, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        if let Some(Created { id }) = idempotency::replay(&change, op).await? {
            let record = get(&change.conn(), id).await?;
            return view(&change.conn(), record, change.now).await;
        }
        let settings = storage_kind::check_settings(
            &change.conn(),
            &request.kind,
            &request.settings,
            &request.secrets,
            &BTreeSet::new(),
        )
        .await?;
        let id = StorageId::new(self.new_uuid());
        let mut storage = ImageStorage::new(id, request.name, request.role, request.kind, settings);
        storage.secrets_version = u64::from(!request.secrets.is_empty());
        storage.weight = request.weight.unwrap_or_default();
        storage.shared_path = request.shared_path;
        storage.min_free = request.min_free;
        storage.check_shared_path()?;
        let record = StorageRecord { storage, marked_at: None, created_at: change.now };
        storage::insert(&change.tx, &record).await.map_err(name_taken("image storage"))?;
        storage_secrets::put(&change, id, &request.secrets).await?;
        let answer = view(&change.conn(), record, change.now).await?;
        change.audit(op, "storage.create", id).await?;
        change.storage_changed(id).await?;
        idempotency::remember(&change, op, &Created { id }).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Binds a storage to a hypervisor; binding twice changes nothing. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::NotFound`] for what does not exist or is not visible;
    /// [`imprint_domain::Code::StorageNotShared`] for a folder of another machine; an error of
    /// the database.
    pub async fn storage_bind(
        &self,
        op: &Op,
        id: StorageId,
        hypervisor_id: HypervisorId,
    ) -> Result<StorageView, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        let record = get(&change.conn(), id).await?;
        hypervisor::get(&change.conn(), hypervisor_id).await?;
        let mut bound = storage::bound_hypervisors(&change.conn(), id).await.db()?;
        if !bound.contains(&hypervisor_id) {
            bound.push(hypervisor_id);
            record.storage.require_shared(&bound)?;
            storage::bind(&change.tx, id, hypervisor_id).await.db()?;
            change.audit(op, "storage.bind", id).await?;
            change.storage_changed(id).await?;
        }
        let answer = view(&change.conn(), record, change.now).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Sets secrets of an image storage, and removes those without a value. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::NotFound`] for what does not exist;
    /// [`imprint_domain::Code::InvalidRequest`] for a name or a value that the kind does not
    /// accept; [`imprint_domain::Code::Unavailable`] without a key to seal with; an error of the
    /// database.
    pub async fn storage_secrets_update(
        &self,
        op: &Op,
        id: StorageId,
        changes: BTreeMap<String, Option<SecretText>>,
    ) -> Result<StorageView, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        let mut record = get(&change.conn(), id).await?;
        storage_secrets::apply(&change, &mut record, &changes).await?;
        record.storage.count_version();
        storage::update(&change.tx, &record).await.db()?;
        change.audit(op, "storage.set_secrets", id).await?;
        change.storage_changed(id).await?;
        let answer = view(&change.conn(), record, change.now).await?;
        change.commit().await?;
        Ok(answer)
    }
}
