//! `cargo xtask generate`: rewrites what is generated and committed; tests fail when it is stale.

use std::fs;

use anyhow::Result;

use crate::{panel, sh, up};

/// The OpenAPI document, the help of the command line, the schemas of both databases, the tables of
/// hostile images and of task errors, and the panel's types.
pub(crate) fn generate() -> Result<()> {
    let binary = up::build_host(up::Profile::Dev)?;
    let golden = sh::root().join("tests/golden");
    fs::create_dir_all(&golden)?;
    for (file, args) in [("openapi.json", &["openapi"][..]), ("cli-help.txt", &["help-all"][..])] {
        let text = sh::output(std::process::Command::new(&binary).args(args))?;
        fs::write(golden.join(file), text)?;
    }
    let schemas = ["test", "--package", "imprint-store", "--test", "it", "schema"];
    sh::run(sh::cargo().args(schemas).env("IMPRINT_GENERATE", "1"))?;
    let hostile = ["test", "--package", "imprint-corpus", "--lib", "documented"];
    sh::run(sh::cargo().args(hostile).env("IMPRINT_GENERATE", "1"))?;
    let task_errors = ["test", "--package", "imprint-domain", "--lib", "documented"];
    sh::run(sh::cargo().args(task_errors).env("IMPRINT_GENERATE", "1"))?;
    panel::install()?;
    sh::run(&mut panel::npm(&["run", "generate"]))
}
