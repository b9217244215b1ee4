//! Images in a real OpenStack Swift: captured as static large objects, deployed by ranges, large
//! objects of other programs, both ways of signing in, and everything that can be wrong.

use std::process::Command;

use anyhow::{Context, Result};
use imprint_tests::{
    authority::Authority,
    binary,
    client::id,
    dist,
    ledger::{self, last_sequence},
    server::Server,
    storages::{bound, bound_only, failed_step},
    swift::{CONTAINER, KEY, Keystone, PASSWORD, SEGMENTS, Swift, USER},
    tools,
};
use serde_json::{Value, json};

use crate::downloads::Direct;

const MIB: usize = 1 << 20;

fn settings(swift: &Swift) -> Value {
    json!({
        "sign-in": "v1", "auth-url": swift.auth_url, "user": USER, "container": CONTAINER, "prefix": "own",
        "private-networks": "true", "segment-size": "1",
    })
}

/// A storage in a container, as a test of its connection asks for it.
fn draft(settings: Value, secrets: Value) -> Value {
    json!({"role": "customer", "kind": "swift", "settings": settings, "secrets": secrets})
}

/// The storage of the tests.
fn storage(swift: &Swift, role: &str) -> Value {
    json!({
        "name": "cloud", "role": role, "kind": "swift", "settings": settings(swift), "secrets": {"password": KEY},
    })
}

#[tokio::test]
async fn images_go_to_a_container_and_come_back() -> Result<()> {
    let mut swift = Swift::start().await?;
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    bound_only(&admin, &storage(&swift, "customer")).await?;
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, _) = customer.capture(id(&first), "in the cloud", json!({"compression": "none"})).await?;
    assert_eq!(image["status"], "available", "{image}");
    let objects = swift.objects(CONTAINER).await?;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert!(objects[0].starts_with("own/img_"), "{objects:?}");
    assert!(swift.objects(SEGMENTS).await?.len() > 3, "it is a large object");
    let bytes = swift.bytes(&format!("{CONTAINER}/{}", objects[0])).await?;
    assert_eq!(image["size_bytes"], bytes.len());
    let file = server.dir.path().join("downloaded.qcow2");
    std::fs::write(&file, bytes)?;
    tools::ok("qemu-img", &["check", "-f", "qcow2", tools::arg(&file)])?;
    let found = ledger::inspect(&file, "qcow2")?;
    assert!(found.verification.is_consistent(), "{found:?}");
    assert!(server.stored_files()?.is_empty(), "nothing went to the shipped storage");

    // Every token is refused from now on, also the one that the agent has.
    swift.expire_tokens().await?;
    let second = customer.deploy(id(&image), "second", json!({})).await?;
    let start = server.console_says(id(&second), "LEDGER start").await?;
    assert_eq!(last_sequence(&start), Some(found.verification.last_sequence));
    let deleted = customer.delete(&format!("/images/{}", id(&image))).await?;
    customer.succeeded(&deleted["task"]).await?;
    let left = (swift.objects(CONTAINER).await?, swift.objects(SEGMENTS).await?);
    assert_eq!(left, (Vec::new(), Vec::new()));
    assert!(!server.logs().contains(KEY), "the log has the key");
    Ok(())
}

#[tokio::test]
async fn a_large_object_of_another_program_is_read_as_one_file() -> Result<()> {
    let swift = Swift::start().await?;
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    customer.running_instance("demo-1").await?;
    let raw = dist()?.join("guest/writing/stock-linux.raw");
    let file = server.dir.path().join("stock.qcow2");
    tools::ok("qemu-img", &["convert", "-O", "qcow2", tools::arg(&raw), tools::arg(&file)])?;
    let bytes = std::fs::read(&file)?;
    swift.put("elsewhere", Vec::new(), &[]).await?;
    let mut count = 0;
    for (number, part) in bytes.chunks(5 * MIB).enumerate() {
        swift.put(&format!("elsewhere/stock/{number:03}"), part.to_vec(), &[]).await?;
        count += 1;
    }
    assert!(count > 1, "several segments make one file");
    let manifest = [("x-object-manifest", "elsewhere/stock/")];
    swift.put(&format!("{CONTAINER}/own/stock.qcow2"), Vec::new(), &manifest).await?;

    let storage = bound(&admin, &storage(&swift, "stock")).await?;
    let location = admin.get("/admin/locations").await?["items"][0].clone();
    let body = json!({
        "name": "From the cloud", "description": "", "storage_id": id(&storage), "key": "stock.qcow2",
        "format": "qcow2", "location_id": id(&location),
    });
    let accepted = admin.post("/admin/stock-images", &body).await?;
    admin.succeeded(&accepted["task"]).await?;
    let image = admin.get(&format!("/images/{}", id(&accepted["image"]))).await?;
    assert_eq!(image["size_bytes"], bytes.len(), "{image}");
    let instance = customer.deploy(id(&image), "from-the-cloud", json!({})).await?;
    server.console_says(id(&instance), "LEDGER seq=").await?;
    assert_eq!(swift.objects("elsewhere").await?.len(), count, "nothing of it was touched");
    Ok(())
}

/// A download from the container itself: a large object of several segments, by one TempURL.
#[tokio::test]
async fn a_container_that_clients_reach_sends_its_objects_itself() -> Result<()> {
    const TEMP_URL_KEY: &str = "temp-url-key-of-the-tests";
    let swift = Swift::start().await?;
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let mut body = storage(&swift, "stock");
    body["settings"]["direct-downloads"] = json!("true");
    let refused = admin.send(reqwest::Method::POST, "/admin/image-storages", Some(&body), &[]).await?;
    assert_eq!(refused.body["errors"][0]["pointer"], "/secrets/temp-url-key", "{refused:?}");
    body["secrets"]["temp-url-key"] = json!(TEMP_URL_KEY);
    let headers = [("x-account-meta-temp-url-key", TEMP_URL_KEY)];
    swift.send(reqwest::Method::POST, "", Vec::new(), &headers).await?;
    let content: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
    swift.put("elsewhere", Vec::new(), &[]).await?;
    let mut segments = Vec::new();
    for (number, part) in content.chunks(2 * MIB).enumerate() {
        let path = format!("elsewhere/disk/{number:03}");
        swift.put(&path, part.to_vec(), &[]).await?;
        segments.push(json!({"path": format!("/{path}")}));
    }
    let manifest = serde_json::to_vec(&segments)?;
    swift.put(&format!("{CONTAINER}/own/disk.raw?multipart-manifest=put"), manifest, &[]).await?;
    let storage = bound(&admin, &body).await?;
    let direct = Direct {
        server: &server,
        admin: &admin,
        storage: id(&storage),
        key: "disk.raw",
        content: &content,
        at: swift.auth_url.trim_end_matches("/auth/v1.0"),
        signature: "temp_url_sig",
    };
    direct.check(true).await?;
    assert!(!server.logs().contains(TEMP_URL_KEY), "the log has the key");
    Ok(())
}

#[tokio::test]
async fn the_connection_test_names_what_is_wrong_with_a_container() -> Result<()> {
    let swift = Swift::start().await?;
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let good = settings(&swift);
    let key = json!({"password": KEY});
    assert_eq!(failed_step(&admin, draft(good.clone(), key.clone())).await?, None);
    assert_eq!(swift.objects(CONTAINER).await?, Vec::<String>::new(), "the test leaves nothing");
    assert_eq!(swift.objects(SEGMENTS).await?, Vec::<String>::new(), "the test leaves nothing");
    let web = server.url.clone();
    let nothing = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        format!("http://{}", listener.local_addr()?)
    };
    for (setting, value, expected) in [
        ("container", "other", "container"),
        ("user", "test:other", "password"),
        ("auth-url", web.as_str(), "auth-url"),
        ("auth-url", nothing.as_str(), "auth-url"),
        ("endpoint", web.as_str(), "endpoint"),
        ("endpoint", nothing.as_str(), "endpoint"),
        ("private-networks", "false", "private-networks"),
        ("ca-certificate", "nonsense", "ca-certificate"),
    ] {
        let mut settings = good.clone();
        settings[setting] = json!(value);
        let failed = failed_step(&admin, draft(settings, key.clone())).await?;
        let failed = failed.unwrap_or_else(|| panic!("{setting}={value} passed"));
        assert_eq!(failed["setting"], expected, "{setting}={value}: {failed}");
        assert!(!failed.to_string().contains(KEY), "{failed}");
    }
    let secrets = json!({"password": KEY, "temp-url-key": "not that of the account"});
    let failed = failed_step(&admin, draft(good.clone(), secrets.clone())).await?;
    assert_eq!(failed.as_ref().map(|step| &step["setting"]), Some(&json!("temp-url-key")), "{failed:?}");
    let headers = [("x-account-meta-temp-url-key", "not that of the account")];
    swift.send(reqwest::Method::POST, "", Vec::new(), &headers).await?;
    assert_eq!(failed_step(&admin, draft(good, secrets)).await?, None, "now it is");
    Ok(())
}

#[tokio::test]
async fn the_command_line_shows_a_wrong_key_and_a_wrong_container() -> Result<()> {
    let swift = Swift::start().await?;
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let hypervisor = id(&admin.get("/admin/hypervisors").await?["items"][0]).to_owned();
    let secret = server.dir.path().join("key");
    for (key, container, expected) in [
        (KEY, CONTAINER, None),
        ("another key", CONTAINER, Some("password")),
        (KEY, "other", Some("container")),
    ] {
        std::fs::write(&secret, key)?;
        let mut command = Command::new(binary()?);
        command.args(["storage", "test", "--kind", "swift", "--hypervisor", &hypervisor, "--output", "json"]);
        for (name, value) in settings(&swift).as_object().context("settings are an object")? {
            let value = if name == "container" { container } else { value.as_str().unwrap_or_default() };
            command.args(["--set", &format!("{name}={value}")]);
        }
        command.arg("--secret").arg(format!("password={}", secret.display()));
        command.env("IMPRINT_SERVER", &server.url).env("IMPRINT_TOKEN", admin.token());
        let output = command.output()?;
        assert_eq!(output.status.code(), Some(i32::from(expected.is_some())), "{output:?}");
        let task: Value = serde_json::from_slice(&output.stdout)?;
        let steps = task["storage_test"]["steps"].as_array().cloned().unwrap_or_default();
        let failed = steps.iter().find(|step| step["status"] == "failed");
        assert_eq!(failed.and_then(|step| step["setting"].as_str()), expected, "{task}");
    }
    let stored = admin.get("/admin/image-storages").await?;
    let kinds: Vec<_> = stored["items"].as_array().into_iter().flatten().map(|one| &one["kind"]).collect();
    assert!(kinds.iter().all(|kind| **kind != json!("swift")), "nothing was stored: {kinds:?}");
    Ok(())
}

#[tokio::test]
async fn a_full_quota_is_a_full_storage() -> Result<()> {
    let swift = Swift::start().await?;
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    swift.put(SEGMENTS, Vec::new(), &[("x-container-meta-quota-bytes", "1")]).await?;
    let failed = failed_step(&admin, draft(settings(&swift), json!({"password": KEY}))).await?;
    let failed = failed.context("a test that writes fails")?;
    assert_eq!(failed["code"], "insufficient_storage", "{failed}");
    let storage = bound_only(&admin, &storage(&swift, "customer")).await?;
    let seen = admin.get(&format!("/admin/image-storages/{}", id(&storage))).await?;
    assert_eq!((&seen["total_bytes"], &seen["available_bytes"]), (&json!(1), &json!(1)), "{seen}");
    let first = customer.running_instance("demo-1").await?;
    let body = json!({"source": {"type": "instance", "id": id(&first)}, "name": "too much"});
    let answer = customer.send(reqwest::Method::POST, "/images", Some(&body), &[]).await?;
    assert!(!answer.status.is_success(), "{answer:?}");
    assert!(answer.body["code"].as_str().is_some_and(|code| code.contains("storage")), "{answer:?}");
    assert_eq!(swift.objects(SEGMENTS).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn keystone_signs_in_and_its_catalogue_leads_to_the_object_store() -> Result<()> {
    let keystone = Keystone::start().await?;
    let swift = Swift::behind(&keystone).await?;
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let good = json!({
        "auth-url": keystone.url, "user": "admin", "project": "admin", "container": CONTAINER, "prefix": "own",
        "private-networks": "true",
    });
    let password = json!({"password": PASSWORD});
    assert_eq!(failed_step(&admin, draft(good.clone(), password.clone())).await?, None);
    for (setting, value, expected) in [
        ("project", "other", "project"),
        ("user", "other", "password"),
        ("region", "two", "region"),
        ("interface", "internal", "interface"),
        ("container", "other", "container"),
        ("auth-url", swift.auth_url.as_str(), "auth-url"),
    ] {
        let mut settings = good.clone();
        settings[setting] = json!(value);
        let failed = failed_step(&admin, draft(settings, password.clone())).await?;
        let failed = failed.unwrap_or_else(|| panic!("{setting}={value} passed"));
        assert_eq!(failed["setting"], expected, "{setting}={value}: {failed}");
        assert!(!failed.to_string().contains(PASSWORD), "{failed}");
    }
    let (credential, secret) = keystone.application_credential().await?;
    let mut settings = good.clone();
    for name in ["user", "project"] {
        settings.as_object_mut().context("settings are an object")?.remove(name);
    }
    settings["sign-in"] = json!("application-credential");
    settings["application-credential-id"] = json!(credential);
    let secrets = json!({"application-credential-secret": secret});
    assert_eq!(failed_step(&admin, draft(settings.clone(), secrets)).await?, None);
    let wrong = json!({"application-credential-secret": "another secret"});
    let failed = failed_step(&admin, draft(settings, wrong)).await?;
    let expected = json!("application-credential-secret");
    assert_eq!(failed.as_ref().map(|step| &step["setting"]), Some(&expected), "{failed:?}");

    // An address that is not the server of the sign-in has to be permitted.
    keystone.add_object_store("http://localhost:9/v1/AUTH_%(project_id)s", "two").await?;
    let mut settings = good;
    settings["region"] = json!("two");
    let failed = failed_step(&admin, draft(settings, password)).await?.context("it is not permitted")?;
    assert_eq!(
        (&failed["setting"], &failed["code"]),
        (&json!("endpoint"), &json!("net.address")),
        "{failed}"
    );
    assert!(!server.logs().contains(PASSWORD), "the log has the password");
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_an_own_authority_is_accepted_when_that_is_configured() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let mut swift = Swift::start().await?;
    let proxy = swift.encrypt(&authority, "localhost").await?;
    let renamed = swift.encrypt(&authority, "elsewhere.example").await?;
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let at = |proxy: &str, authority: Option<&Authority>| {
        let mut settings = settings(&swift);
        settings["auth-url"] = json!(format!("{proxy}/auth/v1.0"));
        if let Some(authority) = authority {
            settings["ca-certificate"] = json!(authority.pem());
        }
        settings
    };
    let key = json!({"password": KEY});
    for (proxy, known, setting, advice) in [
        (&proxy, None, "ca-certificate", "give the certificate of its authority"),
        (&proxy, Some(&other), "ca-certificate", "give the certificate of its authority"),
        (&renamed, Some(&authority), "auth-url", "another name"),
    ] {
        let failed = failed_step(&admin, draft(at(proxy, known), key.clone())).await?.context("accepted")?;
        assert_eq!(
            (&failed["setting"], &failed["code"]),
            (&json!(setting), &json!("net.certificate")),
            "{failed}"
        );
        assert!(failed["detail"].as_str().is_some_and(|text| text.contains(advice)), "{failed}");
    }
    let good = at(&proxy, Some(&authority));
    assert_eq!(failed_step(&admin, draft(good.clone(), key.clone())).await?, None);
    let mut body = storage(&swift, "customer");
    body["settings"] = good;
    bound_only(&admin, &body).await?;
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, _) = customer.capture(id(&first), "encrypted", json!({"compression": "none"})).await?;
    assert_eq!(image["status"], "available", "{image}");
    let second = customer.deploy(id(&image), "second", json!({})).await?;
    server.console_says(id(&second), "LEDGER start").await?;
    Ok(())
}

#[tokio::test]
async fn keystone_and_the_object_store_of_its_catalogue_have_certificates_of_an_own_authority() -> Result<()>
{
    let authority = Authority::new()?;
    let mut keystone = Keystone::start().await?;
    let mut swift = Swift::behind(&keystone).await?;
    let proxy = swift.encrypt(&authority, "localhost").await?;
    keystone.add_object_store(&format!("{proxy}/v1/AUTH_%(project_id)s"), "two").await?;
    let auth_url = keystone.encrypt(&authority).await?;
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let mut settings = json!({
        "auth-url": auth_url, "user": "admin", "project": "admin", "region": "two", "container": CONTAINER,
        "prefix": "own", "private-networks": "true",
    });
    let password = json!({"password": PASSWORD});
    let failed = failed_step(&admin, draft(settings.clone(), password.clone())).await?.context("accepted")?;
    assert_eq!(
        (&failed["setting"], &failed["code"]),
        (&json!("ca-certificate"), &json!("net.certificate")),
        "{failed}"
    );
    settings["ca-certificate"] = json!(authority.pem());
    assert_eq!(failed_step(&admin, draft(settings, password)).await?, None);
    Ok(())
}

#[tokio::test]
async fn what_uploads_left_that_never_ended_is_removed_by_the_next_one() -> Result<()> {
    let swift = Swift::start().await?;
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let old = tools::ok("date", &["-d", "8 days ago", "+%s.00000"])?.trim().to_owned();
    let old = [("x-timestamp", old.as_str())];
    swift.put(SEGMENTS, Vec::new(), &[]).await?;
    let segment = |key: &str, id: &str| format!("own/{key}/{id}/00000001");
    let mark = |key: &str, id: &str| format!("own/.uploads/{id}/{key}");
    // The second one is in progress, the third is an object by another name.
    for (id, key, headers) in
        [("tx1-a", "img_lost", old.as_slice()), ("tx2-a", "img_young", &[]), ("tx3-a", "img_kept", &old)]
    {
        swift.put(&format!("{SEGMENTS}/{}", segment(key, id)), b"bytes".to_vec(), headers).await?;
        swift.put(&format!("{SEGMENTS}/{}", mark(key, id)), Vec::new(), headers).await?;
    }
    let manifest = json!([{"path": format!("/{SEGMENTS}/{}", segment("img_kept", "tx3-a"))}]);
    let at = format!("{CONTAINER}/renamed?multipart-manifest=put");
    swift.put(&at, manifest.to_string().into_bytes(), &[]).await?;
    // As the command `swift` keeps its segments.
    let foreign = "own/stock.raw/1700000000.000000/5/5/00000000".to_owned();
    swift.put(&format!("{SEGMENTS}/{foreign}"), b"bytes".to_vec(), &old).await?;
    let password = json!({"password": KEY});
    assert_eq!(failed_step(&admin, draft(settings(&swift), password)).await?, None);
    let left =
        [mark("img_young", "tx2-a"), segment("img_kept", "tx3-a"), segment("img_young", "tx2-a"), foreign];
    assert_eq!(swift.objects(SEGMENTS).await?, left);
    assert_eq!(swift.bytes(&format!("{CONTAINER}/renamed")).await?, b"bytes");
    Ok(())
}
