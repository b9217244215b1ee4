//! A plugin that misbehaves, installed by an operator beside the shipped ones: the work that meets
//! it fails with a typed error, no path outside its grant is opened, and the server goes on. Each
//! kind of misbehaviour (loops, memory, traps, overlapping extents, ...) is tested with real
//! components in `plugin-runtime`; here the whole product meets one.

use anyhow::{Context, Result};
use imprint_tests::{
    client::{Client, id},
    dist,
    server::Server,
    tools,
};
use serde_json::{Value, json};

/// Takes a file of the hostile storage into service as a stock image; answers the task, which has
/// ended.
async fn registered(admin: &Client, storage: &Value, location: &Value, key: &str) -> Result<Value> {
    let body = json!({"name": format!("from {key}"), "description": "", "storage_id": id(storage), "key": key,
        "format": "raw", "location_id": id(location)});
    let accepted = admin.post("/admin/stock-images", &body).await?;
    admin.finished(&accepted["task"]).await
}

#[tokio::test]
async fn a_storage_plugin_that_answers_with_foreign_paths_reaches_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plugins = dir.path().join("plugins");
    std::fs::create_dir(&plugins)?;
    let built = dist()?.join("hostile-plugins/hostile-storage.wasm");
    std::fs::copy(&built, plugins.join("hostile-storage.wasm"))
        .context("the hostile plugins are not built")?;
    let pool = dir.path().join("pool");
    std::fs::create_dir(&pool)?;
    std::fs::write(pool.join("good"), vec![7; 4096])?;
    std::os::unix::fs::symlink("/etc/passwd", pool.join("link"))?;
    let config = dir.path().join("imprint.toml");
    std::fs::write(&config, format!("[plugins]\ndir = {plugins:?}\n"))?;
    let server = Server::start(&["--demo", "--config", tools::arg(&config)], &[]).await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let instance = customer.running_instance("demo-1").await?;

    let location = admin.get("/admin/locations").await?["items"][0].clone();
    let hypervisor = admin.get("/admin/hypervisors").await?["items"][0].clone();
    let body = json!({"name": "hostile", "role": "stock", "kind": "hostile", "settings": {"path": pool}});
    let storage = admin.post("/admin/image-storages", &body).await?;
    let bind = format!("/admin/image-storages/{}/hypervisors/{}", id(&storage), id(&hypervisor));
    let bound = admin.send(reqwest::Method::PUT, &bind, None, &[]).await?;
    assert!(bound.status.is_success(), "{bound:?}");

    for key in ["escape", "absolute", "grant", "link"] {
        let task = registered(&admin, &storage, &location, key).await?;
        assert_eq!(task["state"], "failed", "{key}: {task}");
        assert!(
            task["error"]["code"].as_str().is_some_and(|code| code.contains('.') || code.contains('_')),
            "{key}: {task}"
        );
        assert!(!task["error"].to_string().contains("root:"), "nothing of the foreign file is told: {task}");
    }
    let task = registered(&admin, &storage, &location, "good").await?;
    assert_eq!(task["state"], "succeeded", "the same plugin still works for what is its own: {task}");
    let (image, _) = customer.capture(id(&instance), "beside a hostile plugin", json!({})).await?;
    assert_eq!(image["status"], "available");
    Ok(())
}
