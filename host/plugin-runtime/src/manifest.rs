//! `plugin.toml`, schema 1: a plugin's manifest, with its identity and the permissions it requests.
//!
//! The build tool appends the file's text to the component as the custom section
//! [`section::SECTION`]; [`section`] documents the bytes. A plugin without a manifest is not
//! loaded.

mod capabilities;
mod limits;
mod probe;
mod quantity;
pub(crate) mod rules;
pub mod section;

use std::collections::BTreeSet;

use imprint_ports::SettingsSchema;
use semver::{Version, VersionReq};
use serde::Deserialize;

pub use self::{
    capabilities::{
        Access, ChannelCapability, ChannelKind, DirCapability, Framing, Guard, NetCapability,
        SecretCapability,
    },
    limits::Limits,
    probe::{Mark, Probe},
};
use self::{limits::LimitsTable, probe::ProbeTable};
use crate::error::LoadError;

/// The version of this host, which `requires.host` of a manifest is compared with.
pub const HOST_VERSION: &str = env!("CARGO_PKG_VERSION");

const MAX_MANIFEST: usize = 64 << 10;
const MAX_CAPABILITIES: usize = 16;
const MAX_RECOGNISED: usize = 64;

/// The kind of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The plugin reads and writes a disk format.
    Format,
    /// The plugin stores images.
    Storage,
    /// The plugin controls a hypervisor.
    Hypervisor,
    /// The plugin looks inside of disks.
    Inspector,
}

impl Kind {
    /// Returns the spelling in manifests and names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Storage => "storage",
            Self::Hypervisor => "hypervisor",
            Self::Inspector => "inspector",
        }
    }
}

/// A manifest that was parsed and checked.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The plugin's unique name, such as `format-qcow2`.
    pub id: String,
    /// The plugin's version.
    pub version: Version,
    /// The kind of plugin, which its exports must match.
    pub kind: Kind,
    /// The name under which it is found: `qcow2`, `local`, `qemu`.
    pub provides: String,
    /// A human-readable summary in one line.
    pub summary: String,
    /// The licence as an SPDX expression.
    pub license: String,
    /// Whether a format only reads.
    pub read_only: bool,
    /// The names of the formats that a format plugin recognises and does not read. A plugin with
    /// such names reads nothing.
    pub recognises: BTreeSet<String>,
    /// The parts of a file by which a format recognises it.
    pub probe: Probe,
    /// The schema of the plugin's settings; `None` when it has no schema, so that any are accepted.
    pub config: Option<SettingsSchema>,
    /// The requested directories.
    pub dirs: Vec<DirCapability>,
    /// The requested channels.
    pub channels: Vec<ChannelCapability>,
    /// The requested servers behind HTTP.
    pub http: Vec<NetCapability>,
    /// The requested servers with a protocol that the plugin implements.
    pub tcp: Vec<NetCapability>,
    /// The requested secrets.
    pub secrets: Vec<SecretCapability>,
    /// The ids under which sockets may be reserved.
    pub endpoints: BTreeSet<String>,
    /// The requested limits, reduced to the host's caps.
    pub limits: Limits,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    schema: u32,
    plugin: PluginTable,
    #[serde(default)]
    config: ConfigTable,
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

/// `[config]`. In the file of the author, `schema` names a file; the build tool puts its content in
/// that place.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ConfigTable {
    schema: Option<String>,
}

impl ConfigTable {
    fn parse(self) -> Result<Option<SettingsSchema>, LoadError> {
        let Some(text) = self.schema else { return Ok(None) };
        if !text.trim_start().starts_with('{') {
            return Err(LoadError::manifest(
                "`config.schema` still names a file; the build tool puts the content of the file there",
            ));
        }
        let schema = SettingsSchema::parse(&text)
            .map_err(|error| LoadError::manifest(format!("`config.schema` cannot be used: {error}")))?;
        Ok(Some(schema))
    }
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
    #[serde(default)]
    http: Vec<NetCapability>,
    #[serde(default)]
    tcp: Vec<NetCapability>,
    #[serde(default)]
    secret: Vec<SecretCapability>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct EndpointCapability {
    id: String,
    #[expect(dead_code, reason = "parsing the field is the check: there is one kind")]
    kind: ChannelKind,
}

impl Manifest {
    /// Parses a manifest and checks it against this host. `caps` reduce the requested limits.
    ///
    /// # Errors
    ///
    /// The manifest is not valid, requests what is never granted, or requires another host.
    pub fn parse(text: &str, caps: &Limits) -> Result<Self, LoadError> {
        if text.len() > MAX_MANIFEST {
            return Err(LoadError::manifest(format!("the manifest is larger than {MAX_MANIFEST} bytes")));
        }
        let deserializer =
            toml::Deserializer::parse(text).map_err(|error| LoadError::manifest(error.to_string()))?;
        let file: File = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            LoadError::manifest(format!("at {}: {}", error.path(), error.inner().message()))
        })?;
        // Other tools read this table; here it is only a known name.
        let _ = file.conformance;
        if file.schema != 1 {
            return Err(LoadError::manifest(format!(
                "schema {} is not supported, this host supports schema 1",
                file.schema
            )));
        }
        let [kind] = file.plugin.kinds[..] else {
            return Err(LoadError::manifest("`plugin.kinds` must name exactly one kind"));
        };
        let host = Version::parse(HOST_VERSION).expect("the crate's own version is a version");
        if !file.plugin.requires.host.matches(&host) {
            return Err(LoadError::HostVersion { requires: file.plugin.requires.host.to_string(), host });
        }
        let id = file.plugin.id;
        check_name("plugin.id", &id)?;
        let prefix = format!("{}-", kind.as_str());
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
            config: file.config.parse()?,
            dirs: file.capabilities.dir,
            channels: file.capabilities.channel,
            http: file.capabilities.http,
            tcp: file.capabilities.tcp,
            secrets: file.capabilities.secret,
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
                "`plugin.recognises` is for formats with `read-only = true`, which read nothing else",
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
        let net = self.http.iter().chain(&self.tcp);
        let ids = self.dirs.iter().map(|dir| &dir.id);
        let ids = ids.chain(self.channels.iter().map(|channel| &channel.id));
        let ids =
            ids.chain(net.clone().map(|net| &net.id)).chain(self.secrets.iter().map(|secret| &secret.name));
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
        if self.kind != Kind::Storage && seen.len() > self.dirs.len() + self.channels.len() {
            return Err(LoadError::manifest("`http`, `tcp` and `secret` are capabilities of storages"));
        }
        net.clone().try_for_each(NetCapability::check)?;
        if self.tcp.iter().any(|tcp| tcp.authorities_setting.is_some()) {
            return Err(LoadError::manifest("`authorities-setting` is for `http`"));
        }
        if self.http.iter().any(|http| http.reserved_port_setting.is_some()) {
            return Err(LoadError::manifest("`reserved-port-setting` is for `tcp`"));
        }
        self.check_kind_of_capabilities()?;
        self.channels.iter().try_for_each(ChannelCapability::check)
    }

    /// Refuses capabilities that a plugin of this kind never gets.
    fn check_kind_of_capabilities(&self) -> Result<(), LoadError> {
        let requested = [
            ("dir", !self.dirs.is_empty(), Kind::Storage),
            ("channel", !self.channels.is_empty(), Kind::Hypervisor),
            ("endpoint", !self.endpoints.is_empty(), Kind::Hypervisor),
        ];
        match requested.into_iter().find(|(_, requested, kind)| *requested && *kind != self.kind) {
            Some((table, _, kind)) => Err(LoadError::manifest(format!(
                "`[[capabilities.{table}]]` is for plugins of the kind {}, and this is a {}; remove it",
                kind.as_str(),
                self.kind.as_str()
            ))),
            None => Ok(()),
        }
    }
}

/// Checks a name. Names are used in logs, file names and metrics: lower-case letters, digits, `-`,
/// `_` and `.`, at most 64.
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
