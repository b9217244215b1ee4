//! The facts that decide whether an instance can be captured.

use std::collections::HashMap;

use imprint_domain::{
    Error,
    account::Account,
    hypervisor::Hypervisor,
    id::{AccountId, HypervisorId, LocationId},
    image::ImageUsage,
    instance::{Disk, Instance},
    limits::Quota,
    location::Location,
    rules::{self, Asked},
    storage::{Candidate, StorageRole},
    time::Timestamp,
    windows::WindowsFacts,
};
use imprint_store::{Conn, image, instance};
use serde::{Deserialize, Serialize};

use crate::{
    auth::account,
    catalogue::{hypervisor, location},
    db_result::DbResult,
    storages::candidates,
};

/// Whether an instance can be captured, and if not why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureAllowed {
    /// Whether it can be captured.
    pub allowed: bool,
    /// The stable code of the reason.
    pub code: Option<String>,
    /// The human-readable reason.
    pub reason: Option<String>,
}

/// The facts that decide about a capture of an instance.
pub(crate) struct Facts {
    disks: Vec<Disk>,
    location: Location,
    hypervisor: Hypervisor,
    storages: Vec<Candidate>,
    /// The limits of the owner there, with what it uses.
    quota: Quota,
}

/// Facts that many instances share: read once for a whole list.
#[derive(Default)]
pub(crate) struct Shared {
    accounts: HashMap<AccountId, (Account, Vec<(LocationId, ImageUsage)>)>,
    locations: HashMap<LocationId, Location>,
    hypervisors: HashMap<HypervisorId, (Hypervisor, Vec<Candidate>)>,
    /// Whether the driver of a hypervisor changes devices.
    devices: HashMap<HypervisorId, bool>,
}

impl Shared {
    async fn location(&mut self, conn: &Conn<'_>, id: LocationId) -> Result<Location, Error> {
        if let Some(known) = self.locations.get(&id) {
            return Ok(known.clone());
        }
        let read = location::get(conn, id).await?.location;
        self.locations.insert(id, read.clone());
        Ok(read)
    }

    async fn hypervisor(
        &mut self,
        conn: &Conn<'_>,
        id: HypervisorId,
    ) -> Result<(Hypervisor, Vec<Candidate>), Error> {
        if let Some(known) = self.hypervisors.get(&id) {
            return Ok(known.clone());
        }
        let storages = candidates::of_hypervisor(conn, id, StorageRole::Customer).await?;
        let record = hypervisor::get(conn, id).await?;
        self.devices.insert(id, record.changes_devices);
        let read = (record.hypervisor, storages);
        self.hypervisors.insert(id, read.clone());
        Ok(read)
    }

    /// Returns whether the driver of a hypervisor changes devices.
    pub(crate) async fn changes_devices(&mut self, conn: &Conn<'_>, id: HypervisorId) -> Result<bool, Error> {
        self.hypervisor(conn, id).await?;
        Ok(self.devices.get(&id).copied().unwrap_or_default())
    }

    async fn quota(
        &mut self,
        conn: &Conn<'_>,
        owner: AccountId,
        location: &Location,
    ) -> Result<Quota, Error> {
        if let Some((account, usage)) = self.accounts.get(&owner) {
            return Ok(Quota::of_usage(account, location, usage));
        }
        let account = account::get(conn, owner).await?.account;
        let usage = image::usage_of_account(conn, owner).await.db()?;
        let read = Quota::of_usage(&account, location, &usage);
        self.accounts.insert(owner, (account, usage));
        Ok(read)
    }
}

impl Facts {
    /// Reads the facts. Inside a write transaction, what they say of the limit is a reservation
    /// (S126, X7).
    pub(crate) async fn read(
        conn: &Conn<'_>,
        instance: &Instance,
        shared: &mut Shared,
    ) -> Result<Self, Error> {
        let location = shared.location(conn, instance.location_id).await?;
        let (hypervisor, storages) = shared.hypervisor(conn, instance.hypervisor_id).await?;
        let quota = shared.quota(conn, instance.account_id, &location).await?;
        let disks = instance::disks(conn, instance.id).await.db()?;
        Ok(Self { disks, location, hypervisor, storages, quota })
    }

    /// Returns the instance's disks.
    pub(crate) fn disks(&self) -> &[Disk] {
        &self.disks
    }

    /// Returns what decides about an image of an instance that may run Windows.
    pub(crate) fn windows(
        &self,
        instance: &Instance,
        disk: &Disk,
        domain_controller: Option<bool>,
    ) -> WindowsFacts {
        rules::windows_facts(instance, disk, &self.location, domain_controller)
    }

    /// Applies the rules and the limit.
    pub(crate) fn decide<'a>(
        &'a self,
        instance: &'a Instance,
        asked: Asked,
        now: Timestamp,
    ) -> Result<rules::CaptureChoice<'a>, Error> {
        let choice = rules::capture(&rules::CaptureFacts {
            instance,
            disks: &self.disks,
            location: &self.location,
            hypervisor: &self.hypervisor,
            storages: &self.storages,
            asked,
            now,
        })?;
        self.quota.reserve(choice.reserve)?;
        Ok(choice)
    }

    /// Returns whether the instance can be captured, and if not why.
    pub(crate) fn allowed(&self, instance: &Instance, now: Timestamp) -> CaptureAllowed {
        match self.decide(instance, Asked::default(), now) {
            Ok(_) => CaptureAllowed { allowed: true, code: None, reason: None },
            Err(error) => CaptureAllowed {
                allowed: false,
                code: Some(error.code.as_str().to_owned()),
                reason: Some(error.to_string()),
            },
        }
    }
}
