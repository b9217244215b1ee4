//! X3: transfers go on after a kill, and hardly anything is sent twice.

#![expect(clippy::disallowed_methods, reason = "a file is as old as the test says")]

use std::{
    fs::{self, File, FileTimes},
    os::unix::fs::FileExt,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    client::{Client, id},
    eventually,
    relay::{Passed, Relay},
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
    server::Server,
};
use serde_json::{Value, json};

/// The size of the image in bytes, and of the parts in which it is sent.
const SIZE: u64 = 400 << 20;
const PART: u64 = 8 << 20;
/// The connections that send parts: a kill cuts off one part on each.
const PARALLEL: u64 = 1;
/// The kills in each direction.
const KILLS: u64 = 20;
/// What a kill loses of a file, in bytes: the step in which an agent writes down what is durable,
/// and what it has read of the next one meanwhile.
const UNSAVED: u64 = 32 << 20;

/// Writes the file of an image in which every MiB is another one.
fn write_image(server: &Server, key: &str) -> Result<()> {
    let path = server.image_storage().join(key);
    let file = File::create(&path)?;
    file.set_len(SIZE)?;
    for block in 0..SIZE >> 20 {
        file.write_all_at(format!("block {block}").as_bytes(), (block << 20) + 512 * (block % 2000))?;
    }
    // Old enough to belong to no task.
    let old = SystemTime::now() - Duration::from_secs(7200);
    Ok(file.set_times(FileTimes::new().set_modified(old))?)
}

fn run(server: &Server, admin: &Client, args: &[&str]) -> Result<String> {
    let mut command = Command::new(binary()?);
    command.args(args).env("IMPRINT_SERVER", &server.url).env("IMPRINT_TOKEN", admin.token());
    let output = command.output()?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Makes an image of a file that lies in the demo's storage, and returns it.
async fn large_image(server: &Server, admin: &Client) -> Result<Value> {
    let key = "img_01940000-0000-7000-8000-000000000001.raw";
    write_image(server, key)?;
    run(server, admin, &["storage", "scan", "images", "--wait"])?;
    let accounts = admin.get("/admin/accounts").await?;
    let demo = accounts["items"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "demo"));
    let demo = id(demo.context("the account of the demo")?).to_owned();
    let location = id(&admin.get("/admin/locations").await?["items"][0]).to_owned();
    let args = ["storage", "adopt", "images", key, "--name", "large", "--format", "raw", "--wait"];
    run(server, admin, &[&args[..], &["--location", &location, "--account", &demo]].concat())?;
    let images = server.customer().await?.get("/images").await?;
    let large = images["items"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "large"));
    large.cloned().context("the adopted image")
}

/// Adds a storage in a bucket behind the relay, and returns its id.
async fn bucket(admin: &Client, relay: &Relay, parallel: u64) -> Result<String> {
    let hypervisor = admin.get("/admin/hypervisors").await?["items"][0].clone();
    let settings = json!({
        "endpoint": relay.url, "bucket": S3Server::BUCKET, "access-key": ACCESS_KEY,
        "private-networks": "true", "part-size": (PART >> 20).to_string(), "parallel": parallel.to_string(),
    });
    let body = json!({
        "name": "bucket", "role": "customer", "kind": "s3", "settings": settings,
        "secrets": {"secret-key": SECRET_KEY},
    });
    let storage = admin.post("/admin/image-storages", &body).await?;
    let bind = format!("/admin/image-storages/{}/hypervisors/{}", id(&storage), id(&hypervisor));
    let bound = admin.send(reqwest::Method::PUT, &bind, None, &[]).await?;
    assert!(bound.status.is_success(), "{bound:?}");
    Ok(id(&storage).to_owned())
}

/// Drains a storage to another one, and kills the agent whenever as much as `at` says has passed
/// since it was started; returns what has passed in all.
async fn drained_under_kills(
    server: &mut Server,
    (admin, relay): (&Client, &Relay),
    (from, to, image): (&str, &str, &str),
    passes: impl Fn(&Passed, &Passed, u64) -> bool,
) -> Result<Passed> {
    let before = relay.passed();
    let state = json!({"state": "draining", "drain_to": to});
    admin.patch(&format!("/admin/image-storages/{from}"), &state).await?;
    for kill in 0..KILLS {
        let started = relay.passed();
        let passed = relay.until(|now| passes(&started, now, kill)).await;
        passed.with_context(|| format!("before kill {kill}: {}", server.logs()))?;
        server.agent()?.kill()?;
        // What the killed process has left in the sockets does not count for the next one.
        relay.until(|now| now.open == 0).await?;
        server.start_agent(None).await?;
    }
    let moved = eventually("the image to be on the other storage", async || {
        let image = admin.get(&format!("/images/{image}")).await?;
        Ok((image["storage"]["id"] == to).then_some(()))
    })
    .await;
    moved.with_context(|| format!("after all kills: {}", server.logs()))?;
    let after = relay.passed();
    let active = json!({"state": "active"});
    admin.patch(&format!("/admin/image-storages/{from}"), &active).await?;
    let parts = after
        .parts
        .into_iter()
        .map(|(part, count)| (part, count - before.parts.get(&part).copied().unwrap_or(0)));
    Ok(Passed {
        parts: parts.collect(),
        sent: after.sent - before.sent,
        received: after.received - before.received,
        open: after.open,
    })
}

#[tokio::test]
async fn twenty_kills_of_a_transfer_send_at_most_one_part_each_again() -> Result<()> {
    let s3 = S3Server::start().await?;
    let relay = Relay::start(&s3.url).await?;
    let mut server = Server::without_agent().await?;
    server.start_agent(None).await?;
    let admin = server.admin().await?;
    server.customer().await?.running_instance("demo-1").await?;
    let image = large_image(&server, &admin).await?;
    let local = image_storage(&admin).await?;
    let bucket = bucket(&admin, &relay, PARALLEL).await?;
    let content = server.image_storage().join(server.stored_files()?.pop().context("the image's file")?);
    let content = fs::read(content)?;

    // Up: at least one part between two kills, and some of the next ones.
    let sent = drained_under_kills(
        &mut server,
        (&admin, &relay),
        (&local, &bucket, id(&image)),
        |from, now, kill| {
            // The bytes of the next part follow when the one before is written down.
            now.answers() > from.answers() && now.sent > from.sent + PART + (kill * 977_777) % PART
        },
    )
    .await?;
    let parts = u32::try_from(SIZE / PART)?;
    assert_eq!(u32::try_from(sent.parts.len())?, parts, "{sent:?}");
    assert!(sent.answers() <= parts + u32::try_from(KILLS)?, "{sent:?}");
    assert!(sent.sent <= SIZE + KILLS * PARALLEL * PART, "{sent:?}");
    println!(
        "up: {} of {parts} parts were sent twice, {} bytes of {SIZE}",
        sent.answers() - parts,
        sent.sent
    );
    let objects = s3.objects()?;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert!(fs::read(&objects[0])? == content, "the object has other bytes");

    // Down: at least what an agent writes down as durable between two kills.
    let received = drained_under_kills(
        &mut server,
        (&admin, &relay),
        (&bucket, &local, id(&image)),
        |from, now, kill| now.received >= from.received + (20 << 20) + (kill * 977_777) % PART,
    )
    .await?;
    println!("down: {} bytes of {SIZE}", received.received);
    assert!(received.received <= SIZE + KILLS * UNSAVED, "{received:?}");
    let file = server.image_storage().join(server.stored_files()?.pop().context("the image's file")?);
    assert!(fs::read(&file)? == content, "the file has other bytes");
    Ok(())
}

async fn image_storage(admin: &Client) -> Result<String> {
    let storages = admin.get("/admin/image-storages").await?;
    let images = storages["items"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "images"));
    Ok(id(images.context("the demo has a storage `images`")?).to_owned())
}
