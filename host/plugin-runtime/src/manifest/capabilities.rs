//! What plugins request: directories, servers, secrets, channels.

use imprint_ports::{Props, error_chain};
use serde::Deserialize;

use super::rules;
use crate::error::LoadError;

/// The most patterns of one capability.
const MAX_PATTERNS: usize = 200;

/// A directory that a plugin requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DirCapability {
    /// The name of the grant.
    pub id: String,
    /// The requested access.
    #[serde(default)]
    pub access: Access,
    /// A human-readable purpose, for the operator.
    #[serde(default)]
    pub purpose: String,
    /// The values of settings with which the directory is needed; without any it always is.
    #[serde(default)]
    pub when: Props,
}

impl DirCapability {
    /// Returns whether a storage with these settings needs the directory.
    pub fn is_needed(&self, settings: &Props) -> bool {
        self.when.iter().all(|(name, value)| settings.get(name) == Some(value))
    }
}

/// The access to a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Files can be listed and read.
    ReadOnly,
    /// Files can also be created, renamed and removed.
    #[default]
    ReadWrite,
}

/// A channel to a hypervisor that a plugin requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ChannelCapability {
    /// The name of the grant.
    pub id: String,
    /// The transport.
    pub kind: ChannelKind,
    /// The proposed path of the socket, with `{vm}` for the instance. The operator's path is used.
    #[serde(default)]
    pub path: String,
    /// The way in which messages are separated.
    pub framing: Framing,
    /// The commands that may be sent: names, or prefixes that end with `*`. For lines only.
    #[serde(default)]
    pub allow: Vec<String>,
    /// The block drivers that node definitions may name.
    #[serde(default)]
    pub block_drivers: Vec<String>,
    /// The command that a new connection needs before any other (`qmp_capabilities`).
    #[serde(default)]
    pub hello: Option<String>,
    /// The commands that the host undoes when the plugin does not.
    #[serde(default, rename = "guard")]
    pub guards: Vec<Guard>,
}

/// Servers that a plugin requests, behind HTTP or over TCP.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetCapability {
    /// The name of the grant.
    pub id: String,
    /// The servers: `{config.NAME}` is the address in a setting, `*.{config.NAME}` every name below
    /// it, `{config.NAME}:*` any port of it; a plain `https://NAME:PORT` is possible as well.
    pub to: Vec<String>,
    /// A human-readable purpose, for the operator.
    #[serde(default)]
    pub purpose: String,
    /// The boolean setting by which the operator permits addresses of private networks. Without
    /// one they are never permitted.
    #[serde(default)]
    pub private_networks_setting: Option<String>,
    /// The setting with certificates of further authorities, as PEM.
    #[serde(default)]
    pub authorities_setting: Option<String>,
    /// The boolean setting by which the operator has connections come from a port below 1024, which
    /// some servers insist on. Over TCP only.
    #[serde(default)]
    pub reserved_port_setting: Option<String>,
}

/// A secret that a plugin has the host use. Its value never reaches the plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecretCapability {
    /// The name, which is that of a setting with `writeOnly`.
    pub name: String,
    /// The schemes that may use it.
    #[serde(rename = "use")]
    pub uses: Vec<String>,
    /// A human-readable purpose, for the operator.
    #[serde(default)]
    pub purpose: String,
}

/// The transport of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// A unix stream socket.
    Unix,
}

/// The way in which messages are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// Bytes are passed on in the chunks in which they arrive.
    Bytes,
    /// A message is one line.
    Lines,
}

/// A command that must be followed by another one in time. If it is not, the host sends the undo.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Guard {
    /// The command that arms the guard.
    pub arm: String,
    /// The command that disarms it when it succeeds.
    pub disarm: String,
    /// The most milliseconds between the two.
    pub limit_ms: u64,
    /// The command that the host sends: its name, or a whole JSON object.
    pub undo: String,
}

impl NetCapability {
    pub(super) fn check(&self) -> Result<(), LoadError> {
        if self.to.is_empty() || self.to.len() > MAX_PATTERNS {
            return Err(LoadError::manifest(format!(
                "capability {} needs 1 to {MAX_PATTERNS} servers in `to`",
                self.id
            )));
        }
        Ok(())
    }
}

impl ChannelCapability {
    pub(super) fn check(&self) -> Result<(), LoadError> {
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
        if let Some(pattern) = self.allow.iter().find(|pattern| rules::is_forbidden_pattern(pattern)) {
            return Err(LoadError::NeverGrantable { channel: self.id.clone(), pattern: pattern.clone() });
        }
        for guard in &self.guards {
            if guard.limit_ms == 0 || guard.limit_ms > 60_000 {
                return Err(LoadError::manifest(format!(
                    "guard {} of channel {} needs a `limit-ms` from 1 to 60000",
                    guard.arm, self.id
                )));
            }
            rules::undo_message(&guard.undo, "check")
                .map_err(|error| LoadError::manifest(error_chain(&error)))?;
        }
        Ok(())
    }
}
