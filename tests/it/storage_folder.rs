//! A storage's folder that was mounted over, unmounted, moved or mounted read-only under a running
//! agent: nothing goes to the wrong place, and nothing is called available that is not there.

use std::{fs, path::Path};

use anyhow::Result;
use imprint_tests::{
    client::{Client, id},
    eventually,
    server::Server,
    tools::{self, SmallDisk},
};
use reqwest::Method;
use serde_json::{Value, json};

/// Tries to capture the instance, and returns the code that its task fails with. `None` when the
/// control plane refuses the request, because the agent has reported the storage already.
async fn refusal(customer: &Client, instance: &Value, name: &str) -> Result<Option<String>> {
    let body = json!({"source": {"type": "instance", "id": id(instance)}, "name": name});
    let answer = customer.send(Method::POST, "/images", Some(&body), &[]).await?;
    if !answer.status.is_success() {
        return Ok(None);
    }
    let task = customer.finished(&answer.body["task"]).await?;
    assert_eq!(task["state"], "failed", "{task}");
    let shown = task["error"].to_string();
    assert!(!shown.contains("imprint-storage"), "customers read no paths: {shown}");
    Ok(task["error"]["code"].as_str().map(str::to_owned))
}

/// Waits until the agent reports the customers' storage as unreachable or read-only, or as neither.
async fn reported(admin: &Client, wanted: Option<&str>) -> Result<()> {
    eventually("the agent to report the storage", async || {
        let storages = admin.get("/admin/image-storages").await?;
        let images =
            storages["items"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "images"));
        let Some(images) = images else { return Ok(None) };
        let health = images["health"].as_str().unwrap_or_default();
        let as_wanted = match wanted {
            Some(wanted) => health == wanted,
            None => !["unknown", "unreachable", "read_only"].contains(&health),
        };
        Ok(as_wanted.then_some(()))
    })
    .await
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

#[tokio::test]
async fn a_folder_that_was_mounted_over_or_moved_is_refused_until_it_is_back() -> Result<()> {
    let server = Server::demo().await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let first = customer.running_instance("demo-1").await?;
    let (image, _) = customer.capture(id(&first), "before", json!({})).await?;
    let folder = server.image_storage();
    let stored = server.stored_files()?;
    assert_eq!(stored.len(), 1);

    let over = SmallDisk::mount(&folder, "64m")?;
    let code = refusal(&customer, &first, "mounted over").await?;
    assert!(code.as_deref().is_none_or(|code| code == "storage.marker"), "{code:?}");
    reported(&admin, Some("unreachable")).await?;
    assert_eq!(names(&folder)?, Vec::<String>::new(), "nothing went into the other file system");
    drop(over);
    reported(&admin, None).await?;
    assert_eq!(server.stored_files()?, stored, "and nothing below it");

    let away = folder.with_extension("away");
    fs::rename(&folder, &away)?;
    let code = refusal(&customer, &first, "moved").await?;
    assert!(code.as_deref().is_none_or(|code| code.starts_with("storage.path")), "{code:?}");
    fs::create_dir(&folder)?;
    let code = refusal(&customer, &first, "replaced").await?;
    assert!(code.as_deref().is_none_or(|code| code == "storage.marker"), "{code:?}");
    assert_eq!(names(&folder)?, Vec::<String>::new());
    fs::remove_dir(&folder)?;
    fs::rename(&away, &folder)?;
    reported(&admin, None).await?;
    let deployed = customer.deploy(id(&image), "after", json!({})).await?;
    assert_eq!(deployed["status"], "ready");
    Ok(())
}

#[tokio::test]
async fn a_mount_that_is_missing_gets_no_new_marker_and_a_read_only_one_is_still_read() -> Result<()> {
    let dir = Server::folder()?;
    let folder = Server::image_storage_in(dir.path());
    let disk = SmallDisk::mount(&folder, "256m")?;
    let server = Server::start_in(dir, &["--demo"], &[]).await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let first = customer.running_instance("demo-1").await?;
    let (image, _) = customer.capture(id(&first), "before", json!({})).await?;
    let stored = server.stored_files()?;

    tools::ok("mount", &["-o", "remount,ro", tools::arg(&folder)])?;
    let code = refusal(&customer, &first, "read-only").await?;
    assert!(code.as_deref().is_none_or(|code| code == "storage.read-only"), "{code:?}");
    reported(&admin, Some("read_only")).await?;
    let deployed = customer.deploy(id(&image), "from read-only", json!({})).await?;
    assert_eq!(deployed["status"], "ready");
    assert_eq!(server.stored_files()?, stored, "no half object is left");
    tools::ok("mount", &["-o", "remount,rw", tools::arg(&folder)])?;
    reported(&admin, None).await?;
    customer.capture(id(&first), "writable again", json!({})).await?;

    drop(disk);
    let code = refusal(&customer, &first, "unmounted").await?;
    assert!(code.as_deref().is_none_or(|code| code == "storage.marker"), "{code:?}");
    reported(&admin, Some("unreachable")).await?;
    assert_eq!(names(&folder)?, Vec::<String>::new(), "the empty folder below the mount stays empty");
    Ok(())
}
