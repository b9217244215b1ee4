//! Two hypervisors, each with a folder of its own and an agent in a process of its own: what one of
//! them has, the other reads from its agent (S10).

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    client::{Client, id},
    eventually,
    process::Process,
    server::{Server, share_compiled_plugins},
};
use serde_json::{Value, json};

use crate::disk::noise;

/// A hypervisor that shares no storage with the demo's.
struct Far {
    id: String,
    folder: PathBuf,
    _agent: Process,
}

impl Far {
    async fn start(server: &Server, admin: &Client) -> Result<Self> {
        let folder = server.dir.path().join("far");
        fs::create_dir_all(folder.join("images"))?;
        let location = admin.get("/admin/locations").await?["items"][0].clone();
        let body =
            json!({"name": "far", "location_id": id(&location), "driver_settings": {"accelerator": "tcg"}});
        let far = id(&admin.post("/admin/hypervisors", &body).await?).to_owned();
        let path = folder.join("images");
        let body =
            json!({"name": "far images", "role": "customer", "kind": "local", "settings": {"path": path}});
        let storage = admin.post("/admin/image-storages", &body).await?;
        let bind = format!("/admin/image-storages/{}/hypervisors/{far}", id(&storage));
        admin.send(reqwest::Method::PUT, &bind, None, &[]).await?;
        let token = admin.post(&format!("/admin/hypervisors/{far}/tokens"), &json!({})).await?;
        let file = folder.join("token");
        fs::write(&file, token["token"].as_str().context("a token is shown once")?)?;
        share_compiled_plugins(&folder.join("data"))?;
        let mut command = Command::new(binary()?);
        command.args(["agent", "--control-plane", &server.url, "--token-file"]).arg(&file);
        command.arg("--data-dir").arg(folder.join("data")).arg("--run-dir").arg(folder.join("run"));
        let agent = Process::start(&mut command, &folder.join("agent.log"))?;
        let far = Self { id: far, folder, _agent: agent };
        online(admin, &far.id).await?;
        Ok(far)
    }

    /// The path of the disk of an instance.
    fn disk(&self, instance: &str) -> PathBuf {
        self.folder.join("data/agent/instances").join(instance).join("disk.qcow2")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }
}

async fn hypervisor(admin: &Client, wanted: &str) -> Result<Value> {
    let list = admin.get("/admin/hypervisors").await?;
    let found = list["items"].as_array().and_then(|all| all.iter().find(|one| id(one) == wanted));
    found.cloned().context("the hypervisor is listed")
}

async fn online(admin: &Client, wanted: &str) -> Result<()> {
    eventually("the agent to be online", async || {
        Ok((hypervisor(admin, wanted).await?["online"] == json!(true)).then_some(()))
    })
    .await
}

/// The agent of the demo's hypervisor serves objects, at the same port after a restart.
async fn serving(server: &mut Server, admin: &Client, listen: &str) -> Result<String> {
    server.start_agent_with(&["--object-listen", listen], None).await?;
    let near = id(&admin.get("/admin/hypervisors").await?["items"][0]).to_owned();
    let address = eventually("the agent to serve objects", async || {
        let found = hypervisor(admin, &near).await?;
        let here = found["online"] == json!(true);
        Ok(found["object_address"].as_str().filter(|_| here).map(str::to_owned))
    });
    address.await
}

#[tokio::test]
async fn an_image_is_deployed_where_only_another_agent_has_it() -> Result<()> {
    let mut server = Server::without_agent().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    server.start_agent(None).await?;
    let instance = id(&customer.running_instance("demo-1").await?).to_owned();
    server.console_says(&instance, "LEDGER seq=").await?;
    let (image, _) = customer.capture(&instance, "near", json!({})).await?;
    let far = Far::start(&server, &admin).await?;

    // Neither a shared storage nor an agent that serves: the refusal says what to do.
    let body = json!({"image_id": id(&image), "name": "far-1", "hypervisor_id": far.id});
    let refused = customer.post("/instances", &body).await.expect_err("nothing reaches it").to_string();
    ensure!(refused.contains("image_not_reachable") && refused.contains("--object-listen"), "{refused}");

    server.agent()?.stop().await?;
    serving(&mut server, &admin, "127.0.0.1:0").await?;
    let more = json!({"hypervisor_id": far.id, "start": true});
    let made = customer.deploy(id(&image), "far-1", more).await?;
    ensure!(made["power"] == "running", "{made}");
    ensure!(far.log().contains("an image is read from another agent"), "{}", far.log());
    ensure!(fs::read_dir(far.folder.join("images"))?.count() <= 1, "the image stays where it is");
    ensure!(server.logs().contains("an object is served"), "{}", server.logs());
    ensure!(!far.log().contains("Bearer"), "tokens are not logged");
    customer.delete(&format!("/instances/{}", id(&made))).await?;
    eventually("the guest to be gone", async || Ok((!far.disk(id(&made)).exists()).then_some(()))).await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_killed_and_comes_back_ends_no_deployment() -> Result<()> {
    const SIZE: usize = 1 << 30;
    let mut server = Server::without_agent().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let address = serving(&mut server, &admin, "127.0.0.1:0").await?;
    customer.running_instance("demo-1").await?;
    let far = Far::start(&server, &admin).await?;

    let folder = server.dir.path().join("large");
    fs::create_dir(&folder)?;
    fs::write(folder.join("large.raw"), noise(SIZE, 7))?;
    let body = json!({"name": "large", "role": "stock", "kind": "local", "settings": {"path": folder}});
    let storage = admin.post("/admin/image-storages", &body).await?;
    let hosts = admin.get("/admin/hypervisors").await?;
    let near = hosts["items"].as_array().and_then(|all| all.iter().find(|one| id(one) != far.id));
    let near = id(near.context("the demo has a hypervisor")?).to_owned();
    let bind = format!("/admin/image-storages/{}/hypervisors/{near}", id(&storage));
    admin.send(reqwest::Method::PUT, &bind, None, &[]).await?;
    let location = admin.get("/admin/locations").await?["items"][0].clone();
    let body = json!({"name": "large", "description": "", "storage_id": id(&storage), "key": "large.raw",
        "format": "raw", "location_id": id(&location)});
    let accepted = eventually("the agent to reach the storage", async || {
        Ok(admin.post("/admin/stock-images", &body).await.ok())
    });
    let accepted = accepted.await?;
    admin.succeeded(&accepted["task"]).await?;

    let body =
        json!({"image_id": id(&accepted["image"]), "name": "far", "hypervisor_id": far.id, "start": false});
    let deployed = customer.post("/instances", &body).await?;
    // The copy takes a second and more, and the log is looked at ten times a second.
    eventually("the image to be read", async || {
        Ok(far.log().contains("an image is read from another agent").then_some(()))
    })
    .await?;
    server.agent()?.kill()?;
    let task = customer.get(&format!("/tasks/{}", id(&deployed["task"]))).await?;
    ensure!(task["state"] == "running", "killed in the middle: {task}");
    serving(&mut server, &admin, &address).await?;
    let task = customer.succeeded(&deployed["task"]).await?;
    ensure!(task["attempt"] == 1, "the same attempt went on: {task}");
    let instance = id(&deployed["instance"]).to_owned();
    imprint_tests::tools::ok(
        "qemu-img",
        &[
            "compare",
            imprint_tests::tools::arg(&far.disk(&instance)),
            imprint_tests::tools::arg(&folder.join("large.raw")),
        ],
    )?;
    Ok(())
}
