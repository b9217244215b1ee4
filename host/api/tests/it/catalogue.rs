//! Media groups, and how stock images are offered.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_stock_image_is_offered_by_its_entry_and_deployed_by_its_family() {
    let world = World::new().await;
    let (admin, customer) = (&world.admin, &world.customer);
    let group = admin.post("/admin/media-groups", json!({"label": "Linux"})).await;
    let group = group.expect(StatusCode::CREATED).text("/id").to_owned();
    assert!(group.starts_with("mgr_"), "{group}");
    let stock = format!("/admin/stock-images/{}", world.stock_image);
    let shown = format!("/images/{}", world.stock_image);
    let nothing = json!({"media_group_id": null, "family": null, "family_version": null, "latest": false,
        "deprecation": null, "hidden": false});
    assert_eq!(customer.get(&shown).await.body["catalogue"], nothing);

    let entry = json!({"media_group_id": group, "family": "tiny", "family_version": "1.0", "os_type": "bsd",
        "deprecation": {"notice": "Old."}});
    let changed = admin.patch(&stock, entry).await.expect(StatusCode::OK);
    assert_eq!(
        changed.body["catalogue"],
        json!({"media_group_id": group, "family": "tiny", "family_version": "1.0", "latest": false,
            "deprecation": {"notice": "Old.", "replacement_id": null}, "hidden": false})
    );
    assert_eq!(changed.text("/os_type"), "bsd");
    let by_family = || json!({"family": "tiny", "name": "of-the-family"});
    customer.post("/instances", by_family()).await.expect_problem("not_found");
    let changed = admin.patch(&stock, json!({"deprecation": null})).await.expect(StatusCode::OK);
    assert_eq!(changed.body["catalogue"]["latest"], true);
    let made = customer.post_keyed("/instances", "key-1", by_family()).await.expect(StatusCode::ACCEPTED);
    assert_eq!(
        (made.text("/instance/image/id"), made.text("/instance/os_type")),
        (&*world.stock_image, "bsd")
    );

    // The same request has the same answer, also when the family has nothing to deploy any more.
    admin.patch(&stock, json!({"hidden": true})).await.expect(StatusCode::OK);
    let again = customer.post_keyed("/instances", "key-1", by_family()).await.expect(StatusCode::ACCEPTED);
    assert_eq!(again.text("/instance/id"), made.text("/instance/id"));
    customer.post("/instances", by_family()).await.expect_problem("not_found");
    customer.get(&shown).await.expect_problem("not_found");
    customer.patch(&shown, json!({"name": "x"})).await.expect_problem("not_found");
    let removed = admin.patch(&stock, json!({"family": null, "media_group_id": null, "hidden": false})).await;
    assert_eq!(removed.expect(StatusCode::OK).body["catalogue"], nothing);
}

#[tokio::test]
async fn a_wrong_entry_names_what_is_wrong() {
    let world = World::new().await;
    let stock = format!("/admin/stock-images/{}", world.stock_image);
    let missing = "mgr_00000000-0000-7000-8000-000000000000";
    for (body, code, pointer) in [
        (json!({"family": "Tiny", "family_version": "1"}), "invalid_request", "/family"),
        (json!({"family": "tiny", "family_version": "1 0"}), "invalid_request", "/family_version"),
        (json!({"family": "tiny"}), "invalid_request", "/family_version"),
        (json!({"media_group_id": missing}), "not_found", "/media_group_id"),
        (json!({"deprecation": {"notice": " "}}), "invalid_request", "/deprecation/notice"),
        (json!({"name": " "}), "invalid_name", "/name"),
    ] {
        let refused = world.admin.patch(&stock, body.clone()).await.expect_problem(code);
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{body}");
    }
    let image = world.stock_image.as_str();
    for (body, pointer) in [
        (json!({"name": "x"}), "/disk_size_bytes"),
        (json!({"name": "x", "image_id": image, "family": "tiny"}), "/family"),
        (json!({"name": "x", "image_id": image, "location_id": world.location}), "/location_id"),
        (json!({"name": "x", "family": "no family"}), "/family"),
    ] {
        let refused = world.customer.post("/instances", body.clone()).await.expect_problem("invalid_request");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{body}");
    }
}

#[tokio::test]
async fn media_groups_are_changed_by_who_has_read_them() {
    let world = World::new().await;
    let (admin, browser) = (&world.admin, world.app.browser("admin").await);
    let add = async |body: Value| admin.post("/admin/media-groups", body).await;
    let linux = add(json!({"label": "Linux", "description": "Penguins"})).await.expect(StatusCode::CREATED);
    let first = add(json!({"label": "BSD", "position": 0})).await.expect(StatusCode::CREATED);
    assert_eq!(first.body["position"], 0);
    let path = format!("/admin/media-groups/{}", linux.text("/id"));
    let shown = admin.get(&format!("/media-groups/{}", linux.text("/id"))).await.expect(StatusCode::OK);
    assert_eq!((shown.header("etag"), &shown.body["position"]), ("\"2\"", &json!(1)));

    browser.patch(&path, json!({"position": 0})).await.expect_problem("precondition_required");
    let with = |method: Method, etag: &str| browser.request(method, &path).header("If-Match", etag);
    let stale = browser.send(with(Method::PATCH, "\"1\"").json(&json!({"position": 0}))).await;
    stale.expect_problem("precondition_failed");
    let patch = json!({"position": 0, "description": null});
    let moved = browser.send(with(Method::PATCH, "\"2\"").json(&patch)).await.expect(StatusCode::OK);
    assert_eq!((moved.header("etag"), moved.text("/description")), ("\"3\"", ""));
    let listed = world.customer.get("/media-groups").await.expect(StatusCode::OK);
    assert_eq!((listed.text("/items/0/label"), listed.text("/items/1/label")), ("Linux", "BSD"));
    browser.send(with(Method::DELETE, "\"2\"")).await.expect_problem("precondition_failed");
    browser.send(with(Method::DELETE, "\"3\"")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(world.customer.get("/media-groups").await.body["items"].as_array().unwrap().len(), 1);
}
