//! Exports of images, from the capture to files that other programs read (S78, S90, S91, S135).

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    client::{Client, id},
    eventually,
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
    server::{CONFIG, Server},
    swift::{CONTAINER, KEY, Swift, USER},
    tools::{self, arg},
};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

#[track_caller]
fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The digest of the disk in a file.
pub(crate) fn logical_digest(file: &Path) -> Result<String> {
    let mut command = Command::new(binary()?);
    command.args(["disk", "digest", "--output", "json"]).arg(file);
    let output = command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).output()?;
    succeeds(&output);
    let report: Value = serde_json::from_slice(&output.stdout)?;
    Ok(report["logical_digest"].as_str().with_context(|| format!("{report}"))?.to_owned())
}

/// The image of the demo's guest, captured.
async fn captured(server: &Server, customer: &Client) -> Result<Value> {
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    Ok(customer.capture(id(&first), "web 1", json!({})).await?.0)
}

/// What other programs make of a file of that format.
fn others_read(file: &Path, format: &str) -> Result<()> {
    let folder = file.parent().context("a folder")?;
    match format {
        "ova" => {
            let unpacked = folder.join("unpacked");
            fs::create_dir(&unpacked)?;
            tools::ok("tar", &["-xf", arg(file), "-C", arg(&unpacked)])?;
            let manifest = fs::read_to_string(unpacked.join("appliance.mf"))?;
            for line in manifest.lines() {
                let (name, hash) = line.split_once(")= ").context("a digest")?;
                let name = name.strip_prefix("SHA256(").context("a name")?;
                let found = tools::ok("sha256sum", &[arg(&unpacked.join(name))])?;
                ensure!(found.starts_with(hash), "{name}: {found} and {hash}");
            }
            let disk = unpacked.join("appliance-disk1.vmdk");
            tools::ok("qemu-img", &["info", "-f", "vmdk", arg(&disk)])?;
        }
        "vhd" => drop(tools::ok("qemu-img", &["info", "-f", "vpc", arg(file)])?),
        "raw" => {}
        "qcow2" | "vhdx" | "vdi" => drop(tools::ok("qemu-img", &["check", "-f", format, arg(file)])?),
        other => drop(tools::ok("qemu-img", &["info", "-f", other, arg(file)])?),
    }
    Ok(())
}

#[tokio::test]
async fn an_image_is_exported_to_every_format_and_is_the_same_disk() -> Result<()> {
    let server = Server::demo().await?;
    let customer = server.customer().await?;
    let image = captured(&server, &customer).await?;
    let digest = image["logical_digest"].as_str().context("a digest")?;
    let raw = server.dir.path().join("web.img");
    for (name, format, options) in [
        ("web.img", "raw", &[][..]),
        ("web.qcow2", "qcow2", &["--compression", "zlib"]),
        ("plain.qcow2", "qcow2", &["--compression", "none"]),
        ("web.vhd", "vhd", &[]),
        ("fixed.vhd", "vhd", &["--variant", "fixed"]),
        ("web.vhdx", "vhdx", &[]),
        ("web.vmdk", "vmdk", &[]),
        ("web.vdi", "vdi", &[]),
        ("web.ova", "ova", &[]),
    ] {
        let file = server.dir.path().join(name);
        let mut command = server.command_line(&customer)?;
        command.args(["image", "export", "web 1"]).arg(&file).args(options);
        succeeds(&command.output()?);
        assert_eq!(logical_digest(&file)?, digest, "{name}");
        others_read(&file, format)?;
        if !matches!(format, "raw" | "ova") {
            let theirs = if format == "vhd" { "vpc" } else { format };
            let of_vhd = format!("driver={theirs},file.filename={}", arg(&file));
            let force = format!("{of_vhd},force_size_calc=current_size");
            let named = if format == "vhd" { &force } else { &of_vhd };
            let to = server.dir.path().join("theirs.raw");
            tools::ok("qemu-img", &["convert", "--image-opts", named, "-O", "raw", arg(&to)])?;
            tools::ok("cmp", &[arg(&raw), arg(&to)])?;
        }
    }
    // The closed round trip: what was exported is imported even where one VHD file is all that is
    // taken, and is the same disk.
    let location = format!("/admin/locations/{}", image["location_id"].as_str().context("a location")?);
    server.admin().await?.patch(&location, &json!({"import_profile": "strict_vhd"})).await?;
    let vhd = server.dir.path().join("web.vhd");
    let mut command = server.command_line(&customer)?;
    command.args(["image", "import", "again", "--wait", "-o", "json", "--file"]).arg(&vhd);
    succeeds(&command.output()?);
    let images = customer.get("/images?q=again").await?;
    assert_eq!(images["items"][0]["logical_digest"], digest, "{images}");
    let sparse = fs::metadata(&raw)?;
    assert!(sparse.blocks() * 512 < sparse.len(), "{} of {}", sparse.blocks() * 512, sparse.len());
    // Without --keep nothing of them stays at the server but the two images.
    eventually("the files to be removed", async || Ok((server.stored_files()?.len() == 2).then_some(())))
        .await?;
    // Asked again where the connection of the capture has ended meanwhile.
    eventually("the exports to be gone", async || {
        let list = customer.get(&format!("/images/{}/exports", id(&image))).await?;
        Ok((list["items"] == json!([])).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn an_export_is_downloaded_in_parts_continued_and_removed() -> Result<()> {
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let image = captured(&server, &customer).await?;
    let exports = format!("/images/{}/exports", id(&image));
    let made = customer.post(&exports, &json!({"format": "vhdx"})).await?;
    customer.succeeded(&made["task"]).await?;
    let again = customer.post(&exports, &json!({"format": "vhdx"})).await?;
    assert_eq!(id(&again["export"]), id(&made["export"]), "made once");
    let path = format!("{exports}/{}", id(&made["export"]));
    let export = customer.get(&path).await?;
    assert_eq!(export["status"], "available", "{export}");

    let url = format!("{}/api/v1{path}/content", server.url);
    let http = reqwest::Client::new();
    let get = || http.get(&url).bearer_auth(customer.token());
    assert_eq!(http.get(&url).send().await?.status(), StatusCode::UNAUTHORIZED);
    let whole = get().send().await?;
    assert_eq!(whole.status(), StatusCode::OK);
    let text =
        |name: &str| whole.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert!(text("content-disposition").contains("filename*=UTF-8''web%201.vhdx"), "{whole:?}");
    assert_eq!(text("content-type"), "application/x-vhdx-disk");
    assert!(text("repr-digest").starts_with("sha-256=:"), "{whole:?}");
    assert_eq!(text("repr-digest"), text("content-digest"));
    let etag = text("etag").to_owned();
    let content = whole.bytes().await?;
    assert_eq!(u64::try_from(content.len())?, export["size_bytes"].as_u64().context("a size")?);
    let part = get().header(header::RANGE, "bytes=1000-1999").header(header::IF_RANGE, &etag).send().await?;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert!(part.headers().contains_key("repr-digest") && !part.headers().contains_key("content-digest"));
    assert!(part.bytes().await? == content[1000..2000]);

    // The command line continues what an interrupted download left, and checks the whole.
    let file = server.dir.path().join("web.vhdx");
    let part = |end: &str| PathBuf::from(format!("{}{end}", file.display()));
    fs::write(part(".part"), &content[..content.len() / 2])?;
    fs::write(part(".part.etag"), &etag)?;
    let mut command = server.command_line(&customer)?;
    command.args(["image", "export", "web 1", "--keep"]).arg(&file);
    succeeds(&command.output()?);
    assert!(fs::read(&file)? == content);
    // Bytes that the server never sent are found out.
    fs::write(part(".part"), vec![b'x'; content.len() / 2])?;
    fs::write(part(".part.etag"), &etag)?;
    let refused = command.output()?;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("SHA-256"), "{said}");

    // A scan knows the file; deleted, it is gone.
    assert_eq!(server.stored_files()?.len(), 2);
    customer.delete(&path).await?;
    eventually("the file to be removed", async || Ok((server.stored_files()?.len() == 2).then_some(())))
        .await?;
    eventually("the export to be gone", async || {
        let answer = customer.send(Method::GET, &path, None, &[]).await?;
        Ok((answer.status == StatusCode::NOT_FOUND).then_some(()))
    })
    .await?;
    // The operator's own stock images, for the operator alone.
    let stock = customer.get("/images?scope=stock").await?["items"][0].clone();
    let exports = format!("/images/{}/exports", id(&stock));
    let refused = customer.send(Method::POST, &exports, Some(&json!({"format": "raw"})), &[]).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    let made = admin.post(&exports, &json!({"format": "raw"})).await?;
    admin.succeeded(&made["task"]).await?;
    let metrics = reqwest::get(format!("{}/metrics", server.url)).await?.text().await?;
    assert!(metrics.contains("imprint_exports{status=\"available\"} 1"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn an_export_goes_to_a_bucket_and_a_container_of_the_owner() -> Result<()> {
    let (s3, swift) = (S3Server::start().await?, Swift::start().await?);
    let dir = Server::folder()?;
    let config = dir.path().join("exports.toml");
    fs::write(&config, format!("{CONFIG}[exports]\nprivate_networks = true\n"))?;
    let server = Server::start_in(dir, &["--demo", "--config", arg(&config)], &[]).await?;
    let customer = server.customer().await?;
    let image = captured(&server, &customer).await?;
    let digest = image["logical_digest"].as_str().context("a digest")?;
    let files = server.stored_files()?;

    let mut command = server.command_line(&customer)?;
    let to = format!("s3://{}/backups/web.ova", S3Server::BUCKET);
    let endpoint = format!("endpoint={}", s3.url);
    command.args(["image", "export", "web 1", "--to", &to, "--set", &endpoint]);
    command.args(["--set", "private-networks=true", "--set", "part-size=5"]);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    succeeds(&command.output()?);
    let objects = s3.objects()?;
    let [object] = objects.as_slice() else { anyhow::bail!("{objects:?}") };
    assert!(object.ends_with("backups/web.ova"), "{object:?}");
    let file = server.dir.path().join("web.ova");
    fs::copy(object, &file)?;
    assert_eq!(logical_digest(&file)?, digest);
    others_read(&file, "ova")?;

    let mut command = server.command_line(&customer)?;
    command.args(["image", "export", "web 1", "--to", &format!("swift://{CONTAINER}/web.vhdx")]);
    command.args(["--set", "sign-in=v1", "--set", "private-networks=true", "--set", "segment-size=1"]);
    command.env("OS_AUTH_URL", &swift.auth_url).env("OS_USERNAME", USER).env("OS_PASSWORD", KEY);
    succeeds(&command.output()?);
    let file = server.dir.path().join("web.vhdx");
    fs::write(&file, swift.bytes(&format!("{CONTAINER}/web.vhdx")).await?)?;
    assert_eq!(logical_digest(&file)?, digest);

    // A wrong key: the task says so, and nothing is left.
    let mut command = server.command_line(&customer)?;
    command.args(["image", "export", "web 1", "--to", &to, "--format", "raw", "--set", &endpoint]);
    command.args(["--set", "private-networks=true"]);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", "another-key");
    let refused = command.output()?;
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!(s3.objects()?.len(), 1);
    assert_eq!(server.stored_files()?, files, "nothing went to the provider's storage");
    let logs = server.logs();
    assert!(!logs.contains(SECRET_KEY) && !logs.contains(KEY), "the log has a secret");
    Ok(())
}
