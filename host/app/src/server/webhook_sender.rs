//! Sends the messages of webhooks, signed as the Standard Webhooks specification says.
//!
//! Each webhook has one message under way at most; several webhooks are served at once, so that a
//! slow receiver holds up none but itself.

use std::{sync::Arc, time::Duration};

use imprint_api::dto::event::Event;
use imprint_domain::{Code, Error, id::WebhookId, time::Environment as _};
use imprint_http_client::{Client, ClientOptions, HttpError, PrivateNetworks, http};
use imprint_service::{Service, SystemEnvironment, WebhookAttempt, WebhookContent, WebhookMessage};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::errors;

/// How often webhooks with something to send are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The webhooks that are served at once.
const AT_ONCE: usize = 16;
/// The messages that are sent to a webhook, one after the other, before others have their turn.
const IN_A_ROW: usize = 50;
/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// Sends messages until `stop` is cancelled. One that is interrupted is sent again after its lease.
pub(super) async fn deliver(service: Service, networks: PrivateNetworks, stop: CancellationToken) {
    let sender = match Sender::new(service, networks) {
        Ok(sender) => Arc::new(sender),
        Err(error) => {
            tracing::error!(%error, "no messages are sent to webhooks");
            return;
        }
    };
    // What is under way ends with this: its lease runs out, and it is sent again.
    let mut serving = JoinSet::new();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        while let Some(ended) = serving.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "serving a webhook ended in an unexpected way");
            }
        }
        let free = u32::try_from(AT_ONCE.saturating_sub(serving.len())).unwrap_or(0);
        if free == 0 {
            continue;
        }
        let due = match sender.service.webhooks_due(free).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(error = %errors::with_cause(&error), "webhooks cannot be read; tried again");
                continue;
            }
        };
        for id in due {
            let (sender, stop) = (sender.clone(), stop.clone());
            serving.spawn(async move { sender.serve(id, &stop).await });
        }
    }
}

struct Sender {
    service: Service,
    client: Arc<Client>,
}

impl Sender {
    fn new(service: Service, private_networks: PrivateNetworks) -> Result<Self, HttpError> {
        let options = ClientOptions { private_networks, tls: true, ..ClientOptions::default() };
        Ok(Self { service, client: Arc::new(Client::new(&options)?) })
    }

    /// Sends what a webhook has to send, until a message fails.
    async fn serve(&self, id: WebhookId, stop: &CancellationToken) {
        for _ in 0..IN_A_ROW {
            if stop.is_cancelled() {
                return;
            }
            match self.serve_one(id).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%id, error = %errors::with_cause(&error), "a message is not sent");
                    return;
                }
            }
        }
    }

    /// Sends the next message, and returns whether there may be another one.
    async fn serve_one(&self, id: WebhookId) -> Result<bool, Error> {
        let Some(message) = self.service.webhook_next(id).await? else { return Ok(false) };
        // What cannot even be sent is an attempt that has failed: its owner reads why.
        let attempt = self.send(&message).await.unwrap_or_else(|error| {
            tracing::warn!(%id, error = %errors::with_cause(&error), "a message cannot be sent");
            WebhookAttempt { status: None, problem: Some(error.detail), took_ms: 0 }
        });
        let taken = attempt.problem.is_none();
        self.service.webhook_attempted(&message, attempt).await?;
        Ok(taken)
    }

    async fn send(&self, message: &WebhookMessage) -> Result<WebhookAttempt, Error> {
        let body = body(message)?;
        let request = request(message, body)?;
        let client = self.client.clone();
        let started = Instant::now();
        let sending = tokio::task::spawn_blocking(move || {
            let (head, body) = request.into_parts();
            client.send_for_text(http::Request::from_parts(head, body.as_slice()), MAX_ANSWER)
        });
        let answered = sending.await.map_err(Error::internal)?;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(match answered {
            Ok((status @ 200..=299, _)) => WebhookAttempt { status: Some(status), problem: None, took_ms },
            Ok((status, _)) => {
                let problem = Some(format!("the server answered {status}; it has to answer 200 to 299"));
                WebhookAttempt { status: Some(status), problem, took_ms }
            }
            Err(error) => WebhookAttempt { status: None, problem: Some(problem_of(&error)), took_ms },
        })
    }
}

/// Says why a message did not arrive, to the owner of the webhook.
fn problem_of(error: &HttpError) -> String {
    if let HttpError::PrivateNetwork { host, address } = error {
        return format!(
            "{host} is in a private network ({address}), to which the provider does not permit messages"
        );
    }
    error.to_string()
}

/// Returns the text of a message: its type, when it happened, and what it is about.
fn body(message: &WebhookMessage) -> Result<Vec<u8>, Error> {
    let data = match &message.content {
        WebhookContent::Event(event) => {
            serde_json::to_value(Event::from((**event).clone())).map_err(Error::internal)?
        }
        WebhookContent::Gap { from, to } => json!({"from": from, "to": to}),
        WebhookContent::Test => Value::Object(serde_json::Map::new()),
    };
    let text = json!({"type": message.kind(), "timestamp": message.at, "data": data});
    serde_json::to_vec(&text).map_err(Error::internal)
}

fn request(message: &WebhookMessage, body: Vec<u8>) -> Result<http::Request<Vec<u8>>, Error> {
    let signer = Webhook::new(message.secret.expose()).map_err(|_| odd("its secret is no secret"))?;
    let timestamp = SystemEnvironment.now().timestamp();
    let signature = signer.sign(&message.id, timestamp, &body).map_err(|_| odd("it cannot be signed"))?;
    let request = http::Request::post(&message.url)
        .header(http::header::CONTENT_TYPE, "application/json")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(body);
    request.map_err(|_| odd("its address is no address"))
}

fn odd(what: &str) -> Error {
    Error::new(Code::Internal, format!("a webhook has a message that cannot be sent: {what}"))
}
