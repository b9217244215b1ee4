//! Images in a bucket of Garage, where it is built: it ignores conditions of writes, has an access
//! error for nearly everything, and counts its quota when an upload is completed.

use anyhow::{Context, Result};
use imprint_tests::{
    client::{Client, id},
    eventually,
    garage::{ACCESS_KEY, Contents, Garage, SECRET_KEY},
    ledger::last_sequence,
    server::Server,
    storages::{bound_only, failed_step},
};
use serde_json::{Value, json};

use crate::downloads::Direct;

fn storage(garage: &Garage) -> Value {
    json!({
        "name": "garage", "role": "customer", "kind": "s3", "secrets": {"secret-key": SECRET_KEY},
        "settings": {
            "endpoint": garage.url, "bucket": Garage::BUCKET, "region": "garage", "prefix": "own",
            "access-key": ACCESS_KEY, "private-networks": "true", "part-size": "5",
        },
    })
}

/// Tests a connection and returns its failed step, if there is one.
async fn tested(admin: &Client, mut body: Value) -> Result<Option<Value>> {
    body.as_object_mut().context("a storage is an object")?.remove("name");
    failed_step(admin, body).await
}

#[tokio::test]
async fn images_go_to_garage_and_come_back() -> Result<()> {
    let Some(garage) = Garage::start().await? else { return Ok(()) };
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let bucket = bound_only(&admin, &storage(&garage)).await?;
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, _) = customer.capture(id(&first), "in Garage", json!({"compression": "none"})).await?;
    assert_eq!(image["status"], "available", "{image}");
    let size = image["size_bytes"].as_u64().context("an image has a size")?;
    assert!(size > 5 << 20, "more than one part: {size}");
    assert_eq!(garage.contents()?, Contents { objects: 1, bytes: size, uploads: 0 });
    assert!(server.stored_files()?.is_empty(), "nothing went to the shipped storage");

    let scan =
        admin.post(&format!("/admin/image-storages/{}/scans", id(&bucket)), &json!({"deep": true})).await?;
    admin.succeeded(&scan).await?;
    let listed = admin.get(&format!("/admin/image-storages/{}/objects?limit=500", id(&bucket))).await?;
    let objects = listed["items"].as_array().context("objects are listed")?;
    let found: Vec<_> = objects.iter().map(|one| (&one["class"], &one["size_bytes"])).collect();
    assert_eq!(found, [(&json!("image"), &json!(size))], "{listed}");

    let second = customer.deploy(id(&image), "second", json!({})).await?;
    let start = server.console_says(id(&second), "LEDGER start").await?;
    assert!(last_sequence(&start).is_some_and(|last| last > 0), "{start}");
    let deleted = customer.delete(&format!("/images/{}", id(&image))).await?;
    customer.succeeded(&deleted["task"]).await?;
    eventually("Garage to have counted", async || {
        Ok((garage.contents()? == Contents::default()).then_some(()))
    })
    .await?;
    assert!(!server.logs().contains(SECRET_KEY), "the log has the secret");
    Ok(())
}

#[tokio::test]
async fn the_connection_test_names_what_is_wrong_with_a_bucket_of_garage() -> Result<()> {
    let Some(garage) = Garage::start().await? else { return Ok(()) };
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let good = storage(&garage);
    assert_eq!(tested(&admin, good.clone()).await?, None);
    assert_eq!(garage.contents()?, Contents::default(), "the test leaves nothing");
    for (part, name, value, expected) in [
        ("settings", "bucket", "other", "bucket"),
        ("settings", "access-key", "GK000000000000000000000000", "access-key"),
        ("settings", "region", "us-east-1", "region"),
        ("settings", "endpoint", server.url.as_str(), "endpoint"),
        ("settings", "private-networks", "false", "private-networks"),
        ("secrets", "secret-key", "another-secret-key", "secret-key"),
    ] {
        let mut body = good.clone();
        body[part][name] = json!(value);
        let failed = tested(&admin, body).await?;
        let failed = failed.with_context(|| format!("{name}={value} passed"))?;
        assert_eq!(failed["setting"], expected, "{name}={value}: {failed}");
        assert!(!failed.to_string().contains(SECRET_KEY), "{failed}");
    }
    assert_eq!(garage.contents()?, Contents::default());
    Ok(())
}

#[tokio::test]
async fn a_full_quota_of_garage_is_a_full_storage() -> Result<()> {
    let Some(garage) = Garage::start().await? else { return Ok(()) };
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    bound_only(&admin, &storage(&garage)).await?;
    garage.set_quota("1MiB")?;
    let first = customer.running_instance("demo-1").await?;
    let body = json!({
        "source": {"type": "instance", "id": id(&first)}, "name": "too much", "compression": "none",
    });
    let accepted = customer.post("/images", &body).await?;
    let task = customer.finished(&accepted["task"]).await?;
    let outcome = (&task["state"], &task["error"]["code"]);
    assert_eq!(outcome, (&json!("failed"), &json!("insufficient_storage")), "{task}");
    assert_eq!(garage.contents()?, Contents::default(), "nothing is left of it");
    Ok(())
}

/// A download from the bucket itself, with the name of the file that the address asks for.
#[tokio::test]
async fn garage_sends_its_objects_to_clients_itself() -> Result<()> {
    let Some(garage) = Garage::start().await? else { return Ok(()) };
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let mut body = storage(&garage);
    body["settings"]["direct-downloads"] = json!("true");
    let bucket = bound_only(&admin, &body).await?;
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, _) = customer.capture(id(&first), "in Garage", json!({"compression": "none"})).await?;
    let key = format!("{}.qcow2", id(&image));
    let links = format!("/admin/image-storages/{}/downloads", id(&bucket));
    let passed = admin.post(&links, &json!({"key": key, "through_server": true})).await?;
    let url = format!("{}{}", server.url, passed["url"].as_str().context("a link")?);
    let content = reqwest::get(url).await?.bytes().await?;
    let direct = Direct {
        server: &server,
        admin: &admin,
        storage: id(&bucket),
        key: &key,
        content: &content,
        at: &garage.url,
        signature: "X-Amz-Signature",
    };
    direct.check(true).await
}
