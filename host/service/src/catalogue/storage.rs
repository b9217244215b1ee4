//! Image storages and their binding to hypervisors (S92 to S95).

use std::collections::BTreeMap;

use imprint_domain::{
    Code, Error,
    id::{HypervisorId, StorageId},
    name::Name,
    plugin_kind::StorageKind,
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
    catalogue::hypervisor,
    change::Change,
    db_result::DbResult,
    idempotency,
    page::Listing,
    validate::{self, name_taken},
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
}

async fn view(conn: &Conn<'_>, record: StorageRecord) -> Result<StorageView, Error> {
    let storage = record.storage;
    Ok(StorageView {
        hypervisor_ids: storage::bound_hypervisors(conn, storage.id).await.db()?,
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

fn check_settings(kind: &StorageKind, settings: &BTreeMap<String, String>) -> Result<(), Error> {
    validate::check_settings(settings, "/settings")?;
    let path = settings.get("path").map(String::as_str).unwrap_or_default();
    if kind.is_local() && !path.starts_with('/') {
        return Err(Error::new(
            Code::InvalidRequest,
            "a local storage needs the setting `path`, an absolute folder on the hypervisor's machine",
        )
        .at("/settings/path"));
    }
    Ok(())
}

impl Service {
    /// All image storages, oldest first. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; an error of the database.
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
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NameTaken`];
    /// [`Code::InvalidRequest`]; an error of the database.
    pub async fn storage_create(&self, op: &Op, request: StorageCreate) -> Result<StorageView, Error> {
        op.require_admin()?;
        check_settings(&request.kind, &request.settings)?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(stored);
        }
        let record = StorageRecord {
            storage: ImageStorage {
                id: StorageId::new(self.new_uuid()),
                name: request.name,
                role: request.role,
                kind: request.kind,
                settings: request.settings,
                available: None,
                total: None,
                seen_at: None,
            },
            problem: None,
            created_at: change.now,
        };
        storage::insert(&change.tx, &record).await.map_err(name_taken("image storage"))?;
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
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not exist
    /// or is not visible; an error of the database.
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
}
