//! The configuration file (TOML). Everything has a default; command-line flags override it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use imprint_http_client::PrivateNetworks;
use ipnet::IpNet;
use serde::Deserialize;

use crate::mover::Isolation;

/// The file given with `--config`. Unknown keys are refused, so that a misspelt one is noticed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FileConfig {
    pub(crate) server: ServerSection,
    pub(crate) database: DatabaseSection,
    pub(crate) agent: AgentSection,
    pub(crate) plugins: PluginSection,
    pub(crate) mover: MoverSection,
    pub(crate) secrets: SecretsSection,
    /// Image storages.
    pub(crate) storages: StoragesSection,
    /// Images of instances.
    pub(crate) captures: CapturesSection,
    /// Imported images.
    pub(crate) imports: ImportsSection,
    /// Webhooks.
    pub(crate) webhooks: WebhooksSection,
    /// Exports of images.
    pub(crate) exports: ExportsSection,
    /// What usage costs.
    pub(crate) billing: BillingSection,
}

/// `[server]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerSection {
    /// Address and port to listen on (127.0.0.1:8080).
    pub(crate) listen: Option<SocketAddr>,
    /// The directory of the database, images and instances.
    pub(crate) data_dir: Option<PathBuf>,
    /// Browsers reach the panel through HTTPS: cookies are marked `Secure`.
    pub(crate) https: bool,
}

/// `[database]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatabaseSection {
    /// `postgres://...`; without it, SQLite below the data directory.
    pub(crate) url: Option<String>,
    /// A file that holds the URL, so that its password is not in the configuration.
    pub(crate) url_file: Option<PathBuf>,
}

/// `[agent]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentSection {
    /// The directory of the sockets; short, because a socket's path has at most 107 bytes.
    pub(crate) run_dir: Option<PathBuf>,
    /// The address and port at which the agent serves the objects of its storages. Without it, an
    /// agent of its own process serves none.
    pub(crate) object_listen: Option<SocketAddr>,
    /// The address, `HOST:PORT`, at which other agents and the control plane reach it.
    pub(crate) object_address: Option<String>,
    /// The path of QEMU's program (/usr/bin/qemu-system-x86_64).
    pub(crate) qemu: Option<PathBuf>,
    /// `tcg` or `kvm`; without it, KVM where this machine has it, and `tcg` for a demo.
    pub(crate) accelerator: Option<String>,
    /// The guests' images come with freeze hooks: a freeze then counts as application-consistent.
    /// The guest agent itself does not say whether it has any.
    pub(crate) freeze_hooks: bool,
    /// Imports may read from servers of this machine and of all private networks.
    pub(crate) import_private_networks: bool,
    /// The private networks that imports may read from, such as `10.20.0.0/16`.
    pub(crate) import_networks: Vec<IpNet>,
    /// The network cards of the instances on this machine, while `imprint serve` is its agent.
    pub(crate) network: NetworkSection,
}

impl AgentSection {
    /// Returns the private networks that imports may read from.
    pub(crate) fn import_networks(&self) -> PrivateNetworks {
        private_networks(self.import_private_networks, &self.import_networks)
    }
}

/// `[webhooks]`: where messages may be sent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WebhooksSection {
    /// Messages may be sent to servers of this machine and of all private networks.
    pub(crate) private_networks: bool,
    /// The private networks that messages may be sent to, such as `10.20.0.0/16`.
    pub(crate) networks: Vec<IpNet>,
}

impl WebhooksSection {
    /// Returns the private networks that messages may be sent to.
    pub(crate) fn networks(&self) -> PrivateNetworks {
        private_networks(self.private_networks, &self.networks)
    }
}

fn private_networks(all: bool, listed: &[IpNet]) -> PrivateNetworks {
    match (all, listed) {
        (true, _) => PrivateNetworks::All,
        (false, []) => PrivateNetworks::None,
        (false, listed) => PrivateNetworks::Listed(listed.into()),
    }
}

/// `[agent.network]`: settings of the driver, by which cards are made ready at the start of an
/// instance.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NetworkSection {
    /// `user` (the default), `bridge` or `none`.
    pub(crate) kind: Option<String>,
    /// The bridge of this machine that cards are plugged into.
    pub(crate) bridge: Option<String>,
    /// The IPv4 address at which ports for SSH are opened (127.0.0.1).
    pub(crate) ssh_address: Option<Ipv4Addr>,
    /// The first and the last of these ports (`22000-22999`).
    pub(crate) ssh_ports: Option<String>,
    /// The name or address of this machine that customers see (that of `ssh_address`).
    pub(crate) ssh_host: Option<String>,
    /// Whether guests in user mode reach this machine, its loopback included, and what it reaches.
    pub(crate) outgoing: bool,
}

impl NetworkSection {
    /// Returns the settings of the driver that say the same.
    pub(crate) fn driver_settings(&self) -> BTreeMap<String, String> {
        let kind = self.kind.as_deref().unwrap_or("user");
        let address = self.ssh_address.map(|address| address.to_string());
        let all = [
            ("network", Some(kind.to_owned())),
            ("bridge", self.bridge.clone()),
            ("ssh-address", address),
            ("ssh-ports", self.ssh_ports.clone()),
            ("ssh-host", self.ssh_host.clone()),
            ("outgoing", self.outgoing.then(|| "on".to_owned())),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// `[mover]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MoverSection {
    /// The isolation that decoding compressed images requires: `required` (the default),
    /// `best-effort` or `none`.
    pub(crate) isolation: Option<Isolation>,
}

/// `[plugins]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PluginSection {
    /// A folder with components that are loaded in addition to the shipped ones, and instead of
    /// those with the same id.
    pub(crate) dir: Option<PathBuf>,
}

/// `[secrets]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SecretsSection {
    /// The file with the keys that secrets in the database are sealed with, the current one first
    /// (`secrets.key` in the data directory).
    pub(crate) key_file: Option<PathBuf>,
}

/// `[storages]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoragesSection {
    /// The hours between two scans of an image storage (24); 0 for none that start by themselves.
    pub(crate) scan_hours: Option<u32>,
    /// The days after which one of these scans is deep (30, at most 90); 0 for none that are deep
    /// by themselves.
    pub(crate) deep_scan_days: Option<u32>,
}

/// `[captures]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CapturesSection {
    /// The seconds for each GiB of a disk that an estimate assumes where no image was created
    /// before (120), at least 1.
    pub(crate) seconds_per_gib: Option<NonZeroU32>,
    /// The hours that the work of a capture may take (24), at least 1; the time in the queue does
    /// not count.
    pub(crate) time_limit_hours: Option<NonZeroU32>,
    /// The minutes after which a capture is tried again that failed because of too little room on
    /// the image storage (30); 0 for not by itself.
    pub(crate) room_retry_minutes: Option<u32>,
}

/// `[imports]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ImportsSection {
    /// The hours without a byte after which an upload ends (48), at least 1.
    pub(crate) upload_idle_hours: Option<NonZeroU32>,
}

/// `[exports]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExportsSection {
    /// The hours for which the file of an export is kept (72), at least 1.
    pub(crate) kept_hours: Option<NonZeroU32>,
    /// The number of exports of an account that are made at the same time (3), at least 1.
    pub(crate) at_once: Option<NonZeroU32>,
    /// Whether customers may export to storages of theirs in private networks (no).
    pub(crate) private_networks: bool,
}

/// `[billing]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BillingSection {
    /// The time zone that months and days are of, such as `Europe/Berlin` (UTC).
    pub(crate) time_zone: Option<String>,
    /// The days after which a month is closed by itself (3); 0 for by an admin only.
    pub(crate) close_after_days: Option<u32>,
}

impl FileConfig {
    /// Reads the file, or returns the defaults without one.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not TOML, or has an unknown key or a value of a wrong type.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let reader =
            toml::Deserializer::parse(&text).with_context(|| format!("{} is not TOML", path.display()))?;
        serde_path_to_error::deserialize(reader)
            .with_context(|| format!("{} is not a valid configuration", path.display()))
    }

    /// Returns the database's URL, from the configuration or from the file that it names.
    ///
    /// # Errors
    ///
    /// Both are set, or the file cannot be read.
    pub(crate) fn database_url(&self) -> Result<Option<String>> {
        match (&self.database.url, &self.database.url_file) {
            (Some(_), Some(_)) => anyhow::bail!("set database.url or database.url_file, not both"),
            (Some(url), None) => Ok(Some(url.clone())),
            (None, Some(path)) => {
                let url = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Ok(Some(url.trim().to_owned()))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Returns the default data directory: `/var/lib/imprint` for root, else one below the home
/// directory.
pub(crate) fn default_data_dir() -> PathBuf {
    if is_root() {
        return PathBuf::from("/var/lib/imprint");
    }
    let home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    home.unwrap_or_else(|| PathBuf::from(".")).join("imprint")
}

/// Returns the default directory of the sockets. A hash of the data directory's path distinguishes
/// two deployments on one machine.
pub(crate) fn default_run_dir(data_dir: &Path) -> PathBuf {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from("/run"), PathBuf::from);
    let base = if base.is_dir() && is_writable(&base) { base } else { std::env::temp_dir() };
    let mut tag: u32 = 0x811c_9dc5;
    for byte in data_dir.as_os_str().as_encoded_bytes() {
        tag = (tag ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    base.join(format!("imprint-{tag:08x}"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FileConfig> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("imprint.toml");
        std::fs::write(&path, text)?;
        FileConfig::read(Some(&path))
    }

    #[test]
    fn a_misspelt_key_is_refused_and_named() {
        let config =
            parse("[server]\nlisten = \"0.0.0.0:80\"\n[database]\nurl = \"postgres://u@h/d\"\n[mover]\nisolation = \"best-effort\"")
                .unwrap();
        assert_eq!(config.mover.isolation, Some(Isolation::BestEffort));
        assert_eq!(config.server.listen, "0.0.0.0:80".parse().ok());
        assert_eq!(config.database_url().unwrap().as_deref(), Some("postgres://u@h/d"));
        let error = format!("{:#}", parse("[server]\nlissten = \"x\"").unwrap_err());
        assert!(error.contains("lissten"), "{error}");
    }
}
