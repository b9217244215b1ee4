//! What the program does at its start: the first admin, and for `--demo` everything that a newcomer
//! needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use imprint_domain::{
    Code, Error,
    account::{Account, Role},
    coalesce::CoalescePolicy,
    id::{AccountId, HypervisorId, ImageId, InstanceId, LocationId, RequestId, StorageId},
    image::{ImageFormat, ImageStatus},
    instance::{InstanceStatus, Power},
    location::FreezeLimit,
    name::Name,
    plugin_kind::{DriverKind, StorageKind},
    size::ByteSize,
    storage::StorageRole,
    time::Timestamp,
};
use imprint_store::{
    account::{self, AccountRecord},
    hypervisor, image, instance, location, session, storage,
};
use tokio::time::Instant;

use crate::{
    AccountCreate, Actor, Authenticated, HypervisorCreate, InstanceCreate, LocationCreate, Op, Service,
    StockImageCreate, StorageCreate, change::Change, db_result::DbResult,
};

/// The first admin's name.
const ADMIN: &str = "admin";
/// How often what a demo waits for is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Accounts that are looked through for an admin.
const ACCOUNTS: u32 = 500;

/// A stock image's file.
#[derive(Clone, Debug)]
pub struct StockImageFile {
    /// The image's name.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// The file's key in the stock storage.
    pub key: String,
    /// The format of the file.
    pub format: ImageFormat,
}

/// What this machine needs to be a hypervisor with a local storage. Everything is found by its name
/// and made if it is missing.
#[derive(Clone, Debug)]
pub struct LocalRequest {
    /// The location's name; images are enabled there.
    pub location: Name,
    /// This machine's name as a hypervisor.
    pub hypervisor: Name,
    /// The plugin that controls it.
    pub driver: DriverKind,
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
    /// Its password; set again when the account exists already. `None` leaves it alone, and
    /// generates one for a new account.
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

fn fixed_name(text: &str) -> Result<Name, Error> {
    Name::parse(text).map_err(Error::internal)
}

impl Service {
    fn system(&self, account: Account) -> Op {
        let scopes = account.role.scopes();
        let actor = Actor { account, scopes, by: Authenticated::System };
        Op::new(actor, RequestId::new(self.new_uuid()))
    }

    /// Twenty characters that nobody can guess and everybody can type: 100 bits.
    fn generate_password(&self) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let random: [u8; 20] = self.random();
        random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
    }

    async fn admin(&self) -> Result<Option<AccountRecord>, Error> {
        let accounts = account::list(&self.read(), None, ACCOUNTS).await.db()?;
        Ok(accounts.into_iter().find(|record| record.account.role == Role::Admin))
    }

    async fn as_admin(&self) -> Result<Op, Error> {
        let admin = self.admin().await?;
        let admin = admin.ok_or_else(|| Error::new(Code::Unavailable, "there is no admin account yet"))?;
        Ok(self.system(admin.account))
    }

    /// Makes the account `admin` if there is no admin yet. `password` is its password; `None`
    /// generates one, which is answered and shown once. An existing admin's password is set again
    /// only when one is given.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn ensure_admin(&self, password: Option<String>) -> Result<Option<String>, Error> {
        if let Some(record) = self.admin().await? {
            if let Some(password) = password {
                self.set_password(record, &password).await?;
            }
            return Ok(None);
        }
        let (password, generated) = self.password_or_generated(password);
        let password_hash = self.passwords().hash(&password, self.random()).await?;
        let change = Change::begin(self).await?;
        let account = Account {
            id: AccountId::new(self.new_uuid()),
            name: fixed_name(ADMIN)?,
            role: Role::Admin,
            image_limit: None,
            created_at: change.now,
        };
        let op = self.system(account.clone());
        let record = AccountRecord { account, password_hash, event_sequence: 0 };
        account::insert(&change.tx, &record).await.db()?;
        change.audit(&op, "account.create", record.account.id).await?;
        change.commit().await?;
        Ok(generated)
    }

    fn password_or_generated(&self, password: Option<String>) -> (String, Option<String>) {
        match password {
            Some(password) => (password, None),
            None => {
                let generated = self.generate_password();
                (generated.clone(), Some(generated))
            }
        }
    }

    /// Sets a password, unless it is that already; sessions that were opened with the old one end.
    async fn set_password(&self, record: AccountRecord, password: &str) -> Result<(), Error> {
        if self.passwords().verify(password, Some(&record.password_hash)).await? {
            return Ok(());
        }
        let password_hash = self.passwords().hash(password, self.random()).await?;
        let change = Change::begin(self).await?;
        let mut record = crate::auth::account::get(&change.conn(), record.account.id).await?;
        record.password_hash = password_hash;
        account::update(&change.tx, &record).await.db()?;
        session::delete_of_account(&change.tx, record.account.id).await.db()?;
        let op = self.system(record.account.clone());
        change.audit(&op, "account.set_password", record.account.id).await?;
        change.commit().await
    }

    /// Makes what is missing of the location, this machine as its hypervisor, and two local
    /// storages bound to it. The program calls it at every start, before it starts the embedded
    /// agent.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn ensure_local(&self, request: &LocalRequest) -> Result<LocalSetup, Error> {
        let op = self.as_admin().await?;
        let location_id = self.local_location(&op, request).await?;
        let hypervisor_id = self.local_hypervisor(&op, request, location_id).await?;
        let customer = ("images", StorageRole::Customer, &request.customer_path);
        let stock = ("stock", StorageRole::Stock, &request.stock_path);
        let customer_storage_id = self.local_storage(&op, hypervisor_id, customer).await?;
        let stock_storage_id = self.local_storage(&op, hypervisor_id, stock).await?;
        Ok(LocalSetup { location_id, hypervisor_id, customer_storage_id, stock_storage_id })
    }

    async fn local_location(&self, op: &Op, request: &LocalRequest) -> Result<LocationId, Error> {
        let name = request.location.as_str();
        if let Some(found) = location::by_name(&self.read(), name).await.db()? {
            return Ok(found.location.id);
        }
        let create = LocationCreate {
            name: request.location.clone(),
            images_enabled: true,
            default_image_limit: None,
            coalesce: CoalescePolicy::default(),
            freeze_limit: FreezeLimit::default(),
        };
        Ok(self.location_create(op, create).await?.id)
    }

    async fn local_hypervisor(
        &self,
        op: &Op,
        request: &LocalRequest,
        location_id: LocationId,
    ) -> Result<HypervisorId, Error> {
        let name = request.hypervisor.as_str();
        let Some(found) = hypervisor::by_name(&self.read(), name).await.db()? else {
            let create = HypervisorCreate {
                name: request.hypervisor.clone(),
                location_id,
                driver: request.driver.clone(),
                driver_settings: request.driver_settings.clone(),
                max_work: None,
                max_captures: None,
            };
            return Ok(self.hypervisor_create(op, create).await?.id);
        };
        let id = found.hypervisor.id;
        if found.driver_settings != request.driver_settings || found.hypervisor.driver != request.driver {
            let change = Change::begin(self).await?;
            let mut record = crate::catalogue::hypervisor::get(&change.conn(), id).await?;
            record.driver_settings.clone_from(&request.driver_settings);
            record.hypervisor.driver.clone_from(&request.driver);
            hypervisor::update(&change.tx, &record).await.db()?;
            change.audit(op, "hypervisor.update", id).await?;
            change.commit().await?;
        }
        Ok(id)
    }

    async fn local_storage(
        &self,
        op: &Op,
        hypervisor_id: HypervisorId,
        (name, role, path): (&str, StorageRole, &String),
    ) -> Result<StorageId, Error> {
        let settings = BTreeMap::from([("path".to_owned(), path.clone())]);
        let id = match storage::by_name(&self.read(), name).await.db()? {
            None => {
                let name = fixed_name(name)?;
                let create = StorageCreate { name, role, kind: StorageKind::local(), settings };
                self.storage_create(op, create).await?.id
            }
            Some(found) if found.storage.settings == settings => found.storage.id,
            // The data folder moved with everything in it.
            Some(mut found) => {
                let change = Change::begin(self).await?;
                found.storage.settings = settings;
                storage::update(&change.tx, &found).await.db()?;
                change.audit(op, "storage.update", found.storage.id).await?;
                change.commit().await?;
                found.storage.id
            }
        };
        if !storage::bound_hypervisors(&self.read(), id).await.db()?.contains(&hypervisor_id) {
            self.storage_bind(op, id, hypervisor_id).await?;
        }
        Ok(id)
    }

    /// Makes what is missing of the customer account and the stock image, on top of
    /// [`Service::ensure_local`]. The first instance follows with
    /// [`Service::ensure_demo_instance`].
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn ensure_demo(&self, local: LocalSetup, request: &DemoRequest) -> Result<DemoSetup, Error> {
        let op = self.as_admin().await?;
        let (account_id, generated_password) = self.demo_account(&op, request).await?;
        let image_id = match &request.stock_image {
            Some(file) => Some(self.demo_image(&op, local, file).await?),
            None => None,
        };
        Ok(DemoSetup { local, account_id, generated_password, image_id })
    }

    async fn demo_account(
        &self,
        op: &Op,
        request: &DemoRequest,
    ) -> Result<(AccountId, Option<String>), Error> {
        if let Some(found) = account::by_name(&self.read(), request.account.as_str()).await.db()? {
            let id = found.account.id;
            if let Some(password) = &request.password {
                self.set_password(found, password).await?;
            }
            return Ok((id, None));
        }
        let (password, generated) = self.password_or_generated(request.password.clone());
        let (name, role) = (request.account.clone(), Role::Customer);
        let create = AccountCreate { name, password, role, image_limit: None };
        Ok((self.account_create(op, create).await?.id, generated))
    }

    /// The stock image; a failed adoption is tried again, as the file may be there by now.
    async fn demo_image(&self, op: &Op, local: LocalSetup, file: &StockImageFile) -> Result<ImageId, Error> {
        let found = image::by_key(&self.read(), local.stock_storage_id, &file.key).await.db()?;
        let Some(found) = found else {
            let create = StockImageCreate {
                name: file.name.clone(),
                description: file.description.clone(),
                storage_id: local.stock_storage_id,
                key: file.key.clone(),
                format: file.format,
                location_id: local.location_id,
            };
            return Ok(self.stock_image_create(op, create).await?.image.id);
        };
        match (found.image.status, found.image.task_id) {
            (ImageStatus::Error, Some(task_id)) => {
                self.task_retry(op, task_id).await?;
            }
            (ImageStatus::Error, None)
            | (ImageStatus::Creating | ImageStatus::Available | ImageStatus::Deleting, _) => {}
        }
        Ok(found.image.id)
    }

    /// Deploys the demo's first instance, or makes the one of an earlier start run again. Needs the
    /// stock image to be available and the agent to be online: waits for both, at most `wait`.
    /// `None` when there is no stock image. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] for what does not exist or is not visible; an error of the database.
    pub async fn ensure_demo_instance(
        &self,
        setup: &DemoSetup,
        request: &DemoRequest,
        wait: Duration,
    ) -> Result<Option<InstanceId>, Error> {
        let Some(image_id) = setup.image_id else { return Ok(None) };
        let account = crate::auth::account::get(&self.read(), setup.account_id).await?.account;
        let op = self.system(account);
        let until = Instant::now() + wait;
        let have = instance::list(&self.read(), Some(setup.account_id), None, ACCOUNTS).await.db()?;
        if have.is_empty() {
            return self.demo_deploy(&op, setup, request, (image_id, until)).await.map(Some);
        }
        match have.into_iter().find(|found| found.instance.name == request.instance) {
            Some(found) => {
                self.demo_run_again(&op, found.instance.id, until).await?;
                Ok(Some(found.instance.id))
            }
            // Its owner has made others and removed it.
            None => Ok(None),
        }
    }

    async fn demo_deploy(
        &self,
        op: &Op,
        setup: &DemoSetup,
        request: &DemoRequest,
        (image_id, until): (ImageId, Instant),
    ) -> Result<InstanceId, Error> {
        loop {
            let create = InstanceCreate {
                image_id,
                name: request.instance.clone(),
                hypervisor_id: Some(setup.local.hypervisor_id),
                vcpus: None,
                memory: Some(request.memory),
                disk_size: None,
                ssh_keys: Vec::new(),
                user_data: None,
                start: true,
            };
            let error = match self.instance_create(op, create).await {
                Ok(made) => return Ok(made.instance.id),
                Err(error) => error,
            };
            let passing =
                BTreeSet::from([Code::ImageNotAvailable, Code::HypervisorOffline, Code::Unavailable]);
            let image = crate::images::image::visible(&self.read(), op, image_id).await?.image;
            let failed = image.status == ImageStatus::Error;
            if failed || !passing.contains(&error.code) || Instant::now() >= until {
                return Err(error);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Starts the instance if it is off, and deploys it again if that failed. What the row says of
    /// its power is believed after a second sign of life since this start: the first may be the
    /// registration, which tells nothing of instances.
    async fn demo_run_again(&self, op: &Op, id: InstanceId, until: Instant) -> Result<(), Error> {
        let mut heard: Option<Timestamp> = None;
        loop {
            let found = crate::instances::instance::visible(&self.read(), op, id).await?;
            let host = crate::catalogue::hypervisor::get(&self.read(), found.instance.hypervisor_id)
                .await?
                .hypervisor;
            let seen = host.last_seen_at.filter(|seen| *seen >= self.opened_at());
            let told = heard.is_some() && heard < seen;
            match (found.instance.status, found.instance.power, found.task_id) {
                (InstanceStatus::Error, _, Some(task_id)) => {
                    return self.task_retry(op, task_id).await.map(|_| ());
                }
                (InstanceStatus::Ready, Power::Off, _) if told => {
                    return self.instance_start(op, id).await.map(|_| ());
                }
                (InstanceStatus::Ready, Power::Running | Power::Paused, _) if told => return Ok(()),
                (InstanceStatus::Error, _, None) | (InstanceStatus::Deleting, _, _) => return Ok(()),
                (InstanceStatus::Ready | InstanceStatus::Deploying, _, _) => {}
            }
            if Instant::now() >= until {
                return Ok(());
            }
            heard = heard.or(seen);
            tokio::time::sleep(LOOK).await;
        }
    }
}
