//! SSH keys that an account saves for its new instances (S67).

use imprint_domain::{
    Code, Error,
    id::{AccountId, SshKeyId},
    name::Name,
    ssh_key::describe_ssh_key,
    time::Timestamp,
};
use imprint_store::{
    Conn,
    ssh_key::{self, SshKeyRecord},
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Page, PageRequest, Service,
    change::Change,
    db_result::DbResult,
    idempotency,
    page::Listing,
    saved::require_room,
    validate::{name_taken, require_version},
};

/// The public properties of a saved key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKeyView {
    /// The key's id.
    pub id: SshKeyId,
    /// The name, which is unique in the account.
    pub name: Name,
    /// The type of the key, such as `ssh-ed25519`.
    pub kind: String,
    /// The fingerprint as OpenSSH shows it, `SHA256:...`.
    pub fingerprint: String,
    /// The line of `authorized_keys`.
    pub public_key: String,
    /// When it was saved.
    pub created_at: Timestamp,
    /// Increases with every change; the ETag.
    pub version: u32,
}

/// A key to save.
#[derive(Clone, Debug)]
pub struct SshKeyCreate {
    /// The name, which is unique in the account.
    pub name: Name,
    /// The line of `authorized_keys`.
    pub public_key: String,
}

fn view(record: SshKeyRecord) -> SshKeyView {
    SshKeyView {
        id: record.id,
        name: record.name,
        kind: record.kind,
        fingerprint: record.fingerprint,
        public_key: record.public_key,
        created_at: record.created_at,
        version: record.version,
    }
}

/// Reads a key that the account must have.
pub(crate) async fn get(conn: &Conn<'_>, account: AccountId, id: SshKeyId) -> Result<SshKeyRecord, Error> {
    ssh_key::get(conn, account, id).await.db()?.ok_or_else(|| Error::not_found("SSH key"))
}

impl Service {
    /// Returns a page of the account's keys, oldest first.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; an error of the database.
    pub async fn ssh_key_list(&self, op: &Op, page: &PageRequest) -> Result<Page<SshKeyView>, Error> {
        op.require_read()?;
        let listing = Listing::new(page, &format!("ssh keys {}", op.account_id()))?;
        let rows =
            ssh_key::list(&self.read(), op.account_id(), listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.id)?;
        Ok(Page { items: rows.into_iter().map(view).collect(), next_page_token })
    }

    /// Returns one of the account's keys.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; an error of the database.
    pub async fn ssh_key_show(&self, op: &Op, id: SshKeyId) -> Result<SshKeyView, Error> {
        op.require_read()?;
        Ok(view(get(&self.read(), op.account_id(), id).await?))
    }

    /// Saves a key for the actor's account, which has at most 100.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::InvalidRequest`] for a line that no server
    /// accepts; [`Code::NameTaken`]; [`Code::SavedLimitReached`]; an error of the database.
    pub async fn ssh_key_create(&self, op: &Op, request: SshKeyCreate) -> Result<SshKeyView, Error> {
        op.require_write()?;
        let facts = describe_ssh_key(&request.public_key)
            .map_err(|error| Error::new(Code::InvalidRequest, error).at("/public_key"))?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(stored);
        }
        require_room(ssh_key::count(&change.conn(), op.account_id()).await.db()?, "SSH keys")?;
        let record = SshKeyRecord {
            id: SshKeyId::new(self.new_uuid()),
            account_id: op.account_id(),
            name: request.name,
            kind: facts.kind.to_owned(),
            fingerprint: facts.fingerprint,
            public_key: request.public_key.trim().to_owned(),
            created_at: change.now,
            version: 1,
        };
        ssh_key::insert(&change.tx, &record).await.map_err(name_taken("SSH key"))?;
        change.audit(op, "ssh_key.create", record.id).await?;
        let answer = view(record);
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Renames a key. `if_match` is the version that the client saw.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; [`Code::PreconditionFailed`] for a stale version; [`Code::NameTaken`];
    /// an error of the database.
    pub async fn ssh_key_rename(
        &self,
        op: &Op,
        id: SshKeyId,
        name: Name,
        if_match: Option<u32>,
    ) -> Result<SshKeyView, Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        let mut record = get(&change.conn(), op.account_id(), id).await?;
        require_version(if_match, record.version, "SSH key")?;
        record.name = name;
        record.version = record.version.saturating_add(1);
        ssh_key::update(&change.tx, &record).await.map_err(name_taken("SSH key"))?;
        change.audit(op, "ssh_key.update", id).await?;
        change.commit().await?;
        Ok(view(record))
    }

    /// Deletes a key. Instances that have it keep it.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; an error of the database.
    pub async fn ssh_key_delete(&self, op: &Op, id: SshKeyId) -> Result<(), Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        get(&change.conn(), op.account_id(), id).await?;
        ssh_key::delete(&change.tx, id).await.db()?;
        change.audit(op, "ssh_key.delete", id).await?;
        change.commit().await
    }
}
