//! Why a plugin was not loaded.

use std::path::PathBuf;

use semver::Version;

/// A plugin that cannot be loaded. Every text says what to do; causes are sources.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are not a WebAssembly component.
    #[error("not a WebAssembly component: {0}; build it for wasm32-wasip2")]
    NotAComponent(String),
    /// The component has no section `imprint:manifest`.
    #[error(
        "the component has no manifest; add it with `imprint plugin pack COMPONENT --manifest plugin.toml`"
    )]
    NoManifest,
    /// The manifest cannot be parsed, or breaks a rule.
    #[error("the manifest is not valid: {0}")]
    Manifest(String),
    /// The manifest asks for something that is never granted.
    #[error("channel {channel} asks for {pattern:?}, which is never granted; remove it from `allow`")]
    NeverGrantable {
        /// The id of the channel.
        channel: String,
        /// The pattern of commands.
        pattern: String,
    },
    /// The host's version does not match `requires.host`.
    #[error(
        "the plugin requires a host {requires}, this is host {host}; install a matching version of one of them"
    )]
    HostVersion {
        /// The versions that the manifest accepts.
        requires: String,
        /// The version of this host.
        host: Version,
    },
    /// The digest of the component is not the expected one.
    #[error(
        "plugin {name} has the digest {found}, expected {expected}; the file was changed or damaged, install it again"
    )]
    Digest {
        /// The plugin's name in the binary.
        name: String,
        /// The SHA-256 digest of the bytes, in hex.
        found: String,
        /// The SHA-256 digest when the binary was built, in hex.
        expected: String,
    },
    /// The exports do not match `kinds`.
    #[error(
        "the manifest declares {declared:?}, but the component exports {exports}; correct `plugin.kinds`"
    )]
    Kind {
        /// The kind in the manifest.
        declared: &'static str,
        /// The component's exports.
        exports: String,
    },
    /// The component imports an interface that its manifest does not ask for, or that no plugin
    /// gets.
    #[error("plugin {id} uses {interface}, which it is not granted; {advice}")]
    NotGranted {
        /// The plugin's id.
        id: String,
        /// The interface, with its version.
        interface: String,
        /// What to do about it.
        advice: String,
    },
    /// The component uses another version of an interface.
    #[error("plugin {id} uses {interface}, this host supports {supported}; {advice}")]
    Interface {
        /// The plugin's id.
        id: String,
        /// The interface, with its version.
        interface: String,
        /// The versions that this host supports.
        supported: String,
        /// What to do about it.
        advice: String,
    },
    /// The types of an interface do not match.
    #[error("plugin {id} does not fit this host: {detail}; build it against the SDK of this host")]
    Mismatch {
        /// The plugin's id.
        id: String,
        /// The message of the linker.
        detail: String,
    },
    /// The component is larger than any plugin may be.
    #[error("the component is {size} bytes, the limit is {limit}")]
    TooLarge {
        /// The size of the component in bytes.
        size: usize,
        /// The largest size in bytes.
        limit: usize,
    },
    /// The component cannot be compiled.
    #[error("the component cannot be compiled: {0}")]
    Compile(String),
    /// The engine cannot start.
    #[error("the plugin engine cannot start: {0}")]
    Engine(String),
    /// A file or folder cannot be used.
    #[error("{path} cannot be used")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another file of the folder has the same id.
    #[error("{others} has the same id {id}; remove one of them, or build one with another id")]
    SameId {
        /// The id.
        id: String,
        /// The other files, with the ids of their plugins.
        others: String,
    },
    /// Another file of the folder provides the same.
    #[error("{others} provides the {kind} {provides} as well; remove one of them")]
    SameName {
        /// The kind of both plugins.
        kind: &'static str,
        /// The name under which both are found.
        provides: String,
        /// The other files, with the ids of their plugins.
        others: String,
    },
    /// A shipped plugin with another id provides the same.
    #[error(
        "the shipped plugin {shipped} provides the {kind} {provides}; to replace it, build this one with the id {shipped}, else change `plugin.provides`"
    )]
    ProvidedByShipped {
        /// The kind of both plugins.
        kind: &'static str,
        /// The name under which both are found.
        provides: String,
        /// The id of the shipped plugin.
        shipped: String,
    },
    /// A plugin with the id of a shipped one provides something else.
    #[error("the shipped plugin {id} is {shipped}, and this one is {found}; build it with an id of its own")]
    Replaces {
        /// The id of both plugins.
        id: String,
        /// What the shipped plugin provides.
        shipped: String,
        /// What this one provides.
        found: String,
    },
}

impl LoadError {
    pub(crate) fn manifest(detail: impl Into<String>) -> Self {
        Self::Manifest(detail.into())
    }
}
