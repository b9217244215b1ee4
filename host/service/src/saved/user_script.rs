//! User scripts that an account saves for its new instances (S67).

use imprint_domain::{
    Code, Error,
    id::{AccountId, UserScriptId},
    name::Name,
    time::Timestamp,
    user_script::check_user_script,
};
use imprint_store::{
    Conn,
    user_script::{self, UserScriptRecord},
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

/// The public properties of a saved script, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserScriptView {
    /// The script's id.
    pub id: UserScriptId,
    /// The name, which is unique in the account.
    pub name: Name,
    /// The size of the content, in bytes.
    pub size: u32,
    /// When it was saved.
    pub created_at: Timestamp,
    /// When its name or its content was changed last.
    pub changed_at: Timestamp,
    /// Increases with every change; the ETag.
    pub version: u32,
}

/// A saved script with its content.
#[derive(Clone, PartialEq, Eq)]
pub struct UserScriptContentView {
    /// The script.
    pub script: UserScriptView,
    /// The content.
    pub content: String,
}

/// Scripts may hold passwords, so that they are not printed by accident.
impl std::fmt::Debug for UserScriptContentView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserScriptContentView").field("script", &self.script).finish_non_exhaustive()
    }
}

/// A script to save.
#[derive(Clone)]
pub struct UserScriptCreate {
    /// The name, which is unique in the account.
    pub name: Name,
    /// The content, at most 64 KiB.
    pub content: String,
}

/// A change of a script; `None` keeps a property.
#[derive(Clone, Default)]
pub struct UserScriptPatch {
    /// The new name.
    pub name: Option<Name>,
    /// The new content, at most 64 KiB.
    pub content: Option<String>,
}

fn view(record: UserScriptRecord) -> UserScriptView {
    UserScriptView {
        id: record.id,
        name: record.name,
        size: record.size,
        created_at: record.created_at,
        changed_at: record.changed_at,
        version: record.version,
    }
}

/// Reads a script with its content that the account must have.
pub(crate) async fn get(
    conn: &Conn<'_>,
    account: AccountId,
    id: UserScriptId,
) -> Result<(UserScriptRecord, String), Error> {
    user_script::get(conn, account, id).await.db()?.ok_or_else(|| Error::not_found("user script"))
}

fn size_of(content: &str) -> Result<u32, Error> {
    check_user_script(content).map_err(|error| Error::new(Code::InvalidRequest, error).at("/content"))?;
    u32::try_from(content.len()).map_err(Error::internal)
}

impl Service {
    /// Returns a page of the account's scripts without their contents, oldest first.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; an error of the database.
    pub async fn user_script_list(&self, op: &Op, page: &PageRequest) -> Result<Page<UserScriptView>, Error> {
        op.require_read()?;
        let listing = Listing::new(page, &format!("user scripts {}", op.account_id()))?;
        let rows =
            user_script::list(&self.read(), op.account_id(), listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.id)?;
        Ok(Page { items: rows.into_iter().map(view).collect(), next_page_token })
    }

    /// Returns one of the account's scripts with its content.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; an error of the database.
    pub async fn user_script_show(&self, op: &Op, id: UserScriptId) -> Result<UserScriptContentView, Error> {
        op.require_read()?;
        let (record, content) = get(&self.read(), op.account_id(), id).await?;
        Ok(UserScriptContentView { script: view(record), content })
    }

    /// Saves a script for the actor's account, which has at most 100.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::InvalidRequest`] for a content that is empty
    /// or too long; [`Code::NameTaken`]; [`Code::SavedLimitReached`]; an error of the database.
    pub async fn user_script_create(
        &self,
        op: &Op,
        request: UserScriptCreate,
    ) -> Result<UserScriptView, Error> {
        op.require_write()?;
        let size = size_of(&request.content)?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(stored);
        }
        require_room(user_script::count(&change.conn(), op.account_id()).await.db()?, "user scripts")?;
        let record = UserScriptRecord {
            id: UserScriptId::new(self.new_uuid()),
            account_id: op.account_id(),
            name: request.name,
            size,
            created_at: change.now,
            changed_at: change.now,
            version: 1,
        };
        user_script::insert(&change.tx, &record, request.content).await.map_err(name_taken("user script"))?;
        change.audit(op, "user_script.create", record.id).await?;
        let answer = view(record);
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Changes the name or the content of a script. `if_match` is the version that the client saw.
    /// Instances that were made with it keep what they have.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; [`Code::PreconditionFailed`] for a stale version;
    /// [`Code::InvalidRequest`] for a content that is empty or too long; [`Code::NameTaken`]; an
    /// error of the database.
    pub async fn user_script_update(
        &self,
        op: &Op,
        id: UserScriptId,
        patch: UserScriptPatch,
        if_match: Option<u32>,
    ) -> Result<UserScriptView, Error> {
        op.require_write()?;
        let size = patch.content.as_deref().map(size_of).transpose()?;
        let change = Change::begin(self).await?;
        let (mut record, content) = get(&change.conn(), op.account_id(), id).await?;
        require_version(if_match, record.version, "user script")?;
        record.name = patch.name.unwrap_or(record.name);
        record.size = size.unwrap_or(record.size);
        record.changed_at = change.now;
        record.version = record.version.saturating_add(1);
        let content = patch.content.unwrap_or(content);
        user_script::update(&change.tx, &record, content).await.map_err(name_taken("user script"))?;
        change.audit(op, "user_script.update", id).await?;
        change.commit().await?;
        Ok(view(record))
    }

    /// Deletes a script. Instances that were made with it are not affected.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; an error of the database.
    pub async fn user_script_delete(&self, op: &Op, id: UserScriptId) -> Result<(), Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        get(&change.conn(), op.account_id(), id).await?;
        user_script::delete(&change.tx, id).await.db()?;
        change.audit(op, "user_script.delete", id).await?;
        change.commit().await
    }
}
