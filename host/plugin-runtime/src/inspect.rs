//! What a plugin is and asks for, in words: for its author and for the operator who installs it.

use wasmparser::{ComponentExternalKind, Parser, Payload};

use crate::{
    error::LoadError,
    manifest::{Access, Kind, Manifest, NetCapability, section},
    plugin::{PluginInfo, PluginSource},
    plugin_host::PluginHost,
};

/// The start of the names of the contract's interfaces.
const CONTRACT: &str = "imprint:";

/// A plugin that was loaded, and what it asks for.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The plugin.
    pub info: PluginInfo,
    /// The permissions that the manifest asks for, as human-readable sentences.
    pub grants: Vec<String>,
    /// The interfaces of the contract, as `exports NAME@VERSION` and `uses NAME@VERSION`.
    pub interfaces: Vec<String>,
}

impl PluginHost {
    /// Loads a plugin and returns what it is.
    ///
    /// # Errors
    ///
    /// As [`Self::load_component`].
    pub async fn inspect(&self, bytes: &[u8], source: PluginSource) -> Result<Inspection, LoadError> {
        let info = self.load_component(bytes, source).await?;
        let manifest = Manifest::parse(section::find(bytes)?, self.caps())?;
        Ok(Inspection { info, grants: grants(&manifest), interfaces: interfaces(bytes)? })
    }
}

/// Returns what a manifest asks for.
fn grants(manifest: &Manifest) -> Vec<String> {
    let dirs = manifest.dirs.iter().map(|dir| {
        let access = match dir.access {
            Access::ReadOnly => "to list and read",
            Access::ReadWrite => "to list, read, write and delete",
        };
        let purpose = if dir.purpose.is_empty() { "without a stated purpose" } else { dir.purpose.as_str() };
        format!(
            "{access} the files of one folder, which the storage's setting `path` names ({}: {purpose})",
            dir.id
        )
    });
    let channels = manifest.channels.iter().map(|channel| {
        let commands = match channel.allow.as_slice() {
            [] => "any bytes".to_owned(),
            allow => format!("the commands {}", allow.join(", ")),
        };
        format!("to send {commands} to the socket {} of an instance", channel.id)
    });
    let endpoints = manifest.endpoints.iter().map(|id| {
        format!(
            "to let the hypervisor listen on sockets in the agent's folder ({id}), which the host connects to"
        )
    });
    let net = |what: &'static str, grant: &NetCapability| {
        let private = match &grant.private_networks_setting {
            Some(setting) => format!("in private networks only where the setting `{setting}` says so"),
            None => "never in private networks".to_owned(),
        };
        let reserved = match &grant.reserved_port_setting {
            Some(setting) => format!(", from a port below 1024 where the setting `{setting}` says so"),
            None => String::new(),
        };
        format!("to {what} {}, {private}{reserved} ({}: {})", grant.to.join(", "), grant.id, grant.purpose)
    };
    let http =
        manifest.http.iter().map(|grant| net("describe HTTP requests, which the host sends, to", grant));
    let tcp = manifest.tcp.iter().map(|grant| net("connect to", grant));
    let secrets = manifest.secrets.iter().map(|secret| {
        format!(
            "to have the host use the secret {} for {}, without seeing it",
            secret.name,
            secret.uses.join(", ")
        )
    });
    let journal = (manifest.kind == Kind::Hypervisor)
        .then(|| "to write notes into the journal of a capture".to_owned());
    dirs.chain(channels).chain(endpoints).chain(http).chain(tcp).chain(secrets).chain(journal).collect()
}

/// Returns the interfaces of the contract that a component exports and imports.
fn interfaces(component: &[u8]) -> Result<Vec<String>, LoadError> {
    let (mut exports, mut imports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    let damaged = |error: wasmparser::BinaryReaderError| LoadError::NotAComponent(error.to_string());
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(damaged)?;
        if matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) {
            depth += 1;
        } else if matches!(payload, Payload::End(_)) {
            depth = depth.saturating_sub(1);
        } else if let Payload::ComponentImportSection(section) = &payload
            && depth == 0
        {
            for import in section.clone() {
                let name = import.map_err(damaged)?.name.name;
                imports.extend(name.starts_with(CONTRACT).then(|| format!("uses {name}")));
            }
        } else if let Payload::ComponentExportSection(section) = &payload
            && depth == 0
        {
            for export in section.clone() {
                let export = export.map_err(damaged)?;
                let name = export.name.name;
                let ours = export.kind == ComponentExternalKind::Instance && name.starts_with(CONTRACT);
                exports.extend(ours.then(|| format!("exports {name}")));
            }
        }
    }
    exports.sort();
    imports.sort();
    exports.extend(imports);
    Ok(exports)
}
