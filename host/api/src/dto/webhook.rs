//! Webhooks.

use std::fmt;

use chrono::{DateTime, Utc};
use imprint_domain::id::{DeliveryId, WebhookId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A webhook: where the account has its events sent to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// The id of the webhook.
    pub id: WebhookId,
    /// The name of the webhook, which is unique in the account.
    pub name: String,
    /// The address that messages are sent to.
    pub url: String,
    /// The events that are sent: kinds such as `image.changed` and groups such as `image.*`; none
    /// stands for all.
    pub events: Vec<String>,
    /// Whether messages are sent.
    pub enabled: bool,
    /// Whether it was switched off because a message failed for three days.
    pub given_up: bool,
    /// The attempts of the next message that have failed.
    pub failures: u32,
    /// Since when it fails; `null` while it works.
    #[schema(required)]
    pub failing_since: Option<DateTime<Utc>>,
    /// When the next attempt is; `null` while it works, and when it is switched off.
    #[schema(required)]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
    /// The version of the webhook, which increases with every change; also its `ETag`.
    pub version: u32,
}

/// A webhook with its new secret, which is shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct WebhookAndSecret {
    /// The webhook.
    pub webhook: Webhook,
    /// The secret by which messages are signed (Standard Webhooks): `whsec_` and Base64.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")]
    pub secret: String,
}

impl fmt::Debug for WebhookAndSecret {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookAndSecret").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

/// A new webhook.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookCreate {
    /// The name of the webhook, which is unique in the account.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The address that messages are sent to, of `https` or `http`.
    #[schema(max_length = 2048, example = "https://hooks.example.com/imprint")]
    pub url: String,
    /// The events to send; none stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 50)]
    pub events: Vec<String>,
}

/// A change of a webhook (merge patch).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookPatch {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// The new address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048)]
    pub url: Option<String>,
    /// The events to send; none stands for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 50)]
    pub events: Option<Vec<String>>,
    /// Whether messages are sent. Switched on again, it continues after the last event that was
    /// delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// From which event on to deliver again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRedeliver {
    /// The number of the event.
    #[schema(minimum = 1)]
    pub sequence: u64,
}

/// An attempt to deliver a message.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookDelivery {
    /// The id of the attempt.
    pub id: DeliveryId,
    /// The id of the message, the same in each attempt (`webhook-id`).
    pub message_id: String,
    /// The type of the message: the kind of an event, `webhook.test`, or `webhook.gap` for events
    /// that are not kept any more.
    #[serde(rename = "type")]
    pub kind: String,
    /// The number of the event; `null` for a test.
    #[schema(required)]
    pub sequence: Option<u64>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Whether the message was taken: the server answered with a status from 200 to 299.
    pub delivered: bool,
    /// The status of the answer; `null` without one.
    #[schema(required)]
    pub status: Option<u16>,
    /// Why it failed; `null` where the message was taken.
    #[schema(required)]
    pub problem: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// When it ended.
    pub at: DateTime<Utc>,
}
