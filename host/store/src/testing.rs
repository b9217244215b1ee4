//! Real databases for tests: SQLite in a folder of its own, and a throwaway PostgreSQL.

use std::{
    fs::{self, File},
    io,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

use crate::Target;

/// The longest start of the server.
const START: Duration = Duration::from_secs(60);

/// A PostgreSQL server of our own, on a unix socket in a temporary folder; ended and removed with
/// the value.
pub struct PostgresServer {
    child: Child,
    folder: TempDir,
    databases: u32,
}

/// SQLite files in a temporary folder, removed with the value.
pub struct SqliteFolder {
    folder: TempDir,
    databases: u32,
}

impl SqliteFolder {
    /// Makes the folder.
    pub fn new() -> io::Result<Self> {
        Ok(Self { folder: TempDir::with_prefix("imprint-sqlite-")?, databases: 0 })
    }

    /// A fresh file.
    pub fn fresh(&mut self) -> Target {
        self.databases += 1;
        Target::SqliteFile(self.folder.path().join(format!("{}.db", self.databases)))
    }
}

impl PostgresServer {
    /// Makes a cluster with `initdb` and starts it. PostgreSQL refuses root, so as root it runs as
    /// the user `postgres`.
    pub async fn start() -> io::Result<Self> {
        let folder = TempDir::with_prefix("imprint-pg-")?;
        let owner = if geteuid().is_root() { Some(postgres_user()?) } else { None };
        if let Some((uid, gid)) = owner {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        let data = folder.path().join("data");
        let made = command("initdb", owner, folder.path())?
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()?;
        if !made.status.success() {
            return Err(io::Error::other(format!("initdb: {}", String::from_utf8_lossy(&made.stderr))));
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let log = File::create(folder.path().join("log"))?;
        let child = command("postgres", owner, folder.path())?
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-c"])
            .arg(format!("unix_socket_directories={}", folder.path().display()))
            .arg("-D")
            .arg(&data)
            .stderr(log)
            .spawn()?;
        let server = Self { child, folder, databases: 0 };
        server.wait_until_it_answers().await?;
        Ok(server)
    }

    async fn wait_until_it_answers(&self) -> io::Result<()> {
        let started = Instant::now();
        loop {
            match Database::connect(self.url("postgres")).await {
                Ok(connection) => return connection.close().await.map_err(io::Error::other),
                Err(error) if started.elapsed() > START => {
                    let log = fs::read_to_string(self.folder.path().join("log"))?;
                    return Err(io::Error::other(format!("postgres does not answer: {error}\n{log}")));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn url(&self, database: &str) -> String {
        let host = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{host}/{database}")
    }

    /// A fresh, empty database.
    pub async fn fresh(&mut self) -> io::Result<Target> {
        self.databases += 1;
        let name = format!("imprint_{}", self.databases);
        let connection = Database::connect(self.url("postgres")).await.map_err(io::Error::other)?;
        connection.execute_unprepared(&format!("create database {name}")).await.map_err(io::Error::other)?;
        connection.close().await.map_err(io::Error::other)?;
        Ok(Target::Postgres(self.url(&name)))
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // SIGINT: fast shutdown, which also gives back its shared memory.
        let signalled = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .map(|pid| kill_process(pid, Signal::INT));
        if !matches!(signalled, Some(Ok(()))) || self.child.wait().is_err() {
            let _ = self.child.kill();
        }
    }
}

/// Does at once what PostgreSQL's autovacuum does within a minute of many changes: counts what the
/// tables hold, so that statements are planned by it. SQLite plans without.
pub async fn analyze(target: &Target) -> io::Result<()> {
    match target {
        Target::SqliteFile(_) | Target::SqliteMemory => Ok(()),
        Target::Postgres(url) => {
            let connection = Database::connect(url).await.map_err(io::Error::other)?;
            connection.execute_unprepared("vacuum analyze").await.map_err(io::Error::other)?;
            connection.close().await.map_err(io::Error::other)
        }
    }
}

/// A program of PostgreSQL, from `PATH` or where Debian keeps it.
fn find(program: &str) -> io::Result<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    // The newest version first.
    folders.sort();
    folders.reverse();
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| io::Error::other(format!("{program} is missing; install the package postgresql")))
}

fn command(program: &str, owner: Option<(u32, u32)>, folder: &Path) -> io::Result<Command> {
    let mut command = Command::new(find(program)?);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    Ok(command)
}

/// Ids of the user `postgres`.
fn postgres_user() -> io::Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    users
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _password) = (fields.next()?, fields.next()?);
            let ids = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (name == "postgres").then_some(ids)
        })
        .next()
        .ok_or_else(|| io::Error::other("there is no user `postgres`; install the package postgresql"))
}
