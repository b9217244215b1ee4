//! Image storages and their binding to hypervisors (S92 to S95).

use std::collections::{BTreeMap, BTreeSet};

use imprint_domain::{
    Error,
    id::{HypervisorId, StorageId},
    name::Name,
    plugin_kind::StorageKind,
    secret::{SecretText, Secrets},
    size::ByteSize,
    storage::{ImageStorage, StorageRole},
    time::Timestamp,
};
use imprint_store::{
    Conn,
    storage::{self, StorageRecord},
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Page, PageRequest, Service,
    catalogue::{
        hypervisor, storage_kind,
        storage_secrets::{self, StorageSecretView},
    },
    change::Change,
    db_result::DbResult,
    idempotency,
    page::Listing,
    validate::name_taken,
};

/// An image storage, as admins see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageView {
    /// The storage's id.
    pub id: StorageId,
    /// The storage's name.
    pub name: Name,
    /// The purpose of the storage.
    pub role: StorageRole,
    /// The plugin that reaches it.
    pub kind: StorageKind,
    /// The settings of the plugin; for `local`: `path`.
    pub settings: BTreeMap<String, String>,
    /// The free space in bytes that an agent saw last.
    pub available_bytes: Option<ByteSize>,
    /// The total space in bytes.
    pub total_bytes: Option<ByteSize>,
    /// When an agent reported it last.
    pub seen_at: Option<Timestamp>,
    /// Why it cannot be used; `None` when an agent can use it.
    pub problem: Option<String>,
    /// The hypervisors that use it.
    pub hypervisor_ids: Vec<HypervisorId>,
    /// The secrets that are set, without their values.
    #[serde(default)]
    pub secrets: Vec<StorageSecretView>,
}

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
}

async fn view(conn: &Conn<'_>, record: StorageRecord) -> Result<StorageView, Error> {
    let storage = record.storage;
    Ok(StorageView {
        hypervisor_ids: storage::bound_hypervisors(conn, storage.id).await.db()?,
        secrets: storage_secrets::views(conn, storage.id).await?,
        id: storage.id,
        name: storage.name,
        role: storage.role,
        kind: storage.kind,
        settings: storage.settings,
        available_bytes: storage.available,
        total_bytes: storage.total,
        seen_at: storage.seen_at,
        problem: record.problem,
    })
}

/// Reads a storage that must exist.
pub(crate) async fn get(conn: &Conn<'_>, id: StorageId) -> Result<StorageRecord, Error> {
    storage::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("image storage"))
}

impl Service {
    /// All image storages, oldest first. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin; an error of the database.
    pub async fn storage_list(&self, op: &Op, page: &PageRequest) -> Result<Page<StorageView>, Error> {
        op.require_admin()?;
        let listing = Listing::new(page, "storages")?;
        let conn = self.read();
        let rows = storage::list(&conn, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.storage.id)?;
        let mut items = Vec::with_capacity(rows.len());
        for record in rows {
            items.push(view(&conn, record).await?);
        }
        Ok(Page { items, next_page_token })
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
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(stored);
        }
        let settings = storage_kind::check_settings(
            &change.conn(),
            &request.kind,
            &request.settings,
            &request.secrets,
            &BTreeSet::new(),
        )
        .await?;
        let record = StorageRecord {
            storage: ImageStorage {
                id: StorageId::new(self.new_uuid()),
                name: request.name,
                role: request.role,
                kind: request.kind,
                settings,
                available: None,
                total: None,
                seen_at: None,
                secrets_version: u64::from(!request.secrets.is_empty()),
            },
            problem: None,
            created_at: change.now,
        };
        storage::insert(&change.tx, &record).await.map_err(name_taken("image storage"))?;
        storage_secrets::put(&change, record.storage.id, &request.secrets).await?;
        let answer = view(&change.conn(), record).await?;
        change.audit(op, "storage.create", answer.id).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Binds a storage to a hypervisor; binding twice changes nothing. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::NotFound`] for what does not exist or is not visible; an error of
    /// the database.
    pub async fn storage_bind(
        &self,
        op: &Op,
        id: StorageId,
        hypervisor_id: HypervisorId,
    ) -> Result<StorageView, Error> {
        op.require_admin()?;
        let change = Change::begin(self).await?;
        let record = get(&change.conn(), id).await?;
        hypervisor::get(&change.conn(), hypervisor_id).await?;
        storage::bind(&change.tx, id, hypervisor_id).await.db()?;
        let answer = view(&change.conn(), record).await?;
        change.audit(op, "storage.bind", id).await?;
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
        let change = Change::begin(self).await?;
        let mut record = get(&change.conn(), id).await?;
        storage_secrets::apply(&change, &mut record, &changes).await?;
        storage::update(&change.tx, &record).await.db()?;
        change.audit(op, "storage.set_secrets", id).await?;
        let answer = view(&change.conn(), record).await?;
        change.commit().await?;
        Ok(answer)
    }
}
