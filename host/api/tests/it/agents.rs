//! The agents' protocol over HTTP.

use imprint_agent_protocol::ProtocolError;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    app::Answer,
    world::{World, captured},
};

fn refusal(answer: &Answer) -> ProtocolError {
    serde_json::from_value(answer.body["protocol_error"].clone())
        .unwrap_or_else(|_| panic!("{}", answer.body))
}

#[tokio::test]
async fn a_capture_goes_through_its_agent() {
    let world = World::new().await;
    let made = world.customer.post("/images", world.capture("v2")).await.expect(StatusCode::ACCEPTED);
    let (image, task) = (made.text("/image/id"), made.text("/task/id"));
    let assignment = world.agent.claim().await;
    assert_eq!(assignment["kind"]["kind"], "capture");
    assert_eq!(assignment["task_id"], task);
    let answer = world.agent.progress(&assignment, 50, 100).await.expect(StatusCode::OK);
    assert_eq!(answer.body, json!({"cancel": false}));
    let running = world.customer.get(&format!("/tasks/{task}")).await;
    assert_eq!(
        (
            running.text("/state"),
            running.text("/phase"),
            &running.body["percent"],
            &running.body["checkpoint"]
        ),
        ("running", "copying", &json!(50), &json!(50))
    );
    world.agent.finish(&assignment, captured()).await.expect(StatusCode::NO_CONTENT);
    // The answer was lost: the report comes again.
    world.agent.finish(&assignment, captured()).await.expect(StatusCode::NO_CONTENT);
    let image = world.customer.get(&format!("/images/{image}")).await.expect(StatusCode::OK);
    assert_eq!((image.text("/status"), image.text("/consistency")), ("available", "filesystem"));
    assert_eq!(image.body["size_bytes"], 1_048_576);
    assert_eq!(image.text("/source_instance/name"), "web-1");
}

#[tokio::test]
async fn refusals_are_the_protocols_own() {
    let world = World::new().await;
    let anon = world.app.anon();
    let answer = anon.post("/agent/claim", json!({})).await.expect_problem("unauthenticated");
    assert_eq!(refusal(&answer), ProtocolError::Unauthenticated);
    let answer = world.customer.post("/agent/claim", json!({})).await.expect_problem("unauthenticated");
    assert_eq!(refusal(&answer), ProtocolError::Unauthenticated);

    world.customer.post("/images", world.capture("x")).await.expect(StatusCode::ACCEPTED);
    let mut assignment = world.agent.claim().await;
    assignment["fence"] = json!(0);
    let answer = world.agent.finish(&assignment, captured()).await.expect_problem("lease_lost");
    assert_eq!(refusal(&answer), ProtocolError::LeaseLost);

    let body = json!({"agent_id": world.agent.agent_id, "protocol": 999,
        "version": "9", "plugins": {}, "findings": []});
    let answer = world.agent.client.post("/agent/register", body).await.expect_problem("invalid_request");
    assert!(matches!(refusal(&answer), ProtocolError::Version { agent: 999, .. }), "{}", answer.body);
}
