//! A storage with a folder that does not answer any more, as a mount of a server that is gone. A
//! program in user space that is stopped does the same to everything that touches its folder.

use anyhow::{Context, Result};
use imprint_tests::{client::id, eventually, server::Server, tools::UserFolder};
use serde_json::json;

#[tokio::test]
async fn a_folder_that_hangs_in_the_middle_of_a_capture_ends_it_and_nothing_else() -> Result<()> {
    let dir = Server::folder()?;
    let (source, path) = (dir.path().join("source"), Server::image_storage_in(dir.path()));
    std::fs::create_dir(&source)?;
    std::fs::create_dir_all(&path)?;
    let folder = UserFolder::mount(&source, &path, "test", "6M").await?;
    let server = Server::start_in(dir, &["--demo"], &[]).await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let instance = customer.running_instance("demo-1").await?;
    server.console_says(id(&instance), "LEDGER seq=").await?;
    let from = json!({"type": "instance", "id": id(&instance)});
    let body = json!({"source": from, "name": "held up", "compression": "none"});
    let accepted = customer.post("/images", &body).await?;
    eventually("some of the image to arrive", async || {
        let temporary = source.join(".tmp");
        let large = |path: std::path::PathBuf| path.metadata().is_ok_and(|file| file.len() > 2 << 20);
        let found = std::fs::read_dir(temporary)?.flatten().any(|entry| large(entry.path()));
        Ok(found.then_some(()))
    })
    .await?;
    folder.hang(true)?;

    let hypervisor = admin.get("/admin/hypervisors").await?["items"][0].clone();
    let test = async |path: &std::path::Path| {
        let body = json!({"role": "customer", "kind": "local", "settings": {"path": path},
            "hypervisor_id": id(&hypervisor)});
        let task = admin.succeeded(&admin.post("/admin/image-storages/actions/test", &body).await?).await?;
        let steps = task["storage_test"]["steps"].as_array().cloned().context("a test has steps")?;
        Ok::<_, anyhow::Error>(steps.into_iter().find(|step| step["status"] == "failed"))
    };
    let other = tempfile::tempdir()?;
    assert_eq!(test(other.path()).await?, None, "another storage goes on");
    let failed = test(&path).await?.context("a folder that hangs passed")?;
    assert_eq!(failed["code"], "storage.not-answering", "{failed}");
    eventually("the capture to be given up", async || {
        let task = customer.get(&format!("/tasks/{}", id(&accepted["task"]))).await?;
        Ok((task["state"] != "running" || task["attempt"].as_u64() > Some(1)).then_some(()))
    })
    .await?;

    folder.hang(false)?;
    let task = customer.finished(&accepted["task"]).await?;
    assert_eq!(task["state"], "succeeded", "{task}");
    let mut names: Vec<_> = std::fs::read_dir(&source)?.flatten().map(|entry| entry.file_name()).collect();
    names.retain(|name| !name.to_string_lossy().starts_with('.'));
    assert_eq!(names.len(), 1, "{names:?}");
    Ok(())
}
