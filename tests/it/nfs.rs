//! Images on an export of a real NFS server, which is killed, hangs, is full or is only read; and
//! everything that can be wrong with the settings.

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    client::{Client, id},
    dist, eventually,
    ledger::{self, last_sequence},
    nfs::{NfsServer, OWNER, STRANGER},
    server::Server,
    storages::{bound_only, failed_step},
    tools::{self, UserFolder},
};
use serde_json::{Value, json};

fn settings(nfs: &NfsServer, export: &str) -> Value {
    json!({
        "server": nfs.address, "export": nfs.export(export), "folder": "customer",
        "uid": OWNER.to_string(), "gid": OWNER.to_string(), "timeout": "10",
    })
}

/// A demo with its customers' images on an export, and a running instance.
struct Demo {
    nfs: NfsServer,
    server: Server,
    admin: Client,
    customer: Client,
    instance: String,
}

impl Demo {
    async fn start(export: &str) -> Result<Self> {
        let nfs = NfsServer::start().await?;
        let server = Server::demo().await?;
        let (admin, customer) = (server.admin().await?, server.customer().await?);
        let body = json!({
            "name": "export", "role": "customer", "kind": "nfs", "settings": settings(&nfs, export),
        });
        bound_only(&admin, &body).await?;
        let instance = id(&customer.running_instance("demo-1").await?).to_owned();
        server.console_says(&instance, "LEDGER seq=").await?;
        Ok(Self { nfs, server, admin, customer, instance })
    }

    /// Begins a capture, and waits until some of it has arrived.
    async fn capture_in_the_middle(&self, export: &str) -> Result<Value> {
        let source = json!({"type": "instance", "id": self.instance});
        let body = json!({"source": source, "name": "slow", "compression": "none"});
        let accepted = self.customer.post("/images", &body).await?;
        eventually("some of the image to arrive", async || {
            let files = self.nfs.files(export)?;
            let large = |path: &std::path::PathBuf| path.metadata().is_ok_and(|file| file.len() > 2 << 20);
            Ok(files.iter().any(large).then_some(()))
        })
        .await?;
        Ok(accepted)
    }

    /// The one file of the export is an image with a consistent guest. Returns the last sequence of
    /// its ledger.
    fn only_image(&self) -> Result<ledger::Captured> {
        let files = self.nfs.files("images")?;
        ensure!(files.len() == 1, "{files:?}");
        ensure!(files[0].starts_with(self.nfs.export("images/customer")), "{files:?}");
        tools::ok("qemu-img", &["check", "-f", "qcow2", tools::arg(&files[0])])?;
        let found = ledger::inspect(&files[0], "qcow2")?;
        ensure!(found.verification.is_consistent(), "{found:?}");
        Ok(found)
    }
}

#[tokio::test]
async fn images_go_to_an_export_and_come_back() -> Result<()> {
    let demo = Demo::start("images").await?;
    let (image, _) = demo.customer.capture(&demo.instance, "on nfs", json!({})).await?;
    assert_eq!(image["status"], "available", "{image}");
    let found = demo.only_image()?;
    assert_eq!(image["size_bytes"], demo.nfs.files("images")?[0].metadata()?.len());
    assert!(demo.server.stored_files()?.is_empty(), "nothing went to the shipped storage");
    let second = demo.customer.deploy(id(&image), "second", json!({})).await?;
    let start = demo.server.console_says(id(&second), "LEDGER start").await?;
    assert_eq!(last_sequence(&start), Some(found.verification.last_sequence));
    let deleted = demo.customer.delete(&format!("/images/{}", id(&image))).await?;
    demo.customer.succeeded(&deleted["task"]).await?;
    assert!(demo.nfs.files("images")?.is_empty());
    Ok(())
}

#[tokio::test]
async fn another_export_under_the_same_address_gets_no_byte() -> Result<()> {
    let mut demo = Demo::start("images").await?;
    let (export, away) = (demo.nfs.export("images"), demo.nfs.export("away"));
    let source = json!({"type": "instance", "id": demo.instance});
    let capture = json!({"source": source, "name": "whichever", "compression": "none"});
    // A server that was set up again, or that has not mounted its disk.
    demo.nfs.kill()?;
    std::fs::rename(&export, &away)?;
    std::fs::create_dir(&export)?;
    std::os::unix::fs::chown(&export, Some(OWNER), Some(OWNER))?;
    demo.nfs.start_server().await?;
    let accepted = demo.customer.post("/images", &capture).await?;
    let task = demo.customer.finished(&accepted["task"]).await?;
    assert_eq!(task["state"], "failed", "{task}");
    let seen = demo.admin.get(&format!("/tasks/{}", id(&accepted["task"]))).await?;
    assert!(seen.to_string().contains("storage.marker"), "{seen}");
    assert_eq!(std::fs::read_dir(&export)?.count(), 0, "nothing was written");
    demo.nfs.kill()?;
    std::fs::remove_dir(&export)?;
    std::fs::rename(&away, &export)?;
    demo.nfs.start_server().await?;
    let (image, _) =
        demo.customer.capture(&demo.instance, "the right one", json!({"compression": "none"})).await?;
    assert_eq!(image["status"], "available", "{image}");
    demo.only_image()?;
    Ok(())
}

#[tokio::test]
async fn an_nfs_server_killed_in_the_middle_of_a_capture_loses_nothing() -> Result<()> {
    let mut demo = Demo::start("images").await?;
    demo.nfs.slow_down(80)?;
    let accepted = demo.capture_in_the_middle("images").await?;
    demo.nfs.kill()?;
    demo.nfs.start_server().await?;
    demo.nfs.speed_up()?;
    let task = demo.customer.finished(&accepted["task"]).await?;
    assert_eq!(task["state"], "succeeded", "{task}\n{}", demo.server.logs());
    assert_eq!(task["attempt"], 1, "{task}");
    demo.only_image()?;
    Ok(())
}

#[tokio::test]
async fn an_nfs_server_that_hangs_holds_up_nothing_but_its_storage() -> Result<()> {
    let demo = Demo::start("images").await?;
    let other = tempfile::tempdir()?;
    demo.nfs.slow_down(80)?;
    let accepted = demo.capture_in_the_middle("images").await?;
    demo.nfs.hang(true)?;
    let body = json!({"role": "customer", "kind": "nfs", "settings": settings(&demo.nfs, "images")});
    let step = failed_step(&demo.admin, body).await?.context("a server that hangs passed")?;
    assert_eq!((&step["setting"], &step["code"]), (&json!("server"), &json!("nfs.not-answering")), "{step}");
    let other = json!({"role": "customer", "kind": "local", "settings": {"path": other.path()}});
    assert_eq!(failed_step(&demo.admin, other).await?, None, "another storage goes on");
    demo.nfs.hang(false)?;
    demo.nfs.speed_up()?;
    let task = demo.customer.finished(&accepted["task"]).await?;
    assert_eq!(task["state"], "succeeded", "{task}");
    demo.only_image()?;
    Ok(())
}

#[tokio::test]
async fn an_export_that_gets_full_fails_the_capture_and_keeps_nothing() -> Result<()> {
    let demo = Demo::start("small").await?;
    demo.nfs.slow_down(80)?;
    let accepted = demo.capture_in_the_middle("small").await?;
    let filler = demo.nfs.fill("small")?;
    demo.nfs.speed_up()?;
    let task = demo.customer.finished(&accepted["task"]).await?;
    let outcome = (&task["state"], &task["error"]["code"]);
    assert_eq!(outcome, (&json!("failed"), &json!("insufficient_storage")), "{task}");
    std::fs::remove_file(filler)?;
    assert_eq!(demo.nfs.files("small")?, Vec::<std::path::PathBuf>::new());
    Ok(())
}

#[test]
fn the_plugin_does_on_a_real_server_what_every_storage_must() -> Result<()> {
    let nfs = tokio::runtime::Runtime::new()?.block_on(NfsServer::start())?;
    let file = dist()?.join("plugins/storage-nfs.wasm");
    let (server, export) =
        (format!("server={}", nfs.address), format!("export={}", nfs.export("images").display()));
    let (uid, gid) = (format!("uid={OWNER}"), format!("gid={OWNER}"));
    // Each case in a folder of its own. The listing of 10,001 keys is tried on the mock host.
    for case in [
        "put-get",
        "ranges",
        "zero-length",
        "hostile-names",
        "replace",
        "two-writers",
        "cancel",
        "crash",
        "delete",
        "wrong-total",
    ] {
        let folder = format!("folder={case}");
        let settings = [server.as_str(), &export, &uid, &gid, &folder, "private-networks=true"];
        let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let command = [&["plugin", "test", tools::arg(&file), "--case", case][..], &set].concat();
        tools::ok(tools::arg(&binary()?), &command)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_connection_test_names_what_is_wrong_with_an_export() -> Result<()> {
    let nfs = NfsServer::start().await?;
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let good = settings(&nfs, "images");
    let test = async |settings: &Value| {
        failed_step(&admin, json!({"role": "customer", "kind": "nfs", "settings": settings})).await
    };
    assert_eq!(test(&good).await?, None);
    assert!(nfs.files("images")?.is_empty(), "the test leaves nothing");
    let folder = tempfile::tempdir()?;
    let path = folder.path().display().to_string();
    // What a client in user space mounts, but of something else. There is no mount of NFS here: the
    // kernel of the tests has no client.
    let other = tempfile::tempdir()?;
    let (source, mounted) = (other.path().join("source"), other.path().join("mounted"));
    std::fs::create_dir(&source)?;
    std::fs::create_dir(&mounted)?;
    let _mounted = UserFolder::mount(&source, &mounted, "nfs", "100M").await?;
    let mounted = mounted.display().to_string();
    let port = server.url.rsplit(':').next().context("an address has a port")?.to_owned();
    let read_only = nfs.export("read-only").display().to_string();
    let stranger = STRANGER.to_string();
    for (changed, setting, code) in [
        (vec![("server", "127.0.0.1")], "server", "net.connect"),
        (vec![("server", "127.0.0.1"), ("mount-port", &port)], "mount-port", "nfs.not-nfs"),
        (vec![("export", "/srv/other")], "export", "nfs.no-export"),
        (vec![("export", &read_only)], "export", "nfs.read-only"),
        (vec![("uid", &stranger), ("gid", &stranger)], "uid", "nfs.access"),
        (vec![("private-networks", "false")], "private-networks", "net.private-network"),
        (vec![("access", "mount"), ("path", &path)], "path", "nfs.not-mounted"),
        (vec![("access", "mount"), ("path", &mounted)], "server", "nfs.other-server"),
    ] {
        let mut settings = good.clone();
        for (name, value) in &changed {
            settings[name] = json!(value);
        }
        if settings["access"] == "mount" {
            settings["folder"] = json!(".");
        }
        let failed = test(&settings).await?.with_context(|| format!("{changed:?} passed"))?;
        assert_eq!(
            (&failed["setting"], &failed["code"]),
            (&json!(setting), &json!(code)),
            "{changed:?}: {failed}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_export_that_insists_on_a_port_below_1024_gets_one() -> Result<()> {
    let nfs = NfsServer::start().await?;
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let mut settings = settings(&nfs, "privileged");
    let test = async |settings: &Value| {
        failed_step(&admin, json!({"role": "customer", "kind": "nfs", "settings": settings})).await
    };
    let failed = test(&settings).await?.context("another port is accepted")?;
    assert_eq!(failed["code"], "nfs.authentication", "{failed}");
    assert!(failed["detail"].as_str().is_some_and(|text| text.contains("`reserved-port`")), "{failed}");
    settings["reserved-port"] = json!("true");
    // Each of these opens several connections: a port is free again when its connection is closed.
    for _ in 0..5 {
        assert_eq!(test(&settings).await?, None);
    }
    assert!(nfs.files("privileged")?.is_empty(), "the tests leave nothing");
    Ok(())
}
