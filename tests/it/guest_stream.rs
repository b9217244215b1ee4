//! Images on a storage that only its plugin can read: every byte of a capture and of a deployment
//! goes through the sandbox. An agent that is killed in the middle of one leaves nothing there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use imprint_tests::{
    client::{Client, id},
    dist, eventually,
    ledger::{self, last_sequence},
    process::is_alive,
    server::{CONFIG, Server},
    tools::{self, SmallDisk},
};
use serde_json::{Value, json};

use crate::crash::nothing_is_left;

/// A demo whose customers' images go to the plugin `hostile-stream`: the shipped storage has too
/// little room for any.
struct Demo {
    server: Server,
    admin: Client,
    customer: Client,
    pool: PathBuf,
    config: PathBuf,
    _small: SmallDisk,
}

/// Where the agent of a demo runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agent {
    Inside,
    /// As a process of its own, which can be killed.
    Separate,
}

impl Demo {
    async fn start(settings: Value) -> Result<Self> {
        Self::start_with(settings, Agent::Inside).await
    }

    async fn start_with(settings: Value, agent: Agent) -> Result<Self> {
        let dir = Server::folder()?;
        let small = SmallDisk::mount(&Server::image_storage_in(dir.path()), "2m")?;
        let (plugins, pool) = (dir.path().join("plugins"), dir.path().join("pool"));
        std::fs::create_dir(&plugins)?;
        std::fs::create_dir(&pool)?;
        let built = dist()?.join("hostile-plugins/hostile-stream.wasm");
        std::fs::copy(&built, plugins.join("hostile-stream.wasm"))
            .context("the test plugins are not built")?;
        let config = dir.path().join("imprint.toml");
        std::fs::write(&config, format!("{CONFIG}[plugins]\ndir = {plugins:?}\n"))?;
        let separate: &[&str] = if agent == Agent::Separate { &["--no-agent"] } else { &[] };
        let args = [&["--demo", "--config", tools::arg(&config)], separate].concat();
        let server = Server::start_in(dir, &args, &[]).await?;
        let (admin, customer) = (server.admin().await?, server.customer().await?);
        let mut demo = Self { server, admin, customer, pool, config, _small: small };
        if agent == Agent::Separate {
            demo.start_agent().await?;
        }
        demo.bind("streams", "customer", settings).await?;
        Ok(demo)
    }

    async fn start_agent(&mut self) -> Result<()> {
        self.server.start_agent_with(&["--config", tools::arg(&self.config)], None).await
    }

    /// Makes a storage of the plugin, and waits until the agent has seen it.
    async fn bind(&self, name: &str, role: &str, mut settings: Value) -> Result<Value> {
        settings["path"] = json!(self.pool);
        let hypervisor = self.admin.get("/admin/hypervisors").await?["items"][0].clone();
        let body = json!({"name": name, "role": role, "kind": "stream", "settings": settings});
        eventually("the agent to report the plugin", async || {
            let kinds = self.admin.get("/admin/storage-kinds").await?;
            let known = kinds["items"].as_array().into_iter().flatten().any(|kind| kind["kind"] == "stream");
            Ok(known.then_some(()))
        })
        .await?;
        let storage = self.admin.post("/admin/image-storages", &body).await?;
        let bind = format!("/admin/image-storages/{}/hypervisors/{}", id(&storage), id(&hypervisor));
        let bound = self.admin.send(reqwest::Method::PUT, &bind, None, &[]).await?;
        assert!(bound.status.is_success(), "{bound:?}");
        eventually("the agent to see the storage", async || {
            let storages = self.admin.get("/admin/image-storages").await?;
            let seen = storages["items"].as_array().into_iter().flatten();
            Ok(seen
                .clone()
                .any(|one| id(one) == id(&storage) && one["available_bytes"].is_u64())
                .then_some(()))
        })
        .await?;
        Ok(storage)
    }

    /// The files of the pool, but for the agent's markers.
    fn objects(&self) -> Result<Vec<PathBuf>> {
        let mut objects = Vec::new();
        for entry in std::fs::read_dir(&self.pool)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(".imprint-storage.") {
                objects.push(entry.path());
            }
        }
        Ok(objects)
    }
}

/// What the plugin does when it reads: turns the bits of each byte back.
fn readable(object: &Path, target: &Path) -> Result<()> {
    let mut bytes = std::fs::read(object)?;
    for (at, byte) in (0_u64..).zip(bytes.iter_mut()) {
        let turned = at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7];
        *byte = byte.rotate_right(1 + u32::from(turned) % 7);
    }
    Ok(std::fs::write(target, bytes)?)
}

/// The guest in an object of the pool: its image is sound, and its ledger consistent.
fn consistent_guest(object: &Path) -> Result<ledger::Captured> {
    let folder = tempfile::tempdir()?;
    let plain = folder.path().join("plain.qcow2");
    readable(object, &plain)?;
    tools::ok("qemu-img", &["check", "-f", "qcow2", tools::arg(&plain)])?;
    let found = ledger::inspect(&plain, "qcow2")?;
    assert!(found.verification.is_consistent(), "{found:?}");
    Ok(found)
}

async fn captured_and_deployed(order: &str, compression: &str) -> Result<()> {
    let demo = Demo::start(json!({"order": order})).await?;
    let first = demo.customer.running_instance("demo-1").await?;
    demo.server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, task) =
        demo.customer.capture(id(&first), "through the plugin", json!({"compression": compression})).await?;
    assert_eq!((&image["status"], &task["percent"]), (&json!("available"), &json!(100)), "{image} {task}");
    assert!(demo.server.stored_files()?.is_empty(), "nothing went to the shipped storage");

    let objects = demo.objects()?;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(image["size_bytes"], std::fs::metadata(&objects[0])?.len());
    assert!(
        tools::ok("qemu-img", &["check", "-f", "qcow2", tools::arg(&objects[0])]).is_err(),
        "it is scrambled"
    );
    let found = consistent_guest(&objects[0])?;

    let second = demo.customer.deploy(id(&image), "second", json!({})).await?;
    let start = demo.server.console_says(id(&second), "LEDGER start").await?;
    assert_eq!(last_sequence(&start), Some(found.verification.last_sequence));
    let logs = demo.server.logs();
    for what in ["reading", "writing"] {
        let said = logs.lines().any(|line| line.contains(what) && line.contains("goes through the plugin"));
        assert!(said, "the log names the slow path for {what}: {logs}");
    }
    let deleted = demo.customer.delete(&format!("/images/{}", id(&image))).await?;
    demo.customer.succeeded(&deleted["task"]).await?;
    assert!(demo.objects()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_image_goes_through_a_plugin_that_appends_and_comes_back() -> Result<()> {
    captured_and_deployed("ascending", "zstd").await
}

#[tokio::test]
async fn an_image_goes_through_a_plugin_that_writes_anywhere_and_comes_back() -> Result<()> {
    captured_and_deployed("any", "none").await
}

#[tokio::test]
async fn a_plugin_that_fails_in_the_middle_fails_the_task_and_leaves_nothing() -> Result<()> {
    let demo = Demo::start(json!({"trick": "full"})).await?;
    let first = demo.customer.running_instance("demo-1").await?;
    demo.server.console_says(id(&first), "LEDGER seq=").await?;
    let pid = demo.server.instance_pid(id(&first))?;
    let body =
        json!({"source": {"type": "instance", "id": id(&first)}, "name": "too big", "compression": "none"});
    let accepted = demo.customer.post("/images", &body).await?;
    let task = demo.customer.finished(&accepted["task"]).await?;
    let outcome = (&task["state"], &task["error"]["code"]);
    assert_eq!(outcome, (&json!("failed"), &json!("insufficient_storage")), "{task}");
    assert!(demo.objects()?.is_empty(), "nothing of it stays");
    assert!(is_alive(pid));

    let stock = demo.bind("hostile stock", "stock", json!({})).await?;
    let location = demo.admin.get("/admin/locations").await?["items"][0].clone();
    for (key, code) in [("trap", "plugin.trap"), ("short", "plugin.bad-answer.length")] {
        std::fs::write(demo.pool.join(key), vec![7; 8 << 20])?;
        let body = json!({"name": format!("from {key}"), "description": "", "storage_id": id(&stock), "key": key,
            "format": "raw", "location_id": id(&location)});
        let accepted = demo.admin.post("/admin/stock-images", &body).await?;
        let task = demo.admin.finished(&accepted["task"]).await?;
        assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!(code)), "{task}");
        let cause = task["error"]["operator_detail"].as_str().unwrap_or_default();
        assert!(cause.contains("hostile-stream"), "it names the plugin: {task}");
    }
    Ok(())
}

/// Kills the agent while an upload is on its way: some of it is there, and it is not whole. Answers
/// the task.
async fn killed_in_the_middle(demo: &mut Demo, instance: &str, name: &str) -> Result<Value> {
    let body = json!({"source": {"type": "instance", "id": instance}, "name": name, "compression": "none"});
    let accepted =
        eventually("the agent to be online", async || Ok(Some(demo.customer.post("/images", &body).await?)))
            .await?;
    eventually("some of the image to arrive", async || {
        let objects = demo.objects()?;
        Ok(objects.iter().any(|path| path.metadata().is_ok_and(|one| one.len() > 2 << 20)).then_some(()))
    })
    .await?;
    demo.server.agent()?.kill()?;
    let objects = demo.objects()?;
    let part = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "part");
    ensure!(objects.len() == 1 && objects.iter().all(part), "killed in the middle: {objects:?}");
    Ok(accepted)
}

async fn killed_and_tried_again(order: &str) -> Result<()> {
    let mut demo = Demo::start_with(json!({"order": order, "trick": "slow"}), Agent::Separate).await?;
    let instance = id(&demo.customer.running_instance("demo-1").await?).to_owned();
    demo.server.console_says(&instance, "LEDGER seq=").await?;
    let pid = demo.server.instance_pid(&instance)?;

    let accepted = killed_in_the_middle(&mut demo, &instance, "tried again").await?;
    assert!(is_alive(pid), "the guest runs on");
    demo.start_agent().await?;
    let task = demo.customer.finished(&accepted["task"]).await?;
    assert_eq!((&task["state"], &task["attempt"]), (&json!("succeeded"), &json!(2)), "{task}");
    nothing_is_left(&demo.server, &instance).await?;
    let objects = demo.objects()?;
    assert_eq!(objects.len(), 1, "{objects:?}");
    consistent_guest(&objects[0])?;
    let deleted = demo.customer.delete(&format!("/images/{}", id(&accepted["image"]))).await?;
    demo.customer.succeeded(&deleted["task"]).await?;
    assert!(demo.objects()?.is_empty());

    // Nobody tries this one again: what is there is removed for its own sake, and not written over.
    let accepted = killed_in_the_middle(&mut demo, &instance, "given up").await?;
    let cancel = format!("/tasks/{}/actions/cancel", id(&accepted["task"]));
    demo.customer.post(&cancel, &json!({})).await?;
    demo.start_agent().await?;
    let task = demo.customer.finished(&accepted["task"]).await?;
    assert_eq!(task["state"], "cancelled", "{task}");
    eventually("the pool to be empty", async || {
        let objects = demo.objects()?;
        if objects.is_empty() { Ok(Some(())) } else { bail!("{objects:?}") }
    })
    .await?;
    nothing_is_left(&demo.server, &instance).await?;
    assert!(is_alive(pid), "the guest runs on");
    Ok(())
}

#[tokio::test]
async fn an_agent_killed_in_the_middle_of_a_plugin_that_appends_leaves_nothing() -> Result<()> {
    killed_and_tried_again("ascending").await
}

#[tokio::test]
async fn an_agent_killed_in_the_middle_of_a_plugin_that_writes_anywhere_leaves_nothing() -> Result<()> {
    killed_and_tried_again("any").await
}
