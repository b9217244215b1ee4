//! A system that went wrong is replaced, and restored from an image that was known to be good
//! (S11).

use anyhow::Result;
use imprint_tests::{client::id, eventually, server::Server};
use serde_json::{Value, json};

use crate::command_line::Shell;

#[tokio::test]
async fn an_instance_is_restored_from_its_own_image() -> Result<()> {
    let server = Server::demo().await?;
    let customer = server.customer().await?;
    let first = customer.running_instance("demo-1").await?;
    let stock = customer.get("/images?scope=stock").await?;
    let stock = id(&stock["items"][0]).to_owned();
    let script = "#!/bin/sh\necho known-good >/etc/state\n";
    let instance = customer.deploy(&stock, "web", json!({ "user_data": script })).await?;
    let web = id(&instance);
    server.console_says(web, "BOOTED name=web").await?;
    let (image, _) = customer.capture(web, "known-good", json!({})).await?;

    let shown = async || customer.get(&format!("/instances/{web}")).await;
    let says = "#!/bin/sh\necho \"STATE $(cat /etc/state 2>/dev/null || echo none)\"\n";
    let body = json!({ "image_id": stock, "user_data": says });
    let made = customer.post(&format!("/instances/{web}/actions/reinstall"), &body).await?;
    customer.succeeded(&made["task"]).await?;
    server.console_says(web, "STATE none").await?;
    let fresh = shown().await?;
    assert_eq!(fresh["image"]["id"], json!(stock));
    assert_ne!(fresh["disks"][0]["id"], instance["disks"][0]["id"]);
    let same = ["id", "name", "created_at", "network", "memory_bytes", "hypervisor_id"];
    for key in same {
        assert_eq!(fresh[key], instance[key], "{key}");
    }

    // The image is of this very instance, and its user data runs all the same.
    let shell = Shell { server: &server };
    shell.json(&["login", "--account", "demo", "-o", "json"])?;
    let file = server.dir.path().join("says.sh");
    std::fs::write(&file, says)?;
    let file = file.to_string_lossy().into_owned();
    let arguments = ["instance", "reinstall", "web", "--image", "known-good", "--user-data", &file];
    let restored = shell.json(&[&arguments[..], &["--yes", "--wait", "-o", "json"]].concat())?;
    assert_eq!(restored["task"]["state"], json!("succeeded"), "{restored}");
    server.console_says(web, "STATE known-good").await?;
    assert_eq!(shown().await?["image"]["id"], image["id"]);

    // Nothing else was touched, and nothing is left behind.
    let other = customer.get(&format!("/instances/{}", id(&first))).await?;
    assert_eq!((&other["disks"], &other["power"]), (&first["disks"], &json!("running")));
    let folder = server.agent_dir().join("instances").join(web);
    let disks = eventually("one disk in the instance's folder", async || {
        let names: Vec<String> = std::fs::read_dir(&folder)?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .filter(|name| name.starts_with("disk."))
            .collect();
        Ok((names.len() == 1).then_some(names))
    });
    assert_eq!(disks.await?, ["disk.qcow2"]);
    let gone = shell.run(&["instance", "reinstall", "web", "--image", "no such image", "--yes"])?;
    assert_eq!(gone.status.code(), Some(3), "{gone:?}");
    assert_eq!(shown().await?["power"], Value::from("running"));
    Ok(())
}
