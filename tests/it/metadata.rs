//! Metadata of images: how a system is started, by a real guest (S70, S84 to S87).

use anyhow::Result;
use imprint_tests::{client::id, server::Server};
use reqwest::Method;
use serde_json::json;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test@example";

/// A guest of an image with metadata starts on the machine that it names, with a config drive and
/// the user of the image; it can be captured there, and the copy starts in the same way.
#[tokio::test]
async fn a_guest_starts_on_the_machine_that_its_image_asks_for() -> Result<()> {
    let server = Server::demo().await?;
    let customer = server.customer().await?;
    let first = customer.running_instance("demo-1").await?;
    let booted = server.console_says(id(&first), "BOOTED name=").await?;
    assert!(booted.contains("root=/dev/vda2"), "{booted}");
    server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, _) = customer.capture(id(&first), "imported", json!({})).await?;
    let metadata = json!({"vm_mode": "hvm", "img_config_drive": "mandatory", "ssh_user": "debian"});
    let image = customer.patch(&format!("/images/{}", id(&image)), &json!({"metadata": metadata})).await?;
    assert_eq!(image["metadata"], metadata);

    let instance = customer.deploy(id(&image), "emulated", json!({"ssh_keys": [KEY]})).await?;
    assert_eq!(instance["metadata"], metadata, "{instance}");
    let drive = server.console_says(id(&instance), "CONFIG-DRIVE ").await?;
    assert!(drive.contains(r#""hostname":"emulated""#) && drive.contains(KEY), "{drive}");
    let seed = server.console_says(id(&instance), "SEED ").await?;
    assert!(seed.contains("user=debian") && seed.contains("keys=1"), "{seed}");
    let booted = server.console_says(id(&instance), "BOOTED name=emulated").await?;
    assert!(booted.contains("root=/dev/sda2"), "the disk is on the IDE controller: {booted}");
    server.console_says(id(&instance), "LEDGER seq=").await?;

    // A disk on another bus is captured as well, and says how it wants to be started.
    let (again, _) = customer.capture(id(&instance), "again", json!({})).await?;
    assert_eq!((&again["metadata"], &again["consistency"]), (&metadata, &json!("filesystem")), "{again}");
    assert!(again["capture"]["frozen_ms"].as_u64().is_some_and(|time| time < 10_000), "{again}");
    let why = again["capture"]["downgraded_because"].as_str().unwrap_or_default();
    assert!(why.contains("freeze hooks"), "why it is not of the level `application`: {again}");

    // Without the key a new instance is what it ever was.
    let cleared = json!({"metadata": {"vm_mode": null, "img_config_drive": null}});
    let answer =
        customer.send(Method::PATCH, &format!("/images/{}", id(&again)), Some(&cleared), &[]).await?;
    assert_eq!(answer.body["metadata"], json!({"ssh_user": "debian"}), "{answer:?}");
    let instance = customer.deploy(id(&again), "virtual", json!({})).await?;
    let booted = server.console_says(id(&instance), "BOOTED name=virtual").await?;
    assert!(booted.contains("root=/dev/vda2"), "{booted}");
    assert!(!server.console(id(&instance)).contains("CONFIG-DRIVE"));
    Ok(())
}
