//! Conventions that hold for the whole API: keys, tags, pages, bodies, names of things in headers.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    app::TestApp,
    world::{World, captured},
};

#[tokio::test]
async fn the_same_key_gives_the_same_answer() {
    let world = World::new().await;
    let key = "create-image-1";
    let first =
        world.customer.post_keyed("/images", key, world.capture("v2")).await.expect(StatusCode::ACCEPTED);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(first.header("location"), format!("/api/v1/images/{}", first.text("/image/id")));
    assert_eq!(first.header("task-location"), format!("/api/v1/tasks/{}", first.text("/task/id")));
    world.agent.work(captured()).await;
    let again =
        world.customer.post_keyed("/images", key, world.capture("v2")).await.expect(StatusCode::ACCEPTED);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.body, first.body);
    let images = world.customer.get("/images").await;
    assert_eq!(images.body["items"].as_array().map(Vec::len), Some(1));
    // The key is the account's own, and the path's.
    let alias = format!("/instances/{}/images", world.instance);
    let other =
        world.customer.post_keyed(&alias, key, json!({"name": "v3"})).await.expect(StatusCode::ACCEPTED);
    assert_ne!(other.text("/image/id"), first.text("/image/id"));
    let location = async || {
        let answer = world.admin.post_keyed("/admin/locations", key, json!({"name": "south"})).await;
        answer.expect(StatusCode::CREATED).text("/id").to_owned()
    };
    assert_eq!(location().await, location().await);
    for bad in ["", "with space", &"k".repeat(256)] {
        world.customer.post_keyed("/images", bad, world.capture("x")).await.expect_problem("invalid_request");
    }
}

#[tokio::test]
async fn a_change_that_was_not_seen_is_not_overwritten() {
    let world = World::new().await;
    let path = format!("/images/{}", world.captured("v1").await);
    let browser = world.app.browser("customer").await;
    let seen = browser.get(&path).await.expect(StatusCode::OK);
    let tag = seen.header("etag");
    let rename = |tag: &str, name: &str| {
        browser.request(Method::PATCH, &path).header("If-Match", tag).json(&json!({"name": name}))
    };
    let renamed = browser.send(rename(tag, "v2")).await.expect(StatusCode::OK);
    assert_eq!(renamed.text("/name"), "v2");
    assert_ne!(renamed.header("etag"), tag);
    browser.send(rename(tag, "v3")).await.expect(StatusCode::PRECONDITION_FAILED);
    browser.send(rename("nonsense", "v3")).await.expect_problem("precondition_failed");
    browser.delete(&path).await.expect(StatusCode::PRECONDITION_REQUIRED);
    // A program with a token may leave it out, and a description can be cleared.
    let body = json!({"description": "two\nlines"});
    let described = world.customer.patch(&path, body).await.expect(StatusCode::OK);
    assert_eq!(described.text("/description"), "two\nlines");
    let cleared = world.customer.patch(&path, json!({"description": null})).await.expect(StatusCode::OK);
    assert_eq!((cleared.text("/description"), cleared.text("/name")), ("", "v2"));
    let delete = browser.request(Method::DELETE, &path).header("If-Match", cleared.header("etag"));
    let deleting = browser.send(delete).await.expect(StatusCode::ACCEPTED);
    assert_eq!(deleting.text("/image/status"), "deleting");
    world.agent.work(json!({"outcome": "done"})).await;
    browser.get(&path).await.expect_problem("not_found");
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    let app = TestApp::start().await;
    let browser = app.browser("admin").await;
    let anon = app.anon();
    let session = anon.post("/sessions", json!({"account": "admin", "password": crate::app::PASSWORD})).await;
    let cookie = session.header("set-cookie").split(';').next().unwrap().to_owned();
    let forged =
        anon.request(Method::POST, "/admin/locations").header("Cookie", &cookie).json(&json!({"name": "x"}));
    anon.send(forged).await.expect(StatusCode::FORBIDDEN).expect_problem("forbidden");
    browser.post("/admin/locations", json!({"name": "x"})).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn pages_go_through_a_list_without_gaps() {
    let world = World::new().await;
    for name in ["b", "a", "c"] {
        world.captured(name).await;
    }
    let mut names = Vec::new();
    let mut path = "/images?sort=name&limit=2".to_owned();
    loop {
        let page = world.customer.get(&path).await.expect(StatusCode::OK);
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|image| image["name"].as_str().unwrap().to_owned()));
        match page.body["next_page_token"].as_str() {
            Some(token) => path = format!("/images?sort=name&limit=2&page_token={token}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
    let first = world.customer.get("/images?sort=name&limit=2").await;
    let token = first.text("/next_page_token");
    // A token belongs to its question.
    let other = format!("/images?sort=-name&limit=2&page_token={token}");
    world.customer.get(&other).await.expect_problem("page_token_invalid");
    for (query, pointer) in [
        ("sort=colour", "?sort"),
        ("status=available,broken", "?status"),
        ("limit=0", "?limit"),
        ("limit=many", "?limit"),
        ("location_id=img_1", "?location_id"),
    ] {
        let refused = world.customer.get(&format!("/images?{query}")).await.expect_problem("invalid_request");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{}", refused.body);
    }
    let refused = world.customer.get("/images?colour=red").await.expect_problem("unknown_field");
    assert_eq!(refused.text("/errors/0/pointer"), "?colour");
}

#[tokio::test]
async fn wrong_parameters_are_named_and_explained() {
    let world = World::new().await;
    for (path, pointer, detail) in [
        ("/limits", "?location_id", "`location_id` is required"),
        ("/images?limit=1&limit=2", "?limit", "`limit` is given twice"),
        ("/images?limit=many", "?limit", "expected a whole number"),
    ] {
        let refused = world.customer.get(path).await.expect_problem("invalid_request");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{}", refused.body);
        assert_eq!(refused.text("/detail"), detail, "{}", refused.body);
    }
}

#[tokio::test]
async fn numbers_are_within_the_bounds_of_the_document() {
    let world = World::new().await;
    let location = format!("/admin/locations/{}", world.location);
    let refused = world.admin.patch(&location, json!({"default_image_limit": 2_147_483_648_u32})).await;
    let refused = refused.expect_problem("invalid_request");
    assert_eq!(refused.text("/errors/0/pointer"), "/default_image_limit", "{}", refused.body);
    let largest = json!({"default_image_limit": i32::MAX});
    world.admin.patch(&location, largest).await.expect(StatusCode::OK);
    let account =
        json!({"name": "x", "password": "long enough", "role": "customer", "image_limit": u32::MAX});
    let refused = world.admin.post("/admin/accounts", account).await.expect_problem("invalid_request");
    assert_eq!(refused.text("/errors/0/pointer"), "/image_limit", "{}", refused.body);
    let bytes = json!({"default_image_bytes_limit": u64::MAX});
    let refused = world.admin.patch(&location, bytes).await.expect_problem("invalid_request");
    assert_eq!(refused.text("/errors/0/pointer"), "/default_image_bytes_limit", "{}", refused.body);
    let token = json!({"name": "x", "scopes": ["images:read"], "expires_at": "tomorrow"});
    let refused = world.customer.post("/api-tokens", token).await.expect_problem("invalid_request");
    assert_eq!(refused.text("/errors/0/pointer"), "/expires_at", "{}", refused.body);
    assert!(refused.text("/detail").contains("such as `2026-01-31T12:00:00Z`"), "{}", refused.body);
}

#[tokio::test]
async fn lists_can_be_narrowed() {
    let world = World::new().await;
    let image = world.captured("done").await;
    world.customer.post("/images", world.capture("under way")).await.expect(StatusCode::ACCEPTED);
    let names = async |path: &str| -> BTreeSet<String> {
        let answer = world.customer.get(path).await.expect(StatusCode::OK);
        let items = answer.body["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["name"].as_str().or(item["state"].as_str()).unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("/images?status=available").await, ["done".to_owned()].into());
    assert_eq!(names("/images?status=creating,error").await, ["under way".to_owned()].into());
    assert_eq!(names(&format!("/tasks?image_id={image}")).await, ["succeeded".to_owned()].into());
    assert_eq!(names("/tasks?state=queued").await, ["queued".to_owned()].into());
}

#[tokio::test]
async fn wrong_bodies_are_refused_with_the_place_that_is_wrong() {
    let world = World::new().await;
    let id = &world.instance;
    for (body, code, pointer) in [
        (json!({"name": "x"}), "invalid_request", ""),
        (json!({"source": {"type": "floppy", "id": id}, "name": "x"}), "invalid_request", "/source/type"),
        (json!({"source": {"type": "instance", "id": "img_1"}, "name": "x"}), "invalid_request", "/source"),
        (
            json!({"source": {"type": "instance", "id": id, "path": "/etc"}, "name": "x"}),
            "unknown_field",
            "/source/path",
        ),
        (json!({"source": {"type": "instance", "id": id}, "name": "a\u{202e}b"}), "invalid_name", "/name"),
        (
            json!({"source": {"type": "instance", "id": id}, "name": "x", "description": "d".repeat(1025)}),
            "invalid_request",
            "/description",
        ),
        (
            json!({"source": {"type": "instance", "id": id}, "name": "x", "compression": "lzma"}),
            "invalid_request",
            "/compression",
        ),
        (
            json!({"source": {"type": "instance", "id": id}, "name": "x", "consistency": {"want": "crash", "minimum": "filesystem"}}),
            "invalid_request",
            "/consistency/minimum",
        ),
    ] {
        let refused = world.customer.post("/images", body).await.expect_problem(code);
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{}", refused.body);
    }
    let truncated =
        world.customer.request(Method::POST, "/images").header("content-type", "application/json").body("{");
    let refused = world.customer.send(truncated).await.expect_problem("invalid_request");
    assert_eq!(refused.text("/detail"), "the body ends in the middle of its JSON value");
    assert_eq!(world.customer.get("/images").await.body["items"], json!([]), "nothing was made");
}

#[tokio::test]
async fn instances_are_deployed_started_stopped_and_deleted() {
    let world = World::new().await;
    let path = format!("/instances/{}", world.instance);
    let stopped = world.customer.act(&format!("{path}/actions/stop")).await.expect(StatusCode::ACCEPTED);
    assert_eq!(stopped.text("/task/kind"), "instance.stop");
    world.agent.work(json!({"outcome": "done"})).await;
    world.customer.act(&format!("{path}/actions/start")).await.expect(StatusCode::ACCEPTED);
    world.agent.work(json!({"outcome": "done"})).await;
    let shown = world.customer.get(&path).await.expect(StatusCode::OK);
    assert_eq!((shown.text("/status"), shown.text("/image/name")), ("ready", "Debian"));
    assert_eq!(shown.body["capture"]["allowed"], true, "{}", shown.body);
    let deleted = world.customer.delete(&path).await.expect(StatusCode::ACCEPTED);
    assert_eq!(deleted.text("/instance/status"), "deleting");
    world.agent.work(json!({"outcome": "done"})).await;
    world.customer.get(&path).await.expect_problem("not_found");
}

#[tokio::test]
async fn an_operator_merges_the_chain_of_a_stopped_instance() {
    let world = World::new().await;
    let path = format!("/instances/{}", world.instance);
    let action = format!("/admin{path}/actions/coalesce");
    let refused = world.admin.act(&action).await.expect_problem("invalid_transition");
    assert!(refused.text("/detail").contains("stop the instance first"), "{}", refused.body);
    world.customer.act(&format!("{path}/actions/stop")).await.expect(StatusCode::ACCEPTED);
    world.agent.work(json!({"outcome": "done"})).await;
    let started = world.admin.act(&action).await.expect(StatusCode::ACCEPTED);
    assert_eq!((started.text("/task/kind"), started.text("/task/phase")), ("instance.coalesce", "queued"));
    let late = json!({"outcome": "failed", "code": "coalesce_timeout", "detail": "too slow"});
    world.agent.work(late).await;
    let task = world.customer.get(&format!("/tasks/{}", started.text("/task/id"))).await;
    assert_eq!(
        (task.text("/state"), task.text("/error/code")),
        ("failed", "coalesce_timeout"),
        "{}",
        task.body
    );
    assert_eq!(task.body["error"]["retryable"], true);
}

#[tokio::test]
async fn a_location_says_how_chains_are_merged() {
    let world = World::new().await;
    let location = format!("/admin/locations/{}", world.location);
    let shown = world.admin.get("/admin/locations").await.expect(StatusCode::OK);
    let standard =
        (&shown.body["items"][0]["coalesce_before_capture"], &shown.body["items"][0]["coalesce_timeout_s"]);
    assert_eq!(standard, (&json!(true), &json!(7200)));
    let patch = json!({"coalesce_before_capture": false, "coalesce_timeout_s": 600});
    let changed = world.admin.patch(&location, patch).await.expect(StatusCode::OK);
    assert_eq!(changed.body["coalesce_before_capture"], false);
    assert_eq!(changed.body["coalesce_timeout_s"], 600);
    for wrong in [0, 72_001] {
        let refused = world.admin.patch(&location, json!({"coalesce_timeout_s": wrong})).await;
        let refused = refused.expect_problem("invalid_request");
        assert_eq!(refused.text("/errors/0/pointer"), "/coalesce_timeout_s", "{}", refused.body);
    }
}

#[tokio::test]
async fn a_location_limits_how_long_guests_are_frozen() {
    let world = World::new().await;
    let location = format!("/admin/locations/{}", world.location);
    let shown = world.admin.get("/admin/locations").await.expect(StatusCode::OK);
    assert_eq!(shown.body["items"][0]["freeze_limit_ms"], 2000);
    let changed = world.admin.patch(&location, json!({"freeze_limit_ms": 100})).await;
    assert_eq!(changed.expect(StatusCode::OK).body["freeze_limit_ms"], 100);
    for wrong in [99, 10_001] {
        let refused = world.admin.patch(&location, json!({"freeze_limit_ms": wrong})).await;
        let refused = refused.expect_problem("invalid_request");
        assert_eq!(refused.text("/errors/0/pointer"), "/freeze_limit_ms", "{}", refused.body);
    }
}

#[tokio::test]
async fn a_location_limits_the_wait_for_reclaimed_space() {
    let world = World::new().await;
    let location = format!("/admin/locations/{}", world.location);
    let shown = world.admin.get("/admin/locations").await.expect(StatusCode::OK);
    assert_eq!(shown.body["items"][0]["reclaim_limit_s"], 60);
    let changed = world.admin.patch(&location, json!({"reclaim_limit_s": 0})).await;
    assert_eq!(changed.expect(StatusCode::OK).body["reclaim_limit_s"], 0);
    let refused = world.admin.patch(&location, json!({"reclaim_limit_s": 3_601})).await;
    let refused = refused.expect_problem("invalid_request");
    assert_eq!(refused.text("/errors/0/pointer"), "/reclaim_limit_s", "{}", refused.body);
}

#[tokio::test]
async fn a_location_chooses_the_format_and_names_its_support() {
    let world = World::new().await;
    let location = format!("/admin/locations/{}", world.location);
    let patch = json!({"capture_format": "vhd", "support_text": "Call 1234",
        "support_url": "https://support.example/", "status_url": "https://status.example/"});
    let changed = world.admin.patch(&location, patch).await.expect(StatusCode::OK);
    assert_eq!((changed.text("/capture_format"), changed.text("/support_text")), ("vhd", "Call 1234"));
    let seen = world.customer.get("/locations").await.expect(StatusCode::OK);
    assert_eq!(seen.text("/items/0/capture_format"), "vhd");
    let removed = world.admin.patch(&location, json!({"support_url": null})).await.expect(StatusCode::OK);
    assert_eq!(
        (removed.body["support_url"].is_null(), removed.text("/status_url")),
        (true, "https://status.example/")
    );
    for (member, wrong) in
        [("support_url", "javascript:alert(1)"), ("status_url", "status"), ("support_text", "two\nlines")]
    {
        let refused = world.admin.patch(&location, json!({ member: wrong })).await;
        let refused = refused.expect_problem("invalid_request");
        assert_eq!(refused.text("/errors/0/pointer"), format!("/{member}"), "{}", refused.body);
    }
    let mut compressed = world.capture("x");
    compressed["compression"] = json!("zstd");
    let refused = world.customer.post("/images", compressed).await.expect_problem("invalid_request");
    assert_eq!(refused.text("/errors/0/pointer"), "/compression");
    let metrics = world.app.anon().plain(reqwest::Method::GET, "/metrics");
    let metrics = world.app.anon().send(metrics).await.expect(StatusCode::OK);
    assert!(metrics.text("").contains("imprint_captures_over_time_limit 0"), "{metrics:?}");
}

#[tokio::test]
async fn a_hypervisor_is_changed_by_who_has_read_it() {
    let world = World::new().await;
    let path = format!("/admin/hypervisors/{}", world.hypervisor);
    let seen = world.admin.get(&path).await.expect(StatusCode::OK);
    assert_eq!((seen.header("etag"), &seen.body["max_captures"]), ("\"1\"", &json!(2)));
    let browser = world.app.browser("admin").await;
    browser.patch(&path, json!({"max_captures": 1})).await.expect_problem("precondition_required");
    let patch = |tag: &str| {
        let body = json!({"max_captures": 1, "limited_imaging_bandwidth": true});
        browser.request(reqwest::Method::PATCH, &path).header("If-Match", tag).json(&body)
    };
    let changed = browser.send(patch("\"1\"")).await.expect(StatusCode::OK);
    assert_eq!((changed.header("etag"), &changed.body["max_captures"]), ("\"2\"", &json!(1)));
    assert_eq!(changed.body["limited_imaging_bandwidth"], true);
    browser.send(patch("\"1\"")).await.expect_problem("precondition_failed");
    let refused =
        world.admin.patch(&path, json!({"max_captures": 5})).await.expect_problem("invalid_request");
    assert_eq!(refused.text("/errors/0/pointer"), "/max_captures");
}

#[tokio::test]
async fn a_failed_task_is_retried_and_a_queued_one_cancelled() {
    let world = World::new().await;
    let made = world.customer.post("/images", world.capture("x")).await.expect(StatusCode::ACCEPTED);
    let task = format!("/tasks/{}", made.text("/task/id"));
    let failed =
        json!({"outcome": "failed", "code": "qemu.vm-gone", "detail": "no answer on /run/imprint/qmp.sock"});
    world.agent.work(failed).await;
    let shown = world.customer.get(&task).await.expect(StatusCode::OK);
    assert_eq!((shown.text("/state"), shown.text("/error/code")), ("failed", "qemu.vm-gone"));
    assert_eq!(shown.text("/error/title"), "The instance was stopped during the task");
    assert_eq!(shown.text("/error/reference"), made.text("/task/id"));
    assert_eq!(shown.body["error"]["operator_detail"], serde_json::Value::Null);
    assert!(!shown.body.to_string().contains("qmp.sock"), "{}", shown.body);
    let seen = world.admin.get(&task).await.expect(StatusCode::OK);
    assert_eq!(seen.text("/error/operator_detail"), "no answer on /run/imprint/qmp.sock");
    let image = format!("/images/{}", made.text("/image/id"));
    assert_eq!(world.customer.get(&image).await.text("/status"), "error");
    let retried = world.customer.act(&format!("{task}/actions/retry")).await.expect(StatusCode::ACCEPTED);
    assert_eq!(retried.text("/state"), "queued");
    let cancelled = world.customer.act(&format!("{task}/actions/cancel")).await.expect(StatusCode::ACCEPTED);
    assert_eq!(cancelled.text("/state"), "cancelled");
}

#[tokio::test]
async fn locations_and_limits_say_what_is_left() {
    let world = World::new().await;
    let location = format!("/admin/locations/{}", world.location);
    world.admin.patch(&location, json!({"default_image_limit": 5})).await.expect(StatusCode::OK);
    world.captured("one").await;
    let limits = world.customer.get(&format!("/limits?location_id={}", world.location)).await;
    assert_eq!((&limits.body["image_limit"], &limits.body["images_used"]), (&json!(5), &json!(1)));
    assert_eq!(limits.body["image_limit_scope"], "location");
    let locations = world.other.get("/locations").await.expect(StatusCode::OK);
    assert_eq!(locations.body["items"][0]["images_used"], 0);
    world
        .admin
        .patch(&location, json!({"default_image_bytes_limit": 1_u64 << 40}))
        .await
        .expect(StatusCode::OK);
    let account = world.customer.get("/account").await;
    let used = account.body["image_bytes_used"].as_u64().expect("a number");
    assert!(used > 0, "{}", account.body);
    let own = json!({"image_limit": 7, "image_bytes_limit": used + 1});
    let changed = world.admin.patch(&format!("/admin/accounts/{}", account.text("/id")), own).await;
    assert_eq!((&changed.body["images_used"], &changed.body["image_bytes_used"]), (&json!(1), &json!(used)));
    let limits = world.customer.get(&format!("/limits?location_id={}", world.location)).await.body;
    assert_eq!((&limits["image_limit"], &limits["image_limit_scope"]), (&json!(7), &json!("account")));
    assert_eq!((&limits["image_bytes_limit"], &limits["image_bytes_used"]), (&json!(used + 1), &json!(used)));
    let hypervisors = world.customer.get("/hypervisors").await.expect(StatusCode::OK);
    assert_eq!(hypervisors.body["items"][0]["online"], true);
    assert_eq!(hypervisors.body["items"][0].get("driver"), None, "a customer sees what deploying needs");
    let storages = world.admin.get("/admin/image-storages").await.expect(StatusCode::OK);
    assert_eq!(storages.body["items"][0]["hypervisor_ids"], json!([world.hypervisor]));
    let missing = world.customer.get("/limits").await.expect_problem("invalid_request");
    assert!(missing.text("/detail").contains("location_id"), "{}", missing.body);
}
