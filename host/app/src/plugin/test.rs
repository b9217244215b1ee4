//! `imprint plugin test`: the suite of the SDK on a storage in the real runtime.

mod subject;

use std::path::PathBuf;

use clap::Args;
use imprint_plugin_runtime::{PluginInfo, manifest::Kind};
use imprint_plugin_sdk::testing::storage::{CaseResult, Outcome, case_names, run_some};
use serde::Serialize;

use self::subject::Bench;
use super::{OutputArgs, check};
use crate::{
    client::{failure::Failure, table::Table},
    terminal,
};

/// Arguments of `imprint plugin test`.
#[derive(Args)]
pub(crate) struct TestArgs {
    /// Storage plugin: a component with its manifest
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Setting of the storage; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Folder for the storages of the cases; what the suite makes there is removed
    /// [default: $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Run this case only; may be given several times
    #[arg(long = "case", value_name = "NAME", value_parser = case_names())]
    cases: Vec<String>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A case with its result.
#[derive(Serialize)]
struct Row {
    case: &'static str,
    about: &'static str,
    result: &'static str,
    /// Why it was skipped or failed.
    reason: Option<String>,
}

impl From<&Outcome> for Row {
    fn from(outcome: &Outcome) -> Self {
        let (result, reason) = match &outcome.result {
            CaseResult::Passed => ("passed", None),
            CaseResult::Skipped(reason) => ("skipped", Some((*reason).to_owned())),
            CaseResult::Failed(reason) => ("failed", Some(reason.clone())),
        };
        Self { case: outcome.case, about: outcome.about, result, reason }
    }
}

/// Runs the suite.
pub(super) async fn test(args: TestArgs) -> Result<(), Failure> {
    let bytes = check::read(&args.file).await?;
    let inspection = check::inspect(&args.file, &bytes).await?;
    require_storage(&inspection.info)?;
    let bench = Bench::open(&args.file, &bytes, args.settings.into_iter().collect(), args.dir).await?;
    let cases = args.cases;
    let running = tokio::task::spawn_blocking(move || {
        let mut fresh = |case: &str| {
            terminal::note(&format!("{case} ..."));
            bench.subject(case)
        };
        run_some(&mut fresh, |case| cases.is_empty() || cases.iter().any(|wanted| wanted == case))
    });
    let outcomes =
        running.await.map_err(|error| Failure::local("the suite ended", std::io::Error::other(error)))?;
    let rows: Vec<Row> = outcomes.iter().map(Row::from).collect();
    args.output.output().print(&rows, || {
        let cells = rows.iter().map(|row| {
            let mark = if row.result == "failed" { "FAILED" } else { row.result };
            [mark.to_owned(), row.case.to_owned(), row.reason.clone().unwrap_or_else(|| row.about.to_owned())]
        });
        Table::list(["RESULT", "CASE", "ABOUT"], cells, "no cases")
    })?;
    if outcomes.iter().any(Outcome::is_failure) {
        return Err(Failure::Checks);
    }
    Ok(())
}

fn require_storage(info: &PluginInfo) -> Result<(), Failure> {
    match info.kind {
        Kind::Storage => Ok(()),
        Kind::Format | Kind::Hypervisor | Kind::Inspector => Err(Failure::Usage(format!(
            "{} is a {}; the suite is for storages, and formats and inspectors are tried with `imprint disk \
             --plugin-dir`",
            info.id,
            info.kind.as_str()
        ))),
    }
}
