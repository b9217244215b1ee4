//! `cargo xtask bench --transfers`: uploads, imports from a server and exports through the whole
//! product, against plain tools that do the same on the same bytes in the same run.
//!
//! Ours is the wall time of a client until the image or the file is complete, with its digests. The
//! rounds take turns; the first one warms up and is not counted.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use imprint_tests::{
    binary,
    client::{Client, id},
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
    server::Server,
    tools::{arg, ok},
    web::{Behaviour, WebServer},
};
use serde_json::json;

use crate::{Options, bind, ended, print, print_line, write_disk};

/// The product with disks to move, and the servers that they come from and go to.
struct Transfers {
    server: Server,
    customer: Client,
    web: WebServer,
    s3: S3Server,
    folder: PathBuf,
    raw: PathBuf,
    qcow2: PathBuf,
}

/// Measures all of them, and prints a line for each.
pub(crate) async fn measure(options: &Options) -> Result<()> {
    let bench = Transfers::new(options).await?;
    let (mut uploads, mut imports, mut exports) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=options.rounds {
        let put = bench.shell(&bench.put())?;
        let upload = bench.import(&format!("upload-{round}"), &["--file", arg(&bench.raw)]).await?;
        let fetched = bench.shell(&bench.fetch())?;
        let read = bench.import(&format!("import-{round}"), &["--url", &bench.web.url]).await?;
        let converted = bench.shell(&bench.convert())?;
        let export = bench.export(&format!("export-{round}"))?;
        bench.remove_all().await?;
        if round > 0 {
            uploads.push((upload, put));
            imports.push((read, fetched));
            exports.push((export, converted));
        }
    }
    let size = |path: &Path| std::fs::metadata(path).map(|found| found.len());
    print("upload, raw, into s3", "curl -T", size(&bench.raw)?, &uploads);
    print("import, qcow2, http", "curl, qemu-img", size(&bench.qcow2)?, &imports);
    print("export, VHD, download", "qemu-img", size(&bench.raw)?, &exports);
    bench.look()
}

impl Transfers {
    async fn new(options: &Options) -> Result<Self> {
        let dir = Server::folder()?;
        let config = dir.path().join("imprint.toml");
        std::fs::write(&config, "[agent]\nimport_private_networks = true\n")?;
        let server = Server::start_in(dir, &["--demo", "--config", arg(&config)], &[]).await?;
        let (customer, admin) = (server.customer().await?, server.admin().await?);
        let folder = server.dir.path().join("transfers");
        std::fs::create_dir(&folder)?;
        let (raw, qcow2) = (folder.join("disk.raw"), folder.join("disk.qcow2"));
        write_disk(&raw, options.data_mib)?;
        // What a disk begins with: an import looks for it.
        ok("sh", &["-c", &format!("printf '\\125\\252' | dd of={} bs=1 seek=510 conv=notrunc", arg(&raw))])?;
        ok("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", arg(&raw), arg(&qcow2)])?;
        let web = WebServer::start(std::fs::read(&qcow2)?, Behaviour::Ranges).await?;
        let s3 = S3Server::start().await?;
        let settings = json!({"endpoint": s3.url, "bucket": S3Server::BUCKET, "prefix": "own",
            "access-key": ACCESS_KEY, "private-networks": "true"});
        let hypervisor = id(&admin.get("/admin/hypervisors").await?["items"][0]).to_owned();
        let storage = bind(&admin, &hypervisor, "s3", &settings, &json!({"secret-key": SECRET_KEY})).await?;
        // Heavier than the folder of the demo, so that imports go there.
        admin.patch(&format!("/admin/image-storages/{storage}"), &json!({"weight": 1000})).await?;
        Ok(Self { server, customer, web, s3, folder, raw, qcow2 })
    }

    /// Sends the file to the server of the storage.
    fn put(&self) -> String {
        format!(
            "curl -sf --aws-sigv4 aws:amz:us-east-1:s3 -u {ACCESS_KEY}:{SECRET_KEY} -T {} {}/{}/plain",
            arg(&self.raw),
            self.s3.url,
            S3Server::BUCKET
        )
    }

    /// Fetches the file, and converts it.
    fn fetch(&self) -> String {
        let (fetched, made) = (self.folder.join("fetched"), self.folder.join("made"));
        let (fetched, made) = (arg(&fetched), arg(&made));
        format!(
            "curl -sf -o {fetched} {} && qemu-img convert -f qcow2 -O qcow2 {fetched} {made} && sync -d {made} && \
             rm {fetched} {made}",
            self.web.url
        )
    }

    /// Converts the disk from one file to another.
    fn convert(&self) -> String {
        let made = self.folder.join("made.vhd");
        let made = arg(&made);
        format!("qemu-img convert -f qcow2 -O vpc {} {made} && sync -d {made} && rm {made}", arg(&self.qcow2))
    }

    fn shell(&self, script: &str) -> Result<f64> {
        let start = Instant::now();
        ok("sh", &["-c", script])?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn cli(&self, args: &[&str]) -> Result<f64> {
        let start = Instant::now();
        let mut command = Command::new(binary()?);
        command.args(args).env("IMPRINT_SERVER", &self.server.url);
        let output = command.env("IMPRINT_TOKEN", self.customer.token()).output()?;
        if !output.status.success() {
            bail!("imprint {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(start.elapsed().as_secs_f64())
    }

    async fn import(&self, name: &str, source: &[&str]) -> Result<f64> {
        let seconds = self.cli(&[&["image", "import", name, "--wait"], source].concat())?;
        let images = self.customer.get(&format!("/images?q={name}")).await?;
        match images["items"][0]["status"].as_str() {
            Some("available") => Ok(seconds),
            Some(_) | None => bail!("the import is not available: {images}"),
        }
    }

    /// Exports what was imported last, and downloads it.
    fn export(&self, name: &str) -> Result<f64> {
        let file = self.folder.join(format!("{name}.vhd"));
        let image = name.replace("export", "import");
        let seconds = self.cli(&["image", "export", &image, arg(&file), "--format", "vhd"])?;
        std::fs::remove_file(&file)?;
        Ok(seconds)
    }

    async fn remove_all(&self) -> Result<()> {
        let images = self.customer.get("/images?scope=own").await?;
        for image in images["items"].as_array().context("a list")? {
            let deleted = self.customer.delete(&format!("/images/{}", id(image))).await?;
            ended(&self.customer, &deleted["task"]).await?;
        }
        Ok(())
    }

    /// Looks into a disk of 40 GiB: its seconds and its memory.
    fn look(&self) -> Result<()> {
        let disk = self.folder.join("large.raw");
        let script = format!(
            "truncate -s 40G {0} && mke2fs -q -F -t ext4 {0} && time -f '%e s, %M KiB' {1} disk inspect --inside {0} 2>&1 \
             >/dev/null | tail -1",
            arg(&disk),
            arg(&binary()?)
        );
        let line = ok("sh", &["-c", &script])?;
        print_line(&format!("look into a disk of 40 GiB: {}; goal 2 s", line.trim()));
        Ok(())
    }
}
