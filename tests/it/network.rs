//! Network cards: a guest that is reached by SSH and reaches nothing, and one on a bridge.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result};
use imprint_tests::{
    client::{Client, id},
    eventually,
    server::Server,
    tools,
};
use serde_json::{Value, json};

use crate::command_line::Shell;

/// A key of SSH in the server's folder, and the line of its public half.
fn make_key(server: &Server) -> Result<(PathBuf, String)> {
    let file = server.dir.path().join("id");
    tools::ok("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", tools::arg(&file)])?;
    let line = std::fs::read_to_string(file.with_extension("pub"))?;
    Ok((file, line.trim().to_owned()))
}

/// Runs a command in the guest.
fn ssh(instance: &Value, key: &Path, command: &str) -> Result<Output> {
    let address = &instance["network"]["ssh"];
    let port = address["port"].as_u64().context("the instance has a port")?.to_string();
    let user = address["user"].as_str().context("the image names its user")?;
    let target = format!("{user}@{}", address["host"].as_str().context("the instance has a host")?);
    let options = [
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "ConnectTimeout=10",
        "LogLevel=ERROR",
    ];
    let options: Vec<&str> = options.iter().flat_map(|option| ["-o", option]).collect();
    let rest = ["-F", "/dev/null", "-i", tools::arg(key), "-p", &port, &target, command];
    tools::run("ssh", &[&options[..], &rest[..]].concat())
}

async fn connected(instance: &Value, key: &Path, command: &str) -> Result<String> {
    let output = eventually("an answer of the guest's SSH server", async || {
        let output = ssh(instance, key, command)?;
        // 255 is the status of the client's own errors, such as a server that does not listen yet.
        Ok((output.status.code() != Some(255)).then_some(output))
    });
    let output = output.await?;
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

async fn shown(customer: &Client, instance: &str) -> Result<Value> {
    customer.get(&format!("/instances/{instance}")).await
}

#[tokio::test]
async fn a_guest_is_reached_by_ssh_and_reaches_nothing() -> Result<()> {
    let server = Server::demo().await?;
    let customer = server.customer().await?;
    let first = customer.running_instance("demo-1").await?;
    let (key, line) = make_key(&server)?;
    let image = customer.get("/images?scope=stock").await?;
    let image = id(&image["items"][0]).to_owned();
    let more = json!({ "ssh_keys": [line], "memory_bytes": 128 << 20 });
    let made = customer.deploy(&image, "reachable", more).await?;
    let instance = shown(&customer, id(&made)).await?;
    let network = &instance["network"];
    assert_eq!((&network["kind"], &network["ssh"]["host"]), (&json!("user"), &json!("127.0.0.1")));
    let other = shown(&customer, id(&first)).await?;
    assert_ne!(network["ssh"]["port"], other["network"]["ssh"]["port"]);
    assert_ne!(network["mac"], other["network"]["mac"]);

    assert_eq!(connected(&instance, &key, "hostname").await?, "reachable");
    let card = connected(&instance, &key, "cat /sys/class/net/eth0/address").await?;
    assert_eq!(json!(card), network["mac"]);

    // 10.0.2.2 is the machine itself in QEMU's user mode, its loopback included.
    let panel: SocketAddr = server.url.trim_start_matches("http://").parse()?;
    let reach =
        format!("busybox nc -w 5 10.0.2.2 {} </dev/null >/dev/null 2>&1; echo status $?", panel.port());
    assert_eq!(connected(&instance, &key, &reach).await?, "status 1");

    let shell = Shell { server: &server };
    shell.json(&["login", "--account", "demo", "-o", "json"])?;
    let details = shell.run(&["instance", "show", "reachable", "-o", "table"])?;
    let details = String::from_utf8(details.stdout)?;
    assert!(details.contains(&format!("ssh -p {} root@127.0.0.1", network["ssh"]["port"])), "{details}");

    // The owner finds it under the same address after a stop.
    for action in ["stop", "start"] {
        let done = customer.post(&format!("/instances/{}/actions/{action}", id(&made)), &json!({})).await?;
        customer.succeeded(&done["task"]).await?;
    }
    let again = shown(&customer, id(&made)).await?;
    assert_eq!(&again["network"], network);
    assert_eq!(connected(&again, &key, "hostname").await?, "reachable");
    Ok(())
}

/// With `outgoing` the same guest does reach the machine: so the test above tests something, and
/// the setting works.
#[tokio::test]
async fn a_guest_reaches_the_machine_where_the_operator_says_so() -> Result<()> {
    let dir = Server::folder()?;
    let config = dir.path().join("imprint.toml");
    let [first, last] = [25_000, 25_099];
    std::fs::write(&config, format!("[agent.network]\noutgoing = true\nssh_ports = \"{first}-{last}\"\n"))?;
    let server = Server::start_in(dir, &["--demo", "--config", tools::arg(&config)], &[]).await?;
    let customer = server.customer().await?;
    customer.running_instance("demo-1").await?;
    let (key, line) = make_key(&server)?;
    let image = customer.get("/images?scope=stock").await?;
    let more = json!({ "ssh_keys": [line], "memory_bytes": 128 << 20 });
    let made = customer.deploy(id(&image["items"][0]), "open", more).await?;
    let instance = shown(&customer, id(&made)).await?;
    let port = instance["network"]["ssh"]["port"].as_u64().context("the instance has a port")?;
    assert!((first..=last).contains(&port), "{port}");
    let panel: SocketAddr = server.url.trim_start_matches("http://").parse()?;
    let reach =
        format!("busybox nc -w 5 10.0.2.2 {} </dev/null >/dev/null 2>&1; echo status $?", panel.port());
    assert_eq!(connected(&instance, &key, &reach).await?, "status 0");
    Ok(())
}

/// A bridge of the machine without any other port, which ends with the test.
struct Bridge(String);

impl Bridge {
    fn new() -> Result<Self> {
        let name = format!("imt{}", std::process::id());
        tools::ok("ip", &["link", "add", "name", &name, "type", "bridge"])?;
        let bridge = Self(name);
        tools::ok("ip", &["link", "set", "dev", &bridge.0, "up"])?;
        Ok(bridge)
    }

    /// The devices that are plugged in, with the numbers of packets that came from their guests.
    fn devices(&self) -> Result<BTreeMap<String, u64>> {
        let ports = std::fs::read_dir(format!("/sys/class/net/{}/brif", self.0))?;
        let mut devices = BTreeMap::new();
        for port in ports {
            let name = port?.file_name().to_string_lossy().into_owned();
            let packets = std::fs::read_to_string(format!("/sys/class/net/{name}/statistics/rx_packets"))?;
            devices.insert(name, packets.trim().parse()?);
        }
        Ok(devices)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = tools::run("ip", &["link", "delete", "dev", &self.0]);
    }
}

#[tokio::test]
async fn a_card_on_a_bridge_is_there_while_its_instance_runs() -> Result<()> {
    let bridge = Bridge::new()?;
    let dir = Server::folder()?;
    let config = dir.path().join("imprint.toml");
    std::fs::write(&config, format!("[agent.network]\nkind = \"bridge\"\nbridge = \"{}\"\n", bridge.0))?;
    let server = Server::start_in(dir, &["--demo", "--config", tools::arg(&config)], &[]).await?;
    let customer = server.customer().await?;
    let first = customer.running_instance("demo-1").await?;
    let instance = shown(&customer, id(&first)).await?;
    assert_eq!((&instance["network"]["kind"], &instance["network"]["ssh"]), (&json!("bridge"), &Value::Null));
    // The guest asks for an address.
    let device = eventually("a packet of the guest on the bridge", async || {
        Ok(bridge.devices()?.into_iter().find(|(_, packets)| *packets > 0).map(|(name, _)| name))
    });
    let device = device.await?;
    let turn = async |action: &str| {
        let done = customer.post(&format!("/instances/{}/actions/{action}", id(&first)), &json!({})).await?;
        customer.succeeded(&done["task"]).await
    };
    turn("stop").await?;
    assert_eq!(bridge.devices()?, BTreeMap::new());
    turn("start").await?;
    assert_eq!(bridge.devices()?.into_keys().collect::<Vec<_>>(), [device]);
    let deleted = customer.delete(&format!("/instances/{}", id(&first))).await?;
    customer.succeeded(&deleted["task"]).await?;
    assert_eq!(bridge.devices()?, BTreeMap::new());
    Ok(())
}
