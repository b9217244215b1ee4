//! Shares of images, as both sides see them.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn an_image_is_offered_accepted_and_deployed_by_another_account() {
    let world = World::new().await;
    let (customer, other) = (&world.customer, &world.other);
    let image = world.captured("golden").await;
    let shares = format!("/images/{image}/shares");
    let body = json!({"account": "other", "expires_at": "2030-01-31T13:00:00+01:00"});
    let made = customer.post_keyed(&shares, "key-1", body.clone()).await.expect(StatusCode::CREATED);
    let again = customer.post_keyed(&shares, "key-1", body).await.expect(StatusCode::CREATED);
    assert_eq!(made.body, again.body, "the same request has the same answer");
    let id = made.text("/id");
    assert!(id.starts_with("shr_"), "{id}");
    assert_eq!(
        made.body,
        json!({"id": id, "owner": "customer", "recipient": "other", "state": "offered",
            "image": {"id": image, "name": "golden", "location_id": world.location,
                "virtual_size_bytes": 10_485_760},
            "offered_at": made.body["offered_at"], "decided_at": null, "ended_at": null,
            "expires_at": "2030-01-31T12:00:00Z"})
    );
    other.get(&format!("/images/{image}")).await.expect_problem("not_found");
    assert_eq!(other.get("/shares?state=offered").await.body["items"], json!([made.body]));
    assert_eq!(other.get("/shares?state=accepted").await.body["items"], json!([]));
    let accepted = other.act(&format!("/shares/{id}/actions/accept")).await.expect(StatusCode::OK);
    assert_eq!(accepted.text("/state"), "accepted");
    assert_eq!(customer.get(&shares).await.body["items"], json!([accepted.body]));

    let seen = other.get(&format!("/images/{image}")).await.expect(StatusCode::OK);
    let shared = json!({"share_id": id, "owner": "customer", "expires_at": "2030-01-31T12:00:00Z"});
    assert_eq!(seen.body["shared"], shared);
    assert_eq!((&seen.body["source_instance"], &seen.body["task_id"]), (&Value::Null, &Value::Null));
    assert!(seen.body.get("storage").is_none());
    assert_eq!(other.get("/images?scope=shared").await.body["items"], json!([seen.body]));
    assert!(customer.get(&format!("/images/{image}")).await.body.get("shared").is_none());
    let made = other.post("/instances", json!({"image_id": image, "name": "mine"})).await;
    made.expect(StatusCode::ACCEPTED);
    let tasks = other.get(&format!("/tasks?image_id={image}")).await;
    assert_eq!(tasks.body["items"].as_array().map(Vec::len), Some(1), "its own task: {}", tasks.body);

    customer.act(&format!("/shares/{id}/actions/revoke")).await.expect(StatusCode::OK);
    other.get(&format!("/images/{image}")).await.expect_problem("not_found");
    other.post("/instances", json!({"image_id": image, "name": "late"})).await.expect_problem("not_found");
    assert_eq!(customer.get(&shares).await.text("/items/0/state"), "revoked");
}

#[tokio::test]
async fn a_wrong_offer_names_what_is_wrong() {
    let world = World::new().await;
    let shares = format!("/images/{}/shares", world.captured("golden").await);
    for (body, code, pointer) in [
        (json!({"account": "unknown"}), "not_found", "/account"),
        (json!({"account": "customer"}), "invalid_request", "/account"),
        (json!({"account": " "}), "invalid_name", "/account"),
        (json!({"account": "other", "expires_at": "2001-01-01T00:00:00Z"}), "invalid_request", "/expires_at"),
        (json!({"account": "other", "expires_at": "9999-01-01T00:00:00Z"}), "invalid_request", "/expires_at"),
        (json!({"account": "other", "expires_at": "tomorrow"}), "invalid_request", "/expires_at"),
        (json!({"account": "other", "owner": "other"}), "unknown_field", "/owner"),
    ] {
        let refused = world.customer.post(&shares, body).await.expect_problem(code);
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{}", refused.body);
    }
    let state = world.other.get("/shares?state=revoked").await.expect_problem("invalid_request");
    assert_eq!(state.text("/errors/0/pointer"), "?state");
    world.other.get("/shares/shr_nonsense").await.expect_problem("not_found");
    // Nothing changes whose an image is (S71).
    let image = shares.trim_end_matches("/shares");
    for field in ["account_id", "owner"] {
        let refused = world.customer.patch(image, json!({field: "other"})).await;
        refused.expect_problem("unknown_field");
    }
}
