//! Disks are imported from storages of customers' own: a bucket, and a container with large
//! objects.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use imprint_tests::{
    binary,
    client::id,
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
    swift::{CONTAINER, KEY, Swift, USER},
    tools::{self, arg},
};
use serde_json::json;

use crate::import::{Demo, Sample, demo};

const MIB: usize = 1 << 20;

/// The command line of an import from a storage.
fn command(demo: &Demo, name: &str, from: &str) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.args(["image", "import", name, "--from", from, "--set", "private-networks=true", "--wait"]);
    command.env("IMPRINT_SERVER", &demo.server.url).env("IMPRINT_TOKEN", demo.customer.token());
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("OS_USERNAME", USER).env("OS_PASSWORD", KEY);
    Ok(command)
}

/// S73, S135: plain and packed, with what is wrong said by the task.
#[tokio::test]
async fn a_disk_is_imported_from_a_bucket() -> Result<()> {
    let s3 = S3Server::start().await?;
    let demo = demo("[agent]\nimport_private_networks = true\n").await?;
    let sample = Sample::new(40 * MIB)?;
    s3.put("backups/web.vmdk", &sample.converted("vmdk")?)?;
    let packed = sample.dir.path().join("web.raw.gz");
    fs::write(&packed, Command::new("gzip").args(["-c", arg(&sample.raw)]).output()?.stdout)?;
    s3.put("backups/web.raw.gz", &packed)?;
    let endpoint = format!("endpoint={}", s3.url);
    let import = |name: &str, key: &str, secret: &str| -> Result<_> {
        let mut command = command(&demo, name, &format!("s3://{}/{key}", S3Server::BUCKET))?;
        Ok(command.args(["--set", &endpoint]).env("AWS_SECRET_ACCESS_KEY", secret).output()?)
    };
    for (name, key) in [("plain", "backups/web.vmdk"), ("packed", "backups/web.raw.gz")] {
        let output = import(name, key, SECRET_KEY)?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let images = demo.customer.get("/images").await?;
    for image in images["items"].as_array().context("a list")? {
        let shown = demo.holds(id(image), &sample).await?;
        let origin = shown["import"]["origin"].as_str().unwrap_or_default().to_owned();
        assert!(origin.starts_with("s3://images/backups/web."), "{origin}");
        assert_eq!(shown["import"]["source"], "storage_object");
    }
    for (key, secret) in [("backups/none.raw", SECRET_KEY), ("backups/web.vmdk", "another-key")] {
        let output = import("wrong", key, secret)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("does not hand it over"), "{key}: {text}");
    }
    assert_eq!(s3.objects()?.len(), 2, "nothing was written to the bucket");
    let logs = demo.server.logs();
    assert!(!logs.contains(SECRET_KEY) && !logs.contains("another-key"), "the log has a secret");
    demo.nothing_left(2).await
}

/// S76: a large object of another program is one file.
#[tokio::test]
async fn a_disk_in_pieces_is_imported_from_a_container() -> Result<()> {
    let swift = Swift::start().await?;
    let demo = demo("[agent]\nimport_private_networks = true\n").await?;
    let sample = Sample::new(24 * MIB)?;
    let vhd = sample.dir.path().join("web.vhd");
    let options = "subformat=dynamic,force_size";
    tools::ok("qemu-img", &["convert", "-O", "vpc", "-o", options, arg(&sample.raw), arg(&vhd)])?;
    swift.put("segments", Vec::new(), &[]).await?;
    let (bytes, mut listed) = (fs::read(&vhd)?, Vec::new());
    for (number, part) in bytes.chunks(MIB).enumerate() {
        let path = format!("segments/web/{number:03}");
        swift.put(&path, part.to_vec(), &[]).await?;
        listed.push(json!({"path": format!("/{path}")}));
    }
    assert!(listed.len() > 1, "several pieces make one file");
    let dynamic = [("x-object-manifest", "segments/web/")];
    swift.put(&format!("{CONTAINER}/dynamic.vhd"), Vec::new(), &dynamic).await?;
    let manifest = serde_json::to_vec(&listed)?;
    swift.put(&format!("{CONTAINER}/static.vhd?multipart-manifest=put"), manifest, &[]).await?;
    for name in ["dynamic", "static"] {
        let mut command = command(&demo, name, &format!("swift://{CONTAINER}/{name}.vhd"))?;
        command.args(["--set", "sign-in=v1"]).env("OS_AUTH_URL", &swift.auth_url);
        let output = command.output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let images = demo.customer.get("/images").await?;
    for image in images["items"].as_array().context("a list")? {
        let shown = demo.holds(id(image), &sample).await?;
        assert_eq!(shown["import"]["file_bytes"], json!(bytes.len()), "{shown}");
    }
    demo.nothing_left(2).await
}

/// The address rules of imports hold for endpoints, too.
#[tokio::test]
async fn a_bucket_in_a_private_network_is_refused() -> Result<()> {
    let s3 = S3Server::start().await?;
    let demo = demo("").await?;
    for private in ["true", "false"] {
        let source = json!({
            "type": "storage_object", "kind": "s3", "key": "web.raw",
            "settings": {"endpoint": s3.url, "bucket": S3Server::BUCKET, "access-key": ACCESS_KEY,
                "private-networks": private},
            "secrets": {"secret-key": SECRET_KEY},
        });
        let task = demo.fetched("private", source).await?;
        assert_eq!(task["error"]["code"], "import_address", "{private}: {task}");
    }
    demo.nothing_left(0).await
}
