//! A running Imprint with its own folders, port and passwords.

use std::{
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::{binary, client::Client, dist, eventually, process::Process};

/// The password of the account `admin`.
pub const ADMIN_PASSWORD: &str = "admin-password-of-the-tests";
/// The password of the account `demo`.
pub const DEMO_PASSWORD: &str = "demo-password-of-the-tests";

/// A demo server, with its agent in the same process or in one of its own.
pub struct Server {
    /// The folder for all of its data.
    pub dir: TempDir,
    /// The address, `http://127.0.0.1:PORT`.
    pub url: String,
    process: Process,
    agent: Option<Process>,
}

/// The name of the data folder of an agent in a process of its own.
const AGENT: &str = "agent-data";

impl Server {
    /// Starts a demo with everything in one process.
    pub async fn demo() -> Result<Self> {
        Self::start(&["--demo"], &[]).await
    }

    /// Starts a demo without an agent, which the test starts as a process of its own.
    pub async fn without_agent() -> Result<Self> {
        Self::start(&["--demo", "--no-agent"], &[]).await
    }

    /// Starts the binary with further arguments and variables.
    pub async fn start(args: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(Self::folder()?, args, env).await
    }

    /// Returns a new folder for [`Server::start_in`].
    pub fn folder() -> Result<TempDir> {
        Ok(tempfile::Builder::new().prefix("imprint-").tempdir()?)
    }

    /// Returns the folder of the customers' image storage of a server that is started in `dir`.
    pub fn image_storage_in(dir: &Path) -> PathBuf {
        dir.join("data/storage/images")
    }

    /// Starts the binary in a folder that the test has prepared.
    pub async fn start_in(dir: TempDir, args: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        let process = spawn(dir.path(), args, env)?;
        let mut server = Self { dir, url: String::new(), process, agent: None };
        server.url = server.wait_for_url().await?;
        Ok(server)
    }

    /// Starts the control plane again on the same data, after it ended.
    pub async fn restart(&mut self, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
        std::fs::remove_file(self.log_file())?;
        self.process = spawn(self.dir.path(), args, env)?;
        self.url = self.wait_for_url().await?;
        Ok(())
    }

    async fn wait_for_url(&mut self) -> Result<String> {
        eventually("the server to listen", async || {
            // Waiting longer does not help.
            if let Some(status) = self.process.ended()? {
                return Ok(Some(Err(anyhow!("the server ended with {status}: {}", self.process.log()))));
            }
            let log = self.process.log();
            let url =
                log.lines().find_map(|line| Some(line.split_once("listening on ")?.1.trim().to_owned()));
            Ok(url.map(Ok))
        })
        .await?
    }

    /// Returns a client of the customer account.
    pub async fn customer(&self) -> Result<Client> {
        Client::sign_in(&self.url, "demo", DEMO_PASSWORD).await
    }

    /// Returns a client of the admin account.
    pub async fn admin(&self) -> Result<Client> {
        Client::sign_in(&self.url, "admin", ADMIN_PASSWORD).await
    }

    /// Starts the agent as a process of its own; `fault` is the value of `IMPRINT_FAULT`.
    pub async fn start_agent(&mut self, fault: Option<&str>) -> Result<()> {
        self.start_agent_with(&[], fault).await
    }

    /// Starts the agent with further arguments.
    pub async fn start_agent_with(&mut self, args: &[&str], fault: Option<&str>) -> Result<()> {
        let token = self.dir.path().join("agent-token");
        if !token.is_file() {
            let admin = self.admin().await?;
            let list = admin.get("/admin/hypervisors").await?;
            let id = list["items"][0]["id"].as_str().context("the demo has a hypervisor")?.to_owned();
            let created =
                admin.post(&format!("/admin/hypervisors/{id}/tokens"), &serde_json::json!({})).await?;
            std::fs::write(&token, created["token"].as_str().context("a token is shown once")?)?;
        }
        share_compiled_plugins(&self.dir.path().join(AGENT))?;
        let mut command = Command::new(binary()?);
        command.args(["agent", "--control-plane", &self.url, "--token-file"]).arg(&token);
        command
            .arg("--data-dir")
            .arg(self.dir.path().join(AGENT))
            .arg("--run-dir")
            .arg(self.dir.path().join("run"))
            .args(args);
        if let Some(fault) = fault {
            command.env("IMPRINT_FAULT", fault);
        }
        self.agent = Some(Process::start(&mut command, &self.dir.path().join("agent.log"))?);
        Ok(())
    }

    /// Returns the agent's process.
    pub fn agent(&mut self) -> Result<&mut Process> {
        self.agent.as_mut().context("the agent was not started")
    }

    /// Returns the server's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// Returns what the server and the agent have printed.
    pub fn logs(&self) -> String {
        let agent = self.agent.as_ref().map(Process::log).unwrap_or_default();
        format!("{}\n{agent}", self.process.log())
    }

    /// Returns the folder of the agent's files.
    pub fn agent_dir(&self) -> PathBuf {
        let own = self.dir.path().join(AGENT).join("agent");
        if own.is_dir() { own } else { self.dir.path().join("data/agent") }
    }

    /// Returns the binary as a client of this server, with the token of an account.
    pub fn command_line(&self, account: &Client) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.env("IMPRINT_CREDENTIALS", self.dir.path().join("no-credentials"));
        command.env("IMPRINT_SERVER", &self.url).env("IMPRINT_TOKEN", account.token());
        Ok(command)
    }

    /// Runs a command as an account, and returns its answer, which is JSON.
    pub fn run(&self, account: &Client, args: &[&str]) -> Result<Value> {
        let output = self.command_line(account)?.args(args).args(["--output", "json"]).output()?;
        if !output.status.success() {
            bail!("imprint {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Returns what an instance has printed on its console.
    pub fn console(&self, instance: &str) -> String {
        let path = self.agent_dir().join("instances").join(instance).join("console.log");
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Waits for a line on an instance's console.
    pub async fn console_says(&self, instance: &str, words: &str) -> Result<String> {
        let what = format!("`{words}` on the console");
        let seen = eventually(&what, async || {
            // A line that is still being written is not read.
            let console = self.console(instance);
            let mut lines = console.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            Ok(lines.find(|line| line.contains(words)).map(|line| line.trim_end().to_owned()))
        });
        seen.await.with_context(|| format!("console: {}", self.console(instance)))
    }

    /// Returns the process id of an instance.
    pub fn instance_pid(&self, instance: &str) -> Result<u32> {
        let path = self.agent_dir().join("instances").join(instance).join("pid");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{} is missing", path.display()))?;
        Ok(text.trim().parse()?)
    }

    /// Returns the paths of the files in the customers' image storage, relative to it.
    pub fn stored_files(&self) -> Result<Vec<PathBuf>> {
        let is_marker = |path: &Path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".imprint-storage."))
        };
        let mut found = Vec::new();
        let mut open = vec![self.image_storage()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir)? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                } else if !is_marker(&path) {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Returns the folder of the customers' image storage.
    pub fn image_storage(&self) -> PathBuf {
        Self::image_storage_in(self.dir.path())
    }
}

/// What the configurations of tests have in common: a capture without room fails at once, instead
/// of being tried again half an hour later.
pub const CONFIG: &str = "[captures]\nroom_retry_minutes = 0\n";

/// Lets a process use the plugins that were compiled for another one of the tests: it takes six
/// seconds of processor time, and hundreds of them are started.
pub fn share_compiled_plugins(data_dir: &Path) -> Result<()> {
    let (shared, own) = (dist()?.join("compiled-plugins"), data_dir.join("cache/plugins"));
    if !own.exists() {
        let mut folders = std::fs::DirBuilder::new();
        folders.recursive(true).mode(0o700);
        folders.create(&shared)?;
        folders.create(data_dir.join("cache"))?;
        std::os::unix::fs::symlink(shared, own)?;
    }
    Ok(())
}

fn spawn(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<Process> {
    share_compiled_plugins(&dir.join("data"))?;
    let mut command = Command::new(binary()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.join("data"));
    command.arg("--run-dir").arg(dir.join("run"));
    if !args.contains(&"--config") {
        let config = dir.join("tests.toml");
        std::fs::write(&config, CONFIG)?;
        command.arg("--config").arg(config);
    }
    if !args.contains(&"--stock-image") {
        command.arg("--stock-image").arg(dist()?.join("guest/writing/stock-linux.raw"));
    }
    command
        .args(args)
        .env("IMPRINT_ADMIN_PASSWORD", ADMIN_PASSWORD)
        .env("IMPRINT_DEMO_PASSWORD", DEMO_PASSWORD);
    command.envs(env.iter().copied());
    Process::start(&mut command, &dir.join("server.log"))
}

impl Drop for Server {
    fn drop(&mut self) {
        // Guests of an agent process outlive it by design; a test does not.
        let instances = self.agent_dir().join("instances");
        for entry in std::fs::read_dir(instances).into_iter().flatten().flatten() {
            let pid = std::fs::read_to_string(entry.path().join("pid"))
                .ok()
                .and_then(|text| text.trim().parse().ok());
            if let Some(pid) = pid {
                let _ = crate::process::signal(pid, rustix::process::Signal::KILL);
            }
        }
    }
}
