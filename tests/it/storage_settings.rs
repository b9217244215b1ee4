//! Settings and secrets of image storages through the real binary: a connection test names what is
//! wrong, and a secret is nowhere but in the memory of those who use it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    client::{Client, id},
    dist, eventually,
    server::Server,
    tools,
};
use serde_json::{Value, json};

const SECRET: &str = "correct-horse-7f3a-battery-staple";

/// A plugin for folders with a key: the shipped one, with a manifest of its own.
const MANIFEST: &str = r#"
schema = 1
[plugin]
id = "storage-vault"
version = "0.1.0"
kinds = ["storage"]
summary = "A folder behind a key"
requires.host = ">=0.1, <0.2"
[config]
schema = '{"type":"object","properties":{"path":{"type":"string","pattern":"^/"},"key":{"type":"string","writeOnly":true,"minLength":8}},"required":["path","key"]}'
[[capabilities.dir]]
id = "pool"
access = "read-write"
"#;

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Returns a component with another manifest: the section at its end is replaced.
fn with_manifest(component: &[u8], manifest: &str) -> Result<Vec<u8>> {
    const NAME: &[u8] = b"imprint:manifest";
    let name = component.windows(NAME.len()).rposition(|part| part == NAME).context("it has a manifest")?;
    let body = name - 1;
    let start = body - leb128(component.len() - body).len() - 1;
    let mut section = leb128(NAME.len());
    section.extend_from_slice(NAME);
    section.extend_from_slice(manifest.as_bytes());
    let mut bytes = component.get(..start).context("the section is at the end")?.to_vec();
    bytes.push(0);
    bytes.extend(leb128(section.len()));
    bytes.extend(section);
    Ok(bytes)
}

struct Demo {
    server: Server,
    admin: Client,
    config: PathBuf,
    hypervisor: String,
    answers: Vec<Value>,
}

impl Demo {
    async fn start() -> Result<Self> {
        let dir = Server::folder()?;
        let plugins = dir.path().join("plugins");
        fs::create_dir(&plugins)?;
        let shipped =
            fs::read(dist()?.join("plugins/storage-local.wasm")).context("the plugins are not built")?;
        fs::write(plugins.join("vault.wasm"), with_manifest(&shipped, MANIFEST)?)?;
        let config = dir.path().join("imprint.toml");
        fs::write(&config, format!("[plugins]\ndir = {plugins:?}\n"))?;
        let server = Server::start_in(dir, &["--demo", "--config", tools::arg(&config)], &[]).await?;
        let admin = server.admin().await?;
        let hypervisor = id(&admin.get("/admin/hypervisors").await?["items"][0]).to_owned();
        let demo = Self { server, admin, config, hypervisor, answers: Vec::new() };
        demo.agent_is_there().await?;
        Ok(demo)
    }

    /// Waits until the agent has reported its plugins and is online.
    async fn agent_is_there(&self) -> Result<()> {
        eventually("the agent to report its kinds of storages", async || {
            let kinds = self.admin.get("/admin/storage-kinds").await?;
            let hosts = self.admin.get("/admin/hypervisors").await?;
            let both = kinds["items"].as_array().is_some_and(|items| items.len() >= 2);
            Ok((both && hosts["items"][0]["online"] == json!(true)).then_some(()))
        })
        .await
    }

    /// Runs a connection test and returns what it found.
    async fn test(&mut self, path: &str, mut body: Value) -> Result<Value> {
        body["hypervisor_id"] = json!(self.hypervisor);
        let task = self.admin.post(path, &body).await?;
        let task = self.admin.finished(&task).await?;
        ensure!(task["state"] == "succeeded", "{task}");
        self.answers.push(task.clone());
        Ok(task["storage_test"].clone())
    }

    async fn restart(&mut self) -> Result<()> {
        self.server.process().stop().await?;
        self.server.restart(&["--demo", "--config", tools::arg(&self.config)], &[]).await?;
        self.admin = self.server.admin().await?;
        self.agent_is_there().await
    }

    /// Waits until the agent can use the storage of that name.
    async fn usable(&mut self, name: &str, after: Option<&str>) -> Result<Value> {
        let seen = eventually("the agent to use the storage", async || {
            let storages = self.admin.get("/admin/image-storages").await?;
            let found = storages["items"].as_array().into_iter().flatten().find(|one| one["name"] == name);
            let found = found.cloned().context("the storage is listed")?;
            let new = found["seen_at"].as_str().is_some_and(|at| after.is_none_or(|after| at > after));
            // Free space is reported by an agent that has opened the storage, and by no other.
            Ok((new && found["available_bytes"].is_u64()).then_some(found))
        })
        .await?;
        self.answers.push(seen.clone());
        Ok(seen)
    }

    fn key_file(&self) -> PathBuf {
        self.server.dir.path().join("data/secrets.key")
    }

    /// Runs a command of an admin, and returns its exit status and its answer.
    fn shell(&self, args: &[&str]) -> Result<(Option<i32>, Value)> {
        let output = Command::new(binary()?)
            .args(args)
            .args(["--output", "json"])
            .env("IMPRINT_SERVER", &self.server.url)
            .env("IMPRINT_TOKEN", self.admin.token())
            .output()?;
        let answer = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok((output.status.code(), answer))
    }

    fn rotate(&self) -> Result<Value> {
        let (status, answer) = self.shell(&["admin", "secrets", "rotate"])?;
        ensure!(status == Some(0), "{answer}");
        Ok(answer)
    }
}

fn failed_step(test: &Value) -> &Value {
    let steps = test["steps"].as_array().into_iter().flatten();
    steps.clone().find(|step| step["status"] == "failed").unwrap_or(&Value::Null)
}

/// Every file below a folder that holds the bytes.
fn files_with(dir: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if path.extension().is_none_or(|kind| kind != "sock") {
            let content = fs::read(&path).unwrap_or_default();
            if content.windows(bytes.len()).any(|part| part == bytes) {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn a_connection_test_names_the_setting_and_a_secret_stays_secret() -> Result<()> {
    let mut demo = Demo::start().await?;
    let pool = demo.server.dir.path().join("pool");
    let actions = "/admin/image-storages/actions/test";
    let folder = |path: &Path| json!({"kind": "local", "role": "customer", "settings": {"path": path}});

    // A folder that is not there, one that is a file, and one that is good.
    let setting = format!("path={}", pool.display());
    let hypervisor = demo.hypervisor.clone();
    let command = ["storage", "test", "--kind", "local", "--set", &setting, "--hypervisor", &hypervisor];
    let (status, typed) = demo.shell(&command)?;
    assert_eq!(status, Some(1), "{typed}");
    assert_eq!(failed_step(&typed["storage_test"])["setting"], "path", "{typed}");
    let missing = demo.test(actions, folder(&pool)).await?;
    assert_eq!(missing["passed"], false);
    assert_eq!(failed_step(&missing)["setting"], "path", "{missing}");
    let file = demo.test(actions, folder(&demo.config.clone())).await?;
    assert_eq!(failed_step(&file)["setting"], "path", "{file}");
    fs::create_dir(&pool)?;
    let good = demo.test(actions, folder(&pool)).await?;
    assert_eq!(good["passed"], true, "{good}");
    assert_eq!(demo.shell(&command)?.0, Some(0));
    let left: Vec<_> = fs::read_dir(&pool)?.flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with('.')), "{left:?}");

    // A storage with a secret: refused without it, tested before and after it is stored.
    let mut vault = json!({"kind": "vault", "role": "customer", "settings": {"path": pool}});
    let mut refused = vault.clone();
    refused["hypervisor_id"] = json!(demo.hypervisor);
    let refused = demo.admin.send(reqwest::Method::POST, actions, Some(&refused), &[]).await?;
    assert_eq!(refused.body["errors"][0]["pointer"], "/secrets/key", "{refused:?}");
    vault["secrets"] = json!({"key": SECRET});
    assert_eq!(demo.test(actions, vault.clone()).await?["passed"], true);
    vault["name"] = json!("vault");
    let headers = [("Idempotency-Key", "make-the-vault")];
    let made =
        demo.admin.send(reqwest::Method::POST, "/admin/image-storages", Some(&vault), &headers).await?;
    assert_eq!(made.body["secrets"][0]["name"], "key", "{made:?}");
    let storage = id(&made.body).to_owned();
    demo.answers.push(made.body);
    let bind = format!("/admin/image-storages/{storage}/hypervisors/{}", demo.hypervisor);
    demo.admin.send(reqwest::Method::PUT, &bind, None, &[]).await?;
    let seen = demo.usable("vault", None).await?;
    let stored = demo.test(&format!("/admin/image-storages/{storage}/actions/test"), json!({})).await?;
    assert_eq!(stored["passed"], true, "{stored}");

    // A new key in front of the old one, then without the old one.
    assert_eq!(demo.rotate()?["resealed"], 0);
    let old = fs::read_to_string(demo.key_file())?;
    let new = "5a".repeat(32);
    fs::write(demo.key_file(), format!("{new}\n{old}"))?;
    demo.restart().await?;
    assert_eq!(demo.rotate()?["resealed"], 1);
    fs::write(demo.key_file(), format!("{new}\n"))?;
    demo.restart().await?;
    demo.usable("vault", seen["seen_at"].as_str()).await?;

    // Neither on the disk, nor in a log, nor in an answer.
    for path in ["/tasks", "/admin/image-storages", "/admin/hypervisors"] {
        demo.answers.push(demo.admin.get(path).await?);
    }
    for answer in &demo.answers {
        assert!(!answer.to_string().contains(SECRET), "{answer}");
    }
    assert!(!demo.server.logs().contains(SECRET), "a log has the secret");
    let found = files_with(demo.server.dir.path(), SECRET.as_bytes());
    assert!(found.is_empty(), "{found:?}");

    // Without the key the server does not start, and says which key is missing.
    fs::write(demo.key_file(), format!("{}\n", "0b".repeat(32)))?;
    demo.server.process().stop().await?;
    let error =
        demo.server.restart(&["--demo", "--config", tools::arg(&demo.config)], &[]).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("not in the server's key file"), "{error}");
    Ok(())
}
