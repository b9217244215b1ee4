//! The agent is killed at every journalled step of a capture. After its restart the guest is thawed
//! and runs, nothing is left inside QEMU or on disk, the task ends or is tried again, and the next
//! capture works.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use imprint_tests::{
    binary,
    client::{Client, id},
    eventually,
    ledger::{self, last_sequence},
    server::Server,
};
use serde_json::{Value, json};

/// A monitor of the hypervisor, spoken to by the test itself.
struct Monitor(BufReader<UnixStream>);

impl Monitor {
    fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("{}", socket.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut monitor = Self(BufReader::new(stream));
        monitor.receive()?;
        monitor.ask("qmp_capabilities")?;
        Ok(monitor)
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("monitor said {line:?}"))
    }

    fn ask(&mut self, command: &str) -> Result<Value> {
        writeln!(self.0.get_mut(), "{}", json!({"execute": command}))?;
        loop {
            let answer = self.receive()?;
            if answer.get("return").is_some() || answer.get("error").is_some() {
                return Ok(answer);
            }
        }
    }
}

/// The steps of a capture, as the binary lists them; those of other work are left out.
fn steps() -> Result<Vec<String>> {
    let output = Command::new(binary()?).args(["agent", "--list-fault-steps"]).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let other = [
        "new-instance",
        "reinstalling",
        "changing-devices",
        "launching",
        "launched",
        "removing",
        "removed",
        "merging",
        "replacing",
        "replaced",
        "receiving",
    ];
    let all = String::from_utf8(output.stdout)?;
    Ok(all.split_whitespace().filter(|step| !other.contains(step)).map(str::to_owned).collect())
}

fn files_below(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            names.extend(files_below(&entry.path()))
        } else {
            names.push(entry.path().display().to_string())
        }
    }
    names
}

fn node_names(answer: &Value) -> Vec<String> {
    let nodes = answer["return"].as_array().into_iter().flatten();
    nodes.filter_map(|node| node["node-name"].as_str().map(str::to_owned)).collect()
}

/// Nothing of a capture is left: not in QEMU, not on disk, and the guest writes.
pub(crate) async fn nothing_is_left(server: &Server, instance: &str) -> Result<()> {
    let socket = server.dir.path().join(format!("run/{instance}/qmp.sock"));
    eventually("QEMU to be as before", async || {
        let mut monitor = Monitor::open(&socket)?;
        let exports = monitor.ask("query-block-exports")?;
        let nodes = node_names(&monitor.ask("query-named-block-nodes")?);
        let status = monitor.ask("query-status")?;
        let clean = exports["return"] == json!([])
            && !nodes.iter().any(|node| node.starts_with("imprint-"))
            && status["return"]["running"] == true;
        if clean { Ok(Some(())) } else { bail!("exports {exports}, status {status}, nodes {nodes:?}") }
    })
    .await?;
    let agent = server.agent_dir();
    eventually("scratch, journal and sockets to be removed", async || {
        let dirs = [
            agent.join("scratch"),
            agent.join("journal"),
            server.dir.path().join("run/nbd"),
            server.image_storage().join(".tmp"),
        ];
        let left: Vec<_> = dirs.iter().flat_map(|dir| files_below(dir)).collect();
        if left.is_empty() { Ok(Some(())) } else { bail!("left behind: {left:?}") }
    })
    .await?;
    let now = last_sequence(&server.console(instance));
    eventually("the guest to write", async || {
        Ok((last_sequence(&server.console(instance)) > now).then_some(()))
    })
    .await
}

async fn kill_at(server: &mut Server, customer: &Client, instance: &str, step: &str) -> Result<()> {
    server.start_agent(Some(&format!("kill@{step}"))).await?;
    let body = json!({"source": {"type": "instance", "id": instance}, "name": format!("killed at {step}")});
    let accepted =
        eventually("the agent to be online", async || Ok(Some(customer.post("/images", &body).await?)))
            .await?;
    let status = eventually("the agent to be killed", async || server.agent()?.ended()).await?;
    assert!(!status.success(), "killed at {step}");
    server.start_agent(None).await?;
    let task = customer.finished(&accepted["task"]).await?;
    assert_eq!(task["state"], "succeeded", "killed at {step}: {task}\n{}", server.logs());
    nothing_is_left(server, instance).await.with_context(|| format!("killed at {step}"))?;
    let image = customer.get(&format!("/images/{}", id(&accepted["image"]))).await?;
    assert_eq!(image["status"], "available", "killed at {step}: {image}");
    let files = server.stored_files()?;
    assert_eq!(files.len(), 1, "killed at {step}: {files:?}");
    let captured = ledger::inspect(&files[0], "qcow2")?;
    assert!(captured.verification.is_consistent(), "killed at {step}: {captured:?}");
    let deleted = customer.delete(&format!("/images/{}", id(&image))).await?;
    customer.succeeded(&deleted["task"]).await?;
    server.agent()?.stop().await.map(drop)
}

#[tokio::test]
async fn a_killed_agent_leaves_a_running_guest_and_nothing_else() -> Result<()> {
    let mut server = Server::without_agent().await?;
    server.start_agent(None).await?;
    let customer = server.customer().await?;
    let instance = customer.running_instance("demo-1").await?;
    let instance = id(&instance).to_owned();
    server.console_says(&instance, "LEDGER seq=").await?;
    server.agent()?.stop().await?;
    let steps = steps()?;
    assert!(steps.len() >= 10, "{steps:?}");
    for step in steps {
        kill_at(&mut server, &customer, &instance, &step).await.with_context(|| format!("step {step}"))?;
    }
    Ok(())
}
