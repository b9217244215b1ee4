//! Every code of the catalogue is provoked once, through the API. A new code without a way to get
//! it fails the test.

use std::collections::BTreeSet;

use imprint_domain::Code;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    app::{Answer, PASSWORD},
    world::{FakeAgent, World},
};

/// Codes that a client cannot provoke at will; where they come from is tested there.
const NOT_AT_WILL: [Code; 9] = [
    // A defect or a lost database.
    Code::Internal,
    Code::Unavailable,
    // The first request with the key ends in the transaction that stores its answer.
    Code::IdempotencyInProgress,
    // An error of tasks, not of requests.
    Code::CoalesceTimeout,
    // Instances on volumes come with the block storages.
    Code::BootFromVolumeNotSupported,
    // It needs a hundred accounts, which the tests of the service have.
    Code::ShareLimitReached,
    // They need an agent that receives an upload, which the whole-product tests have.
    Code::UploadOffset,
    Code::DigestMismatch,
    // No rule refuses the deletion of an image that instances were made from (S61).
    Code::ImageInUse,
];

#[derive(Default)]
struct Seen(BTreeSet<&'static str>);

impl Seen {
    #[track_caller]
    fn note(&mut self, code: Code, answer: Answer) {
        assert_eq!(answer.status, imprint_api::status_of(code), "{}", answer.body);
        let answer = answer.expect_problem(code.as_str());
        assert_eq!(answer.text("/title"), code.title());
        assert_eq!(answer.text("/type"), format!("/docs/problems#{}", code.as_str()));
        assert_eq!(answer.body["retryable"], code.retryable());
        assert!(!code.retryable() || answer.headers.contains_key("retry-after"), "{answer:?}");
        self.0.insert(code.as_str());
    }
}

#[tokio::test]
async fn every_code_can_be_provoked() {
    let world = World::new().await;
    let mut seen = Seen::default();
    requests(&world, &mut seen).await;
    conflicts(&world, &mut seen).await;
    deployments(&world, &mut seen).await;
    sharing(&world, &mut seen).await;
    windows(&world, &mut seen).await;
    devices(&world, &mut seen).await;
    exports(&world, &mut seen).await;
    storage(&world, &mut seen).await;
    billing(&world, &mut seen).await;
    limits(&world, &mut seen).await;
    let anon = world.app.anon();
    let page = anon.send(anon.plain(Method::GET, "/docs/problems")).await.expect(StatusCode::OK);
    assert!(page.header("content-type").starts_with("text/html"));
    for &code in Code::ALL {
        assert!(
            seen.0.contains(code.as_str()) != NOT_AT_WILL.contains(&code),
            "{} is provoked here, or cannot be",
            code.as_str()
        );
    }
}

/// What is wrong with a request itself.
async fn requests(world: &World, seen: &mut Seen) {
    let (customer, anon) = (&world.customer, world.app.anon());
    seen.note(Code::Unauthenticated, anon.get("/images").await);
    let wrong = json!({"account": "customer", "password": "wrong"});
    seen.note(Code::SignInFailed, anon.post("/sessions", wrong).await);
    seen.note(Code::Forbidden, customer.get("/admin/accounts").await);
    seen.note(Code::NotFound, customer.get("/images/img_nonsense").await);
    seen.note(Code::MethodNotAllowed, customer.send(customer.request(Method::PUT, "/images")).await);
    seen.note(Code::InvalidRequest, customer.get("/images?limit=501").await);
    seen.note(Code::PageTokenInvalid, customer.get("/images?page_token=nonsense").await);

    let mut body = world.capture("x");
    body["colour"] = json!("red");
    let answer = customer.post("/images", body).await;
    assert_eq!(answer.text("/errors/0/pointer"), "/colour");
    seen.note(Code::UnknownField, answer);
    let answer = customer.post("/images", world.capture(&"a".repeat(129))).await;
    assert_eq!(answer.text("/errors/0/pointer"), "/name");
    seen.note(Code::InvalidName, answer);

    let post = || customer.request(Method::POST, "/images");
    let form = post().body("name=x").header("content-type", "application/x-www-form-urlencoded");
    seen.note(Code::UnsupportedMediaType, customer.send(form).await);
    let huge = post().body(vec![b' '; (1 << 20) + 1]).header("content-type", "application/json");
    seen.note(Code::PayloadTooLarge, customer.send(huge).await);
}

/// What the present state does not allow.
async fn conflicts(world: &World, seen: &mut Seen) {
    let (customer, admin) = (&world.customer, &world.admin);
    let taken = json!({"name": "other", "password": PASSWORD, "role": "customer"});
    seen.note(Code::NameTaken, admin.post("/admin/accounts", taken).await);

    for number in 0..100 {
        let script = json!({"name": format!("script {number}"), "content": "#!/bin/sh"});
        customer.post("/user-scripts", script).await.expect(StatusCode::CREATED);
    }
    let script = json!({"name": "one more", "content": "#!/bin/sh"});
    seen.note(Code::SavedLimitReached, customer.post("/user-scripts", script).await);

    let key = "0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11";
    let made = customer.post_keyed("/images", key, world.capture("first")).await.expect(StatusCode::ACCEPTED);
    seen.note(Code::IdempotencyKeyReused, customer.post_keyed("/images", key, world.capture("second")).await);
    let (image, task) = (made.text("/image/id"), made.text("/task/id"));
    let deploy = json!({"image_id": image, "name": "x"});
    seen.note(Code::ImageNotAvailable, customer.post("/instances", deploy).await);
    seen.note(Code::InstanceBusy, customer.delete(&format!("/instances/{}", world.instance)).await);

    let mut assignment = world.agent.claim().await;
    let fence = assignment["fence"].take();
    assignment["fence"] = json!(0);
    seen.note(Code::LeaseLost, world.agent.progress(&assignment, 0, 1).await);
    assignment["fence"] = fence;
    world.agent.finish(&assignment, crate::world::captured()).await.expect(StatusCode::NO_CONTENT);
    seen.note(Code::InvalidTransition, customer.act(&format!("/tasks/{task}/actions/cancel")).await);

    let browser = world.app.browser("customer").await;
    let path = format!("/images/{image}");
    customer.patch(&path, json!({"protected": true})).await.expect(StatusCode::OK);
    seen.note(Code::ImageProtected, customer.delete(&path).await);
    customer.patch(&path, json!({"protected": false})).await.expect(StatusCode::OK);
    seen.note(Code::PreconditionRequired, browser.patch(&path, json!({"name": "y"})).await);
    let stale = browser.request(Method::PATCH, &path).header("If-Match", "\"0\"").json(&json!({"name": "y"}));
    seen.note(Code::PreconditionFailed, browser.send(stale).await);
}

/// What a deployment may be refused for.
async fn deployments(world: &World, seen: &mut Seen) {
    let (customer, admin) = (&world.customer, &world.admin);
    let deploy = async |more: serde_json::Value| {
        let mut body = json!({"image_id": world.stock_image, "name": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        customer.post("/instances", body).await
    };
    seen.note(Code::DiskTooSmall, deploy(json!({"disk_size_bytes": 4096})).await);
    let stock = format!("/admin/stock-images/{}", world.stock_image);
    admin.patch(&stock, json!({"cloud_init": false})).await.expect(StatusCode::OK);
    let refused = deploy(json!({"user_data": "#cloud-config"})).await;
    assert_eq!(refused.text("/errors/0/pointer"), "/user_data");
    seen.note(Code::CloudInitNotSupported, refused);
    admin.patch(&stock, json!({"cloud_init": true})).await.expect(StatusCode::OK);
    let silent = json!({"name": "silent", "location_id": world.location});
    let silent = admin.post("/admin/hypervisors", silent).await.expect(StatusCode::CREATED);
    let bind = format!("/admin/image-storages/{}/hypervisors/{}", world.stock_storage, silent.text("/id"));
    admin.send(admin.request(Method::PUT, &bind)).await.expect(StatusCode::OK);
    seen.note(Code::HypervisorOffline, deploy(json!({"hypervisor_id": silent.text("/id")})).await);
    let south = admin.post("/admin/locations", json!({"name": "south"})).await.expect(StatusCode::CREATED);
    let far = json!({"name": "far", "location_id": south.text("/id")});
    let far = admin.post("/admin/hypervisors", far).await.expect(StatusCode::CREATED);
    let bind = format!("/admin/image-storages/{}/hypervisors/{}", world.stock_storage, far.text("/id"));
    admin.send(admin.request(Method::PUT, &bind)).await.expect(StatusCode::OK);
    seen.note(Code::OtherLocation, deploy(json!({"hypervisor_id": far.text("/id")})).await);
}

/// What a share may be refused for.
async fn sharing(world: &World, seen: &mut Seen) {
    let image = world.captured("to share").await;
    let shares = format!("/images/{image}/shares");
    let offer = || world.customer.post(&shares, json!({"account": "other"}));
    let location = format!("/admin/locations/{}", world.location);
    world.admin.patch(&location, json!({"sharing_enabled": false})).await.expect(StatusCode::OK);
    seen.note(Code::SharingDisabled, offer().await);
    world.admin.patch(&location, json!({"sharing_enabled": true})).await.expect(StatusCode::OK);
    offer().await.expect(StatusCode::CREATED);
    seen.note(Code::AlreadyShared, offer().await);
}

/// What an image of a Windows instance may be refused for.
async fn windows(world: &World, seen: &mut Seen) {
    let (customer, admin) = (&world.customer, &world.admin);
    let body = json!({"image_id": world.stock_image, "name": "windows", "os_type": "windows"});
    let made = customer.post("/instances", body).await.expect(StatusCode::ACCEPTED);
    assert_eq!(made.text("/instance/declared_os_type"), "windows");
    world.agent.work(json!({"outcome": "deployed", "power": "off", "disk_allocated": 4096})).await;
    let mut capture = json!({"source": {"type": "instance", "id": made.text("/instance/id")}, "name": "x"});
    let estimate = format!("/instances/{}/capture-estimate", made.text("/instance/id"));
    let estimate = customer.get(&estimate).await.expect(StatusCode::OK);
    assert_eq!(estimate.text("/notices/0/code"), "domain_controller_unanswered");
    capture["domain_controller"] = json!(true);
    seen.note(Code::DomainControllerNotSupported, customer.post("/images", capture.clone()).await);
    let location = format!("/admin/locations/{}", world.location);
    admin.patch(&location, json!({"windows_limit_bytes": 4096})).await.expect(StatusCode::OK);
    capture["domain_controller"] = json!(false);
    seen.note(Code::WindowsDiskTooLarge, customer.post("/images", capture).await);
}

/// What the drive and the disks of an instance may refuse.
async fn devices(world: &World, seen: &mut Seen) {
    let (admin, customer) = (&world.admin, &world.customer);
    let body = json!({"name": "isos", "role": "iso", "kind": "local", "settings": {"path": "/srv/isos"}});
    let storage = admin.post("/admin/image-storages", body).await.expect(StatusCode::CREATED);
    let bind = format!("/admin/image-storages/{}/hypervisors/{}", storage.text("/id"), world.hypervisor);
    admin.send(admin.request(Method::PUT, &bind)).await.expect(StatusCode::OK);
    let iso = json!({"name": "setup", "storage_id": storage.text("/id"), "key": "setup.iso",
        "location_id": world.location});
    let iso = admin.post("/admin/isos", iso).await.expect(StatusCode::ACCEPTED).text("/iso/id").to_owned();
    let mount = format!("/instances/{}/actions/mount-iso", world.instance);
    let body = || json!({"iso_id": iso});
    seen.note(Code::DevicesNotSupported, customer.post(&mount, body()).await);
    world.agent.register_changing().await.expect(StatusCode::OK);
    seen.note(Code::IsoDisabled, admin.post(&mount, body()).await);
    let location = format!("/admin/locations/{}", world.location);
    admin.patch(&location, json!({"iso_enabled": true})).await.expect(StatusCode::OK);
    seen.note(Code::IsoNotAvailable, admin.post(&mount, body()).await);
    let stored = json!({"size": 131_072, "digest": format!("imprint1:{}", "3".repeat(64)), "label": "SETUP"});
    world.agent.work(json!({"outcome": "iso_registered", "stored": stored})).await;
    let disks = format!("/instances/{}/disks", world.instance);
    for _ in 0..7 {
        customer.post(&disks, json!({"size_bytes": 1_048_576})).await.expect(StatusCode::ACCEPTED);
        world.agent.work(json!({"outcome": "done"})).await;
    }
    seen.note(Code::DiskLimitReached, customer.post(&disks, json!({"size_bytes": 1_048_576})).await);
}

/// What exports are refused for.
async fn exports(world: &World, seen: &mut Seen) {
    let (admin, customer) = (&world.admin, &world.customer);
    let exports = format!("/images/{}/exports", world.captured("to export").await);
    seen.note(Code::ExportDisabled, customer.post(&exports, json!({"format": "vhd"})).await);
    let location = format!("/admin/locations/{}", world.location);
    admin.patch(&location, json!({"export_enabled": true})).await.expect(StatusCode::OK);
    let mut last = String::new();
    for format in ["vhd", "vhdx", "vdi"] {
        let made = customer.post(&exports, json!({"format": format})).await.expect(StatusCode::ACCEPTED);
        last = made.text("/export/id").to_owned();
    }
    seen.note(Code::ExportLimitReached, customer.post(&exports, json!({"format": "raw"})).await);
    seen.note(Code::ExportNotAvailable, customer.get(&format!("{exports}/{last}/content")).await);
    for _ in 0..3 {
        world.agent.work(json!({"outcome": "failed", "code": "qemu.busy", "detail": "busy"})).await;
    }
}

/// What a capture may be refused for because of where it would be kept.
async fn storage(world: &World, seen: &mut Seen) {
    let (customer, admin) = (&world.customer, &world.admin);
    let body = json!({"agent_id": world.agent.agent_id, "leases": [], "instances": [], "storages": [
        {"id": world.storage, "total": 1_u64 << 40, "available": 0, "problem": null}]});
    world.agent.client.post("/agent/heartbeat", body).await.expect(StatusCode::OK);
    let full = customer.post("/images", world.capture("x")).await;
    assert_eq!(full.body["context"]["available"], "0", "{}", full.body);
    seen.note(Code::InsufficientStorage, full);
    world.agent.heartbeat(&[&world.storage, &world.stock_storage]).await.expect(StatusCode::OK);
    let storage = format!("/admin/image-storages/{}", world.storage);
    admin.patch(&storage, json!({"state": "read_only"})).await.expect(StatusCode::OK);
    seen.note(Code::StorageUnavailable, customer.post("/images", world.capture("x")).await);
    let links = format!("{storage}/downloads");
    seen.note(Code::ObjectsNotServed, admin.post(&links, json!({"key": "k"})).await);
    admin.patch(&storage, json!({"state": "active"})).await.expect(StatusCode::OK);
    let location = format!("/admin/locations/{}", world.location);
    seen.note(Code::ResourceInUse, admin.delete(&location).await);

    let bare = json!({"name": "bare", "location_id": world.location});
    let bare = admin.post("/admin/hypervisors", bare).await.expect(StatusCode::CREATED);
    let bare = bare.text("/id");
    let body = json!({"image_id": world.stock_image, "name": "on-bare", "hypervisor_id": bare});
    seen.note(Code::ImageNotReachable, customer.post("/instances", body).await);
    let bind = format!("/admin/image-storages/{}/hypervisors/{bare}", world.stock_storage);
    admin.send(admin.request(Method::PUT, &bind)).await.expect(StatusCode::OK);
    let token = admin.act(&format!("/admin/hypervisors/{bare}/tokens")).await.expect(StatusCode::CREATED);
    let agent = FakeAgent::new(admin.with_token(token.text("/token")));
    agent.register().await.expect(StatusCode::OK);
    agent.heartbeat(&[&world.stock_storage]).await.expect(StatusCode::OK);
    let shared = json!({"shared_path": false});
    let stock = format!("/admin/image-storages/{}", world.stock_storage);
    let refused = admin.patch(&stock, shared).await;
    seen.note(Code::StorageNotShared, refused);
    let body = json!({"image_id": world.stock_image, "name": "on-bare", "hypervisor_id": bare});
    let made = customer.post("/instances", body).await.expect(StatusCode::ACCEPTED);
    agent.work(json!({"outcome": "deployed", "power": "running", "disk_allocated": 4096})).await;
    let capture = format!("/instances/{}/images", made.text("/instance/id"));
    seen.note(Code::NoImageStorageBound, customer.post(&capture, json!({"name": "x"})).await);
}

/// What rates and budgets do not allow.
async fn billing(world: &World, seen: &mut Seen) {
    let (customer, admin) = (&world.customer, &world.admin);
    let terms = json!({"kind": "image_storage", "currency": "EUR", "gb_month": "0.05"});
    let past =
        json!({"location_id": world.location, "terms": terms, "effective_from": "2020-01-01T00:00:00Z"});
    let refused = admin.post("/admin/billing/rates", past).await;
    assert_eq!(refused.text("/errors/0/pointer"), "/effective_from");
    seen.note(Code::RateInPast, refused);
    let account = customer.get("/account").await;
    let budget = format!("/admin/accounts/{}/budget", account.text("/id"));
    let set = async |body| admin.send(admin.request(Method::PUT, &budget).json(&body)).await;
    let nothing = set(json!({"currency": "EUR", "amount": "0.00"})).await.expect(StatusCode::OK);
    assert_eq!(nothing.body["stopped"], true);
    assert_eq!(admin.get(&budget).await.expect(StatusCode::OK).text("/stop_amount"), "0.00");
    let refused = customer.post("/images", world.capture("x")).await;
    assert_eq!(refused.body["context"]["limit"], "0.00", "{}", refused.body);
    seen.note(Code::BudgetReached, refused);
    set(json!({"currency": "EUR"})).await.expect(StatusCode::OK);
}

/// What the operator's settings do not allow.
async fn limits(world: &World, seen: &mut Seen) {
    let (customer, admin) = (&world.customer, &world.admin);
    let account = customer.get("/account").await;
    let account = format!("/admin/accounts/{}", account.text("/id"));
    admin.patch(&account, json!({"image_limit": 1})).await.expect(StatusCode::OK);
    let refused = customer.post("/images", world.capture("x")).await;
    assert_eq!(refused.body["context"]["limit"], "1", "{}", refused.body);
    seen.note(Code::ImageLimitReached, refused);
    let too_few = json!({"image_limit": null, "image_bytes_limit": 1});
    admin.patch(&account, too_few).await.expect(StatusCode::OK);
    let refused = customer.post("/images", world.capture("x")).await;
    assert_eq!(refused.body["context"]["limit_bytes"], "1", "{}", refused.body);
    seen.note(Code::ImageBytesLimitReached, refused);
    admin.patch(&account, json!({"image_bytes_limit": null})).await.expect(StatusCode::OK);
    let location = format!("/admin/locations/{}", world.location);
    admin.patch(&location, json!({"images_enabled": false})).await.expect(StatusCode::OK);
    seen.note(Code::ImageFeatureDisabled, customer.post("/images", world.capture("x")).await);
    admin.patch(&location, json!({"import_enabled": false})).await.expect(StatusCode::OK);
    let import = json!({"name": "x", "location_id": world.location,
        "source": {"type": "url", "url": "https://images.example/disk.qcow2"}});
    seen.note(Code::ImportDisabled, customer.post("/images", import).await);

    let anon = world.app.anon();
    let wrong = json!({"account": "unknown", "password": "wrong"});
    for _ in 0..20 {
        let answer = anon.post("/sessions", wrong.clone()).await;
        if answer.status != StatusCode::UNAUTHORIZED {
            seen.note(Code::RateLimited, answer);
            return;
        }
    }
    panic!("guessing is never slowed down");
}
