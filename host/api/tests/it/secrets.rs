//! Settings, secrets and connection tests of image storages, as admins see them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{app::Answer, world::World};

const SECRET: &str = "the-secret-key-of-the-vault";

fn vault(hypervisor: &str) -> Value {
    json!({"hypervisor_id": hypervisor, "role": "customer", "kind": "vault",
        "settings": {"endpoint": "https://vault.example"}, "secrets": {"key": SECRET}})
}

fn pointer(answer: &Answer) -> &str {
    answer.text("/errors/0/pointer")
}

#[tokio::test]
async fn kinds_and_wrong_settings_are_named() {
    let world = World::new().await;
    let kinds = world.admin.get("/admin/storage-kinds").await.expect(StatusCode::OK);
    assert_eq!((kinds.text("/items/0/kind"), kinds.text("/items/1/kind")), ("local", "vault"));
    assert_eq!(kinds.body.pointer("/items/1/schema/properties/key/writeOnly"), Some(&json!(true)));
    for (body, wrong) in [
        (json!({"name": "x", "role": "customer", "kind": "odd"}), "/kind"),
        (
            json!({"name": "x", "role": "customer", "kind": "local", "settings": {"path": "srv"}}),
            "/settings/path",
        ),
        (
            json!({"name": "x", "role": "customer", "kind": "vault", "settings": {"endpoint": "https://a"},
            "secrets": {"key": 734_211_734_211_u64}}),
            "/secrets/key",
        ),
        (
            json!({"name": "x", "role": "customer", "kind": "vault", "settings": {"endpoint": "https://a"},
            "secrets": {"key": "734211"}}),
            "/secrets/key",
        ),
    ] {
        let answer = world.admin.post("/admin/image-storages", body).await.expect_problem("invalid_request");
        assert_eq!(pointer(&answer), wrong);
        assert!(!answer.body.to_string().contains("734211"), "{}", answer.body);
    }
}

#[tokio::test]
async fn secrets_can_be_set_and_never_read() {
    let world = World::new().await;
    let mut body = vault(&world.hypervisor);
    body["name"] = json!("vault");
    body.as_object_mut().unwrap().remove("hypervisor_id");
    let made = world.admin.post("/admin/image-storages", body).await.expect(StatusCode::CREATED);
    assert_eq!(made.text("/secrets/0/name"), "key");
    let id = made.text("/id").to_owned();
    let path = format!("/admin/image-storages/{id}/secrets");
    let patch =
        async |body: Value| world.admin.send(world.admin.request(Method::PATCH, &path).json(&body)).await;
    let changed = patch(json!({"secrets": {"session-token": SECRET}})).await.expect(StatusCode::OK);
    assert_eq!(changed.text("/secrets/1/name"), "session-token");
    let removed = patch(json!({"secrets": {"session-token": null}})).await.expect(StatusCode::OK);
    assert_eq!(removed.body["secrets"].as_array().map(Vec::len), Some(1));
    patch(json!({"secrets": {"key": null}})).await.expect_problem("invalid_request");
    let list = world.admin.get("/admin/image-storages").await.expect(StatusCode::OK);
    for answer in [made, changed, removed, list] {
        assert!(!answer.body.to_string().contains(&SECRET[..8]), "{}", answer.body);
    }
    let bind = format!("/admin/image-storages/{id}/hypervisors/{}", world.hypervisor);
    world.admin.send(world.admin.request(Method::PUT, &bind)).await.expect(StatusCode::OK);
    let request = json!({"of": "storage", "id": id});
    let fetched = world.agent.client.post("/agent/secrets", request.clone()).await.expect(StatusCode::OK);
    assert_eq!(fetched.text("/secrets/key"), SECRET, "its agent gets it");
    world.admin.post("/agent/secrets", request).await.expect_problem("unauthenticated");
    let rotated = world.admin.act("/admin/secrets/actions/rotate").await.expect(StatusCode::OK);
    assert_eq!(rotated.body["resealed"], 0);
}

#[tokio::test]
async fn a_connection_test_is_a_task_with_a_result() {
    let world = World::new().await;
    let queued = world.admin.post("/admin/image-storages/actions/test", vault(&world.hypervisor)).await;
    let queued = queued.expect(StatusCode::ACCEPTED);
    assert_eq!((queued.text("/kind"), queued.text("/state")), ("storage.test", "queued"));
    let task = queued.text("/id").to_owned();
    assert_eq!(queued.header("task-location"), format!("/api/v1/tasks/{task}"));
    let work = world.agent.claim().await;
    assert_eq!(work["kind"]["kind"], "test_storage");
    assert!(!work.to_string().contains(&SECRET[..8]), "{work}");
    let lease = json!({"task_id": work["task_id"], "fence": work["fence"]});
    let request = json!({"of": "task", "lease": lease});
    let fetched = world.agent.client.post("/agent/secrets", request.clone()).await.expect(StatusCode::OK);
    assert_eq!(fetched.text("/secrets/key"), SECRET);
    let steps = json!([{"step": "open", "status": "failed", "duration_ms": 12, "detail": "it is closed",
        "code": "vault.closed", "setting": "key"}]);
    let outcome = json!({"outcome": "storage_tested", "steps": steps});
    world.agent.finish(&work, outcome).await.expect(StatusCode::NO_CONTENT);
    let shown = world.admin.get(&format!("/tasks/{task}")).await.expect(StatusCode::OK);
    assert_eq!((shown.text("/state"), &shown.body["storage_test"]["passed"]), ("succeeded", &json!(false)));
    assert_eq!(shown.text("/storage_test/steps/0/setting"), "key");
    world.agent.client.post("/agent/secrets", request).await.expect_problem("lease_lost");

    // A stored storage is tested with what is stored.
    let path = format!("/admin/image-storages/{}/actions/test", world.storage);
    let body = json!({"hypervisor_id": world.hypervisor});
    world.admin.post(&path, body.clone()).await.expect(StatusCode::ACCEPTED);
    let work = world.agent.claim().await;
    assert_eq!(work["kind"]["storage"]["id"], world.storage);
    assert_eq!(work["kind"]["storage"]["settings"]["path"], "/srv/images");
    let mut wrong = body;
    wrong["settings"] = json!({"path": "srv"});
    let refused = world.admin.post(&path, wrong).await.expect_problem("invalid_request");
    assert_eq!(pointer(&refused), "/settings/path", "refused before a task is queued");
}
