//! Image storages, through the API.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_storage_is_shown_changed_and_deleted() {
    let world = World::new().await;
    let admin = &world.admin;
    let body = json!({"name": "pool", "role": "customer", "kind": "local", "settings": {"path": "/srv/pool"},
        "weight": 7, "min_free_bytes": 1_u64 << 30});
    let made = admin.post("/admin/image-storages", body).await.expect(StatusCode::CREATED);
    let path = format!("/admin/image-storages/{}", made.text("/id"));
    let shown = admin.get(&path).await.expect(StatusCode::OK);
    assert_eq!(shown.header("etag"), "\"1\"");
    for (member, value) in [
        ("state", json!("active")),
        ("weight", json!(7)),
        ("shared_path", json!(false)),
        ("min_free_bytes", json!(1_u64 << 30)),
        ("drain_to", json!(null)),
        ("health", json!("unknown")),
        ("problem", json!(null)),
        ("reserved_bytes", json!(0)),
        ("bindings", json!([])),
        ("images", json!([])),
    ] {
        assert_eq!(shown.body[member], value, "{member}");
    }
    let change = json!({"weight": 0, "min_free_bytes": null, "state": "draining", "drain_to": world.storage});
    let changed = admin.patch(&path, change).await.expect(StatusCode::OK);
    assert_eq!(changed.header("etag"), "\"2\"");
    assert_eq!((&changed.body["weight"], &changed.body["min_free_bytes"]), (&json!(0), &json!(null)));
    assert_eq!(changed.body["drain_to"], json!(world.storage));
    let stale = admin.request(Method::PATCH, &path).header("If-Match", "\"1\"").json(&json!({"weight": 1}));
    admin.send(stale).await.expect_problem("precondition_failed");
    let heavy = admin.patch(&path, json!({"weight": 1001})).await.expect_problem("invalid_request");
    assert_eq!(heavy.text("/errors/0/pointer"), "/weight");
    admin.patch(&path, json!({"role": "stock"})).await.expect_problem("unknown_field");
    let used = format!("/admin/image-storages/{}", world.storage);
    let refused = admin.delete(&used).await.expect_problem("resource_in_use");
    assert_eq!(refused.body["context"]["storage_id"], made.body["id"]);
    admin.delete(&path).await.expect(StatusCode::NO_CONTENT);
    admin.get(&path).await.expect_problem("not_found");
}

#[tokio::test]
async fn admins_see_where_an_image_is_and_what_a_storage_holds() {
    let world = World::new().await;
    let image = world.captured("golden").await;
    let path = format!("/images/{image}");
    let seen = world.admin.get(&path).await.expect(StatusCode::OK);
    assert_eq!(seen.body["storage"], json!({"id": world.storage, "key": format!("{image}.qcow2")}));
    let seen = world.customer.get(&path).await.expect(StatusCode::OK);
    assert_eq!(seen.body.get("storage"), None);
    let there = format!("/images?scope=all&storage_id={}", world.storage);
    let list = world.admin.get(&there).await.expect(StatusCode::OK);
    assert_eq!(list.body["items"].as_array().map(Vec::len), Some(1), "{}", list.body);
    world.customer.get(&there).await.expect_problem("forbidden");
    let storage = world.admin.get(&format!("/admin/image-storages/{}", world.storage)).await;
    assert_eq!(storage.body["images"], json!([{"status": "available", "count": 1, "bytes": 1_048_576}]));
    assert_eq!(storage.body["bindings"][0]["health"], "healthy");
    let none = world.admin.get("/admin/image-storages?role=iso").await.expect(StatusCode::OK);
    assert_eq!(none.body["items"], json!([]));
    let anon = world.app.anon();
    let metrics = anon.send(anon.plain(Method::GET, "/metrics")).await.expect(StatusCode::OK);
    let figure = format!("imprint_storage_images{{id=\"{}\",name=\"images\"", world.storage);
    assert!(metrics.body.as_str().is_some_and(|text| text.contains(&figure)), "{}", metrics.body);
}

#[tokio::test]
async fn the_last_hypervisor_of_a_storage_with_images_is_unbound_by_force() {
    let world = World::new().await;
    world.captured("golden").await;
    let path = format!("/admin/image-storages/{}/hypervisors/{}", world.storage, world.hypervisor);
    world.admin.delete(&path).await.expect_problem("resource_in_use");
    let unbound = world.admin.delete(&format!("{path}?force=true")).await.expect(StatusCode::OK);
    assert_eq!(unbound.body["hypervisor_ids"], json!([]));
}
