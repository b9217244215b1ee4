//! `plugin.toml`, schema 1: what a plugin says of itself and asks for.
//!
//! The build tool appends the file's text to the component as the custom section [`SECTION`];
//! [`section`] documents the bytes. A plugin without a manifest is not loaded.

mod probe;
mod quantity;
pub mod section;

use std::{collections::BTreeSet, time::Duration};

use semver::{Version, VersionReq};
use serde::Deserialize;

pub use self::probe::{Mark, Probe};
use self::{
    probe::ProbeTable,
    quantity::{bytes, duration, rate},
};
use crate::error::LoadError;

/// Name of the custom section.
pub const SECTION: &str = "imprint:manifest";

/// The version of the host that `requires.host` is compared with.
pub const HOST_VERSION: &str = env!("CARGO_PKG_VERSION");

const MAX_MANIFEST: usize = 64 << 10;
const MAX_CAPABILITIES: usize = 16;
const MAX_PATTERNS: usize = 200;
const MAX_RECOGNISED: usize = 64;

/// What a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Reads and writes a disk format.
    Format,
    /// Keeps images.
    Storage,
    /// Talks to a hypervisor.
    Hypervisor,
}

impl Kind {
    /// The word in manifests and names.
    pub fn word(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Storage => "storage",
            Self::Hypervisor => "hypervisor",
        }
    }
}

/// A parsed manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Unique name, such as `format-qcow2`.
    pub id: String,
    /// Of the plugin.
    pub version: Version,
    /// What it is; equal to what its exports say.
    pub kind: Kind,
    /// The word under which it is found: `qcow2`, `local`, `qemu`.
    pub provides: String,
    /// For people.
    pub summary: String,
    /// SPDX expression.
    pub license: String,
    /// A format that reads, and does not write.
    pub read_only: bool,
    /// Names of what a format recognises and does not read; with any, it reads nothing.
    pub recognises: BTreeSet<String>,
    /// What a format judges a file by.
    pub probe: Probe,
    /// Requested directories.
    pub dirs: Vec<DirCapability>,
    /// Requested channels.
    pub channels: Vec<ChannelCapability>,
    /// Ids under which sockets may be reserved.
    pub endpoints: BTreeSet<String>,
    /// Requested limits, already cut to the host's caps.
    pub limits: Limits,
}

/// A directory that the plugin wants.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DirCapability {
    /// Name of the grant.
    pub id: String,
    /// What it wants to do there.
    #[serde(default)]
    pub access: Access,
    /// For the operator.
    #[serde(default)]
    pub purpose: String,
}

/// What may be done in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Names can be read.
    ReadOnly,
    /// Names can be made, renamed and removed.
    #[default]
    ReadWrite,
}

/// A conversation that the plugin wants.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ChannelCapability {
    /// Name of the grant.
    pub id: String,
    /// Transport.
    pub kind: ChannelKind,
    /// Path template with `{vm}`: a proposal, the operator's own is what counts.
    #[serde(default)]
    pub path: String,
    /// How messages are told apart.
    pub framing: Framing,
    /// Command names, or prefixes with `*`; for lines.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Block drivers that node definitions may name.
    #[serde(default)]
    pub block_drivers: Vec<String>,
    /// Command that a fresh connection needs before any other (`qmp_capabilities`).
    #[serde(default)]
    pub hello: Option<String>,
    /// What the host undoes by itself.
    #[serde(default, rename = "guard")]
    pub guards: Vec<Guard>,
}

/// Transport of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// A unix stream socket.
    Unix,
}

/// How messages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// As they come.
    Bytes,
    /// One line a message.
    Lines,
}

/// A command that must be followed by another in time; the host sends the undo when the plugin does
/// not.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Guard {
    /// Command that arms it.
    pub arm: String,
    /// Command whose success disarms it.
    pub disarm: String,
    /// Milliseconds between the two.
    pub limit_ms: u64,
    /// What the host sends: a command name, or a whole JSON object.
    pub undo: String,
}

/// What one piece of work of a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes over all memories of the store.
    pub memory: u64,
    /// CPU time of a call.
    pub cpu_per_call: Duration,
    /// Wall time of a call.
    pub wall_per_call: Duration,
    /// Bytes read through blobs in one piece of work.
    pub metadata_read: u64,
    /// Bytes that one call may bring from the plugin.
    pub boundary_bytes: u64,
    /// Resource handles.
    pub handles: u32,
    /// Instances at the same time.
    pub instances: u32,
    /// Log events a second.
    pub log_rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            cpu_per_call: Duration::from_secs(2),
            wall_per_call: Duration::from_secs(60),
            metadata_read: 4 << 30,
            boundary_bytes: 4 << 20,
            handles: 4096,
            instances: 16,
            log_rate: 200,
        }
    }
}

impl Limits {
    /// The most that a host gives to any plugin, unless its operator says otherwise.
    pub fn caps() -> Self {
        Self {
            memory: 256 << 20,
            cpu_per_call: Duration::from_secs(30),
            wall_per_call: Duration::from_secs(300),
            metadata_read: 64 << 30,
            boundary_bytes: 16 << 20,
            handles: 4096,
            instances: 64,
            log_rate: 1000,
        }
    }

    fn capped(self, caps: &Self) -> Self {
        Self {
            memory: self.memory.min(caps.memory),
            cpu_per_call: self.cpu_per_call.min(caps.cpu_per_call),
            wall_per_call: self.wall_per_call.min(caps.wall_per_call),
            metadata_read: self.metadata_read.min(caps.metadata_read),
            boundary_bytes: self.boundary_bytes.min(caps.boundary_bytes),
            handles: self.handles.clamp(1, caps.handles),
            instances: self.instances.clamp(1, caps.instances),
            log_rate: self.log_rate.clamp(1, caps.log_rate),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    schema: u32,
    plugin: PluginTable,
    #[serde(default)]
    config: Option<toml::Table>,
    #[serde(default)]
    capabilities: Capabilities,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    conformance: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct PluginTable {
    id: String,
    version: Version,
    kinds: Vec<Kind>,
    #[serde(default)]
    provides: Option<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    license: String,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    recognises: BTreeSet<String>,
    #[serde(default)]
    probe: ProbeTable,
    requires: Requires,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Requires {
    host: VersionReq,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Capabilities {
    #[serde(default)]
    dir: Vec<DirCapability>,
    #[serde(default)]
    channel: Vec<ChannelCapability>,
    #[serde(default)]
    endpoint: Vec<EndpointCapability>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct EndpointCapability {
    id: String,
    #[expect(dead_code, reason = "parsing it is the check: there is one kind")]
    kind: ChannelKind,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct LimitsTable {
    memory: Option<String>,
    cpu_per_call: Option<String>,
    wall_per_call: Option<String>,
    metadata_read: Option<String>,
    boundary_bytes: Option<String>,
    handles: Option<u32>,
    instances: Option<u32>,
    log_rate: Option<String>,
}

impl LimitsTable {
    fn parse(self) -> Result<Limits, LoadError> {
        let default = Limits::default();
        Ok(Limits {
            memory: self.memory.map_or(Ok(default.memory), |text| bytes(&text))?,
            cpu_per_call: self.cpu_per_call.map_or(Ok(default.cpu_per_call), |text| duration(&text))?,
            wall_per_call: self.wall_per_call.map_or(Ok(default.wall_per_call), |text| duration(&text))?,
            metadata_read: self.metadata_read.map_or(Ok(default.metadata_read), |text| bytes(&text))?,
            boundary_bytes: self.boundary_bytes.map_or(Ok(default.boundary_bytes), |text| bytes(&text))?,
            handles: self.handles.unwrap_or(default.handles),
            instances: self.instances.unwrap_or(default.instances),
            log_rate: self.log_rate.map_or(Ok(default.log_rate), |text| rate(&text))?,
        })
    }
}

impl Manifest {
    /// Parses a manifest and checks it against this host; `caps` cut the requested limits.
    pub fn parse(text: &str, caps: &Limits) -> Result<Self, LoadError> {
        if text.len() > MAX_MANIFEST {
            return Err(LoadError::manifest(format!("the manifest is larger than {MAX_MANIFEST} bytes")));
        }
        let deserializer =
            toml::Deserializer::parse(text).map_err(|error| LoadError::manifest(error.to_string()))?;
        let file: File = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            LoadError::manifest(format!("at {}: {}", error.path(), error.inner().message()))
        })?;
        let _settings_and_report_are_for_other_readers = (file.config, file.conformance);
        if file.schema != 1 {
            return Err(LoadError::manifest(format!(
                "schema {} is unknown, this host reads schema 1",
                file.schema
            )));
        }
        let [kind] = file.plugin.kinds[..] else {
            return Err(LoadError::manifest("`plugin.kinds` must name exactly one kind".to_owned()));
        };
        let host = Version::parse(HOST_VERSION).expect("the crate's own version is a version");
        if !file.plugin.requires.host.matches(&host) {
            return Err(LoadError::HostVersion { wants: file.plugin.requires.host.to_string(), host });
        }
        let id = file.plugin.id;
        check_name("plugin.id", &id)?;
        let prefix = format!("{}-", kind.word());
        let provides =
            file.plugin.provides.unwrap_or_else(|| id.strip_prefix(&prefix).unwrap_or(&id).to_owned());
        check_name("plugin.provides", &provides)?;
        let endpoints = file.capabilities.endpoint.into_iter().map(|endpoint| endpoint.id).collect();
        let manifest = Self {
            id,
            version: file.plugin.version,
            kind,
            provides,
            summary: file.plugin.summary,
            license: file.plugin.license,
            read_only: file.plugin.read_only,
            recognises: file.plugin.recognises,
            probe: file.plugin.probe.parse()?,
            dirs: file.capabilities.dir,
            channels: file.capabilities.channel,
            endpoints,
            limits: file.limits.parse()?.capped(caps),
        };
        manifest.check_recognised()?;
        manifest.check_capabilities()?;
        Ok(manifest)
    }

    fn check_recognised(&self) -> Result<(), LoadError> {
        let names = &self.recognises;
        let allowed = self.kind == Kind::Format && self.read_only;
        if !names.is_empty() && !allowed {
            return Err(LoadError::manifest(
                "`plugin.recognises` is for formats with `read-only = true`: they read nothing else"
                    .to_owned(),
            ));
        }
        if names.len() > MAX_RECOGNISED {
            return Err(LoadError::manifest(format!(
                "`plugin.recognises` lists more than {MAX_RECOGNISED} names"
            )));
        }
        names.iter().try_for_each(|name| check_name("a name in plugin.recognises", name))
    }

    fn check_capabilities(&self) -> Result<(), LoadError> {
        let ids = self.dirs.iter().map(|dir| &dir.id).chain(self.channels.iter().map(|channel| &channel.id));
        let mut seen = BTreeSet::new();
        for id in ids.clone() {
            check_name("capability id", id)?;
            if !seen.insert(id) {
                return Err(LoadError::manifest(format!("capability {id} is requested twice")));
            }
        }
        for id in &self.endpoints {
            check_name("endpoint id", id)?;
        }
        if seen.len() + self.endpoints.len() > MAX_CAPABILITIES {
            return Err(LoadError::manifest(format!(
                "more than {MAX_CAPABILITIES} capabilities are requested"
            )));
        }
        self.channels.iter().try_for_each(ChannelCapability::check)
    }
}

impl ChannelCapability {
    fn check(&self) -> Result<(), LoadError> {
        if self.allow.len() > MAX_PATTERNS || self.block_drivers.len() > MAX_PATTERNS {
            return Err(LoadError::manifest(format!(
                "channel {} lists more than {MAX_PATTERNS} names",
                self.id
            )));
        }
        if self.framing == Framing::Bytes && !(self.allow.is_empty() && self.guards.is_empty()) {
            return Err(LoadError::manifest(format!(
                "channel {} has command rules, which need the framing `lines`",
                self.id
            )));
        }
        if let Some(pattern) = self.allow.iter().find(|pattern| crate::channel::is_forbidden_pattern(pattern))
        {
            return Err(LoadError::NeverGrantable { channel: self.id.clone(), pattern: pattern.clone() });
        }
        for guard in &self.guards {
            if guard.limit_ms == 0 || guard.limit_ms > 60_000 {
                return Err(LoadError::manifest(format!(
                    "guard {} of channel {} needs a `limit-ms` from 1 to 60000",
                    guard.arm, self.id
                )));
            }
            crate::channel::undo_message(&guard.undo, "check").map_err(LoadError::manifest)?;
        }
        Ok(())
    }
}

/// Names go into logs, file names and metrics: letters, digits, `-`, `_` and `.`, at most 64.
fn check_name(what: &str, name: &str) -> Result<(), LoadError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if name.len() <= 64 && starts_well && name.chars().all(plain) {
        return Ok(());
    }
    Err(LoadError::manifest(format!(
        "{what} {name:?} must be 1 to 64 lower-case letters, digits, `-`, `_` and `.`, and start with a letter or digit"
    )))
}

#[cfg(test)]
mod tests;
