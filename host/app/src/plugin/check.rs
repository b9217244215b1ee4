//! `imprint plugin check`.

use std::path::{Path, PathBuf};

use clap::Args;
use imprint_plugin_runtime::{HostOptions, Inspection, PluginHost, PluginSource};
use serde::Serialize;

use super::{OutputArgs, refused};
use crate::client::{
    failure::Failure,
    output::{Output, size},
    table::Table,
};

/// Arguments of `imprint plugin check`.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// Plugin: a component with its manifest
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// What a plugin is, and what it asks for.
#[derive(Serialize)]
struct Report {
    id: String,
    version: String,
    kind: &'static str,
    provides: String,
    summary: String,
    license: String,
    /// SHA-256 of the file.
    digest: String,
    size_bytes: u64,
    /// The interfaces of the contract that it uses and exports, with their versions.
    interfaces: Vec<String>,
    /// The permissions that it asks for, in words.
    grants: Vec<String>,
    memory_bytes: u64,
    cpu_per_call_ms: u64,
    wall_per_call_ms: u64,
}

/// Loads a plugin as the host does, and prints what it is.
pub(super) async fn check(args: CheckArgs) -> Result<(), Failure> {
    let bytes = read(&args.file).await?;
    let inspection = inspect(&args.file, &bytes).await?;
    print(&inspection, bytes.len(), args.output.output())
}

/// Reads a file.
pub(super) async fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = tokio::fs::read(file).await;
    read.map_err(|error| Failure::local(format!("cannot read {}", file.display()), error))
}

/// Loads a plugin.
pub(super) async fn inspect(file: &Path, bytes: &[u8]) -> Result<Inspection, Failure> {
    let load = async {
        let host = PluginHost::new(HostOptions::default())?;
        host.inspect(bytes, PluginSource::File(file.to_owned())).await
    };
    load.await.map_err(|error| refused(file, &error))
}

/// Prints what a plugin is.
pub(super) fn print(inspection: &Inspection, size_bytes: usize, output: Output) -> Result<(), Failure> {
    let info = &inspection.info;
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let report = Report {
        id: info.id.clone(),
        version: info.version.clone(),
        kind: info.kind.as_str(),
        provides: info.provides.clone(),
        summary: info.summary.clone(),
        license: info.license.clone(),
        digest: info.digest.clone(),
        size_bytes: u64::try_from(size_bytes).unwrap_or(u64::MAX),
        interfaces: inspection.interfaces.clone(),
        grants: inspection.grants.clone(),
        memory_bytes: info.limits.memory,
        cpu_per_call_ms: ms(info.limits.cpu_per_call),
        wall_per_call_ms: ms(info.limits.wall_per_call),
    };
    output.print(&report, || {
        let mut lines = vec![
            ("id", format!("{} {}", report.id, report.version)),
            ("provides", format!("the {} {}", report.kind, report.provides)),
            ("summary", report.summary.clone()),
            ("license", report.license.clone()),
            ("sha256", report.digest.clone()),
            ("size", size(Some(report.size_bytes))),
            (
                "limits",
                format!(
                    "{} of memory, {} ms of processor time and {} ms for one call",
                    size(Some(report.memory_bytes)),
                    report.cpu_per_call_ms,
                    report.wall_per_call_ms
                ),
            ),
        ];
        lines.extend(report.interfaces.iter().map(|interface| ("contract", interface.clone())));
        let nothing = "nothing beyond its log, its settings and the bytes that it is asked about";
        if report.grants.is_empty() {
            lines.push(("asks for", nothing.to_owned()));
        }
        lines.extend(report.grants.iter().map(|grant| ("asks for", grant.clone())));
        Table::details(lines)
    })
}
