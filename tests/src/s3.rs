//! A real S3 server on loopback: `s3s-fs`, which keeps each bucket in a folder.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{eventually, process::Process};

/// The access key of the server.
pub const ACCESS_KEY: &str = "AKIATESTS";
/// The secret key of the server: nothing of ours may print or store it.
pub const SECRET_KEY: &str = "s3-secret-key-of-the-tests";

/// A running server with one bucket.
pub struct S3Server {
    /// The address, `http://127.0.0.1:PORT`.
    pub url: String,
    folder: TempDir,
    process: Process,
}

impl S3Server {
    /// The name of the bucket.
    pub const BUCKET: &str = "images";

    /// Starts a server and makes its bucket.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("s3-").tempdir()?;
        std::fs::create_dir_all(folder.path().join("root").join(Self::BUCKET))?;
        let mut command = Command::new("s3s-fs");
        command.args(["--host", "127.0.0.1", "--port", "0", "--access-key", ACCESS_KEY, "--secret-key"]);
        command.arg(SECRET_KEY).arg(folder.path().join("root")).env("RUST_LOG", "s3s_fs=info");
        let process = Process::start(&mut command, &folder.path().join("server.log"))
            .context("`cargo xtask test` installs s3s-fs")?;
        let mut server = Self { url: String::new(), folder, process };
        server.url = eventually("the S3 server to listen", async || {
            if let Some(status) = server.process.ended()? {
                bail!("the S3 server ended with {status}: {}", server.process.log());
            }
            let log = server.process.log();
            Ok(log
                .split_once("running at ")
                .map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default().to_owned()))
        })
        .await?;
        Ok(server)
    }

    /// Returns the server's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Puts an object into the bucket, as another program would.
    pub fn put(&self, key: &str, content: &Path) -> Result<()> {
        let path = self.root().join(Self::BUCKET).join(key);
        std::fs::create_dir_all(path.parent().context("an object is in the bucket")?)?;
        std::fs::copy(content, path)?;
        Ok(())
    }

    /// Returns the files of the objects in the bucket.
    pub fn objects(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut open = vec![self.root().join(Self::BUCKET)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() { open.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Returns the files that the server keeps for uploads in progress.
    pub fn left_over_parts(&self) -> Result<Vec<PathBuf>> {
        let is_part = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.contains("upload")
        };
        let entries = std::fs::read_dir(self.root())?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        Ok(paths.into_iter().filter(|path| path.is_file() && is_part(path)).collect())
    }
}
