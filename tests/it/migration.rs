//! S83: the seven steps by which a machine moves from one place to another, with real guests.

use anyhow::{Context, Result};
use imprint_tests::{
    client::id,
    ledger::last_sequence,
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
    tools,
};
use serde_json::json;

use crate::import::demo;

/// The demo is both places: what leaves it goes through a bucket, and comes back from there.
#[tokio::test]
async fn a_machine_moves_by_the_seven_steps() -> Result<()> {
    let s3 = S3Server::start().await?;
    let demo =
        demo("[agent]\nimport_private_networks = true\n\n[exports]\nprivate_networks = true\n").await?;
    let (server, customer) = (&demo.server, &demo.customer);
    let running = customer.running_instance("demo-1").await?;
    server.console_says(id(&running), "LEDGER seq=").await?;
    // 1 and 2: an image of the machine, and a machine from it that is not in use.
    let (first, _) = customer.capture(id(&running), "as it is", json!({})).await?;
    let more =
        json!({"user_data": "#!/bin/sh\necho adapted >/etc/adapted; sync; echo ADAPTED >/dev/console\n"});
    let copy = customer.deploy(id(&first), "copy", more).await?;
    // 3: it is adapted, and shut down.
    server.console_says(id(&copy), "ADAPTED").await?;
    let stopped = customer.post(&format!("/instances/{}/actions/stop", id(&copy)), &json!({})).await?;
    customer.succeeded(&stopped["task"]).await?;
    // 4 to 6: an image of it, exported as a VHD to where the import finds it.
    let (adapted, _) = customer.capture(id(&copy), "adapted", json!({})).await?;
    let settings = json!({"endpoint": s3.url, "bucket": S3Server::BUCKET, "access-key": ACCESS_KEY,
        "private-networks": "true"});
    let secrets = json!({"secret-key": SECRET_KEY});
    let destination = json!({"kind": "s3", "settings": settings, "secrets": secrets, "key": "out/web.vhd"});
    let body = json!({"format": "vhd", "destination": destination});
    let export = customer.post(&format!("/images/{}/exports", id(&adapted)), &body).await?;
    customer.succeeded(&export["task"]).await?;
    let object = s3.objects()?.into_iter().find(|path| path.ends_with("web.vhd")).context("an object")?;
    tools::ok("qemu-img", &["info", "-f", "vpc", tools::arg(&object)])?;
    // 7: the import, into a location that takes nothing but a VHD (S75, S79).
    let strict = json!({"import_profile": "strict_vhd"});
    demo.admin.patch(&format!("/admin/locations/{}", demo.location), &strict).await?;
    let source = json!({"type": "storage_object", "kind": "s3", "settings": settings, "secrets": secrets,
        "key": "out/web.vhd"});
    let request = json!({"name": "arrived", "location_id": demo.location, "source": source});
    let made = customer.post("/images", &request).await?;
    customer.succeeded(&made["task"]).await?;
    let arrived = customer.get(&format!("/images/{}", id(&made["image"]))).await?;
    assert_eq!(arrived["logical_digest"], adapted["logical_digest"], "it is the same disk");
    // What the system needs is said (its own script reads the seed, which nothing in its disk
    // shows), and it starts with what it had.
    let said = json!({"metadata": {"ssh_user": "root"}, "cloud_init": true});
    customer.patch(&format!("/images/{}", id(&arrived)), &said).await?;
    let more =
        json!({"user_data": "#!/bin/sh\ncat /etc/adapted >/dev/console; echo CHECKED >/dev/console\n"});
    let there = customer.deploy(id(&arrived), "there", more).await?;
    let start = server.console_says(id(&there), "LEDGER start").await?;
    assert!(last_sequence(&start).is_some_and(|last| last > 0), "{start}");
    server.console_says(id(&there), "CHECKED").await?;
    assert!(server.console(id(&there)).contains("adapted"), "{}", server.console(id(&there)));
    Ok(())
}
