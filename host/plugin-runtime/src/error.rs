//! Why a plugin was not loaded.

use std::path::PathBuf;

use semver::Version;

/// A plugin that cannot be loaded. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are something else.
    #[error("not a WebAssembly component: {0}; build it for wasm32-wasip2")]
    NotAComponent(String),
    /// No section `imprint:manifest`.
    #[error("the component carries no manifest; build it with `cargo xtask build`, which embeds plugin.toml")]
    NoManifest,
    /// The manifest does not parse.
    #[error("the manifest is wrong: {0}")]
    Manifest(String),
    /// Something that no plugin is ever given.
    #[error("channel {channel} asks for {pattern:?}, which is never granted; take it out of `allow`")]
    NeverGrantable {
        /// The channel.
        channel: String,
        /// The pattern.
        pattern: String,
    },
    /// `requires.host` does not match.
    #[error(
        "the plugin needs a host {wants}, this is host {host}; install a matching version of one of them"
    )]
    HostVersion {
        /// What the plugin wants.
        wants: String,
        /// What this is.
        host: Version,
    },
    /// The digest is not the expected one.
    #[error(
        "plugin {name} has the digest {found}, expected {expected}; the file was changed or damaged, install it again"
    )]
    Digest {
        /// File or embedded name.
        name: String,
        /// sha256 of the bytes, hex.
        found: String,
        /// sha256 that was announced, hex.
        expected: String,
    },
    /// The exports are not what `kinds` says.
    #[error("the manifest says {says:?}, but the component exports {exports}; correct `plugin.kinds`")]
    Kind {
        /// From the manifest.
        says: &'static str,
        /// From reflection.
        exports: String,
    },
    /// An import that was not asked for in the manifest, or that no plugin gets.
    #[error("plugin {id} uses {interface}, which it is not granted; {advice}")]
    NotGranted {
        /// The plugin.
        id: String,
        /// The interface.
        interface: String,
        /// What to do.
        advice: String,
    },
    /// Another version of an interface.
    #[error("plugin {id} uses {interface}, this host offers {offers}; {advice}")]
    Interface {
        /// The plugin.
        id: String,
        /// What it uses.
        interface: String,
        /// What the host has.
        offers: String,
        /// What to do.
        advice: String,
    },
    /// The shapes of an interface do not match.
    #[error("plugin {id} does not fit this host: {detail}; build it against the SDK of this host")]
    Mismatch {
        /// The plugin.
        id: String,
        /// From the linker.
        detail: String,
    },
    /// Larger than any plugin may be.
    #[error("the component is {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// Compiling failed.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// The engine cannot start.
    #[error("the plugin engine cannot start: {0}")]
    Engine(String),
    /// A file or folder.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A plugin in a folder.
    #[error("{path}: {source}")]
    InFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<LoadError>,
    },
}

impl LoadError {
    pub(crate) fn manifest(detail: String) -> Self {
        Self::Manifest(detail)
    }
}
