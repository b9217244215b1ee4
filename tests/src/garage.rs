//! A real Garage on loopback: a service that follows the API of S3 less closely than others. It is
//! used where `cargo xtask setup --garage` has built it, because that takes half an hour.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    eventually,
    process::Process,
    tools::{self, free_ports},
};

/// The access key of the server. Garage takes no other form.
pub const ACCESS_KEY: &str = "GK0123456789abcdef01234567";
/// The secret key of the server: nothing of ours may print or store it.
pub const SECRET_KEY: &str = "5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c";
/// The secret by which its nodes know each other.
const RPC_SECRET: &str = "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a";

/// A running server of one node with one bucket.
pub struct Garage {
    /// The address, `http://127.0.0.1:PORT`.
    pub url: String,
    program: PathBuf,
    folder: TempDir,
    process: Process,
}

/// What is in a bucket.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Complete objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Uploads that were neither completed nor aborted.
    pub uploads: u64,
}

/// Returns the program, where `cargo xtask setup --garage` puts it; `None` where it was not built.
fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("imprint/garage/bin/garage")).filter(|path| path.is_file())
}

impl Garage {
    /// The name of the bucket.
    pub const BUCKET: &str = "images";

    /// Starts a server and makes its bucket. Without the program it says so and returns `None`.
    pub async fn start() -> Result<Option<Self>> {
        let Some(program) = program() else {
            eprintln!(
                "GARAGE IS NOT BUILT, so this test did not run; build it with `cargo xtask setup --garage`"
            );
            return Ok(None);
        };
        let folder = tempfile::Builder::new().prefix("garage-").tempdir()?;
        let at = folder.path().display();
        let [rpc, s3, admin] = free_ports()?;
        let config = folder.path().join("garage.toml");
        std::fs::write(
            &config,
            format!(
                "metadata_dir = \"{at}/meta\"\ndata_dir = \"{at}/data\"\ndb_engine = \"lmdb\"\nreplication_factor = \
                 1\nrpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \
                 \"{RPC_SECRET}\"\n[s3_api]\ns3_region = \"garage\"\napi_bind_addr = \
                 \"127.0.0.1:{s3}\"\nroot_domain = \".s3.garage.localhost\"\n[admin]\napi_bind_addr = \
                 \"127.0.0.1:{admin}\"\n"
            ),
        )?;
        let mut command = Command::new(&program);
        command.arg("-c").arg(&config).args(["server", "--single-node", "--default-bucket"]);
        command.env("GARAGE_DEFAULT_ACCESS_KEY", ACCESS_KEY).env("GARAGE_DEFAULT_SECRET_KEY", SECRET_KEY);
        command.env("GARAGE_DEFAULT_BUCKET", Self::BUCKET);
        let process = Process::start(&mut command, &folder.path().join("server.log"))?;
        let mut garage = Self { url: format!("http://127.0.0.1:{s3}"), program, folder, process };
        let health = format!("http://127.0.0.1:{admin}/health");
        let http = Client::builder().build()?;
        eventually("Garage to answer", async || {
            if let Some(status) = garage.process.ended()? {
                // Waiting longer does not help.
                panic!("Garage ended with {status}: {}", garage.process.log());
            }
            let healthy = http.get(&health).send().await.is_ok_and(|answer| answer.status().is_success());
            // The bucket is made after the server listens.
            Ok((healthy && garage.contents().is_ok()).then_some(()))
        })
        .await?;
        Ok(Some(garage))
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let config = self.folder.path().join("garage.toml");
        tools::ok(tools::arg(&self.program), &[&["-c", tools::arg(&config)], args].concat())
    }

    /// Returns what is in the bucket, as Garage counts it.
    pub fn contents(&self) -> Result<Contents> {
        let wanted = format!("{{\"globalAlias\": \"{}\"}}", Self::BUCKET);
        let answer: Value = serde_json::from_str(&self.run(&["json-api", "GetBucketInfo", &wanted])?)?;
        let number = |name: &str| answer[name].as_u64().with_context(|| format!("no {name}: {answer}"));
        if answer["keys"].as_array().is_none_or(Vec::is_empty) {
            bail!("no key may use the bucket yet: {answer}");
        }
        Ok(Contents {
            objects: number("objects")?,
            bytes: number("bytes")?,
            uploads: number("unfinishedUploads")?,
        })
    }

    /// Sets the most bytes that the bucket takes, such as `1MiB`, or `none`.
    pub fn set_quota(&self, size: &str) -> Result<()> {
        self.run(&["bucket", "set-quotas", Self::BUCKET, "--max-size", size]).map(drop)
    }
}
