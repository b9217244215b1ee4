//! Archives as Compute Engine has them are imported: those that are written for it, and those of
//! the corpus, whole and hostile.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use imprint_corpus::archive::{self, Outcome};
use imprint_tests::{
    binary,
    client::id,
    tools::arg,
    web::{Behaviour, WebServer},
};
use serde_json::json;

use crate::{
    export::logical_digest,
    import::{Sample, demo},
};

/// S79, S82: the same disk, and the format is raw by the archive's own rules.
#[tokio::test]
async fn an_archive_for_compute_engine_is_imported_again() -> Result<()> {
    let demo = demo("").await?;
    let sample = Sample::new(24 << 20)?;
    let (archive, grown) = (sample.dir.path().join("disk.tar.gz"), sample.dir.path().join("grown.raw"));
    for (to, target) in [("gce", &archive), ("raw", &grown)] {
        let mut convert = Command::new(binary()?);
        convert.args(["disk", "convert", "--to", to, "--size", "1GiB", arg(&sample.raw), arg(target)]);
        let output = convert.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let sample = Sample { digest: logical_digest(&grown)?, raw: grown, ..sample };
    let output = demo.cli(&["image", "import", "from gce", "--file", arg(&archive), "--wait"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let images = demo.customer.get("/images").await?;
    let image = demo.holds(id(&images["items"][0]), &sample).await?;
    let import = &image["import"];
    assert_eq!((&import["format"], &import["packing"]), (&json!("raw"), &json!("tar.gz")), "{image}");
    assert_eq!(import["file_bytes"], json!(fs::metadata(&archive)?.len()));
    demo.nothing_left(1).await
}

/// X1: what is odd about an archive is refused with the reason, and nothing of it is left.
#[tokio::test]
async fn hostile_archives_are_refused_and_odd_ones_read() -> Result<()> {
    let demo = demo("[agent]\nimport_private_networks = true\n").await?;
    let dir = tempfile::tempdir()?;
    let raw = dir.path().join("disk.raw");
    fs::write(&raw, archive::disk().to_vec())?;
    let sample = Sample { digest: logical_digest(&raw)?, raw, dir };
    let mut stored = 0;
    for case in archive::cases() {
        let server = WebServer::start(case.file, Behaviour::Ranges).await?;
        let made = demo.request(case.id, json!({"type": "url", "url": server.url})).await?;
        let task = demo.customer.finished(&made["task"]).await?;
        match case.outcome {
            Outcome::Read => {
                assert_eq!(task["state"], "succeeded", "{}: {task}", case.id);
                demo.holds(id(&made["image"]), &sample).await?;
                stored += 1;
            }
            Outcome::Refused(_) => {
                assert_eq!(task["error"]["code"], "import_unreadable", "{}: {task}", case.id);
            }
            // It is an archive of something else then.
            Outcome::NotRecognised => {
                let code = task["error"]["code"].as_str().context("an error")?;
                assert!(["unsupported.tar", "import_unreadable"].contains(&code), "{}: {task}", case.id);
            }
        }
    }
    demo.nothing_left(stored).await
}
