//! Conversions of webhooks.

use imprint_service as service;

use crate::dto::webhook;

impl From<service::WebhookView> for webhook::Webhook {
    fn from(view: service::WebhookView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            url: view.url,
            events: view.events.as_slice().to_vec(),
            enabled: view.enabled,
            given_up: view.given_up,
            failures: view.failures,
            failing_since: view.failing_since,
            next_attempt_at: view.next_attempt_at,
            created_at: view.created_at,
            version: view.version,
        }
    }
}

impl From<service::WebhookAndSecret> for webhook::WebhookAndSecret {
    fn from(made: service::WebhookAndSecret) -> Self {
        Self { webhook: made.webhook.into(), secret: made.secret.expose().to_owned() }
    }
}

impl From<service::Delivery> for webhook::WebhookDelivery {
    fn from(delivery: service::Delivery) -> Self {
        Self {
            id: delivery.id,
            message_id: delivery.message_id,
            kind: delivery.kind,
            sequence: delivery.sequence,
            attempt: delivery.attempt,
            delivered: delivery.problem.is_none(),
            status: delivery.status,
            problem: delivery.problem,
            took_ms: delivery.took_ms,
            at: delivery.at,
        }
    }
}
