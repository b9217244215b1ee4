//! The main job over HTTP: capture a running instance, deploy from the image, and the first one
//! never stops.

use anyhow::{Context, Result};
use imprint_tests::{
    client::id,
    eventually,
    ledger::{self, last_sequence},
    process::is_alive,
    server::Server,
};
use serde_json::json;

#[tokio::test]
async fn a_running_instance_is_captured_and_a_second_one_boots_with_its_content() -> Result<()> {
    let mut server = Server::demo().await?;
    let customer = server.customer().await?;
    let first = customer.running_instance("demo-1").await?;
    let first_id = id(&first);
    server.console_says(first_id, "LEDGER seq=").await?;
    let pid = server.instance_pid(first_id)?;
    let before = last_sequence(&server.console(first_id)).context("the guest writes")?;

    let accepted = customer
        .post(
            "/images",
            &json!({"source": {"type": "instance", "id": first_id}, "name": "production-web-server-v2"}),
        )
        .await?;
    assert_eq!(accepted["image"]["status"], "creating");
    assert_eq!(accepted["image"]["status_text"], "Image is being generated from the instance disk");
    let task = customer.succeeded(&accepted["task"]).await?;
    assert_eq!((&task["checkpoint"], &task["percent"]), (&json!(100), &json!(100)));
    let image = customer.get(&format!("/images/{}", id(&accepted["image"]))).await?;
    assert_eq!(image["status"], "available", "{image}");
    assert_eq!(image["status_text"], "Image is ready to use for deployments");
    assert_eq!(image["consistency"], "filesystem", "{image}");
    assert_eq!(image["source_instance"]["name"], "demo-1");
    assert_eq!(image["virtual_size_bytes"], 512 << 20);

    let files = server.stored_files()?;
    assert_eq!(files.len(), 1, "{files:?}");
    let stored = std::fs::metadata(&files[0])?.len();
    assert_eq!(image["size_bytes"], stored, "the size shown is the size stored");
    let captured = ledger::inspect(&files[0], "qcow2")?;
    assert!(captured.verification.is_consistent(), "{captured:?}");
    assert!(!captured.needs_recovery, "a frozen file system needs no journal replay");
    assert!(
        captured.verification.last_sequence >= before,
        "{captured:?} is older than the request, which came after {before}"
    );

    let second = customer
        .deploy(id(&image), "second", json!({"ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test@example"]}))
        .await?;
    server.console_says(id(&second), "SEED ").await?;
    let seed = server.console_says(id(&second), "SEED ").await?;
    assert!(seed.contains("name=second") && seed.contains("keys=1"), "{seed}");
    server.console_says(id(&second), "BOOTED name=second").await?;
    let start = server.console_says(id(&second), "LEDGER start").await?;
    assert_eq!(
        last_sequence(&start),
        Some(captured.verification.last_sequence),
        "it goes on where the capture was taken"
    );

    assert_eq!(server.instance_pid(first_id)?, pid);
    assert!(is_alive(pid), "the first instance never stopped");
    let after = last_sequence(&server.console(first_id));
    eventually("the first instance to write on", async || {
        Ok((last_sequence(&server.console(first_id)) > after).then_some(()))
    })
    .await?;

    // The image can go; what was deployed from it stays (S61).
    let deleted = customer.delete(&format!("/images/{}", id(&image))).await?;
    customer.succeeded(&deleted["task"]).await?;
    assert_eq!(server.stored_files()?, Vec::<std::path::PathBuf>::new());
    let after = last_sequence(&server.console(id(&second)));
    eventually("the second instance to write on", async || {
        Ok((last_sequence(&server.console(id(&second))) > after).then_some(()))
    })
    .await?;

    let guests = [server.instance_pid(first_id)?, server.instance_pid(id(&second))?];
    let status = server.process().stop().await?;
    assert!(status.success(), "{status}: {}", server.logs());
    assert!(guests.iter().all(|guest| !is_alive(*guest)), "the demo ends its guests");
    Ok(())
}
