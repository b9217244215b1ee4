//! Webhooks: where an account has its events sent to.

pub(crate) mod deliver;
mod metrics;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use imprint_domain::{
    Code, Error,
    id::{AccountId, WebhookId},
    name::Name,
    secret::SecretText,
    time::Timestamp,
    webhook::{EventPatterns, check_url},
};
use imprint_store::{
    Conn, event,
    secret::of_webhook,
    webhook::{
        self, WebhookRecord,
        delivery::{self, Delivery},
    },
};

use crate::{
    Op, Page, PageRequest, Service,
    auth::account,
    change::Change,
    db_result::DbResult,
    page::Listing,
    saved::require_room,
    secrets::seal,
    validate::{name_taken, require_version},
};

/// The name of the secret by which messages are signed.
pub(crate) const SIGNING: &str = "signing";
/// What such a secret starts with (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";
/// The bytes of a secret.
const SECRET_BYTES: usize = 32;

/// The properties of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookView {
    /// The webhook's id.
    pub id: WebhookId,
    /// The name, which is unique in the account.
    pub name: Name,
    /// The address that messages are sent to.
    pub url: String,
    /// Which events are sent; none stands for all.
    pub events: EventPatterns,
    /// Whether messages are sent.
    pub enabled: bool,
    /// Whether it was switched off because a message failed too often.
    pub given_up: bool,
    /// The attempts of the next message that have failed.
    pub failures: u32,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// When the next attempt is, while it fails.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Increases with every change by its owner; the ETag.
    pub version: u32,
}

/// A new webhook.
#[derive(Clone, Debug)]
pub struct WebhookCreate {
    /// The name, which is unique in the account.
    pub name: Name,
    /// The address that messages are sent to.
    pub url: String,
    /// Which events are sent; none stands for all.
    pub events: Vec<String>,
}

/// A change of a webhook; `None` keeps a property.
#[derive(Clone, Debug, Default)]
pub struct WebhookPatch {
    /// The new name.
    pub name: Option<Name>,
    /// The new address.
    pub url: Option<String>,
    /// The events to send.
    pub events: Option<Vec<String>>,
    /// Whether messages are sent. Switched on again, it continues after the last one that was
    /// delivered.
    pub enabled: Option<bool>,
}

/// A webhook whose secret is new: it is shown once.
pub struct WebhookAndSecret {
    /// The webhook.
    pub webhook: WebhookView,
    /// The secret, `whsec_` and Base64.
    pub secret: SecretText,
}

fn view(record: WebhookRecord) -> WebhookView {
    let fails = record.enabled && record.failures > 0;
    WebhookView {
        id: record.id,
        name: record.name,
        url: record.url,
        events: record.events,
        enabled: record.enabled,
        given_up: record.given_up,
        failures: record.failures,
        failing_since: record.failing_since,
        next_attempt_at: fails.then_some(record.next_at),
        created_at: record.created_at,
        version: record.version,
    }
}

/// Reads a webhook that the account must have.
async fn get(conn: &Conn<'_>, account: AccountId, id: WebhookId) -> Result<WebhookRecord, Error> {
    let found = webhook::get(conn, id).await.db()?.filter(|record| record.account_id == account);
    found.ok_or_else(|| Error::not_found("webhook"))
}

/// Makes a secret, and seals it.
async fn new_secret(change: &Change<'_>, id: WebhookId) -> Result<SecretText, Error> {
    let bytes: [u8; SECRET_BYTES] = change.service.random();
    let secret = SecretText::new(format!("{SECRET_PREFIX}{}", BASE64.encode(bytes)));
    let sealed = seal::seal(change, &id, SIGNING, &secret)?;
    of_webhook::put(&change.tx, id, &sealed).await.db()?;
    Ok(secret)
}

impl Service {
    /// Returns a page of the account's webhooks, oldest first.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; an error of the database.
    pub async fn webhook_list(&self, op: &Op, page: &PageRequest) -> Result<Page<WebhookView>, Error> {
        op.require_read()?;
        let listing = Listing::new(page, &format!("webhooks {}", op.account_id()))?;
        let rows =
            webhook::list(&self.read(), op.account_id(), listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.id)?;
        Ok(Page { items: rows.into_iter().map(view).collect(), next_page_token })
    }

    /// Returns one of the account's webhooks.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; an error of the database.
    pub async fn webhook_show(&self, op: &Op, id: WebhookId) -> Result<WebhookView, Error> {
        op.require_read()?;
        Ok(view(get(&self.read(), op.account_id(), id).await?))
    }

    /// Adds a webhook to the actor's account, which has at most 100. Events from now on are sent.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::InvalidRequest`] for an address or a pattern
    /// that is wrong; [`Code::NameTaken`]; [`Code::SavedLimitReached`]; [`Code::Unavailable`]
    /// without a key to seal its secret; an error of the database.
    pub async fn webhook_create(&self, op: &Op, request: WebhookCreate) -> Result<WebhookAndSecret, Error> {
        op.require_write()?;
        check_url(&request.url)?;
        let events = EventPatterns::new(request.events)?;
        let change = Change::begin(self).await?;
        require_room(webhook::count(&change.conn(), op.account_id()).await.db()?, "webhooks")?;
        let record = WebhookRecord {
            id: WebhookId::new(self.new_uuid()),
            account_id: op.account_id(),
            name: request.name,
            url: request.url,
            events,
            enabled: true,
            given_up: false,
            delivered: account::get(&change.conn(), op.account_id()).await?.event_sequence,
            test_requested: false,
            failures: 0,
            failing_since: None,
            next_at: change.now,
            created_at: change.now,
            version: 1,
        };
        webhook::insert(&change.tx, &record).await.map_err(name_taken("webhook"))?;
        let secret = new_secret(&change, record.id).await?;
        change.audit(op, "webhook.create", record.id).await?;
        change.commit().await?;
        Ok(WebhookAndSecret { webhook: view(record), secret })
    }

    /// Changes a webhook. `if_match` is the version that the client saw.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; [`Code::PreconditionFailed`] for a stale version;
    /// [`Code::InvalidRequest`]; [`Code::NameTaken`]; an error of the database.
    pub async fn webhook_update(
        &self,
        op: &Op,
        id: WebhookId,
        patch: WebhookPatch,
        if_match: Option<u32>,
    ) -> Result<WebhookView, Error> {
        op.require_write()?;
        if let Some(url) = &patch.url {
            check_url(url)?;
        }
        let events = patch.events.map(EventPatterns::new).transpose()?;
        let change = Change::begin(self).await?;
        let mut record = get(&change.conn(), op.account_id(), id).await?;
        require_version(if_match, record.version, "webhook")?;
        record.name = patch.name.unwrap_or(record.name);
        record.events = events.unwrap_or(record.events);
        // What has changed may help: the next attempt is at once.
        if patch.url.is_some() || patch.enabled == Some(true) {
            (record.failures, record.failing_since, record.next_at) = (0, None, change.now);
            record.given_up = false;
        }
        record.url = patch.url.unwrap_or(record.url);
        record.enabled = patch.enabled.unwrap_or(record.enabled);
        record.version = record.version.saturating_add(1);
        webhook::update(&change.tx, &record).await.map_err(name_taken("webhook"))?;
        change.audit(op, "webhook.update", id).await?;
        change.commit().await?;
        Ok(view(record))
    }

    /// Gives a webhook a new secret. Messages are signed with it from now on.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; [`Code::Unavailable`] without a key to seal it; an error of the
    /// database.
    pub async fn webhook_rotate_secret(&self, op: &Op, id: WebhookId) -> Result<WebhookAndSecret, Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        let mut record = get(&change.conn(), op.account_id(), id).await?;
        let secret = new_secret(&change, id).await?;
        record.version = record.version.saturating_add(1);
        webhook::update(&change.tx, &record).await.db()?;
        change.audit(op, "webhook.rotate_secret", id).await?;
        change.commit().await?;
        Ok(WebhookAndSecret { webhook: view(record), secret })
    }

    /// Has a message sent to a webhook that tests it.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; [`Code::InvalidTransition`] for one that is switched off; an error of
    /// the database.
    pub async fn webhook_test(&self, op: &Op, id: WebhookId) -> Result<WebhookView, Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        let mut record = get(&change.conn(), op.account_id(), id).await?;
        require_enabled(&record)?;
        record.test_requested = true;
        record.next_at = record.next_at.min(change.now);
        webhook::update(&change.tx, &record).await.db()?;
        change.audit(op, "webhook.test", id).await?;
        change.commit().await?;
        Ok(view(record))
    }

    /// Has events delivered again, from one of them on.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account, and for an event that is not kept any more; [`Code::InvalidTransition`]
    /// for a webhook that is switched off; an error of the database.
    pub async fn webhook_redeliver(
        &self,
        op: &Op,
        id: WebhookId,
        sequence: u64,
    ) -> Result<WebhookView, Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        let mut record = get(&change.conn(), op.account_id(), id).await?;
        require_enabled(&record)?;
        let before = sequence.checked_sub(1).ok_or_else(|| Error::not_found("event"))?;
        let next = event::after(&change.conn(), op.account_id(), before, 1).await.db()?;
        if next.first().is_none_or(|event| event.sequence != sequence) {
            return Err(Error::not_found("event"));
        }
        record.delivered = record.delivered.min(before);
        (record.failures, record.failing_since, record.next_at) = (0, None, change.now);
        webhook::update(&change.tx, &record).await.db()?;
        change.audit(op, "webhook.redeliver", id).await?;
        change.commit().await?;
        Ok(view(record))
    }

    /// Returns a page of the attempts of a webhook, the latest first.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; an error of the database.
    pub async fn webhook_deliveries(
        &self,
        op: &Op,
        id: WebhookId,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, Error> {
        op.require_read()?;
        let conn = self.read();
        get(&conn, op.account_id(), id).await?;
        let listing = Listing::new(page, &format!("deliveries {id}"))?;
        let rows = delivery::list(&conn, id, listing.after()?, listing.rows()).await.db()?;
        let (items, next_page_token) = listing.page(rows, |delivery| delivery.id)?;
        Ok(Page { items, next_page_token })
    }

    /// Deletes a webhook.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or belongs
    /// to another account; an error of the database.
    pub async fn webhook_delete(&self, op: &Op, id: WebhookId) -> Result<(), Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        get(&change.conn(), op.account_id(), id).await?;
        webhook::delete(&change.tx, id).await.db()?;
        change.audit(op, "webhook.delete", id).await?;
        change.commit().await
    }
}

fn require_enabled(record: &WebhookRecord) -> Result<(), Error> {
    if record.enabled {
        return Ok(());
    }
    Err(Error::new(Code::InvalidTransition, "the webhook is switched off; switch it on first"))
}
