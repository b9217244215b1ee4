//! What a capture promises in each situation, with real guests: the level reached, and that it is
//! true.

use anyhow::Result;
use imprint_tests::{
    client::{Client, id},
    eventually,
    ledger::{self, last_sequence},
    server::Server,
    tools,
};
use serde_json::{Value, json};

struct Demo {
    server: Server,
    customer: Client,
    stock: String,
}

async fn demo(config: &str) -> Result<Demo> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("imprint.toml");
    std::fs::write(&file, config)?;
    let server = Server::start(&["--demo", "--config", tools::arg(&file)], &[]).await?;
    let customer = server.customer().await?;
    customer.running_instance("demo-1").await?;
    let images = customer.get("/images?scope=stock").await?;
    let stock = id(&images["items"][0]).to_owned();
    Ok(Demo { server, customer, stock })
}

impl Demo {
    /// An instance whose guest was changed by a user script at its first boot.
    async fn instance(&self, name: &str, script: &str) -> Result<Value> {
        let more = json!({"user_data": format!("#!/bin/sh\n{script}\n")});
        let instance = self.customer.deploy(&self.stock, name, more).await?;
        self.server.console_says(id(&instance), "LEDGER seq=").await?;
        Ok(instance)
    }

    /// A new instance boots from the image and goes on where the capture was taken.
    async fn boots(&self, image: &Value, captured: &ledger::Captured) -> Result<()> {
        let name = format!("from-{}", image["name"].as_str().unwrap_or_default());
        let instance = self.customer.deploy(id(image), &name, json!({})).await?;
        self.server.console_says(id(&instance), &format!("BOOTED name={name}")).await?;
        let start = self.server.console_says(id(&instance), "LEDGER start").await?;
        // After a power cut the very last record may be torn; the writer counts it, the
        // verification does not.
        let records = captured.verification.records;
        let begins = last_sequence(&start).unwrap_or_default();
        assert!(begins == records || begins == records + 1, "{start}: {captured:?}");
        let accepted = self.customer.delete(&format!("/instances/{}", id(&instance))).await?;
        self.customer.succeeded(&accepted["task"]).await.map(drop)
    }

    async fn inspect(&self, image: &Value) -> Result<ledger::Captured> {
        let files = self.server.stored_files()?;
        let file = files.iter().find(|file| file.to_string_lossy().contains(id(image)));
        let format = match image["format"].as_str() {
            Some("vhd") => "vpc",
            Some("raw") => "raw",
            _ => "qcow2",
        };
        ledger::inspect(file.ok_or_else(|| anyhow::anyhow!("no file of {image} in {files:?}"))?, format)
    }
}

#[tokio::test]
async fn the_level_reached_is_recorded_and_a_required_one_is_not_lowered() -> Result<()> {
    // The guest agent does not say whether it has hooks; the operator who puts them into the images
    // does.
    let demo = demo("[agent]\nfreeze_hooks = true\n").await?;

    let with_hook = demo.customer.running_instance("demo-1").await?;
    demo.server.console_says(id(&with_hook), "LEDGER seq=").await?;
    let (image, _) =
        demo.customer.capture(id(&with_hook), "application", json!({"compression": "zlib"})).await?;
    assert_eq!(image["consistency"], "application", "{image}");
    demo.server.console_says(id(&with_hook), "HOOK freeze").await?;
    demo.server.console_says(id(&with_hook), "HOOK thaw").await?;
    let captured = demo.inspect(&image).await?;
    assert!(captured.verification.is_consistent() && !captured.needs_recovery, "{captured:?}");
    demo.boots(&image, &captured).await?;

    let without_agent = demo.instance("without-agent", "touch /etc/no-guest-agent").await?;
    let (image, _) =
        demo.customer.capture(id(&without_agent), "crash", json!({"compression": "none"})).await?;
    assert_eq!(image["consistency"], "crash", "{image}");
    let captured = demo.inspect(&image).await?;
    assert!(captured.verification.is_consistent(), "{captured:?}");
    assert!(captured.verification.records > 0, "{captured:?}");
    demo.boots(&image, &captured).await?;

    let files = demo.server.stored_files()?;
    let strict = json!({"source": {"type": "instance", "id": id(&without_agent)}, "name": "strict",
        "consistency": {"want": "filesystem", "minimum": "filesystem"}});
    let accepted = demo.customer.post("/images", &strict).await?;
    let task = demo.customer.finished(&accepted["task"]).await?;
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("consistency_not_reached")),
        "{task}"
    );
    let image = demo.customer.get(&format!("/images/{}", id(&accepted["image"]))).await?;
    assert_eq!(
        (&image["status"], &image["status_text"]),
        (&json!("error"), &json!("Image creation failed -- check tasks for details"))
    );
    assert_eq!(demo.server.stored_files()?, files, "a failed capture leaves nothing");
    let now = last_sequence(&demo.server.console(id(&without_agent)));
    eventually("the guest to write on", async || {
        Ok((last_sequence(&demo.server.console(id(&without_agent))) > now).then_some(()))
    })
    .await
}

/// S20: an image is stored in the format of the request or the location, and starts instances from
/// it.
#[tokio::test]
async fn images_of_other_formats_start_instances() -> Result<()> {
    let demo = demo("").await?;
    let first = demo.customer.running_instance("demo-1").await?;
    demo.server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, _) = demo.customer.capture(id(&first), "raw", json!({"format": "raw"})).await?;
    assert_eq!((&image["format"], &image["size_bytes"]), (&json!("raw"), &image["virtual_size_bytes"]));
    let captured = demo.inspect(&image).await?;
    assert!(captured.verification.is_consistent() && captured.verification.records > 0, "{captured:?}");
    demo.boots(&image, &captured).await?;

    let admin = demo.server.admin().await?;
    let locations = admin.get("/admin/locations").await?;
    let location = format!("/admin/locations/{}", id(&locations["items"][0]));
    admin.patch(&location, &json!({"capture_format": "vhd"})).await?;
    let accepted = demo.customer.post(&format!("/instances/{}/actions/stop", id(&first)), &json!({})).await?;
    demo.customer.succeeded(&accepted["task"]).await?;
    let (image, _) = demo.customer.capture(id(&first), "vhd", json!({})).await?;
    assert_eq!((&image["format"], &image["consistency"]), (&json!("vhd"), &json!("stopped")), "{image}");
    assert!(image["size_bytes"].as_u64() < image["virtual_size_bytes"].as_u64(), "{image}");
    let captured = demo.inspect(&image).await?;
    assert!(captured.verification.mismatched_slots.is_empty(), "{captured:?}");
    demo.boots(&image, &captured).await
}

/// S31: what the guest has deleted is not in the image when the guest is asked first.
#[tokio::test]
async fn a_guest_gives_back_space_before_its_image_is_created() -> Result<()> {
    let demo = demo("").await?;
    let deleted =
        "dd if=/dev/urandom of=/deleted bs=1M count=48; sync; rm /deleted; sync; echo DELETED >/dev/console";
    let guest = demo.instance("deletes", deleted).await?;
    demo.server.console_says(id(&guest), "DELETED").await?;
    let admin = demo.server.admin().await?;
    let locations = admin.get("/admin/locations").await?;
    let location = format!("/admin/locations/{}", id(&locations["items"][0]));
    let mut sizes = Vec::new();
    for (name, limit) in [("as-it-is", 0), ("trimmed", 60)] {
        admin.patch(&location, &json!({"reclaim_limit_s": limit})).await?;
        let (image, _) = demo.customer.capture(id(&guest), name, json!({"compression": "none"})).await?;
        assert_eq!(image["consistency"], "filesystem", "{image}");
        let captured = demo.inspect(&image).await?;
        assert!(captured.verification.is_consistent() && captured.verification.records > 0, "{captured:?}");
        sizes.extend(image["size_bytes"].as_u64());
    }
    let [untouched, trimmed] = sizes[..] else { anyhow::bail!("{sizes:?}") };
    // The guest has written to some of the blocks again meanwhile.
    assert!(
        trimmed + (32 << 20) < untouched,
        "{untouched} bytes, and {trimmed} bytes after the guest was asked"
    );
    Ok(())
}

#[tokio::test]
async fn a_stopped_instance_is_captured_from_its_file() -> Result<()> {
    let demo = demo("").await?;
    let first = demo.customer.running_instance("demo-1").await?;
    demo.server.console_says(id(&first), "LEDGER seq=").await?;
    let accepted = demo.customer.post(&format!("/instances/{}/actions/stop", id(&first)), &json!({})).await?;
    demo.customer.succeeded(&accepted["task"]).await?;
    assert!(
        demo.server.console(id(&first)).contains("Power down"),
        "the guest was asked, and shut down by itself"
    );

    let (image, _) = demo.customer.capture(id(&first), "stopped", json!({})).await?;
    assert_eq!(image["consistency"], "stopped", "{image}");
    // X5: it was looked into before it was copied, as the stock image was when it was registered.
    for looked in [id(&image), &demo.stock] {
        let inside = demo.customer.get(&format!("/images/{looked}/findings")).await?;
        let found = &inside["findings"];
        assert_eq!(
            [&found["system"]["family"], &found["firmware"], &found["guest_agent"], &found["ssh_server"]],
            ["linux", "bios", "present", "present"],
            "{inside}"
        );
        assert_eq!(inside["notices"], json!([]), "{inside}");
        let kinds: Vec<_> = found["file_systems"].as_array().into_iter().flatten().collect();
        assert_eq!(kinds.iter().filter(|system| system["kind"] == "ext4").count(), 1, "{inside}");
    }
    let captured = demo.inspect(&image).await?;
    assert!(captured.verification.mismatched_slots.is_empty() && !captured.needs_recovery, "{captured:?}");
    assert!(captured.verification.records > 0, "{captured:?}");

    let second =
        demo.customer.deploy(id(&image), "from-stopped", json!({"disk_size_bytes": 768 << 20})).await?;
    assert_eq!(second["disks"][0]["virtual_size_bytes"], 768 << 20);
    let start = demo.server.console_says(id(&second), "LEDGER start").await?;
    assert_eq!(last_sequence(&start), Some(captured.verification.last_sequence));

    let accepted =
        demo.customer.post(&format!("/instances/{}/actions/start", id(&first)), &json!({})).await?;
    demo.customer.succeeded(&accepted["task"]).await?;
    demo.customer.running_instance("demo-1").await.map(drop)
}
