//! Who may do what: every operation of the document is here, without an account, as another
//! customer, and as a customer at the operator's desk. An operation without a row fails the test.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{app::Client, world::World};

/// Whom an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Anybody, signed in or not.
    Anybody,
    /// Whoever has the link that it is: the token in the path decides.
    Link,
    /// Every account; the answer has nothing of other accounts.
    Account,
    /// The owner of what the path or the body names; for others it does not exist.
    Owner,
    /// Admins.
    Admin,
}

/// Ids of an ISO, of an export and of a disk that do not exist.
const ISO: &str = "iso_00000000-0000-0000-0000-000000000001";
const EXPORT: &str = "exp_00000000-0000-0000-0000-000000000001";
const DISK: &str = "dsk_00000000-0000-0000-0000-000000000001";

/// The body that an operation wants, if any.
type Row = (&'static str, For, Option<Value>);

fn rows(world: &World) -> Vec<Row> {
    use For::{Account, Anybody, Owner};
    let name = || Some(json!({"name": "x"}));
    let mut rows: Vec<Row> = vec![
        ("healthz", Anybody, None),
        ("readyz", Anybody, None),
        ("metrics", Anybody, None),
        ("openapi", Anybody, None),
        ("download", For::Link, None),
        ("session_create", Anybody, Some(json!({"account": "customer", "password": crate::app::PASSWORD}))),
        ("session_delete", Account, None),
        ("account_show", Account, None),
        ("token_list", Account, None),
        ("token_create", Account, Some(json!({"name": "x", "scopes": ["images:read"]}))),
        ("token_delete", Owner, None),
        ("ssh_key_list", Account, None),
        ("ssh_key_create", Account, Some(json!({"name": "x", "public_key": crate::world::SSH_KEY}))),
        ("ssh_key_show", Owner, None),
        ("ssh_key_update", Owner, name()),
        ("ssh_key_delete", Owner, None),
        ("user_script_list", Account, None),
        ("user_script_create", Account, Some(json!({"name": "x", "content": "#!/bin/sh"}))),
        ("user_script_show", Owner, None),
        ("user_script_update", Owner, name()),
        ("user_script_delete", Owner, None),
        ("location_list", Account, None),
        ("limits_show", Account, None),
        ("hypervisor_list", Account, None),
        ("media_group_list", Account, None),
        ("media_group_show", Account, None),
        ("image_list", Account, None),
        ("image_create", Owner, Some(world.capture("x"))),
        ("image_show", Owner, None),
        ("image_findings", Owner, None),
        ("image_update", Owner, name()),
        ("image_delete", Owner, None),
        ("share_incoming", Account, None),
        ("share_list", Owner, None),
        ("share_create", Owner, Some(json!({"account": "other"}))),
        ("share_show", Owner, None),
        ("share_accept", Owner, None),
        ("share_reject", Owner, None),
        ("share_revoke", Owner, None),
        ("share_leave", Owner, None),
        ("instance_list", Account, None),
        ("instance_create", Owner, Some(json!({"image_id": "IMAGE", "name": "x"}))),
        ("instance_show", Owner, None),
        ("capture_estimate", Owner, None),
        ("instance_delete", Owner, None),
        ("instance_start", Owner, None),
        ("instance_stop", Owner, None),
        ("instance_reinstall", Owner, Some(json!({"image_id": "IMAGE"}))),
        ("instance_image_create", Owner, name()),
        ("iso_list", Account, None),
        ("instance_mount_iso", Owner, Some(json!({"iso_id": ISO}))),
        ("instance_eject_iso", Owner, None),
        ("instance_disk_attach", Owner, Some(json!({"size_bytes": 1_048_576}))),
        ("instance_disk_detach", Owner, None),
        ("task_list", Account, None),
        ("task_show", Owner, None),
        ("task_cancel", Owner, None),
        ("task_retry", Owner, None),
        ("event_stream", Account, None),
        ("task_event_stream", Owner, None),
    ];
    rows.extend(admin_rows(world));
    rows.extend(catalogue_rows(world));
    rows.extend(billing_rows(world).into_iter().chain(webhook_rows()));
    rows.extend(upload_rows());
    rows.extend(export_rows());
    rows
}

/// The rows of uploads.
fn upload_rows() -> Vec<Row> {
    use For::{Account, Anybody, Owner};
    vec![
        ("upload_options", Anybody, None),
        ("upload_create", Account, None),
        ("upload_show", Owner, None),
        ("upload_continue", Owner, None),
        ("upload_part", Owner, None),
        ("upload_delete", Owner, None),
    ]
}

/// The rows of exports of images.
fn export_rows() -> Vec<Row> {
    use For::Owner;
    vec![
        ("export_list", Owner, None),
        ("export_create", Owner, Some(json!({"format": "vhd"}))),
        ("export_show", Owner, None),
        ("export_content", Owner, None),
        ("export_delete", Owner, None),
    ]
}

fn admin_rows(world: &World) -> Vec<Row> {
    use For::Admin;
    let name = || Some(json!({"name": "x"}));
    vec![
        ("admin_account_list", Admin, None),
        (
            "admin_account_create",
            Admin,
            Some(json!({"name": "x", "password": "12345678", "role": "customer"})),
        ),
        ("admin_account_update", Admin, Some(json!({"image_limit": 1}))),
        ("admin_location_list", Admin, None),
        ("admin_location_create", Admin, name()),
        ("admin_location_show", Admin, None),
        ("admin_location_update", Admin, Some(json!({"images_enabled": false}))),
        ("admin_hypervisor_list", Admin, None),
        ("admin_hypervisor_create", Admin, Some(json!({"name": "x", "location_id": world.location}))),
        ("admin_hypervisor_show", Admin, None),
        ("admin_hypervisor_update", Admin, Some(json!({"max_captures": 1}))),
        ("admin_hypervisor_token_create", Admin, None),
        ("admin_instance_coalesce", Admin, None),
        ("admin_storage_list", Admin, None),
        ("admin_storage_create", Admin, Some(json!({"name": "x", "role": "customer", "kind": "local"}))),
        ("admin_storage_bind", Admin, None),
        ("admin_storage_kind_list", Admin, None),
        ("admin_storage_secrets_update", Admin, Some(json!({"secrets": {}}))),
        ("admin_secrets_rotate", Admin, None),
        (
            "admin_storage_test_create",
            Admin,
            Some(json!({"hypervisor_id": world.hypervisor, "kind": "local", "role": "customer",
                "settings": {"path": "/srv"}})),
        ),
        ("admin_storage_test", Admin, Some(json!({"hypervisor_id": world.hypervisor}))),
        ("admin_location_delete", Admin, None),
        ("admin_hypervisor_delete", Admin, None),
        ("admin_hypervisor_token_list", Admin, None),
        ("admin_hypervisor_token_delete", Admin, None),
        ("admin_storage_show", Admin, None),
        ("admin_storage_update", Admin, Some(json!({"weight": 1}))),
        ("admin_storage_delete", Admin, None),
        ("admin_storage_unbind", Admin, None),
        ("admin_storage_scan_list", Admin, None),
        ("admin_storage_scan_create", Admin, Some(json!({}))),
        ("admin_storage_object_list", Admin, None),
        ("admin_storage_download_create", Admin, Some(json!({"key": "k"}))),
        (
            "admin_storage_reconcile",
            Admin,
            Some(json!({"scan_id": "tsk_00000000-0000-0000-0000-000000000001", "dry_run": true})),
        ),
        (
            "admin_storage_object_adopt",
            Admin,
            Some(json!({"key": "k", "name": "x", "format": "raw", "location_id": world.location})),
        ),
    ]
}

/// The rows of webhooks.
fn webhook_rows() -> Vec<Row> {
    use For::Account;
    vec![
        ("webhook_list", Account, None),
        ("webhook_create", Account, Some(json!({"name": "x", "url": "https://hooks.example/in"}))),
        ("webhook_show", Account, None),
        ("webhook_update", Account, Some(json!({"enabled": false}))),
        ("webhook_delete", Account, None),
        ("webhook_rotate_secret", Account, None),
        ("webhook_test", Account, None),
        ("webhook_redeliver", Account, Some(json!({"sequence": 1}))),
        ("webhook_delivery_list", Account, None),
    ]
}

/// The rows of billing.
fn billing_rows(world: &World) -> Vec<Row> {
    use For::{Account, Admin};
    let terms = json!({"kind": "image_storage", "currency": "EUR", "gb_month": "0.05"});
    vec![
        ("usage_show", Account, None),
        ("usage_days", Account, None),
        ("usage_explain", Account, None),
        ("usage_budget_show", Account, None),
        ("usage_budget_update", Account, Some(json!({"currency": "EUR"}))),
        ("admin_account_budget_show", Admin, None),
        ("admin_account_budget_update", Admin, Some(json!({"currency": "EUR"}))),
        ("admin_billing_rate_list", Admin, None),
        ("admin_billing_rate_create", Admin, Some(json!({"location_id": world.location, "terms": terms}))),
        ("admin_billing_rate_end", Admin, Some(json!({"location_id": world.location, "kind": "instance"}))),
        (
            "admin_billing_rate_preview",
            Admin,
            Some(json!({"month": "2026-01", "location_id": world.location, "terms": terms})),
        ),
        ("admin_billing_usage", Admin, None),
        ("admin_billing_month_list", Admin, None),
        ("admin_billing_month_close", Admin, None),
        ("admin_billing_adjustment_list", Admin, None),
        (
            "admin_billing_adjustment_create",
            Admin,
            Some(json!({"account_id": "acc_00000000-0000-0000-0000-000000000001", "corrects": "2026-01",
                "currency": "EUR", "amount": "-1.00", "reason": "x"})),
        ),
        ("admin_billing_reconciliation", Admin, None),
        ("admin_billing_feed", Admin, None),
    ]
}

/// The rows of stock images, media groups and ISOs.
fn catalogue_rows(world: &World) -> Vec<Row> {
    use For::Admin;
    vec![
        ("admin_stock_image_update", Admin, Some(json!({"hidden": true}))),
        ("admin_media_group_create", Admin, Some(json!({"label": "x"}))),
        ("admin_media_group_update", Admin, Some(json!({"hidden": true}))),
        ("admin_media_group_delete", Admin, None),
        (
            "admin_stock_image_create",
            Admin,
            Some(json!({"name": "x", "storage_id": world.stock_storage, "key": "k", "format": "raw",
                "location_id": world.location})),
        ),
        ("admin_iso_list", Admin, None),
        (
            "admin_iso_create",
            Admin,
            Some(json!({"name": "x", "storage_id": world.stock_storage, "key": "k",
                "location_id": world.location})),
        ),
        ("admin_iso_update", Admin, Some(json!({"name": "x"}))),
        ("admin_iso_delete", Admin, None),
    ]
}

/// The operations of the document: id to method and path.
fn operations() -> BTreeMap<String, (Method, String)> {
    let document: Value = serde_json::from_str(&imprint_api::openapi_json()).unwrap();
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let method = method.to_uppercase().parse().unwrap();
            assert!(operations.insert(id, (method, path.clone())).is_none(), "{path}");
        }
    }
    operations
}

/// What the paths name: things of the first customer.
struct Things {
    image: String,
    share: String,
    task: String,
    token: String,
    key: String,
    script: String,
    webhook: String,
    account: String,
    group: String,
}

fn path(template: &str, world: &World, things: &Things) -> String {
    let id = match template.strip_prefix("/api/v1").unwrap_or(template) {
        rest if rest.starts_with("/images/") => &things.image,
        rest if rest.starts_with("/instances/") => &world.instance,
        rest if rest.starts_with("/shares/") => &things.share,
        rest if rest.starts_with("/tasks/") => &things.task,
        rest if rest.starts_with("/api-tokens/") => &things.token,
        rest if rest.starts_with("/ssh-keys/") => &things.key,
        rest if rest.starts_with("/user-scripts/") => &things.script,
        rest if rest.starts_with("/webhooks/") => &things.webhook,
        rest if rest.starts_with("/media-groups/") => &things.group,
        rest if rest.starts_with("/admin/media-groups/") => &things.group,
        rest if rest.starts_with("/admin/stock-images/") => &world.stock_image,
        rest if rest.starts_with("/admin/accounts/") => &things.account,
        rest if rest.starts_with("/admin/instances/") => &world.instance,
        rest if rest.starts_with("/admin/locations/") => &world.location,
        rest if rest.starts_with("/admin/hypervisors/") => &world.hypervisor,
        rest if rest.starts_with("/admin/image-storages/") => &world.storage,
        rest if rest.starts_with("/admin/isos/") => ISO,
        rest => {
            assert!(!rest.contains("{id}"), "{template}");
            ""
        }
    };
    let path = template.replace("{id}", id).replace("{hypervisor_id}", &world.hypervisor);
    let path =
        path.replace("{token_id}", &things.token).replace("{disk_id}", DISK).replace("{export_id}", EXPORT);
    let path = path.replace("{number}", "1").replace("{month}", "2026-01");
    if path.ends_with("/usage/explain") {
        return format!("{path}?line=x");
    }
    if path.ends_with("/limits") { format!("{path}?location_id={}", world.location) } else { path }
}

#[tokio::test]
async fn every_operation_is_refused_to_whom_it_is_not_for() {
    let world = World::new().await;
    let image = world.captured("captured").await;
    let task = world.customer.get("/tasks").await.text("/items/0/id").to_owned();
    let token = world.customer.get("/api-tokens").await.text("/items/0/id").to_owned();
    let account = world.customer.get("/account").await.text("/id").to_owned();
    let offer = world.customer.post(&format!("/images/{image}/shares"), json!({"account": "admin"})).await;
    let share = offer.expect(StatusCode::CREATED).text("/id").to_owned();
    let (key, script) = world.saved().await;
    let group = world.admin.post("/admin/media-groups", json!({"label": "Linux"})).await;
    let group = group.expect(StatusCode::CREATED).text("/id").to_owned();
    let webhook = json!({"name": "hook", "url": "https://hooks.example/in"});
    let webhook = world.customer.post("/webhooks", webhook).await.expect(StatusCode::CREATED);
    let webhook = webhook.text("/webhook/id").to_owned();
    let things = Things { image, share, task, token, key, script, webhook, account, group };
    let anon = world.app.anon();
    let agent = &world.agent.client;
    let operations = operations();
    let mut seen = BTreeSet::new();
    for (id, allowed, body) in rows(&world) {
        let (method, template) = operations.get(id).unwrap_or_else(|| panic!("no operation {id}"));
        seen.insert(id.to_owned());
        let path = path(template, &world, &things);
        let body = body.map(|body| {
            let text = body.to_string().replace("\"IMAGE\"", &format!("\"{}\"", things.image));
            serde_json::from_str::<Value>(&text).unwrap()
        });
        let send = async |client: &Client| {
            let mut request = client.plain(method.clone(), &path);
            if let Some(body) = &body {
                request = request.json(body);
            }
            client.send(request).await
        };
        if allowed == For::Anybody {
            let status = send(&anon).await.status;
            assert!(status.is_success(), "{id} without an account: {status}");
            continue;
        }
        if allowed == For::Link {
            for client in [&anon, &world.customer, agent] {
                assert_eq!(send(client).await.status, StatusCode::FORBIDDEN, "{id} with another token");
            }
            continue;
        }
        let answer = send(&anon).await.expect_problem("unauthenticated");
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{id} without an account");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{id}");
        send(agent).await.expect_problem("unauthenticated");
        match allowed {
            For::Anybody | For::Link | For::Account => {}
            For::Owner => {
                assert_eq!(send(&world.other).await.status, StatusCode::NOT_FOUND, "{id} as another")
            }
            For::Admin => {
                assert_eq!(send(&world.customer).await.status, StatusCode::FORBIDDEN, "{id} as a customer");
            }
        }
    }
    let all: BTreeSet<_> = operations.into_keys().collect();
    assert_eq!(seen, all, "every operation of the document needs a row");
}

#[tokio::test]
async fn lists_hold_nothing_of_other_accounts() {
    let world = World::new().await;
    world.captured("mine").await;
    for path in ["/images", "/images?scope=all&status=creating", "/instances", "/tasks"] {
        let answer = world.other.get(path).await.expect(StatusCode::OK);
        assert_eq!(answer.body["items"], json!([]), "{path}");
    }
    let stock = world.other.get("/images?scope=all").await.expect(StatusCode::OK);
    assert_eq!(stock.body["items"].as_array().map(Vec::len), Some(1), "{}", stock.body);
    assert_eq!(stock.text("/items/0/kind"), "stock");
}

#[tokio::test]
async fn a_token_does_no_more_than_its_scopes() {
    let world = World::new().await;
    let reader = world.app.token_with("customer", &["images:read"]).await;
    reader.get("/images").await.expect(StatusCode::OK);
    let refused = reader.post("/images", world.capture("x")).await.expect_problem("forbidden");
    assert_eq!(refused.body["context"]["scope"], "images:write");
    reader
        .post("/api-tokens", json!({"name": "x", "scopes": ["images:read"]}))
        .await
        .expect_problem("forbidden");
    let unprivileged = world.app.token_with("admin", &["images:read", "images:write"]).await;
    unprivileged.get("/admin/accounts").await.expect_problem("forbidden");
    world.customer.with_token("imp_nonsense").get("/images").await.expect_problem("unauthenticated");
}

#[tokio::test]
async fn a_revoked_token_and_a_closed_session_are_worth_nothing() {
    let world = World::new().await;
    let browser = world.app.browser("customer").await;
    let token = browser.post("/api-tokens", json!({"name": "x", "scopes": ["images:read"]})).await;
    let token = token.expect(StatusCode::CREATED);
    let client = browser.with_token(token.text("/token"));
    client.get("/account").await.expect(StatusCode::OK);
    browser.delete(&format!("/api-tokens/{}", token.text("/id"))).await.expect(StatusCode::NO_CONTENT);
    client.get("/account").await.expect_problem("unauthenticated");
    let closed = browser.delete("/sessions/current").await.expect(StatusCode::NO_CONTENT);
    assert!(closed.header("set-cookie").contains("Max-Age=0"), "{closed:?}");
    browser.get("/account").await.expect_problem("unauthenticated");
}
