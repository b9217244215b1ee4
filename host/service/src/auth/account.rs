//! Accounts.

use imprint_domain::{
    Error,
    account::{Account, Role},
    id::AccountId,
    image::ImageUsage,
    name::Name,
    size::ByteSize,
    time::Timestamp,
};
use imprint_store::{
    Conn,
    account::{self, AccountRecord},
    image,
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Page, PageRequest, Service, change::Change, db_result::DbResult, idempotency, page::Listing,
    validate::name_taken,
};

/// The public properties of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The account's id.
    pub id: AccountId,
    /// The account's name.
    pub name: Name,
    /// What the account may do.
    pub role: Role,
    /// Its own limit of images; `None` takes the default of each location.
    pub image_limit: Option<u32>,
    /// Its own limit of the bytes of images; `None` takes the default of each location.
    #[serde(default)]
    pub image_bytes_limit: Option<ByteSize>,
    /// The number of images that it has, in all locations.
    #[serde(default)]
    pub images_used: u32,
    /// The bytes that they take.
    #[serde(default)]
    pub image_bytes_used: ByteSize,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A new account.
#[derive(Clone)]
pub struct AccountCreate {
    /// The unique name.
    pub name: Name,
    /// The password: 8 to 1024 bytes.
    pub password: String,
    /// What the account may do.
    pub role: Role,
    /// Its own limit of images; `None` takes the default of each location.
    pub image_limit: Option<u32>,
    /// Its own limit of the bytes of images; `None` takes the default of each location.
    pub image_bytes_limit: Option<ByteSize>,
}

/// A change of an account.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccountPatch {
    /// The number of images; `Some(None)` removes the account's own limit.
    pub image_limit: Option<Option<u32>>,
    /// The bytes of images; `Some(None)` removes the account's own limit.
    pub image_bytes_limit: Option<Option<ByteSize>>,
}

/// Reads what the images of an account take, and returns both.
pub(crate) async fn view(conn: &Conn<'_>, account: &Account) -> Result<AccountView, Error> {
    let usage = image::usage_of_accounts(conn, &[account.id]).await.db()?;
    Ok(with_usage(account, usage.get(&account.id).copied().unwrap_or_default()))
}

fn with_usage(account: &Account, usage: ImageUsage) -> AccountView {
    AccountView {
        id: account.id,
        name: account.name.clone(),
        role: account.role,
        image_limit: account.image_limit,
        image_bytes_limit: account.image_bytes_limit,
        images_used: usage.images,
        image_bytes_used: usage.bytes,
        created_at: account.created_at,
    }
}

/// Reads an account that must exist.
pub(crate) async fn get(conn: &Conn<'_>, id: AccountId) -> Result<AccountRecord, Error> {
    account::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("account"))
}

impl Service {
    /// Returns the account of the actor.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::NotFound`] for what does not exist or is not visible; an error of
    /// the database.
    pub async fn account_current(&self, op: &Op) -> Result<AccountView, Error> {
        let conn = self.read();
        let account = get(&conn, op.account_id()).await?.account;
        view(&conn, &account).await
    }

    /// All accounts, oldest first. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin; an error of the database.
    pub async fn account_list(&self, op: &Op, page: &PageRequest) -> Result<Page<AccountView>, Error> {
        op.require_admin()?;
        let listing = Listing::new(page, "accounts")?;
        let conn = self.read();
        let rows = account::list(&conn, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.account.id)?;
        let ids: Vec<AccountId> = rows.iter().map(|record| record.account.id).collect();
        let usage = image::usage_of_accounts(&conn, &ids).await.db()?;
        let used = |id| usage.get(&id).copied().unwrap_or_default();
        let items = rows.iter().map(|record| with_usage(&record.account, used(record.account.id))).collect();
        Ok(Page { items, next_page_token })
    }

    /// Creates an account. Admins only; `name_taken`.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::NameTaken`]; an error of the database.
    pub async fn account_create(&self, op: &Op, request: AccountCreate) -> Result<AccountView, Error> {
        op.require_admin()?;
        let password_hash = self.passwords().hash(&request.password, self.random()).await?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(stored);
        }
        let account = Account {
            id: AccountId::new(self.new_uuid()),
            name: request.name,
            role: request.role,
            image_limit: request.image_limit,
            image_bytes_limit: request.image_bytes_limit,
            created_at: change.now,
        };
        let answer = with_usage(&account, ImageUsage::default());
        let record = AccountRecord { account, password_hash, event_sequence: 0 };
        account::insert(&change.tx, &record).await.map_err(name_taken("account"))?;
        change.audit(op, "account.create", answer.id).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Changes an account's limits. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::NotFound`] for what does not exist or is not visible; an error of
    /// the database.
    pub async fn account_update(
        &self,
        op: &Op,
        id: AccountId,
        patch: AccountPatch,
    ) -> Result<AccountView, Error> {
        op.require_admin()?;
        let change = Change::begin(self).await?;
        let mut record = get(&change.conn(), id).await?;
        if let Some(limit) = patch.image_limit {
            record.account.image_limit = limit;
        }
        if let Some(limit) = patch.image_bytes_limit {
            record.account.image_bytes_limit = limit;
        }
        account::update(&change.tx, &record).await.db()?;
        change.audit(op, "account.update", id).await?;
        let answer = view(&change.conn(), &record.account).await?;
        change.commit().await?;
        Ok(answer)
    }
}
