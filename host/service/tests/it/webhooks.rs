//! Webhooks: what is sent, in which order, and what becomes of what does not arrive.

use imprint_domain::{Code, Error, id::WebhookId, time::Environment as _};
use imprint_service::{
    PageRequest, WebhookAttempt, WebhookContent, WebhookCreate, WebhookMessage, WebhookPatch,
};

use crate::support::{World, name};

const DAY: i64 = 86_400;

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

fn request(events: &[&str]) -> WebhookCreate {
    WebhookCreate {
        name: name("hook"),
        url: "https://hooks.example/in".to_owned(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
    }
}

fn taken() -> WebhookAttempt {
    WebhookAttempt { status: Some(204), problem: None, took_ms: 7 }
}

fn refused() -> WebhookAttempt {
    WebhookAttempt { status: Some(500), problem: Some("the server answered 500".to_owned()), took_ms: 7 }
}

impl World {
    async fn hook(&self, events: &[&str]) -> WebhookId {
        self.service.webhook_create(&self.customer, request(events)).await.unwrap().webhook.id
    }

    async fn next(&self, id: WebhookId) -> Option<WebhookMessage> {
        let due = self.service.webhooks_due(10).await.unwrap();
        if !due.contains(&id) {
            return None;
        }
        self.service.webhook_next(id).await.unwrap()
    }

    async fn attempted(&self, message: &WebhookMessage, attempt: WebhookAttempt) {
        self.service.webhook_attempted(message, attempt).await.unwrap();
    }

    /// Takes all messages, and returns the numbers of their events with their types.
    async fn drained(&self, id: WebhookId) -> Vec<(u64, &'static str)> {
        let mut all = Vec::new();
        while let Some(message) = self.next(id).await {
            if let WebhookContent::Event(event) = &message.content {
                all.push((event.sequence, message.kind()));
            }
            self.attempted(&message, taken()).await;
        }
        all
    }

    async fn kinds(&self) -> Vec<String> {
        let store = imprint_store::Store::open(&self.target).await.unwrap();
        let account = self.customer.account_id();
        let events = imprint_store::event::after(&store.read(), account, 0, 1000).await.unwrap();
        events.iter().map(|event| event.kind.to_string()).collect()
    }
}

pub(crate) async fn events_are_delivered_in_their_order_and_none_is_left_out(world: World) {
    let before = world.kinds().await.len();
    let id = world.hook(&["image.*"]).await;
    let all = world.hook_of_all().await;
    world.image("first").await;
    let first = world.next(id).await.unwrap();
    assert_eq!((first.attempt, first.kind()), (1, "image.changed"));
    assert!(first.id.starts_with("msg_") && first.secret.expose().starts_with("whsec_"));
    assert!(world.next(id).await.is_none(), "it is being sent");
    world.attempted(&first, refused()).await;
    assert!(world.next(id).await.is_none(), "it is tried again after a pause");
    let shown = world.service.webhook_show(&world.customer, id).await.unwrap();
    assert_eq!((shown.failures, shown.enabled), (1, true));
    assert!(shown.failing_since.is_some() && shown.next_attempt_at.is_some(), "{shown:?}");
    world.environment.advance(6);
    let again = world.next(id).await.unwrap();
    assert_eq!((again.attempt, &again.id), (2, &first.id), "the same message");
    // Its sender dies: another one sends it after the lease.
    world.environment.advance(181);
    let taken_over = world.next(id).await.unwrap();
    assert_eq!(taken_over.id, first.id);
    world.attempted(&taken_over, taken()).await;
    let shown = world.service.webhook_show(&world.customer, id).await.unwrap();
    assert_eq!((shown.failures, shown.failing_since), (0, None));

    let rest = world.drained(id).await;
    let of_images: Vec<_> =
        world.kinds().await.into_iter().skip(before).filter(|kind| kind.starts_with("image.")).collect();
    assert_eq!(rest.len() + 1, of_images.len(), "each event of an image once");
    assert!(rest.is_sorted(), "{rest:?}");
    let whole = world.drained(all).await;
    assert_eq!(whole.len(), world.kinds().await.len() - before, "every event");
    let page = PageRequest { limit: Some(2), page_token: None };
    let deliveries = world.service.webhook_deliveries(&world.customer, id, &page).await.unwrap();
    assert!(deliveries.items.len() == 2 && deliveries.next_page_token.is_some());
    // From one of them on, they are delivered again.
    let (sequence, _) = rest[0];
    world.service.webhook_redeliver(&world.customer, id, sequence).await.unwrap();
    assert_eq!(world.drained(id).await, rest);
    let none = world.service.webhook_redeliver(&world.customer, id, 1_000_000).await;
    assert_eq!(code(none), Some(Code::NotFound));
}

impl World {
    async fn hook_of_all(&self) -> WebhookId {
        let request = WebhookCreate { name: name("all"), ..request(&[]) };
        self.service.webhook_create(&self.customer, request).await.unwrap().webhook.id
    }
}

pub(crate) async fn a_receiver_that_fails_for_days_is_given_up_and_misses_nothing(world: World) {
    let id = world.hook(&["image.*"]).await;
    world.image("missed").await;
    let first = world.next(id).await.unwrap();
    world.attempted(&first, refused()).await;
    world.service.webhook_test(&world.customer, id).await.unwrap();
    let test = world.next(id).await.unwrap();
    assert_eq!(test.kind(), "webhook.test");
    world.attempted(&test, taken()).await;
    assert!(world.next(id).await.is_none(), "a test shortens no pause");
    world.environment.advance(DAY);
    let mut attempts = 1;
    while let Some(message) = world.next(id).await {
        attempts += 1;
        world.attempted(&message, refused()).await;
        world.environment.advance(DAY);
    }
    assert_eq!(attempts, 10);
    let shown = world.service.webhook_show(&world.customer, id).await.unwrap();
    assert!(!shown.enabled && shown.given_up, "{shown:?}");
    assert_eq!(world.service.webhook_metrics().await.unwrap().given_up, 1);
    assert_eq!(code(world.service.webhook_test(&world.customer, id).await), Some(Code::InvalidTransition));
    let on = WebhookPatch { enabled: Some(true), ..WebhookPatch::default() };
    let on = world.service.webhook_update(&world.customer, id, on, None).await.unwrap();
    assert!(on.enabled && !on.given_up && on.failures == 0, "{on:?}");
    let missed = world.drained(id).await;
    assert!(!missed.is_empty() && missed.iter().all(|(_, kind)| kind.starts_with("image.")), "{missed:?}");

    // What is not kept any more is said.
    let off = WebhookPatch { enabled: Some(false), ..WebhookPatch::default() };
    world.service.webhook_update(&world.customer, id, off, None).await.unwrap();
    world.agent.heartbeat(&[]).await.unwrap();
    world.image("forgotten").await;
    world.environment.advance(60 * DAY);
    world.agent.heartbeat(&[]).await.unwrap();
    world.service.reconcile_once().await.unwrap();
    let on = WebhookPatch { enabled: Some(true), ..WebhookPatch::default() };
    world.service.webhook_update(&world.customer, id, on, None).await.unwrap();
    let gap = world.next(id).await.unwrap();
    let WebhookContent::Gap { from, to } = gap.content else { panic!("{gap:?}") };
    assert!(from <= to && gap.kind() == "webhook.gap");
    world.attempted(&gap, taken()).await;
    assert!(world.drained(id).await.iter().all(|(sequence, _)| *sequence > to));
}

pub(crate) async fn a_webhook_is_that_of_its_account(world: World) {
    let service = &world.service;
    let made = service.webhook_create(&world.customer, request(&[])).await.unwrap();
    let id = made.webhook.id;
    assert_eq!(code(service.webhook_create(&world.customer, request(&[])).await), Some(Code::NameTaken));
    let odd = WebhookCreate { url: "ftp://h".to_owned(), ..request(&[]) };
    assert_eq!(code(service.webhook_create(&world.customer, odd).await), Some(Code::InvalidRequest));
    assert_eq!(
        code(service.webhook_create(&world.customer, request(&["usage.*"])).await),
        Some(Code::InvalidRequest)
    );
    for other in [&world.other, &world.admin] {
        assert_eq!(code(service.webhook_show(other, id).await), Some(Code::NotFound));
        assert_eq!(code(service.webhook_test(other, id).await), Some(Code::NotFound));
        assert_eq!(code(service.webhook_rotate_secret(other, id).await), Some(Code::NotFound));
        assert_eq!(code(service.webhook_delete(other, id).await), Some(Code::NotFound));
        let page = PageRequest::default();
        assert!(service.webhook_list(other, &page).await.unwrap().items.is_empty());
        assert_eq!(code(service.webhook_deliveries(other, id, &page).await), Some(Code::NotFound));
    }
    let stale = WebhookPatch { name: Some(name("x")), ..WebhookPatch::default() };
    assert_eq!(
        code(service.webhook_update(&world.customer, id, stale, Some(7)).await),
        Some(Code::PreconditionFailed)
    );
    service.webhook_test(&world.customer, id).await.unwrap();
    let test = world.next(id).await.unwrap();
    assert_eq!((test.kind(), test.secret.expose()), ("webhook.test", made.secret.expose()));
    world.attempted(&test, refused()).await;
    let shown = service.webhook_show(&world.customer, id).await.unwrap();
    assert_eq!((shown.failures, shown.enabled), (0, true), "a test is sent once");
    let rotated = service.webhook_rotate_secret(&world.customer, id).await.unwrap();
    assert_ne!(rotated.secret.expose(), made.secret.expose());
    assert!(world.environment.now() >= shown.created_at);
    service.webhook_delete(&world.customer, id).await.unwrap();
    assert_eq!(code(service.webhook_show(&world.customer, id).await), Some(Code::NotFound));
}
