//! Kinds of image storages: what the plugins of the hypervisors' agents provide, and the check of a
//! storage's settings against the schema of its kind.

use std::collections::{BTreeMap, BTreeSet};

use imprint_agent_protocol::StorageKindReport;
use imprint_domain::{
    Code, Error,
    id::HypervisorId,
    plugin_kind::StorageKind,
    secret::Secrets,
    settings::{MAX_SCHEMA, SettingsSchema},
};
use imprint_store::{
    Conn,
    storage_kind::{self, StorageKindRecord},
};
use semver::Version;
use serde_json::Value;

use crate::{
    Op, Service,
    change::Change,
    db_result::DbResult,
    validate::{self, truncate},
};

/// The most kinds that one agent can report.
const MAX_KINDS: usize = 64;
/// The stored length of a text that an agent reports, in bytes.
const MAX_TEXT: usize = 256;

/// A kind of image storage, as admins see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageKindView {
    /// The name of the kind.
    pub kind: StorageKind,
    /// The plugin that provides it: the newest version where there are several.
    pub plugin: String,
    /// The version of that plugin.
    pub version: String,
    /// A human-readable summary in one line.
    pub summary: String,
    /// The JSON Schema of the settings; `None` when the plugin has none, so that any are accepted.
    pub schema: Option<Value>,
    /// The hypervisors that have it.
    pub hypervisors: Vec<KindOnHypervisor>,
    /// What is wrong when the hypervisors do not agree; `None` when they do.
    pub conflict: Option<String>,
}

/// The plugin that provides a kind on one hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindOnHypervisor {
    /// The hypervisor.
    pub hypervisor_id: HypervisorId,
    /// The id of its plugin.
    pub plugin: String,
    /// The version of its plugin.
    pub version: String,
}

/// Stores what an agent reports. Of several plugins for one kind the first counts; a schema that
/// is too large is left out with its kind, so that nothing is accepted unchecked.
pub(crate) async fn store_report(
    change: &Change<'_>,
    hypervisor_id: HypervisorId,
    reported: Vec<StorageKindReport>,
) -> Result<(), Error> {
    let mut kinds = BTreeMap::new();
    for report in reported.into_iter().take(MAX_KINDS) {
        if report.schema.as_ref().is_some_and(|schema| schema.len() > MAX_SCHEMA) {
            tracing::warn!(%hypervisor_id, kind = %report.kind, "the kind's schema is too large");
            continue;
        }
        kinds.entry(report.kind.clone()).or_insert(StorageKindRecord {
            hypervisor_id,
            kind: report.kind,
            plugin: truncate(&report.plugin, MAX_TEXT),
            version: truncate(&report.version, MAX_TEXT),
            summary: truncate(&report.summary, MAX_TEXT),
            schema: report.schema,
        });
    }
    storage_kind::replace(&change.tx, hypervisor_id, kinds.into_values().collect()).await.db()
}

/// Checks the settings and secrets of a storage of that kind, and returns the settings with their
/// defaults filled in. `kept` are the names of secrets that are stored already and stay.
///
/// The kind `local` is known before an agent has reported it: the program itself makes storages of
/// it at its first start.
pub(crate) async fn check_settings(
    conn: &Conn<'_>,
    kind: &StorageKind,
    settings: &BTreeMap<String, String>,
    secrets: &Secrets,
    kept: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, Error> {
    validate::check_settings(settings, "/settings")?;
    let reported = storage_kind::of_kind(conn, kind).await.db()?;
    let Some(newest) = newest(&reported) else {
        if kind.is_local() {
            return check_local(settings, secrets);
        }
        return Err(unknown_kind(conn, kind).await?);
    };
    let Some(text) = &newest.schema else {
        require_no_secrets(secrets)?;
        return Ok(settings.clone());
    };
    let schema = SettingsSchema::parse(text).map_err(|error| {
        let (plugin, version) = (&newest.plugin, &newest.version);
        let detail =
            format!("the schema of the plugin {plugin} {version} cannot be used: {error}; install another version of it");
        Error::new(Code::InvalidRequest, detail).at("/kind")
    })?;
    schema.check(settings, secrets, kept).map_err(|problem| {
        let pointer = problem.pointer();
        let detail = match problem.setting.as_str() {
            "" => problem.detail,
            name => format!("`{name}`: {}", problem.detail),
        };
        Error::new(Code::InvalidRequest, detail).at(pointer)
    })
}

/// Returns the record with the newest version of the plugin.
fn newest(reported: &[StorageKindRecord]) -> Option<&StorageKindRecord> {
    reported.iter().max_by_key(|record| Version::parse(&record.version).ok())
}

fn check_local(
    settings: &BTreeMap<String, String>,
    secrets: &Secrets,
) -> Result<BTreeMap<String, String>, Error> {
    require_no_secrets(secrets)?;
    let path = settings.get("path").map(String::as_str).unwrap_or_default();
    if !path.starts_with('/') {
        return Err(Error::new(
            Code::InvalidRequest,
            "a local storage needs the setting `path`, an absolute folder on the hypervisor's machine",
        )
        .at("/settings/path"));
    }
    Ok(settings.clone())
}

fn require_no_secrets(secrets: &Secrets) -> Result<(), Error> {
    if secrets.is_empty() {
        return Ok(());
    }
    Err(Error::new(Code::InvalidRequest, "the plugin of this kind has no secrets").at("/secrets"))
}

async fn unknown_kind(conn: &Conn<'_>, kind: &StorageKind) -> Result<Error, Error> {
    let known: BTreeSet<_> =
        storage_kind::list(conn).await.db()?.into_iter().map(|record| record.kind.to_string()).collect();
    let known = if known.is_empty() {
        "no agent has reported any yet".to_owned()
    } else {
        format!("they have {}", known.into_iter().collect::<Vec<_>>().join(", "))
    };
    let detail = format!(
        "no hypervisor has a plugin for storages of the kind `{kind}`; {known}. Install the plugin on the hypervisors first"
    );
    Ok(Error::new(Code::InvalidRequest, detail).at("/kind"))
}

fn view(kind: StorageKind, records: &[StorageKindRecord]) -> Option<StorageKindView> {
    let newest = newest(records)?;
    let schema = newest.schema.as_deref().map(SettingsSchema::parse).transpose();
    let conflict = match &schema {
        Err(error) => Some(format!(
            "the schema of the plugin {} {} cannot be used: {error}; install another version of it",
            newest.plugin, newest.version
        )),
        Ok(_) => disagreement(records),
    };
    Some(StorageKindView {
        kind,
        plugin: newest.plugin.clone(),
        version: newest.version.clone(),
        summary: newest.summary.clone(),
        schema: schema.ok().flatten().map(|schema| schema.to_value()),
        hypervisors: records
            .iter()
            .map(|record| KindOnHypervisor {
                hypervisor_id: record.hypervisor_id,
                plugin: record.plugin.clone(),
                version: record.version.clone(),
            })
            .collect(),
        conflict,
    })
}

/// Returns what to do when the hypervisors have different plugins for one kind.
fn disagreement(records: &[StorageKindRecord]) -> Option<String> {
    let plugins: BTreeSet<_> =
        records.iter().map(|record| (record.plugin.as_str(), record.version.as_str())).collect();
    let schemas: BTreeSet<_> = records.iter().map(|record| record.schema.as_deref()).collect();
    if plugins.len() > 1 {
        let names: Vec<_> = plugins.iter().map(|(plugin, version)| format!("{plugin} {version}")).collect();
        return Some(format!(
            "the hypervisors have different plugins for it ({}); install the same one on all of them",
            names.join(", ")
        ));
    }
    (schemas.len() > 1).then(|| {
        "the hypervisors have plugins of the same version with different schemas; install the same file on all of them"
            .to_owned()
    })
}

impl Service {
    /// Returns the kinds of image storages that the hypervisors' plugins provide, by name. Admins
    /// only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; an error of the database.
    pub async fn storage_kind_list(&self, op: &Op) -> Result<Vec<StorageKindView>, Error> {
        op.require_admin()?;
        let mut kinds: BTreeMap<StorageKind, Vec<StorageKindRecord>> = BTreeMap::new();
        for record in storage_kind::list(&self.read()).await.db()? {
            kinds.entry(record.kind.clone()).or_default().push(record);
        }
        Ok(kinds.into_iter().filter_map(|(kind, records)| view(kind, &records)).collect())
    }
}
