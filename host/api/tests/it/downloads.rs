//! Links to objects, with an agent that is made up.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use imprint_api::{ObjectAnswer, ObjectFuture, ObjectReader, ObjectRequest};
use imprint_domain::secret::SecretText;
use imprint_service::DownloadSource;
use reqwest::{Method, Response, StatusCode, header, redirect::Policy};
use serde_json::json;

use crate::{app::TestApp, world::World};

const ADDRESS: &str = "https://storage.test:9000/images/a.raw?sig=precious";

/// An agent that sends readers of `direct` to the storage, those of `broken` to nowhere, and has
/// other objects itself; the bytes of `endless` never end.
struct Agent;

impl ObjectReader for Agent {
    fn read(&self, source: DownloadSource, _: ObjectRequest) -> ObjectFuture {
        let location = match source.key.as_str() {
            "direct" => Some(ADDRESS),
            "broken" => Some("javascript:alert(1)"),
            _ => None,
        };
        let body = match source.key.as_str() {
            "endless" => stream::pending().boxed(),
            _ => stream::iter([Ok("bytes".into())]).boxed(),
        };
        let status = if location.is_some() { 307 } else { 200 };
        let location = location.map(|address| SecretText::new(address.to_owned()));
        Box::pin(async move { Ok(ObjectAnswer { status, fields: Vec::new(), location, body }) })
    }
}

struct Links {
    world: World,
    http: reqwest::Client,
}

impl Links {
    async fn new() -> Self {
        let world = World::of(TestApp::start_reading(true, Some(Arc::new(Agent))).await).await;
        world.agent.register_serving().await.expect(StatusCode::OK);
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { world, http }
    }

    async fn follow(&self, method: Method, key: &str) -> Response {
        let path = format!("/admin/image-storages/{}/downloads", self.world.storage);
        let made = self.world.admin.post(&path, json!({"key": key})).await.expect(StatusCode::CREATED);
        let url = format!("http://{}{}", self.world.app.address, made.text("/url"));
        self.http.request(method, url).send().await.unwrap()
    }

    async fn metric(&self, name: &str) -> u64 {
        let url = format!("http://{}/metrics", self.world.app.address);
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name}: {text}"))
    }
}

#[tokio::test]
async fn a_client_is_sent_to_a_storage_that_it_reaches_and_counted_apart() {
    let links = Links::new().await;
    let sent = links.follow(Method::GET, "direct").await;
    assert_eq!(sent.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(sent.headers()[header::LOCATION], ADDRESS);
    assert_eq!(sent.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(sent.headers()[header::REFERRER_POLICY], "same-origin", "the link stays here");
    assert!(sent.bytes().await.unwrap().is_empty());
    let head = links.follow(Method::HEAD, "direct").await;
    assert_eq!(
        (head.status(), &head.headers()[header::LOCATION]),
        (StatusCode::TEMPORARY_REDIRECT, &sent_to())
    );
    let passed = links.follow(Method::GET, "a").await;
    assert_eq!(passed.bytes().await.unwrap(), "bytes");
    let counts = [
        ("imprint_downloads_total{bytes_from=\"storage\"}", 1),
        ("imprint_downloads_total{bytes_from=\"agent\"}", 1),
        ("imprint_downloaded_bytes_total", 5),
    ];
    for (name, expected) in counts {
        assert_eq!(links.metric(name).await, expected, "{name}");
    }
}

fn sent_to() -> header::HeaderValue {
    header::HeaderValue::from_static(ADDRESS)
}

#[tokio::test]
async fn what_is_no_address_of_a_storage_is_not_passed_on() {
    let links = Links::new().await;
    let refused = links.follow(Method::GET, "broken").await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!refused.headers().contains_key(header::LOCATION));
    assert!(!refused.text().await.unwrap().contains("javascript"));
}

/// Those who read through the server do not hold up those who do not.
#[tokio::test]
async fn a_server_that_passes_as_many_downloads_as_it_can_still_redirects() {
    let links = Links::new().await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(links.follow(Method::GET, "endless").await);
    }
    let refused = links.follow(Method::GET, "a").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(links.follow(Method::GET, "direct").await.status(), StatusCode::TEMPORARY_REDIRECT);
    drop(open);
}

#[tokio::test]
async fn the_file_of_an_export_has_its_name_its_type_and_its_digest() {
    let Links { world, .. } = Links::new().await;
    let location = format!("/admin/locations/{}", world.location);
    world.admin.patch(&location, json!({"export_enabled": true})).await.expect(StatusCode::OK);
    let exports = format!("/images/{}/exports", world.captured("Größe 1").await);
    let made = world.customer.post(&exports, json!({"format": "vhd", "options": {"variant": "fixed"}})).await;
    let made = made.expect(StatusCode::ACCEPTED);
    let id = made.text("/export/id").to_owned();
    assert_eq!(made.header("location"), format!("/api/v1{exports}/{id}"));
    let sha256 = "00".repeat(31) + "ff";
    let stored = json!({"size": 5, "digest": format!("imprint1:{}", "3".repeat(64)), "sha256": sha256});
    let digest = format!("imprint1:{}", "1".repeat(64));
    world.agent.work(json!({"outcome": "exported", "stored": stored, "logical_digest": digest})).await;
    let shown = world.customer.get(&format!("{exports}/{id}")).await.expect(StatusCode::OK);
    assert_eq!((shown.text("/status"), shown.text("/variant")), ("available", "fixed"));

    let content = format!("{exports}/{id}/content");
    let sent = world.customer.request(Method::GET, &content).send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::OK);
    let field = |sent: &Response, name: &str| {
        sent.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let expected = "attachment; filename=\"Gr__e_1.vhd\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%201.vhd";
    assert_eq!(field(&sent, "content-disposition"), expected);
    assert_eq!(field(&sent, "content-type"), "application/x-vhd-disk");
    let hash = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=:";
    assert_eq!((field(&sent, "repr-digest").as_str(), field(&sent, "content-digest").as_str()), (hash, hash));
    assert_eq!(sent.bytes().await.unwrap(), "bytes");
    let head = world.customer.request(Method::HEAD, &content).send().await.unwrap();
    assert_eq!((field(&head, "repr-digest").as_str(), field(&head, "content-digest").as_str()), (hash, ""));
    // Every option belongs to one format.
    let wrong =
        world.customer.post(&exports, json!({"format": "vdi", "options": {"variant": "fixed"}})).await;
    assert_eq!(wrong.expect_problem("invalid_request").text("/errors/0/pointer"), "/options/variant");
    world.customer.delete(&format!("{exports}/{id}")).await.expect(StatusCode::NO_CONTENT);
}
