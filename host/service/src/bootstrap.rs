//! What the program creates at its start: the first admin, and this machine as a hypervisor.

use std::collections::BTreeMap;

use imprint_domain::{
    Code, Error,
    account::{Account, Role},
    coalesce::CoalescePolicy,
    id::{AccountId, HypervisorId, LocationId, RequestId, StorageId},
    location::FreezeLimit,
    name::Name,
    plugin_kind::{DriverKind, StorageKind},
    storage::StorageRole,
};
use imprint_store::{
    Conn,
    account::{self, AccountRecord},
    hypervisor, location, session, storage,
};

use crate::{
    Actor, Authenticated, HypervisorCreate, LocationCreate, Op, Service, StorageCreate, auth::secret,
    change::Change, db_result::DbResult,
};

/// The first admin's name.
const ADMIN: &str = "admin";
/// The number of accounts that are searched for an admin.
const ACCOUNTS: u32 = 500;

/// What this machine needs to be a hypervisor with a local storage. Everything is found by its name
/// and created if it is missing.
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

/// What [`Service::ensure_local`] created or found.
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

fn fixed_name(text: &str) -> Result<Name, Error> {
    Name::parse(text).map_err(Error::internal)
}

impl Service {
    fn system(&self, account: Account) -> Op {
        let scopes = account.role.scopes();
        let actor = Actor { account, scopes, by: Authenticated::System };
        Op::new(actor, RequestId::new(self.new_uuid()))
    }

    /// Returns a request by the program itself with the rights of an account. For the program that
    /// opened the service: no request from outside gets one.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] when there is no such account.
    pub async fn system_op(&self, id: AccountId) -> Result<Op, Error> {
        Ok(self.system(crate::auth::account::get(&self.read(), id).await?.account))
    }

    /// Returns a request by the program itself with the rights of the first admin.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] before [`Service::ensure_admin`].
    pub async fn admin_op(&self) -> Result<Op, Error> {
        let admin = self.admin(&self.read()).await?;
        let admin = admin.ok_or_else(|| Error::new(Code::Unavailable, "there is no admin account yet"))?;
        Ok(self.system(admin.account))
    }

    /// Generates a random password of 20 characters that are hard to confuse (100 bits).
    pub fn generate_password(&self) -> String {
        secret::random_password(self.rng())
    }

    /// Returns the account that owns what the program does by itself: the first admin.
    pub(crate) async fn operator_account(&self, conn: &Conn<'_>) -> Result<Option<AccountId>, Error> {
        Ok(self.admin(conn).await?.map(|record| record.account.id))
    }

    async fn admin(&self, conn: &Conn<'_>) -> Result<Option<AccountRecord>, Error> {
        let accounts = account::list(conn, None, ACCOUNTS).await.db()?;
        Ok(accounts.into_iter().find(|record| record.account.role == Role::Admin))
    }

    /// Creates the account `admin` with a password if there is no admin yet; `None` generates a
    /// password, which is returned and can be shown once. The password of an existing admin is set
    /// only when one is given.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for a password that is too short or too long.
    pub async fn ensure_admin(&self, password: Option<String>) -> Result<Option<String>, Error> {
        if let Some(record) = self.admin(&self.read()).await? {
            if let Some(password) = password {
                self.set_password(record, &password).await?;
            }
            return Ok(None);
        }
        Ok(self.add_account(fixed_name(ADMIN)?, Role::Admin, password).await?.1)
    }

    /// Creates a customer account with a password if there is none of that name; `None` generates a
    /// password, which is returned and can be shown once. The password of an existing account is
    /// set only when one is given.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for a password that is too short or too long.
    pub async fn ensure_customer(
        &self,
        name: &Name,
        password: Option<String>,
    ) -> Result<(AccountId, Option<String>), Error> {
        let Some(record) = account::by_name(&self.read(), name.as_str()).await.db()? else {
            return self.add_account(name.clone(), Role::Customer, password).await;
        };
        let id = record.account.id;
        if let Some(password) = password {
            self.set_password(record, &password).await?;
        }
        Ok((id, None))
    }

    async fn add_account(
        &self,
        name: Name,
        role: Role,
        password: Option<String>,
    ) -> Result<(AccountId, Option<String>), Error> {
        let (password, generated) = self.password_or_generated(password);
        let password_hash = self.passwords().hash(&password, self.random()).await?;
        let change = Change::begin(self).await?;
        let id = AccountId::new(self.new_uuid());
        let account =
            Account { id, name, role, image_limit: None, image_bytes_limit: None, created_at: change.now };
        let op = self.system(account.clone());
        let record = AccountRecord { account, password_hash, event_sequence: 0 };
        account::insert(&change.tx, &record).await.db()?;
        change.audit(&op, "account.create", id).await?;
        change.commit().await?;
        Ok((id, generated))
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

    /// Creates what is missing of the location, this machine as its hypervisor, and two local
    /// storages bound to it. The program calls it at every start, before it starts the embedded
    /// agent.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn ensure_local(&self, request: &LocalRequest) -> Result<LocalSetup, Error> {
        let op = self.admin_op().await?;
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
            sharing_enabled: true,
            iso_enabled: true,
            import_enabled: true,
            export_enabled: true,
            default_image_limit: None,
            default_image_bytes_limit: None,
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
                let create = StorageCreate::new(name, role, StorageKind::local(), settings);
                self.storage_create(op, create).await?.id
            }
            Some(found) if found.storage.settings.get("path") == Some(path) => found.storage.id,
            // The data folder moved with everything in it.
            Some(mut found) => {
                let mut change = Change::begin(self).await?;
                found.storage.settings.extend(settings);
                found.storage.count_version();
                storage::update(&change.tx, &found).await.db()?;
                change.audit(op, "storage.update", found.storage.id).await?;
                change.storage_changed(found.storage.id).await?;
                change.commit().await?;
                found.storage.id
            }
        };
        if !storage::bound_hypervisors(&self.read(), id).await.db()?.contains(&hypervisor_id) {
            self.storage_bind(op, id, hypervisor_id).await?;
        }
        Ok(id)
    }
}
