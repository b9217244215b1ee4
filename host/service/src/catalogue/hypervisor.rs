//! Hypervisors.

use std::collections::BTreeMap;

use imprint_domain::{
    Code, Error,
    hypervisor::Hypervisor,
    id::{HypervisorId, LocationId, StorageId},
    name::Name,
    plugin_kind::DriverKind,
    time::Timestamp,
};
use imprint_store::{
    Conn,
    hypervisor::{self, HypervisorRecord},
    instance, storage, task,
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Page, PageRequest, Service,
    catalogue::location,
    change::Change,
    db_result::DbResult,
    idempotency,
    page::Listing,
    validate::{check_settings, name_taken, require_unreferenced},
};

/// A hypervisor, as customers see it: what choosing one needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HypervisorView {
    /// The hypervisor's id.
    pub id: HypervisorId,
    /// The hypervisor's name.
    pub name: Name,
    /// The location of the machine.
    pub location_id: LocationId,
    /// Whether its agent has called lately.
    pub online: bool,
}

/// A hypervisor, as admins see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminHypervisorView {
    /// The hypervisor's id.
    pub id: HypervisorId,
    /// The hypervisor's name.
    pub name: Name,
    /// The location of the machine.
    pub location_id: LocationId,
    /// The plugin that controls it.
    pub driver: DriverKind,
    /// The settings of the driver.
    pub driver_settings: BTreeMap<String, String>,
    /// The number of tasks that may run on it at once.
    pub max_work: u32,
    /// The number of captures that may run on it at once (S28).
    pub max_captures: u32,
    /// Whether it is older hardware with limited bandwidth for imaging (S47).
    #[serde(default)]
    pub limited_bandwidth: bool,
    /// Whether its agent has called lately.
    pub online: bool,
    /// When its agent called last.
    pub last_seen_at: Option<Timestamp>,
    /// The version of its agent.
    pub agent_version: Option<String>,
    /// The plugins of its agent: id to version.
    pub plugins: BTreeMap<String, String>,
    /// What is missing on the machine, in human-readable sentences.
    pub findings: Vec<String>,
    /// Where its agent serves the objects of its storages, `HOST:PORT`.
    #[serde(default)]
    pub object_address: Option<String>,
    /// The storages that are bound to it.
    pub storage_ids: Vec<StorageId>,
    /// Increases with every change by an admin; the ETag.
    #[serde(default)]
    pub version: u32,
}

/// A new hypervisor.
#[derive(Clone, Debug)]
pub struct HypervisorCreate {
    /// The unique name.
    pub name: Name,
    /// The location of the machine.
    pub location_id: LocationId,
    /// The plugin that controls it.
    pub driver: DriverKind,
    /// The settings of the driver.
    pub driver_settings: BTreeMap<String, String>,
    /// The number of tasks that may run at once; `None` takes 4.
    pub max_work: Option<u32>,
    /// The number of captures that may run at once (S28); `None` takes 2.
    pub max_captures: Option<u32>,
}

/// A change of a hypervisor; `None` keeps a property.
#[derive(Clone, Copy, Debug, Default)]
pub struct HypervisorPatch {
    /// The number of captures that may run at once (S28), 1 to the number of tasks.
    pub max_captures: Option<u32>,
    /// Whether it is older hardware with limited bandwidth for imaging (S47).
    pub limited_bandwidth: Option<bool>,
}

/// The default and the highest numbers of tasks and captures at once.
const DEFAULT_WORK: u32 = 4;
const DEFAULT_CAPTURES: u32 = 2;
const MAX_WORK: u32 = 64;

fn view(record: &HypervisorRecord, now: Timestamp) -> HypervisorView {
    let hypervisor = &record.hypervisor;
    HypervisorView {
        id: hypervisor.id,
        name: hypervisor.name.clone(),
        location_id: hypervisor.location_id,
        online: hypervisor.is_online(now),
    }
}

async fn admin_view(
    conn: &Conn<'_>,
    record: HypervisorRecord,
    now: Timestamp,
) -> Result<AdminHypervisorView, Error> {
    let hypervisor = record.hypervisor;
    let storages = storage::of_hypervisor(conn, hypervisor.id).await.db()?;
    Ok(AdminHypervisorView {
        id: hypervisor.id,
        online: hypervisor.is_online(now),
        name: hypervisor.name,
        location_id: hypervisor.location_id,
        driver: hypervisor.driver,
        driver_settings: record.driver_settings,
        max_work: record.max_work,
        max_captures: hypervisor.max_captures,
        limited_bandwidth: hypervisor.limited_bandwidth,
        last_seen_at: hypervisor.last_seen_at,
        agent_version: record.agent_version,
        plugins: record.plugins,
        findings: record.findings,
        object_address: record.objects.map(|server| server.address),
        storage_ids: storages.iter().map(|bound| bound.storage.id).collect(),
        version: hypervisor.version,
    })
}

/// Reads a hypervisor that must exist.
pub(crate) async fn get(conn: &Conn<'_>, id: HypervisorId) -> Result<HypervisorRecord, Error> {
    hypervisor::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("hypervisor"))
}

fn check_bounds(max_work: u32, max_captures: u32) -> Result<(), Error> {
    if max_work == 0 || max_work > MAX_WORK {
        return Err(Error::new(Code::InvalidRequest, format!("max_work is 1 to {MAX_WORK}")).at("/max_work"));
    }
    if max_captures > max_work {
        return Err(Error::new(Code::InvalidRequest, "max_captures is at most max_work").at("/max_captures"));
    }
    Ok(())
}

/// Checks a number of captures at once that an admin sets.
fn check_captures(max_work: u32, max_captures: u32) -> Result<(), Error> {
    if max_captures == 0 || max_captures > max_work {
        let text = format!("max_captures is 1 to {max_work}, the number of tasks at once");
        return Err(Error::new(Code::InvalidRequest, text).at("/max_captures"));
    }
    Ok(())
}

impl Service {
    /// All hypervisors, oldest first.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; an error of the database.
    pub async fn hypervisor_list(&self, op: &Op, page: &PageRequest) -> Result<Page<HypervisorView>, Error> {
        op.require_read()?;
        let listing = Listing::new(page, "hypervisors")?;
        let rows = hypervisor::list(&self.read(), listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.hypervisor.id)?;
        let now = self.now();
        Ok(Page { items: rows.iter().map(|record| view(record, now)).collect(), next_page_token })
    }

    /// All hypervisors with what admins need. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; an error of the database.
    pub async fn admin_hypervisor_list(
        &self,
        op: &Op,
        page: &PageRequest,
    ) -> Result<Page<AdminHypervisorView>, Error> {
        op.require_admin()?;
        let listing = Listing::new(page, "admin hypervisors")?;
        let conn = self.read();
        let rows = hypervisor::list(&conn, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.hypervisor.id)?;
        let mut items = Vec::with_capacity(rows.len());
        for record in rows {
            items.push(admin_view(&conn, record, self.now()).await?);
        }
        Ok(Page { items, next_page_token })
    }

    /// One hypervisor. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not exist
    /// or is not visible; an error of the database.
    pub async fn admin_hypervisor_show(
        &self,
        op: &Op,
        id: HypervisorId,
    ) -> Result<AdminHypervisorView, Error> {
        op.require_admin()?;
        let conn = self.read();
        let record = get(&conn, id).await?;
        admin_view(&conn, record, self.now()).await
    }

    /// Creates a hypervisor. Admins only; `name_taken`.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not exist
    /// or is not visible; [`Code::NameTaken`]; [`Code::InvalidRequest`]; an error of the database.
    pub async fn hypervisor_create(
        &self,
        op: &Op,
        request: HypervisorCreate,
    ) -> Result<AdminHypervisorView, Error> {
        op.require_admin()?;
        check_settings(&request.driver_settings, "/driver_settings")?;
        let max_work = request.max_work.unwrap_or(DEFAULT_WORK);
        let max_captures = request.max_captures.unwrap_or(DEFAULT_CAPTURES.min(max_work));
        check_bounds(max_work, max_captures)?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(stored);
        }
        location::get(&change.conn(), request.location_id).await.map_err(|error| error.at("/location_id"))?;
        let record = HypervisorRecord {
            hypervisor: Hypervisor {
                id: HypervisorId::new(self.new_uuid()),
                name: request.name,
                location_id: request.location_id,
                driver: request.driver,
                max_captures,
                limited_bandwidth: false,
                last_seen_at: None,
                version: 1,
            },
            driver_settings: request.driver_settings,
            max_work,
            agent_id: None,
            agent_version: None,
            plugins: BTreeMap::new(),
            findings: Vec::new(),
            objects: None,
            object_key_id: None,
            changes_devices: false,
            created_at: change.now,
        };
        hypervisor::insert(&change.tx, &record).await.map_err(name_taken("hypervisor"))?;
        let answer = admin_view(&change.conn(), record, change.now).await?;
        change.audit(op, "hypervisor.create", answer.id).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Changes a hypervisor, at once also for the captures that wait for a turn on it. `if_match`
    /// is the version that the client saw. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::PreconditionFailed`] for a stale version; [`Code::InvalidRequest`]; an error of the
    /// database.
    pub async fn hypervisor_update(
        &self,
        op: &Op,
        id: HypervisorId,
        patch: HypervisorPatch,
        if_match: Option<u32>,
    ) -> Result<AdminHypervisorView, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        let mut record = get(&change.conn(), id).await?;
        let version = record.hypervisor.version;
        if if_match.is_some_and(|seen| seen != version) {
            let what = "read the hypervisor again, then repeat the change";
            return Err(Error::new(Code::PreconditionFailed, what).with("version", version));
        }
        if let Some(captures) = patch.max_captures {
            check_captures(record.max_work, captures)?;
            record.hypervisor.max_captures = captures;
        }
        if let Some(limited) = patch.limited_bandwidth {
            record.hypervisor.limited_bandwidth = limited;
        }
        record.hypervisor.count_version();
        hypervisor::update(&change.tx, &record).await.db()?;
        change.limits_changed(id);
        let answer = admin_view(&change.conn(), record, change.now).await?;
        change.audit(op, "hypervisor.update", id).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Removes a hypervisor without instances and work, with its bindings, its agent's tokens and
    /// its tasks of the past. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::ResourceInUse`] with what refers to it, and while its agent runs; an error of the
    /// database.
    pub async fn hypervisor_delete(&self, op: &Op, id: HypervisorId) -> Result<(), Error> {
        op.require_admin()?;
        let change = Change::begin(self).await?;
        let record = get(&change.conn(), id).await?;
        let references = [
            ("instances", instance::count_of_hypervisor(&change.conn(), id).await.db()?),
            ("tasks", task::count_active_of_hypervisor(&change.conn(), id).await.db()?),
        ];
        require_unreferenced("hypervisor", &references)?;
        if record.hypervisor.is_online(change.now) {
            return Err(Error::new(Code::ResourceInUse, "its agent is running; stop it first")
                .with("agent", "online"));
        }
        hypervisor::delete(&change.tx, id).await.db()?;
        change.audit(op, "hypervisor.delete", id).await?;
        change.commit().await
    }
}
