//! The tools for authors and operators of plugins, on components as they are installed.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use imprint_tests::{binary, dist, eventually, server::Server};
use serde_json::Value;

/// Runs `imprint plugin`, and returns whether it succeeded, its answer, and what it said.
fn plugin(args: &[&str]) -> Result<(bool, Value, String)> {
    let output = Command::new(binary()?).arg("plugin").args(args).output()?;
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Ok((output.status.success(), answer, String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn arg(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// The results of the suite by its cases.
fn results(answer: &Value) -> Vec<(String, String)> {
    let rows = answer.as_array().into_iter().flatten();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    rows.map(|row| (text(row, "case"), text(row, "result"))).collect()
}

#[test]
fn the_shipped_storage_passes_the_suite_in_the_real_runtime() -> Result<()> {
    let file = dist()?.join("plugins/storage-local.wasm");
    let (succeeded, answer, said) = plugin(&["test", arg(&file), "--output", "json"])?;
    assert!(succeeded, "{answer:#} {said}");
    let results = results(&answer);
    assert_eq!(results.len(), 15);
    let skipped: Vec<_> =
        results.iter().filter(|(_, result)| result == "skipped").map(|(case, _)| case.as_str()).collect();
    assert_eq!(
        skipped,
        ["short-read", "slow-server", "lost-answer", "no-space"],
        "they need a host that fails"
    );
    Ok(())
}

#[test]
fn the_suite_finds_planted_faults_in_the_real_runtime() -> Result<()> {
    let file = dist()?.join("hostile-plugins/faulty-storage.wasm");
    let faults = [
        ("early", "put-get"),
        ("shifted", "ranges"),
        ("no-zero", "zero-length"),
        ("flat", "hostile-names"),
        ("replaces", "replace"),
        ("shared", "two-writers"),
        ("keeps", "cancel"),
        ("deletes-committed", "crash"),
        ("once", "delete"),
        ("trusting", "wrong-total"),
    ];
    for (fault, case) in faults {
        let fault = format!("fault={fault}");
        let sound = plugin(&["test", arg(&file), "--case", case, "--output", "json"])?;
        assert!(sound.0, "{case}: {:#} {}", sound.1, sound.2);
        let faulty = plugin(&["test", arg(&file), "--case", case, "--set", &fault, "--output", "json"])?;
        assert!(!faulty.0, "{fault} is not found: {:#}", faulty.1);
        assert_eq!(results(&faulty.1), [(case.to_owned(), "failed".to_owned())], "{:#}", faulty.1);
    }
    Ok(())
}

#[test]
fn a_plugin_is_checked_packed_and_listed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let finished = dist()?.join("hostile-plugins/hostile-stream.wasm");
    let (succeeded, answer, said) = plugin(&["check", arg(&finished), "--output", "json"])?;
    assert!(succeeded, "{said}");
    assert_eq!((&answer["id"], &answer["kind"]), (&"hostile-stream".into(), &"storage".into()));
    assert!(answer["grants"].to_string().contains("setting `path`"), "{answer:#}");
    let interfaces = answer["interfaces"].to_string();
    assert!(interfaces.contains("exports imprint:storage/backend@0.1"), "{interfaces}");

    // The component as cargo builds it: the file without the section at its end.
    let manifest = fs::read_to_string("hostile-plugins/hostile-stream/plugin.toml")?;
    let bytes = fs::read(&finished)?;
    let at = bytes.windows(16).rposition(|window| window == b"imprint:manifest").context("the section")?;
    let start = (0..at).rev().find(|at| bytes[*at] == 0).context("the section's id")?;
    let (bare, toml, out) =
        (folder.path().join("bare.wasm"), folder.path().join("plugin.toml"), folder.path().join("mine.wasm"));
    fs::write(&bare, &bytes[..start])?;
    fs::write(&toml, &manifest)?;
    let (_, _, said) = plugin(&["check", arg(&bare)])?;
    assert!(said.contains("imprint plugin pack"), "{said}");
    let (succeeded, _, said) = plugin(&["pack", arg(&bare), "--manifest", arg(&toml), "-o", arg(&out)])?;
    assert!(succeeded, "{said}");
    assert_eq!(fs::read(&out)?, bytes, "it is what the build of this repository makes");
    let (succeeded, _, said) = plugin(&["pack", arg(&out), "--manifest", arg(&toml), "-o", arg(&out)])?;
    assert!(!succeeded && said.contains("has a manifest already"), "{said}");
    fs::write(&toml, manifest.replace("kinds = [\"storage\"]", "kinds = [\"format\"]"))?;
    let wrong = folder.path().join("wrong.wasm");
    let (succeeded, _, said) = plugin(&["pack", arg(&bare), "--manifest", arg(&toml), "-o", arg(&wrong)])?;
    assert!(!succeeded && !wrong.exists(), "{said}");

    listed(folder.path(), &out)
}

#[tokio::test]
async fn a_plugin_that_cannot_be_loaded_is_shown_and_stops_nothing() -> Result<()> {
    let dir = Server::folder()?;
    let plugins = dir.path().join("plugins");
    fs::create_dir(&plugins)?;
    fs::write(plugins.join("damaged.wasm"), b"no component")?;
    let config = dir.path().join("imprint.toml");
    fs::write(&config, format!("[plugins]\ndir = {plugins:?}\n"))?;
    let server = Server::start_in(dir, &["--demo", "--config", arg(&config)], &[]).await?;
    let admin = server.admin().await?;
    eventually("the hypervisor to report its findings", async || {
        let hypervisors = admin.get("/admin/hypervisors").await?;
        let findings = hypervisors["items"][0]["findings"].to_string();
        Ok(findings.contains("damaged.wasm is not used").then_some(()))
    })
    .await?;
    let ready = reqwest::get(format!("{}/readyz", server.url)).await?;
    assert!(ready.status().is_success());
    assert!(ready.text().await?.starts_with("ready, findings: 1;"));
    Ok(())
}

/// A folder with a good plugin and a damaged one.
fn listed(folder: &Path, good: &Path) -> Result<()> {
    let plugins = folder.join("plugins");
    fs::create_dir(&plugins)?;
    fs::copy(good, plugins.join("good.wasm"))?;
    fs::write(plugins.join("damaged.wasm"), b"no component")?;
    let config = folder.join("imprint.toml");
    fs::write(&config, format!("[plugins]\ndir = {plugins:?}\n"))?;
    let data = folder.join("data");
    let args = ["list", "--config", arg(&config), "--data-dir", arg(&data), "--output", "json"];
    let (succeeded, answer, said) = plugin(&args)?;
    ensure!(succeeded, "{said}");
    let rows = answer.as_array().context("a list")?;
    let row =
        |id: &str| rows.iter().find(|row| row["id"] == id).with_context(|| format!("{id} in {answer:#}"));
    assert_eq!(row("storage-local")?["file"], Value::Null);
    assert_eq!(row("hostile-stream")?["used"], true);
    let damaged = rows.iter().find(|row| row["used"] == false).context("the damaged one")?;
    assert!(damaged["reason"].as_str().context("a reason")?.contains("not a WebAssembly component"));
    assert!(damaged["file"].as_str().context("a file")?.ends_with("damaged.wasm"));
    Ok(())
}
