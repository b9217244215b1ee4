//! Disks are imported: uploaded in order and in parts, across restarts, from the command line, and
//! from servers; and what breaks the rules is refused with every reason.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use imprint_tests::{
    binary,
    client::{Client, id},
    eventually,
    server::Server,
    tools::{self, arg},
    web::{AUTHORIZATION, Behaviour, WebServer},
};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::disk::noise;
use crate::export::logical_digest;

const MIB: usize = 1 << 20;

/// A disk with a partition table's mark, noise in some places and zeroes in others, and its digest.
pub(crate) struct Sample {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) raw: PathBuf,
    pub(crate) digest: String,
}

impl Sample {
    pub(crate) fn new(size: usize) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let raw = dir.path().join("disk.raw");
        let mut bytes = vec![0; size];
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes[MIB..3 * MIB].copy_from_slice(&noise(2 * MIB, 1));
        bytes[size - MIB..].copy_from_slice(&noise(MIB, 2));
        fs::write(&raw, bytes)?;
        let digest = logical_digest(&raw)?;
        Ok(Self { dir, raw, digest })
    }

    /// The same disk in a format of QEMU's tools.
    pub(crate) fn converted(&self, format: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(format!("disk.{format}"));
        tools::ok("qemu-img", &["convert", "-f", "raw", "-O", format, arg(&self.raw), arg(&path)])?;
        Ok(path)
    }
}

pub(crate) struct Demo {
    pub(crate) server: Server,
    pub(crate) customer: Client,
    pub(crate) admin: Client,
    pub(crate) location: String,
}

pub(crate) async fn demo(config: &str) -> Result<Demo> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("imprint.toml");
    fs::write(&file, config)?;
    let server = Server::start(&["--demo", "--config", arg(&file)], &[]).await?;
    with_accounts(server).await
}

async fn with_accounts(server: Server) -> Result<Demo> {
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let location = id(&customer.get("/locations").await?["items"][0]).to_owned();
    Ok(Demo { server, customer, admin, location })
}

impl Demo {
    pub(crate) async fn request(&self, name: &str, source: Value) -> Result<Value> {
        let request = json!({"name": name, "location_id": self.location, "source": source});
        self.customer.post("/images", &request).await
    }

    pub(crate) async fn fetched(&self, name: &str, source: Value) -> Result<Value> {
        let made = self.request(name, source).await?;
        self.customer.finished(&made["task"]).await
    }

    /// The stored file of an image holds the sample's disk.
    pub(crate) async fn holds(&self, image: &str, sample: &Sample) -> Result<Value> {
        let image = self.customer.get(&format!("/images/{image}")).await?;
        assert_eq!((&image["status"], &image["format"]), (&json!("available"), &json!("qcow2")), "{image}");
        assert_eq!(image["logical_digest"].as_str(), Some(sample.digest.as_str()), "{image}");
        let files = self.server.stored_files()?;
        let file = files.iter().find(|file| file.to_string_lossy().contains(id(&image))).context("a file")?;
        tools::ok("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", arg(file), arg(&sample.raw)])?;
        Ok(image)
    }

    pub(crate) fn cli(&self, args: &[&str]) -> Result<std::process::Output> {
        let mut command = Command::new(binary()?);
        command
            .args(args)
            .env("IMPRINT_SERVER", &self.server.url)
            .env("IMPRINT_TOKEN", self.customer.token());
        Ok(command.output()?)
    }

    /// Nothing of an import is left on the agent's disk or the storage.
    pub(crate) async fn nothing_left(&self, stored: usize) -> Result<()> {
        let uploads = self.server.agent_dir().join("uploads");
        let scratch = self.server.agent_dir().join("scratch");
        eventually("the files of imports to be removed", async || {
            let count = |folder: &Path| fs::read_dir(folder).map_or(0, |entries| entries.count());
            let left = count(&uploads) + count(&scratch);
            Ok((left == 0 && self.server.stored_files()?.len() == stored).then_some(()))
        })
        .await
    }
}

/// A client of tus and of parts, as browsers are.
struct Uploader<'a> {
    http: reqwest::Client,
    demo: &'a Demo,
}

impl<'a> Uploader<'a> {
    fn new(demo: &'a Demo) -> Self {
        Self { http: reqwest::Client::new(), demo }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Response> {
        let url = if path.starts_with("/api") { path.to_owned() } else { format!("/api/v1{path}") };
        let mut request = self.http.request(method, format!("{}{url}", self.demo.server.url));
        request = request.bearer_auth(self.demo.customer.token()).header("Tus-Resumable", "1.0.0");
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        Ok(request.body(body).send().await?)
    }

    async fn patch(&self, path: &str, offset: usize, body: &[u8]) -> Result<Response> {
        let fields = [
            ("Upload-Offset", offset.to_string()),
            ("Content-Type", "application/offset+octet-stream".to_owned()),
        ];
        self.send(Method::PATCH, path, &fields, body.to_vec()).await
    }

    async fn offset(&self, path: &str) -> Result<usize> {
        eventually("the upload to be received", async || {
            let answer = self.send(Method::HEAD, path, &[], Vec::new()).await?;
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                return Ok(None);
            }
            Ok(Some(answer.headers()["upload-offset"].to_str()?.parse()?))
        })
        .await
    }
}

/// What tus clients do: create, ask for the offset, continue; and what they do wrong.
#[tokio::test]
async fn a_disk_is_uploaded_by_a_tus_client() -> Result<()> {
    let demo = demo("").await?;
    let sample = Sample::new(20 * MIB)?;
    let bytes = fs::read(sample.converted("qcow2")?)?;
    let client = Uploader::new(&demo);
    let options = client.http.request(Method::OPTIONS, format!("{}/api/v1/uploads", demo.server.url));
    let options = options.send().await?;
    assert_eq!(options.headers()["tus-version"], "1.0.0");
    assert_eq!(options.headers()["tus-extension"], "creation,termination");
    let metadata = format!("filename {},name {}", BASE64.encode("web.qcow2"), BASE64.encode("web"));
    let create = [("Upload-Length", bytes.len().to_string()), ("Upload-Metadata", metadata)];
    let created = client.send(Method::POST, "/uploads", &create, Vec::new()).await?;
    assert_eq!(created.status(), StatusCode::CREATED, "{}", created.text().await?);
    let place = created.headers()["location"].to_str()?.to_owned();
    assert_eq!(client.offset(&place).await?, 0);
    let half = bytes.len() / 2;
    let first = client.patch(&place, 0, &bytes[..half]).await?;
    assert_eq!(
        (first.status(), first.headers()["upload-offset"].to_str()?),
        (StatusCode::NO_CONTENT, half.to_string().as_str())
    );

    let wrong = client.patch(&place, 5, b"x").await?;
    assert_eq!(wrong.status(), StatusCode::CONFLICT);
    let problem: Value = wrong.json().await?;
    assert_eq!(problem["code"], "upload_offset", "{problem}");
    let old = client.http.head(format!("{}{place}", demo.server.url)).bearer_auth(demo.admin.token());
    assert_eq!(old.send().await?.status(), StatusCode::OK, "an admin sees it");
    let beyond = client.patch(&place, half, &vec![0; bytes.len()]).await?;
    assert_eq!(beyond.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // What was behind the end was not taken, and what was before it counts.
    let offset = client.offset(&place).await?;
    assert!(offset >= half && offset <= bytes.len(), "{offset}");

    let image = place.split('/').nth(4).context("the id of the image")?.to_owned();
    let gone = client.send(Method::DELETE, &place, &[], Vec::new()).await?;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    eventually("the cancelled image to go", async || {
        let answer = demo.customer.send(Method::GET, &format!("/images/{image}"), None, &[]).await?;
        Ok((answer.status == StatusCode::NOT_FOUND).then_some(()))
    })
    .await?;
    demo.nothing_left(0).await?;

    let again = client.send(Method::POST, "/uploads", &create, Vec::new()).await?;
    let place = again.headers()["location"].to_str()?.to_owned();
    client.offset(&place).await?;
    for (index, chunk) in bytes.chunks(MIB).enumerate() {
        assert_eq!(client.patch(&place, index * MIB, chunk).await?.status(), StatusCode::NO_CONTENT);
    }
    let image = place.split('/').nth(4).context("the id of the image")?.to_owned();
    let shown = demo.customer.get(&format!("/images/{image}")).await?;
    demo.customer.succeeded(&json!({"id": shown["task_id"]})).await?;
    let shown = demo.holds(&image, &sample).await?;
    let import = &shown["import"];
    assert_eq!(
        (&import["source"], &import["origin"], &import["format"]),
        (&json!("upload"), &json!("web.qcow2"), &json!("qcow2"))
    );
    assert_eq!(import["file_bytes"], json!(bytes.len()));
    assert_eq!(
        client.offset(&place).await?,
        bytes.len(),
        "a client that asks late learns that it is complete"
    );
    demo.nothing_left(1).await
}

/// X3: an agent is killed in the middle, again and again; what it had is not sent again.
#[tokio::test]
async fn an_upload_goes_on_after_kills_of_the_agent() -> Result<()> {
    let mut server = Server::without_agent().await?;
    let listen = ["--object-listen", "127.0.0.1:0"];
    server.start_agent_with(&listen, None).await?;
    let demo = eventually("the agent to register", {
        let mut server = Some(server);
        async move || match server.take() {
            Some(server) => with_accounts(server).await.map(Some),
            None => bail!("asked twice"),
        }
    })
    .await?;
    let mut demo = demo;
    let sample = Sample::new(100 * MIB)?;
    let bytes = fs::read(&sample.raw)?;
    let made = eventually("the agent to take uploads", async || {
        let request = json!({"name": "big", "location_id": demo.location,
            "source": {"type": "upload", "size_bytes": bytes.len(), "file_name": "disk.raw"}});
        let answer = demo.customer.send(Method::POST, "/images", Some(&request), &[]).await?;
        Ok(answer.status.is_success().then_some(answer.body))
    })
    .await?;
    let image = id(&made["image"]).to_owned();
    let path = format!("/images/{image}/upload");
    let mut sent = 0;
    let mut kills = 0;
    loop {
        let state = eventually("the upload to be received", async || {
            let answer = demo.customer.send(Method::GET, &path, None, &[]).await?;
            Ok(answer.status.is_success().then_some(answer.body))
        })
        .await?;
        let part = usize::try_from(state["part_size"].as_u64().context("a part size")?)?;
        let missing: Vec<usize> = serde_json::from_value(state["missing_parts"].clone())?;
        let Some(number) = missing.last().copied() else { break };
        let (from, to) = ((number - 1) * part, (number * part).min(bytes.len()));
        let digest = format!("sha-256=:{}:", BASE64.encode(Sha256::digest(&bytes[from..to])));
        let client = Uploader::new(&demo);
        let target = format!("{path}/parts/{number}");
        let wrong =
            [("Content-Digest", format!("sha-256=:{}:", BASE64.encode(Sha256::digest(b"another part"))))];
        let refused = client.send(Method::PUT, &target, &wrong, bytes[from..to].to_vec()).await?;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let problem: Value = refused.json().await?;
        assert_eq!(problem["code"], "digest_mismatch", "{problem}");
        let taken = client
            .send(Method::PUT, &target, &[("Content-Digest", digest)], bytes[from..to].to_vec())
            .await?;
        ensure!(taken.status().is_success(), "{}", taken.text().await?);
        sent += to - from;
        let complete = taken.json::<Value>().await?["complete"].as_bool();
        if complete == Some(true) {
            break;
        }
        demo.server.agent()?.kill()?;
        kills += 1;
        demo.server.start_agent_with(&listen, None).await?;
    }
    assert!(kills >= 5, "{kills}");
    assert_eq!(sent, bytes.len(), "every part was sent once");
    demo.customer.succeeded(&made["task"]).await?;
    demo.holds(&image, &sample).await?;
    demo.nothing_left(1).await
}

/// S74, S81: every format, plain and packed, by the command line; the same disk each time.
#[tokio::test]
async fn files_of_every_kind_are_the_same_disk() -> Result<()> {
    let demo = demo("").await?;
    let sample = Sample::new(24 * MIB)?;
    let mut files: Vec<PathBuf> = Vec::new();
    for format in ["qcow2", "vmdk", "vdi", "vhdx"] {
        files.push(sample.converted(format)?);
    }
    files.push(sample.raw.clone());
    // Azure's is a fixed one, EC2's and Rackspace's grow.
    for subformat in ["fixed", "dynamic"] {
        let path = sample.dir.path().join(format!("{subformat}.vhd"));
        let options = format!("subformat={subformat},force_size");
        let convert = ["convert", "-f", "raw", "-O", "vpc", "-o", &options, arg(&sample.raw), arg(&path)];
        tools::ok("qemu-img", &convert)?;
        files.push(path);
    }
    for (program, ending) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst"), ("bzip2", "bz2")] {
        let packed = sample.dir.path().join(format!("disk.raw.{ending}"));
        let output = Command::new(program).args(["-c", arg(&sample.raw)]).output()?;
        fs::write(&packed, output.stdout)?;
        files.push(packed);
    }
    for file in &files {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let output = demo.cli(&["image", "import", name, "--file", arg(file), "--wait"])?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{name}: {text}");
    }
    let images = demo.customer.get("/images").await?;
    let images = images["items"].as_array().context("a list")?;
    assert_eq!(images.len(), files.len());
    for image in images {
        let shown = demo.holds(id(image), &sample).await?;
        let packed = shown["import"]["packing"].as_str();
        assert_eq!(
            packed.is_some(),
            image["name"].as_str().is_some_and(|name| name.matches('.').count() == 2),
            "{shown}"
        );
    }
    demo.nothing_left(files.len()).await
}

/// S73, S74: from servers with ranges, without, and with a password; and what they do wrong.
#[tokio::test]
async fn a_disk_is_imported_from_a_server() -> Result<()> {
    let demo = demo("[agent]\nimport_networks = [\"127.0.0.0/8\"]\n").await?;
    let sample = Sample::new(40 * MIB)?;
    let bytes = fs::read(sample.converted("qcow2")?)?;
    let sha256 = format!("sha256:{}", hex(&Sha256::digest(&bytes)));
    let ranges = WebServer::start(bytes.clone(), Behaviour::Ranges).await?;

    let made = demo.request("direct", json!({"type": "url", "url": ranges.url})).await?;
    demo.customer.succeeded(&made["task"]).await?;
    let image = demo.holds(id(&made["image"]), &sample).await?;
    let origin = image["import"]["origin"].as_str().unwrap_or_default().to_owned();
    assert!(ranges.url.starts_with(&origin) && origin.ends_with("/files/disk.img"), "{origin}");
    let task = demo.fetched("checked", json!({"type": "url", "url": ranges.url, "digest": sha256})).await?;
    assert_eq!(task["state"], "succeeded", "{task}");
    let password = WebServer::start(bytes.clone(), Behaviour::Password).await?;
    let with = json!({"type": "url", "url": password.url, "headers": {"Authorization": AUTHORIZATION}});
    assert_eq!(demo.fetched("password", with).await?["state"], "succeeded");
    let whole = WebServer::start(bytes.clone(), Behaviour::Whole).await?;
    let task = demo.fetched("whole", json!({"type": "url", "url": whole.url})).await?;
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(demo.server.stored_files()?.len(), 4);

    let wrong = format!("sha256:{}", "0".repeat(64));
    let changing = WebServer::start(bytes.clone(), Behaviour::Changing).await?;
    let missing = WebServer::start(bytes.clone(), Behaviour::Missing).await?;
    let cases = [
        (json!({"type": "url", "url": ranges.url, "digest": wrong}), "import_digest_mismatch"),
        (json!({"type": "url", "url": ranges.url, "size_bytes": 7}), "import_size_mismatch"),
        (json!({"type": "url", "url": password.url}), "import_source"),
        (json!({"type": "url", "url": missing.url}), "import_source"),
        (json!({"type": "url", "url": changing.url}), "import_source_changed"),
    ];
    for (source, code) in cases {
        let task = demo.fetched("wrong", source.clone()).await?;
        assert_eq!(
            (&task["state"], &task["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{source}: {task}"
        );
        let text = task["error"].to_string();
        assert!(!text.contains("secret-of-the-tests"), "{text}");
    }
    demo.nothing_left(4).await?;
    // Neither logs nor answers have what only the server may know.
    let images = demo.admin.get("/images?scope=all").await?.to_string();
    for shown in [demo.server.logs(), images] {
        assert!(
            !shown.contains("secret-of-the-tests") && !shown.contains("token-of-the-web-server"),
            "{shown}"
        );
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// S75 to S80, S88, S89: every broken rule is named, with what to do.
#[tokio::test]
async fn what_breaks_the_rules_is_refused_with_every_reason() -> Result<()> {
    let demo = demo("").await?;
    let server = WebServer::start(vec![0; 4096], Behaviour::Ranges).await?;
    let task = demo.fetched("private", json!({"type": "url", "url": server.url})).await?;
    assert_eq!(task["error"]["code"], "import_address", "{task}");
    assert_eq!(server.requests(), 0, "nothing is sent into a private network");

    let dir = tempfile::tempdir()?;
    let large = dir.path().join("large.qcow2");
    tools::ok("qemu-img", &["create", "-f", "qcow2", arg(&large), "161G"])?;
    let tree = dir.path().join("tree");
    fs::create_dir(&tree)?;
    fs::write(tree.join("readme"), "an installer")?;
    let disc = dir.path().join("disc.iso");
    tools::ok("genisoimage", &["-quiet", "-o", arg(&disc), arg(&tree)])?;
    let base = dir.path().join("base.qcow2");
    tools::ok("qemu-img", &["create", "-f", "qcow2", arg(&base), "1M"])?;
    let above = dir.path().join("above.qcow2");
    let backing = ["create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", arg(&above)];
    tools::ok("qemu-img", &backing)?;
    let noisy = dir.path().join("noisy");
    fs::write(&noisy, noise(MIB, 3))?;
    for (file, code, says) in [
        (&large, "import_refused", "160.0 GiB"),
        (&disc, "import_refused", "optical disc"),
        (&above, "import_refused", "not all in this file"),
        (&noisy, "import_unreadable", "cannot be read as a disk"),
    ] {
        let output = demo.cli(&["image", "import", "refused", "--file", arg(file), "--wait"])?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(says), "{code}: {text}");
    }
    let strict = json!({"import_profile": "strict_vhd"});
    demo.admin.patch(&format!("/admin/locations/{}", demo.location), &strict).await?;
    let output = demo.cli(&["image", "import", "both", "--file", arg(&large), "--wait"])?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("takes VHD files") && text.contains("160.0 GiB"), "every rule: {text}");
    let images = demo.customer.get("/images").await?;
    for image in images["items"].as_array().context("a list")? {
        assert_eq!(image["status"], "error", "{image}");
    }
    demo.nothing_left(0).await?;

    demo.admin
        .patch(&format!("/admin/locations/{}", demo.location), &json!({"import_enabled": false}))
        .await?;
    let request = json!({"name": "off", "location_id": demo.location,
        "source": {"type": "upload", "size_bytes": 1}});
    let refused = demo.customer.send(Method::POST, "/images", Some(&request), &[]).await?;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::FORBIDDEN, &json!("import_disabled")));
    Ok(())
}

/// A disk with an NTFS file system, and the registry of Windows on it.
fn windows(dir: &Path) -> Result<PathBuf> {
    let tree = dir.join("windows");
    let hives = tree.join("Windows/System32/config");
    fs::create_dir_all(&hives)?;
    for hive in ["SOFTWARE", "SYSTEM"] {
        fs::write(hives.join(hive), [0; 8192])?;
    }
    let (archive, disk) = (dir.join("windows.wim"), dir.join("windows.img"));
    fs::File::create(&disk)?.set_len(64 << 20)?;
    tools::ok("wimcapture", &[arg(&tree), arg(&archive), "--compress=none"])?;
    tools::ok("mkntfs", &["-F", "-Q", "-q", arg(&disk)])?;
    tools::ok("wimapply", &[arg(&archive), arg(&disk)])?;
    Ok(disk)
}

#[tokio::test]
async fn windows_is_refused_unless_the_location_takes_it() -> Result<()> {
    let demo = demo("").await?;
    let dir = tempfile::tempdir()?;
    let disk = windows(dir.path())?;
    let output = demo.cli(&["image", "import", "refused", "--file", arg(&disk), "--wait"])?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("The disk holds Windows"), "{text}");
    demo.nothing_left(0).await?;
    let taken = json!({"import_windows": true});
    demo.admin.patch(&format!("/admin/locations/{}", demo.location), &taken).await?;
    let output = demo.cli(&["image", "import", "taken", "--file", arg(&disk), "--wait"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // X5: what was found is kept, shown, and what the image is said to be.
    let output = demo.cli(&["image", "inside", "taken"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("windows"), "{text}");
    let images = demo.customer.get("/images?q=taken").await?;
    assert_eq!(images["items"][0]["os_type"], "windows", "{images}");
    Ok(())
}
