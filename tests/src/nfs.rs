//! A real NFS server: nfs-ganesha in a network namespace of its own, with an address that the
//! machine reaches over a virtual wire. Its exports are folders of the test.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    eventually,
    process::{Process, signal},
    tools,
};

/// The user who owns the exports, and the one that has no rights in them.
pub const OWNER: u32 = 4_321;
/// See [`OWNER`].
pub const STRANGER: u32 = 4_322;

/// A server with the exports `images`, `read-only`, `privileged` (for clients at a port below 1024)
/// and `small` (of 96 MiB).
pub struct NfsServer {
    /// The address.
    pub address: String,
    folder: TempDir,
    namespace: String,
    wire: String,
    port_mapper: Process,
    server: Option<Process>,
    _small: Loop,
}

impl NfsServer {
    /// Starts a server.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nfs-").tempdir()?;
        for name in ["images", "read-only", "privileged", "small", "state"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        let small = Loop::mount(&folder.path().join("small.img"), &folder.path().join("small"))?;
        let owner = Some(OWNER);
        for name in ["images", "read-only", "privileged", "small"] {
            std::os::unix::fs::chown(folder.path().join(name), owner, owner)?;
        }
        std::fs::write(folder.path().join("ganesha.conf"), configuration(folder.path()))?;
        let id = std::process::id();
        let (namespace, wire) = (format!("imprint-{id}"), format!("imp{id}"));
        // Of this process alone: two tests run in two processes.
        let subnet = format!("10.231.{}", id % 251);
        let (own, address) = (format!("{subnet}.1"), format!("{subnet}.2"));
        namespace_with_wire(&namespace, &wire, &own, &address)?;
        // With a `/run` of its own, for the files by which it is found there.
        let script = "mount -t tmpfs tmpfs /run && exec rpcbind -f";
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace, "unshare", "-m", "sh", "-c", script]);
        let port_mapper = Process::start(with_path(&mut command), &folder.path().join("rpcbind.log"))?;
        let mut started = Self { address, folder, namespace, wire, port_mapper, server: None, _small: small };
        eventually("the port mapper to listen", async || {
            if let Some(status) = started.port_mapper.ended()? {
                bail!("rpcbind ended with {status}: {}", started.port_mapper.log());
            }
            Ok(std::net::TcpStream::connect((started.address.as_str(), 111)).ok().map(drop))
        })
        .await?;
        started.start_server().await?;
        Ok(started)
    }

    /// Starts the server again, after it was killed.
    pub async fn start_server(&mut self) -> Result<()> {
        let log = self.folder.path().join("ganesha.log");
        let _ = std::fs::remove_file(&log);
        let inside = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.port_mapper.pid().to_string(), "-m", "-n", "ganesha.nfsd", "-F"]);
        command.args(["-f", &inside("ganesha.conf"), "-L", &inside("ganesha.log"), "-p", &inside("pid")]);
        let mut server = Process::start(with_path(&mut command), &self.folder.path().join("ganesha.out"))
            .context("`cargo xtask test` installs nfs-ganesha")?;
        eventually("the NFS server to start", async || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = server.ended()? {
                bail!("nfs-ganesha ended with {status}: {said}");
            }
            Ok(said.contains("NFS SERVER INITIALIZED").then_some(()))
        })
        .await?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills the server, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().context("the server runs")?.kill()
    }

    /// Stops the server in what it does, or lets it go on.
    pub fn hang(&self, hangs: bool) -> Result<()> {
        let server = self.server.as_ref().context("the server runs")?;
        signal(server.pid(), if hangs { Signal::STOP } else { Signal::CONT })
    }

    /// Limits what the wire carries to the server, in megabits in a second.
    pub fn slow_down(&self, megabits: u32) -> Result<()> {
        let rate = format!("{megabits}mbit");
        let wire = self.wire.as_str();
        let limit = ["root", "tbf", "rate", &rate, "burst", "128kb", "latency", "400ms"];
        tools::ok("tc", &[&["qdisc", "replace", "dev", wire][..], &limit[..]].concat()).map(drop)
    }

    /// Lets the wire carry what it can.
    pub fn speed_up(&self) -> Result<()> {
        tools::ok("tc", &["qdisc", "del", "dev", &self.wire, "root"]).map(drop)
    }

    /// Fills the file system of an export, and returns the file that does.
    pub fn fill(&self, export: &str) -> Result<PathBuf> {
        let path = self.export(export).join("filler");
        let mut file = std::fs::File::create(&path)?;
        let zeroes = vec![0; 1 << 20];
        loop {
            match std::io::Write::write(&mut file, &zeroes) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(path),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns the path of an export, which is the same on the server and in the test.
    pub fn export(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the files below an export, temporary ones as well, without the markers of storages.
    pub fn files(&self, export: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut open = vec![self.export(export)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if path.is_dir() {
                    open.push(path);
                } else if !name.starts_with(".imprint-storage.") {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

impl Drop for NfsServer {
    fn drop(&mut self) {
        // A stopped process does not end before it goes on.
        let _ = self.hang(false);
        self.server = None;
        let _ = self.port_mapper.kill();
        let _ = tools::run("ip", &["link", "del", &self.wire]);
        let _ = tools::run("ip", &["netns", "del", &self.namespace]);
    }
}

/// A mounted file system in a file of 96 MiB: the server exports none that is in memory.
struct Loop(PathBuf);

impl Loop {
    fn mount(image: &Path, path: &Path) -> Result<Self> {
        std::fs::File::create(image)?.set_len(96 << 20)?;
        tools::ok("mke2fs", &["-q", "-F", "-t", "ext4", "-m", "0", tools::arg(image)])?;
        tools::ok("mount", &["-o", "loop", tools::arg(image), tools::arg(path)])?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = tools::run("umount", &["-l", tools::arg(&self.0)]);
    }
}

fn with_path(command: &mut Command) -> &mut Command {
    command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
}

/// Makes a namespace with the second end of a new wire in it.
fn namespace_with_wire(namespace: &str, wire: &str, own: &str, address: &str) -> Result<()> {
    let far = format!("{wire}n");
    let ip = |args: &[&str]| tools::ok("ip", args).map(drop);
    ip(&["netns", "add", namespace])?;
    ip(&["link", "add", wire, "type", "veth", "peer", "name", &far, "netns", namespace])?;
    ip(&["addr", "add", &format!("{own}/30"), "dev", wire])?;
    ip(&["link", "set", wire, "up"])?;
    ip(&["-n", namespace, "addr", "add", &format!("{address}/30"), "dev", &far])?;
    ip(&["-n", namespace, "link", "set", &far, "up"])?;
    ip(&["-n", namespace, "link", "set", "lo", "up"])
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let export = |id: u32, name: &str, access: &str| {
        let privileged = name == "privileged";
        format!(
            "EXPORT {{ Export_Id = {id}; Path = \"{folder}/{name}\"; Pseudo = \"/{name}\"; Access_Type = {access}; \
             PrivilegedPort = {privileged}; Squash = None; Protocols = 3; Transports = TCP; SecType = sys; FSAL {{ Name = VFS; }} }}\n"
        )
    };
    format!(
        "NFS_CORE_PARAM {{ Protocols = 3; Enable_NLM = false; Enable_RQUOTA = false; }}\n\
         NFSV4 {{ RecoveryRoot = \"{folder}/state\"; RecoveryBackend = fs; Grace_Period = 5; Lease_Lifetime = 5; }}\n\
         {}{}{}{}LOG {{ Default_Log_Level = EVENT; }}\n",
        export(1, "images", "RW"),
        export(2, "read-only", "RO"),
        export(3, "small", "RW"),
        export(4, "privileged", "RW"),
    )
}
