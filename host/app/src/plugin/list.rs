//! `imprint plugin list`.

use clap::Args;
use imprint_plugin_runtime::{PluginInfo, Quarantined};
use serde::Serialize;

use super::{OutputArgs, origin};
use crate::{
    client::{failure::Failure, table::Table},
    errors,
    plugin_ports::PluginPorts,
    server::settings::SettingsArgs,
};

/// Arguments of `imprint plugin list`.
#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// A plugin, or a file of the plugins' folder that is not used.
#[derive(Serialize)]
struct Row {
    /// `None` if the manifest cannot be read.
    id: Option<String>,
    version: Option<String>,
    kind: Option<&'static str>,
    provides: Option<String>,
    used: bool,
    /// `None` for a shipped plugin.
    file: Option<String>,
    /// The version of the shipped plugin that it replaces.
    replaces: Option<String>,
    /// The reason why it is not used.
    reason: Option<String>,
    /// The summary of its manifest, and where it comes from.
    #[serde(skip)]
    note: String,
}

impl From<&PluginInfo> for Row {
    fn from(plugin: &PluginInfo) -> Self {
        let file = match &plugin.source {
            imprint_plugin_runtime::PluginSource::Embedded => None,
            imprint_plugin_runtime::PluginSource::File(file) => Some(file.display().to_string()),
        };
        Self {
            id: Some(plugin.id.clone()),
            version: Some(plugin.version.clone()),
            kind: Some(plugin.kind.as_str()),
            provides: Some(plugin.provides.clone()),
            used: true,
            file,
            replaces: plugin.replaces.clone(),
            reason: None,
            note: origin(plugin).unwrap_or_else(|| "shipped".to_owned()),
        }
    }
}

impl From<&Quarantined> for Row {
    fn from(one: &Quarantined) -> Self {
        Self {
            id: one.id.clone(),
            version: None,
            kind: None,
            provides: None,
            used: false,
            file: Some(one.file.display().to_string()),
            replaces: None,
            reason: Some(one.reason.clone()),
            note: format!("{}: {}", one.file.display(), one.reason),
        }
    }
}

/// Lists the plugins as an agent with these settings would load them.
pub(super) async fn list(args: ListArgs) -> Result<(), Failure> {
    let plugins = async { PluginPorts::load(&args.settings.read()?.plugin_folders()).await };
    let plugins = plugins.await.map_err(|error| Failure::Usage(errors::describe(&error)))?;
    let mut rows: Vec<Row> = plugins.loaded().iter().map(Row::from).collect();
    rows.extend(plugins.quarantined().iter().map(Row::from));
    args.output.output().print(&rows, || {
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let cells = rows.iter().map(|row| {
            [
                dash(&row.id),
                dash(&row.version),
                row.kind.unwrap_or("-").to_owned(),
                dash(&row.provides),
                if row.used { "yes" } else { "NO" }.to_owned(),
                row.note.clone(),
            ]
        });
        Table::list(["ID", "VERSION", "KIND", "PROVIDES", "USED", "FROM"], cells, "no plugins")
    })
}
