//! Streams of events, and long polls.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    app::{Client, TIMEOUT},
    world::{World, captured},
};

/// A stream, event by event.
struct Stream {
    response: reqwest::Response,
    text: String,
}

#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Stream {
    async fn open(client: &Client, path: &str, last: Option<&str>) -> Self {
        let mut request = client.request(Method::GET, path);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let chunk = tokio::time::timeout(TIMEOUT, self.response.chunk()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn expect(&mut self, name: &str) -> Event {
        let event = self.next().await.expect("the stream goes on");
        assert_eq!(event.name, name, "{event:?}");
        event
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let data = serde_json::from_str(field("data:")?).unwrap();
    Some(Event { name: field("event:")?.to_owned(), id: field("id:")?.to_owned(), data })
}

#[tokio::test]
async fn a_stream_begins_with_a_snapshot_and_resumes_without_a_gap() {
    let world = World::new().await;
    let mut stream = Stream::open(&world.customer, "/events", None).await;
    let snapshot = stream.expect("snapshot").await;
    let mut last: u64 = snapshot.data["sequence"].as_u64().unwrap();
    assert_eq!(snapshot.id, last.to_string());

    let made = world.customer.post("/images", world.capture("v2")).await.expect(StatusCode::ACCEPTED);
    let first = stream.next().await.unwrap();
    assert_eq!(first.data["sequence"], last + 1);
    drop(stream);
    world.agent.work(captured()).await;

    // What happened meanwhile comes first, then what happens now; no number is missing.
    let mut stream = Stream::open(&world.customer, "/events", Some(&last.to_string())).await;
    let mut available = false;
    while !available {
        let event = stream.next().await.expect("the stream goes on");
        assert_eq!(event.data["sequence"], last + 1, "{event:?}");
        last += 1;
        assert_eq!(event.name, event.data["kind"].as_str().unwrap());
        if let Some(image) = event.data.get("image") {
            assert_eq!(image["id"], made.text("/image/id"));
            available = image["status"] == "available";
        }
    }
    world.customer.delete(&format!("/images/{}", made.text("/image/id"))).await.expect(StatusCode::ACCEPTED);
    world.agent.work(json!({"outcome": "done"})).await;
    loop {
        let event = stream.next().await.expect("the stream goes on");
        assert_eq!(event.data["sequence"], last + 1);
        last += 1;
        if event.name == "image.deleted" {
            assert_eq!(event.data["image"], json!({"id": made.text("/image/id")}));
            return;
        }
    }
}

#[tokio::test]
async fn a_stream_holds_what_was_asked_for_and_nothing_of_others() {
    let world = World::new().await;
    let mut images = Stream::open(&world.customer, "/events?types=image.*", None).await;
    images.expect("snapshot").await;
    let mut others = Stream::open(&world.other, "/events", None).await;
    others.expect("snapshot").await;
    world.captured("v2").await;
    assert_eq!(images.expect("image.changed").await.data["image"]["status"], "creating");
    let made = world.other.post("/api-tokens", json!({"name": "x", "scopes": ["images:read"]})).await;
    made.expect(StatusCode::CREATED);
    let body = json!({"image_id": world.stock_image, "name": "theirs"});
    world.other.post("/instances", body).await.expect(StatusCode::ACCEPTED);
    let first = others.next().await.unwrap();
    assert_eq!(first.data["sequence"], 1, "the first account's events are not among them: {first:?}");
    world.customer.get("/events?types=usage.*").await.expect_problem("invalid_request");
}

#[tokio::test]
async fn a_number_that_never_was_resets_the_stream() {
    let world = World::new().await;
    let mut stream = Stream::open(&world.customer, "/events", Some("999999")).await;
    let reset = stream.expect("reset").await;
    assert!(reset.data["sequence"].as_u64().is_some_and(|last| last < 999_999), "{reset:?}");
    let wrong = world.customer.request(Method::GET, "/events").header("Last-Event-ID", "yesterday");
    world.customer.send(wrong).await.expect_problem("invalid_request");
}

#[tokio::test]
async fn the_stream_of_a_task_shows_it_and_ends_with_it() {
    let world = World::new().await;
    let made = world.customer.post("/images", world.capture("v2")).await.expect(StatusCode::ACCEPTED);
    let path = format!("/tasks/{}/events", made.text("/task/id"));
    let mut stream = Stream::open(&world.customer, &path, None).await;
    let snapshot = stream.expect("snapshot").await;
    assert_eq!(snapshot.data["task"]["state"], "queued");
    let assignment = world.agent.claim().await;
    world.agent.progress(&assignment, 25, 100).await.expect(StatusCode::OK);
    world.agent.finish(&assignment, captured()).await.expect(StatusCode::NO_CONTENT);
    let mut last = Value::Null;
    while let Some(event) = stream.next().await {
        assert_eq!(
            (event.name.as_str(), &event.data["task"]["id"]),
            ("task.changed", &made.body["task"]["id"])
        );
        last = event.data["task"]["state"].clone();
    }
    assert_eq!(last, "succeeded");
    // Over from the start: the snapshot is all there is.
    let mut stream = Stream::open(&world.customer, &path, None).await;
    assert_eq!(stream.expect("snapshot").await.data["task"]["state"], "succeeded");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_long_poll_answers_when_the_task_changes() {
    let world = World::new().await;
    let made = world.customer.post("/images", world.capture("v2")).await.expect(StatusCode::ACCEPTED);
    let path = format!("/tasks/{}?wait=60", made.text("/task/id"));
    let poll = async { world.customer.get(&path).await.expect(StatusCode::OK) };
    let (answer, _) = tokio::join!(tokio::time::timeout(TIMEOUT, poll), world.agent.work(captured()));
    let answer = answer.expect("it does not wait for the whole minute");
    assert_ne!(answer.text("/state"), "queued");
    let over = world.customer.until(&path, |task| task["state"] == "succeeded").await;
    assert_eq!(over["checkpoint"], 100);
    // A task that is over is answered at once.
    tokio::time::timeout(Duration::from_secs(10), world.customer.get(&path)).await.unwrap();
    let too_long = path.replace("60", "61");
    world.customer.get(&too_long).await.expect_problem("invalid_request");
}
