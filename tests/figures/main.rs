//! `cargo xtask bench --storages`: captures into each kind of image storage and deployments from
//! it, against the plain tool of that storage, on the same file in the same run.
//!
//! Prints one line for each storage and direction: MB/s of ours, of the tool, and the ratio. Ours
//! is the time between the start and the end of the task, with digests; the tool's is its wall
//! time, with the bytes on disk where the storage promises that. The rounds take turns.
//!
//! `cargo xtask bench --transfers`: uploads, imports and exports (`transfers.rs`).
//!
//! `cargo xtask bench --idle`: what an idle guest of the demo takes of a core.

mod transfers;

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use imprint_tests::{
    client::{Client, id},
    eventually,
    nfs::{NfsServer, OWNER},
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
    server::Server,
    swift::{self, Swift},
    tools::{arg, ok},
};
use reqwest::Method;
use serde_json::{Value, json};

/// A tool that moves one file to a storage and back, as scripts for `sh` with `$FILE`, `$BACK` and
/// `$ROUND`.
struct Tool {
    name: &'static str,
    put: String,
    get: String,
}

/// A storage with the tool that it is compared with.
struct Subject {
    kind: &'static str,
    settings: Option<(Value, Value)>,
    tool: Tool,
}

/// The arguments.
struct Options {
    data_mib: u64,
    rounds: usize,
    /// How long an idle guest is looked at, instead of what storages move.
    idle_seconds: Option<u32>,
    /// Whether uploads, imports and exports are measured instead.
    transfers: bool,
}

fn options() -> Result<Options> {
    let mut options = Options { data_mib: 1024, rounds: 2, idle_seconds: None, transfers: false };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().context("each option has a value")?;
        match name.as_str() {
            "--data-mib" => options.data_mib = value.parse()?,
            "--idle-seconds" => options.idle_seconds = Some(value.parse()?),
            "--rounds" => options.rounds = value.parse()?,
            "--transfers" => options.transfers = value.parse()?,
            other => bail!("unknown option {other}"),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = options()?;
    if let Some(seconds) = options.idle_seconds {
        return idle(seconds).await;
    }
    if options.transfers {
        return transfers::measure(&options).await;
    }
    let server = Server::demo().await?;
    let bench = Bench::new(server, options).await?;
    let (nfs, s3, cloud) = (NfsServer::start().await?, S3Server::start().await?, Swift::start().await?);
    let folder = tempfile::tempdir()?;
    for subject in subjects(&nfs, &s3, &cloud, folder.path()) {
        bench.measure(&subject).await.with_context(|| format!("the storage of the kind {}", subject.kind))?;
    }
    Ok(())
}

/// The share of a core that the demo's guest takes while it is idle.
async fn idle(seconds: u32) -> Result<()> {
    const GOAL: f64 = 3.0;
    let image = imprint_tests::dist()?.join("guest/stock-linux.raw");
    let server = Server::start(&["--demo", "--stock-image", arg(&image)], &[]).await?;
    let customer = server.customer().await?;
    let instance = customer.running_instance("demo-1").await?;
    server.console_says(id(&instance), "BOOTED name=demo-1").await?;
    let pid = server.instance_pid(id(&instance))?;
    // The guest's own services start after that line.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (before, start) = (processor_ticks(pid)?, Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    let ticks = processor_ticks(pid)?.saturating_sub(before);
    let share = f64::from(ticks) / f64::from(TICKS_PER_SECOND) / start.elapsed().as_secs_f64() * 100.0;
    print_line(&format!(
        "an idle guest of the demo: {share:.1} % of a core over {seconds} s; goal {GOAL:.1} %"
    ));
    if share > GOAL {
        bail!("an idle guest takes more than {GOAL:.1} % of a core");
    }
    Ok(())
}

/// The unit of `/proc/PID/stat` (proc(5)); it is the same on every Linux that Debian builds.
const TICKS_PER_SECOND: u32 = 100;

/// Returns the processor time of a process, in user and in system mode together.
fn processor_ticks(pid: u32) -> Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in brackets, may have spaces.
    let rest = stat.rsplit_once(')').context("the name is in brackets")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |index: usize| -> Result<u32> { Ok(fields.get(index).context("a field")?.parse()?) };
    Ok(field(11)? + field(12)?)
}

fn subjects(nfs: &NfsServer, s3: &S3Server, cloud: &Swift, folder: &Path) -> Vec<Subject> {
    let copy = folder.join("copy").display().to_string();
    let export = nfs.export("images").display().to_string();
    let at = format!("nfs://{}{export}/tool-$ROUND?version=3&uid={OWNER}&gid={OWNER}", nfs.address);
    let aws = format!(
        "AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY} AWS_DEFAULT_REGION=us-east-1 \
         aws --endpoint-url {} s3 cp --quiet",
        s3.url
    );
    let object = format!("s3://{}/tool", S3Server::BUCKET);
    let account = format!("swift -q -A {} -U {} -K {}", cloud.auth_url, swift::USER, swift::KEY);
    let container = swift::CONTAINER;
    vec![
        Subject {
            kind: "local",
            settings: None,
            tool: Tool {
                name: "cp",
                put: format!("cp $FILE {copy} && sync -d {copy}"),
                get: format!("cp {copy} $BACK && sync -d $BACK"),
            },
        },
        Subject {
            kind: "nfs",
            settings: Some((
                json!({"server": nfs.address, "export": export, "folder": "customer",
                    "uid": OWNER.to_string(), "gid": OWNER.to_string()}),
                json!({}),
            )),
            tool: Tool {
                name: "nfs-cp",
                // The tool replaces nothing.
                put: format!("nfs-cp $FILE \"{at}\""),
                get: format!("nfs-cp \"{at}\" $BACK && sync -d $BACK"),
            },
        },
        Subject {
            kind: "s3",
            settings: Some((
                json!({"endpoint": s3.url, "bucket": S3Server::BUCKET, "prefix": "own",
                    "access-key": ACCESS_KEY, "private-networks": "true"}),
                json!({"secret-key": SECRET_KEY}),
            )),
            tool: Tool {
                name: "aws s3 cp",
                put: format!("{aws} $FILE {object}"),
                get: format!("{aws} {object} $BACK && sync -d $BACK"),
            },
        },
        Subject {
            kind: "swift",
            settings: Some((
                json!({"sign-in": "v1", "auth-url": cloud.auth_url, "user": swift::USER, "container": container,
                    "prefix": "own", "private-networks": "true"}),
                json!({"password": swift::KEY}),
            )),
            tool: Tool {
                name: "swift --use-slo",
                put: format!("{account} upload --use-slo -S 33554432 --object-name tool {container} $FILE"),
                get: format!("{account} download -o $BACK {container} tool && sync -d $BACK"),
            },
        },
    ]
}

/// The product with an instance that has the data.
struct Bench {
    server: Server,
    admin: Client,
    hypervisor: String,
    instance: String,
    /// The file that the tools move: the image, as the product stored it.
    file: PathBuf,
    options: Options,
}

impl Bench {
    async fn new(server: Server, options: Options) -> Result<Self> {
        let (customer, admin) = (server.customer().await?, server.admin().await?);
        customer.running_instance("demo-1").await?;
        let hypervisor = id(&admin.get("/admin/hypervisors").await?["items"][0]).to_owned();
        let storages = admin.get("/admin/image-storages").await?;
        let of_role = |role: &str| {
            let found = storages["items"].as_array()?.iter().find(|one| one["role"] == role)?;
            Some((id(found).to_owned(), PathBuf::from(found["settings"]["path"].as_str()?)))
        };
        let (stock, folder) = of_role("stock").context("the demo has a storage for stock images")?;
        write_disk(&folder.join("bench.raw"), options.data_mib)?;
        let location = admin.get("/admin/locations").await?;
        let body = json!({"name": "bench", "storage_id": stock, "key": "bench.raw", "format": "raw",
            "location_id": id(&location["items"][0])});
        let made = admin.post("/admin/stock-images", &body).await?;
        ended(&admin, &made["task"]).await?;
        let body = json!({"image_id": id(&made["image"]), "name": "bench", "start": false});
        let deployed = admin.post("/instances", &body).await?;
        ended(&admin, &deployed["task"]).await?;
        let instance = id(&deployed["instance"]).to_owned();
        let mut bench = Self { server, admin, hypervisor, instance, file: PathBuf::new(), options };
        let (image, _) = bench.capture("first", None).await?;
        let stored = bench.server.image_storage().join(format!("{image}.qcow2"));
        bench.file = bench.server.dir.path().join("file");
        fs::copy(stored, &bench.file)?;
        bench.delete("images", &image).await?;
        Ok(bench)
    }

    /// Measures a storage, and prints its two lines.
    async fn measure(&self, subject: &Subject) -> Result<()> {
        let storage = match &subject.settings {
            Some((settings, secrets)) => {
                Some(bind(&self.admin, &self.hypervisor, subject.kind, settings, secrets).await?)
            }
            None => None,
        };
        let bytes = fs::metadata(&self.file)?.len();
        let (mut captures, mut deployments) = (Vec::new(), Vec::new());
        for round in 0..=self.options.rounds {
            let put = self.tool(&subject.tool.put, round)?;
            let (image, capture) =
                self.capture(&format!("{} {round}", subject.kind), storage.as_deref()).await?;
            let get = self.tool(&subject.tool.get, round)?;
            let body = json!({"image_id": image, "name": "copy", "start": false});
            let deployed = self.admin.post("/instances", &body).await?;
            let deployment = seconds(&ended(&self.admin, &deployed["task"]).await?)?;
            self.delete("instances", id(&deployed["instance"])).await?;
            self.delete("images", &image).await?;
            // The first round warms up.
            if round > 0 {
                captures.push((capture, put));
                deployments.push((deployment, get));
            }
        }
        print(&format!("capture into {}", subject.kind), subject.tool.name, bytes, &captures);
        print(&format!("deploy from {}", subject.kind), subject.tool.name, bytes, &deployments);
        Ok(())
    }

    /// Captures the instance; returns the image's id and the seconds of the task.
    async fn capture(&self, name: &str, storage: Option<&str>) -> Result<(String, f64)> {
        let mut body = json!({"source": {"type": "instance", "id": self.instance}, "name": name,
            "compression": "none"});
        if let Some(storage) = storage {
            body["storage_id"] = json!(storage);
        }
        let made = self.admin.post("/images", &body).await?;
        let task = ended(&self.admin, &made["task"]).await?;
        Ok((id(&made["image"]).to_owned(), seconds(&task)?))
    }

    async fn delete(&self, what: &str, id: &str) -> Result<()> {
        let deleted = self.admin.delete(&format!("/{what}/{id}")).await?;
        ended(&self.admin, &deleted["task"]).await.map(drop)
    }

    /// Runs a script of the tool; returns its seconds.
    fn tool(&self, script: &str, round: usize) -> Result<f64> {
        let back = self.server.dir.path().join("back");
        let script =
            format!("FILE={} BACK={} ROUND={round}; rm -f $BACK; {script}", arg(&self.file), arg(&back));
        let start = Instant::now();
        ok("sh", &["-c", &script])?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Adds a storage for images of customers, and waits until the agent has seen it.
async fn bind(
    admin: &Client,
    hypervisor: &str,
    kind: &str,
    settings: &Value,
    secrets: &Value,
) -> Result<String> {
    let body =
        json!({"name": kind, "role": "customer", "kind": kind, "settings": settings, "secrets": secrets});
    let storage = id(&admin.post("/admin/image-storages", &body).await?).to_owned();
    let bind = format!("/admin/image-storages/{storage}/hypervisors/{hypervisor}");
    let answer = admin.send(Method::PUT, &bind, None, &[]).await?;
    if !answer.status.is_success() {
        bail!("{answer:?}");
    }
    eventually("the agent to have seen the storage", async || {
        let seen = admin.get(&format!("/admin/image-storages/{storage}")).await?;
        Ok((!seen["seen_at"].is_null()).then_some(()))
    })
    .await?;
    Ok(storage)
}

/// Waits for a task, for as long as it takes.
async fn ended(client: &Client, task: &Value) -> Result<Value> {
    loop {
        let shown = client.get(&format!("/tasks/{}?wait=20", id(task))).await?;
        match shown["state"].as_str() {
            Some("succeeded") => return Ok(shown),
            Some("failed" | "cancelled") => bail!("the task did not succeed: {shown}"),
            Some(_) | None => {}
        }
    }
}

fn seconds(task: &Value) -> Result<f64> {
    let at = |name: &str| -> Result<f64> {
        let text = task[name].as_str().with_context(|| format!("a task has {name}"))?;
        let time: chrono::DateTime<chrono::Utc> = text.parse()?;
        Ok(std::time::Duration::from_micros(u64::try_from(time.timestamp_micros())?).as_secs_f64())
    };
    Ok(at("finished_at")? - at("started_at")?)
}

/// Writes a disk that cannot be compressed.
fn write_disk(path: &Path, mebibytes: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let mut random = File::open("/dev/urandom")?.take(mebibytes << 20);
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        random.read_exact(&mut buffer)?;
        file.write_all(&buffer)?;
    }
    Ok(file.sync_all()?)
}

#[expect(clippy::print_stdout, reason = "the lines are the program's answer")]
fn print_line(line: &str) {
    println!("{line}");
}

fn print(what: &str, tool: &str, bytes: u64, rounds: &[(f64, f64)]) {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let ours = middle(rounds.iter().map(|(ours, _)| *ours).collect());
    let theirs = middle(rounds.iter().map(|(_, tool)| *tool).collect());
    let ratio = middle(rounds.iter().map(|(ours, tool)| tool / ours).collect());
    // Exact up to 4 GB, and good to a millionth above.
    let megabytes = f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1e3;
    let rate = |seconds: f64| megabytes / seconds;
    print_line(&format!(
        "{what:<20} ours {:>7.0} MB/s ({ours:.2} s)   {tool:<16} {:>7.0} MB/s ({theirs:.2} s)   ratio {ratio:.2}",
        rate(ours),
        rate(theirs)
    ));
}
