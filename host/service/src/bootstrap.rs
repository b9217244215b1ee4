//! What the program does at its start: the first admin, and for `--demo` everything that a newcomer needs.

use std::{collections::BTreeMap, time::Duration};

use imprint_domain::{
    Error,
    id::{AccountId, HypervisorId, ImageId, InstanceId, LocationId, StorageId},
    name::Name,
    size::ByteSize,
};

use crate::Service;

/// A stock image's file.
#[derive(Clone, Debug)]
pub struct StockImageFile {
    /// The image's name.
    pub name: Name,
    /// For people.
    pub description: String,
    /// The file's key in the stock storage.
    pub key: String,
    /// `raw` or `qcow2`.
    pub format: String,
}

/// What this machine needs to be a hypervisor with a local storage. Everything is found by its name and made if it is missing.
#[derive(Clone, Debug)]
pub struct LocalRequest {
    /// The location's name; images are enabled there.
    pub location: Name,
    /// This machine's name as a hypervisor.
    pub hypervisor: Name,
    /// `qemu`.
    pub driver: String,
    /// Settings of the driver; brought up to date when the hypervisor exists already.
    pub driver_settings: BTreeMap<String, String>,
    /// Folder of the local storage for customers' images (named `images`).
    pub customer_path: String,
    /// Folder of the local storage for stock images (named `stock`).
    pub stock_path: String,
}

/// What [`Service::ensure_local`] made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalSetup {
    /// The location.
    pub location_id: LocationId,
    /// This machine.
    pub hypervisor_id: HypervisorId,
    /// The storage for customers' images.
    pub customer_storage_id: StorageId,
    /// The storage for stock images.
    pub stock_storage_id: StorageId,
}

/// What `--demo` adds to [`LocalRequest`].
#[derive(Clone)]
pub struct DemoRequest {
    /// The stock image, if there is one to offer.
    pub stock_image: Option<StockImageFile>,
    /// The customer account's name.
    pub account: Name,
    /// Its password; set again when the account exists already. `None` leaves it alone, and generates one for a new account.
    pub password: Option<String>,
    /// The first instance's name.
    pub instance: Name,
    /// Its memory.
    pub memory: ByteSize,
}

/// What `--demo` made or found.
#[derive(Clone)]
pub struct DemoSetup {
    /// The machine.
    pub local: LocalSetup,
    /// The customer.
    pub account_id: AccountId,
    /// A password that was generated now; shown once.
    pub generated_password: Option<String>,
    /// The stock image.
    pub image_id: Option<ImageId>,
}

impl Service {
    /// Makes the account `admin` if there is no admin yet. `password` is its password; `None` generates one, which is
    /// answered and shown once. An existing admin's password is set again only when one is given.
    pub async fn ensure_admin(&self, password: Option<String>) -> Result<Option<String>, Error> {
        pending!(password)
    }

    /// Makes what is missing of the location, this machine as its hypervisor, and two local storages bound to it. The program
    /// calls it at every start, before it starts the embedded agent.
    pub async fn ensure_local(&self, request: &LocalRequest) -> Result<LocalSetup, Error> {
        pending!(request)
    }

    /// Makes what is missing of the customer account and the stock image, on top of [`Service::ensure_local`]. The first
    /// instance follows with [`Service::ensure_demo_instance`].
    pub async fn ensure_demo(&self, local: LocalSetup, request: &DemoRequest) -> Result<DemoSetup, Error> {
        pending!(local, request)
    }

    /// Deploys the demo's first instance, unless the account already has one. Needs the stock image to be available and the
    /// agent to be online: waits for both, at most `wait`. `None` when there is no stock image. Cancel-safe.
    pub async fn ensure_demo_instance(
        &self,
        setup: &DemoSetup,
        request: &DemoRequest,
        wait: Duration,
    ) -> Result<Option<InstanceId>, Error> {
        pending!(setup, request, wait)
    }
}
