//! What is sent to webhooks next, and what became of it.
//!
//! A webhook has the number of the last event that was delivered: events are sent in their order,
//! none is left out, and one whose answer is lost is sent again under the same id. While a message
//! is being sent, its webhook has a lease, so that no other control plane sends it as well.

use chrono::TimeDelta;
use imprint_domain::{
    Error,
    account::Role,
    event::Event,
    id::{DeliveryId, WebhookId},
    secret::SecretText,
    time::Timestamp,
    webhook::pause_after,
};
use imprint_store::{
    account as accounts, event,
    secret::of_webhook,
    webhook::{
        self, WebhookRecord,
        delivery::{self, Delivery},
    },
};

use super::SIGNING;
use crate::{
    EventView, Service, auth::account, change::Change, db_result::DbResult, event::EventViewer,
    secrets::seal, tasks::task::Audience, validate::truncate,
};

/// How long a message may take to be sent, in seconds: as long as a connection, an answer and its
/// body may take together, and some more.
const LEASE_S: i64 = 180;
/// The events that are read at once.
const BATCH: u32 = 100;
/// The attempts that are kept for each webhook.
const KEPT: u32 = 200;
/// The longest text that says why an attempt failed, in bytes.
const MAX_PROBLEM: usize = 500;

/// What a message says.
#[derive(Clone, Debug)]
pub enum WebhookContent {
    /// An event of the account.
    Event(Box<EventView>),
    /// Events that are not kept any more, from one number to another: what is known of the account
    /// has to be read again.
    Gap {
        /// The first number.
        from: u64,
        /// The last number.
        to: u64,
    },
    /// A test, which the owner has asked for.
    Test,
}

/// A message to send.
#[derive(Debug)]
pub struct WebhookMessage {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The id of the message, the same in each attempt.
    pub id: String,
    /// The address.
    pub url: String,
    /// The secret to sign with.
    pub secret: SecretText,
    /// What it says.
    pub content: WebhookContent,
    /// When what it says happened.
    pub at: Timestamp,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The number of the last event that was delivered before.
    after: u64,
}

impl WebhookMessage {
    /// Returns the type of the message: the kind of the event, `webhook.gap` or `webhook.test`.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            WebhookContent::Event(event) => event.kind.as_str(),
            WebhookContent::Gap { .. } => "webhook.gap",
            WebhookContent::Test => "webhook.test",
        }
    }

    /// Returns the number of the last event that is delivered with it.
    fn sequence(&self) -> Option<u64> {
        match &self.content {
            WebhookContent::Event(event) => Some(event.sequence),
            WebhookContent::Gap { to, .. } => Some(*to),
            WebhookContent::Test => None,
        }
    }
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub struct WebhookAttempt {
    /// The status of the answer; `None` without one.
    pub status: Option<u16>,
    /// Why the message was not taken; `None` where it was.
    pub problem: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// What the rows say is next.
enum Next {
    /// Nothing, after events that are not sent.
    Nothing { delivered: u64 },
    /// A message.
    Message(WebhookContent, Timestamp),
}

impl Service {
    /// Returns webhooks that may have something to send, at most `limit`.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn webhooks_due(&self, limit: u32) -> Result<Vec<WebhookId>, Error> {
        let due = webhook::due(&self.read(), self.now(), limit).await.db()?;
        Ok(due.into_iter().map(|record| record.id).collect())
    }

    /// Returns the next message of a webhook, and gives its sender a lease; `None` when there is
    /// nothing to send, or another one sends it.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Unavailable`] when the key of its secret is missing; an error of the
    /// database.
    pub async fn webhook_next(&self, id: WebhookId) -> Result<Option<WebhookMessage>, Error> {
        let Some(record) = webhook::get(&self.read(), id).await.db()? else { return Ok(None) };
        let next = self.next_of(&record).await?;
        let change = Change::begin(self).await?;
        let Some(mut now) = webhook::get(&change.conn(), id).await.db()? else { return Ok(None) };
        if !now.enabled || now.next_at > change.now || now.delivered != record.delivered {
            return Ok(None);
        }
        let (content, at) = match next {
            Next::Nothing { delivered } => {
                now.delivered = delivered;
                webhook::update(&change.tx, &now).await.db()?;
                change.commit().await?;
                return Ok(None);
            }
            Next::Message(content, at) => (content, at),
        };
        let sealed = of_webhook::list(&change.conn(), id).await.db()?;
        let sealed = sealed.iter().find(|secret| secret.name == SIGNING);
        let sealed = sealed.ok_or_else(|| Error::internal(format!("{id} has no secret")))?;
        let secret = seal::open(&self.settings().secret_keys, &id, sealed)?;
        now.next_at = change.now + TimeDelta::seconds(LEASE_S);
        webhook::update(&change.tx, &now).await.db()?;
        change.commit().await?;
        let about = match &content {
            WebhookContent::Event(event) => event.sequence.to_string(),
            WebhookContent::Gap { from, to } => format!("{from}-{to}"),
            WebhookContent::Test => format!("test-{}", at.timestamp_millis()),
        };
        let attempt =
            if matches!(content, WebhookContent::Test) { 1 } else { now.failures.saturating_add(1) };
        let id = format!("msg_{}_{about}", now.id.uuid().simple());
        Ok(Some(WebhookMessage {
            webhook_id: now.id,
            id,
            url: now.url,
            secret,
            content,
            at,
            attempt,
            after: now.delivered,
        }))
    }

    async fn next_of(&self, record: &WebhookRecord) -> Result<Next, Error> {
        if record.test_requested {
            return Ok(Next::Message(WebhookContent::Test, self.now()));
        }
        let conn = self.read();
        let owner = account::get(&conn, record.account_id).await?;
        let audience = match owner.account.role {
            Role::Admin => Audience::Operator,
            Role::Customer => Audience::Customer,
        };
        let viewer = EventViewer::new(self.clone(), record.account_id, audience);
        let mut last = record.delivered;
        loop {
            let events: Vec<Event> = event::after(&conn, record.account_id, last, BATCH).await.db()?;
            let expected = last.saturating_add(1);
            let known = accounts::get(&conn, record.account_id).await.db()?;
            let newest = known.map_or(last, |known| known.event_sequence);
            let first = events.first().map_or(newest.saturating_add(1), |event| event.sequence);
            if first > expected {
                let content = WebhookContent::Gap { from: expected, to: first.saturating_sub(1) };
                return Ok(Next::Message(content, self.now()));
            }
            if events.is_empty() {
                return Ok(Next::Nothing { delivered: last });
            }
            for event in events {
                last = event.sequence;
                if !record.events.take(event.kind) {
                    continue;
                }
                if let Some(view) = viewer.view(&event).await? {
                    return Ok(Next::Message(WebhookContent::Event(Box::new(view)), event.at));
                }
            }
        }
    }

    /// Notes what became of an attempt: the next message follows, or the same one after a pause, or
    /// the webhook is switched off.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn webhook_attempted(
        &self,
        message: &WebhookMessage,
        attempt: WebhookAttempt,
    ) -> Result<(), Error> {
        let change = Change::begin(self).await?;
        let found = webhook::get(&change.conn(), message.webhook_id).await.db()?;
        // It was deleted meanwhile.
        let Some(mut record) = found else { return Ok(()) };
        let made = Delivery {
            id: DeliveryId::new(self.new_uuid()),
            webhook_id: record.id,
            message_id: message.id.clone(),
            kind: message.kind().to_owned(),
            sequence: message.sequence(),
            attempt: message.attempt,
            status: attempt.status,
            problem: attempt.problem.as_deref().map(|problem| truncate(problem, MAX_PROBLEM)),
            took_ms: attempt.took_ms,
            at: change.now,
        };
        delivery::insert(&change.tx, &made, KEPT).await.db()?;
        match (message.sequence(), &attempt.problem) {
            (None, _) => {
                record.test_requested = false;
                // A test shortens no pause: the message that fails has its attempts over days.
                record.next_at = change.now + pause_after(record.failures).unwrap_or_default();
            }
            // Its owner has asked meanwhile to have earlier events delivered again.
            (Some(_), _) if record.delivered != message.after => {}
            (Some(sequence), None) => {
                record.delivered = sequence;
                (record.failures, record.failing_since, record.next_at) = (0, None, change.now);
            }
            (Some(_), Some(_)) => failed(&mut record, change.now),
        }
        webhook::update(&change.tx, &record).await.db()?;
        change.commit().await
    }
}

fn failed(record: &mut WebhookRecord, now: Timestamp) {
    record.failures = record.failures.saturating_add(1);
    record.failing_since = record.failing_since.or(Some(now));
    match pause_after(record.failures) {
        Some(pause) => record.next_at = now + pause,
        None => {
            (record.enabled, record.given_up) = (false, true);
        }
    }
}
