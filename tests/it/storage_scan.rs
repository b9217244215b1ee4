//! Scans of an image storage through the real program (S96 to S99, X9): among thousands of objects
//! every planted fault is found and nothing else, and what is done about them happens.

#![expect(
    clippy::disallowed_methods,
    reason = "files are as old as the test says, and it prints how long it took"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, FileTimes},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    client::{Client, id},
    server::Server,
    tools::{arg, ok},
};
use serde_json::{Value, json};

/// The size of the files of the many images, in bytes.
const SIZE: usize = 512;

/// The number of images; `IMPRINT_SCAN_OBJECTS=100000` for the figure of X9.
fn image_count() -> usize {
    std::env::var("IMPRINT_SCAN_OBJECTS").ok().and_then(|text| text.parse().ok()).unwrap_or(4000)
}

/// Makes rows of available images like `real`, with the keys of their files.
fn add_images(server: &Server, real: &str, count: usize) -> Result<Vec<String>> {
    let database = server.dir.path().join("data/imprint.db");
    let uuid = real.trim_start_matches("img_").replace('-', "");
    let sql = format!(
        "pragma busy_timeout = 20000;
         create temp table made as with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})
            select images.*, i from images, n where images.id = x'{uuid}';
         update made set id = randomblob(16), name = printf('many %d', i), size_bytes = {SIZE};
         update made set storage_key = 'img_' || lower(substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' ||
            substr(hex(id), 13, 4) || '-' || substr(hex(id), 17, 4) || '-' || substr(hex(id), 21)) || '.qcow2';
         alter table made drop column i;
         -- The program may be older than the full-text table that the trigger fills.
         drop trigger tr_images_insert;
         insert into images select * from made;
         select storage_key from made;"
    );
    let keys = ok("sqlite3", &[arg(&database), &sql])?;
    Ok(keys.lines().filter(|line| line.starts_with("img_")).map(str::to_owned).collect())
}

/// Writes a file that is old enough to belong to no task.
fn write_old(path: &Path, bytes: usize) -> Result<()> {
    fs::write(path, vec![7; bytes])?;
    let old = SystemTime::now() - Duration::from_secs(7200);
    Ok(File::options().write(true).open(path)?.set_times(FileTimes::new().set_modified(old))?)
}

/// The faults that are planted, by class, with their keys.
fn plant(folder: &Path, keys: &[String]) -> Result<BTreeMap<&'static str, BTreeSet<String>>> {
    let each = keys.len() / 400;
    let mut faults: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for (number, key) in keys.iter().enumerate() {
        let class = match number % 400 {
            17 => "missing",
            217 => "size_mismatch",
            _ => "",
        };
        match class {
            "missing" => {}
            "size_mismatch" => write_old(&folder.join(key), SIZE + 1)?,
            _ => write_old(&folder.join(key), SIZE)?,
        }
        if !class.is_empty() {
            faults.entry(class).or_default().insert(key.clone());
        }
    }
    for number in 0..each {
        let orphan = format!("img_01940000-0000-7000-8000-0000{number:08x}.qcow2");
        let foreign = format!("backup/{number:05}.tar");
        fs::create_dir_all(folder.join("backup"))?;
        write_old(&folder.join(&orphan), SIZE)?;
        write_old(&folder.join(&foreign), SIZE)?;
        faults.entry("orphan").or_default().insert(orphan);
        faults.entry("foreign").or_default().insert(foreign);
    }
    Ok(faults)
}

async fn scanned(admin: &Client, storage: &str, deep: bool) -> Result<Value> {
    let path = format!("/admin/image-storages/{storage}/scans");
    let task = admin.post(&path, &json!({"deep": deep})).await?;
    admin.succeeded(&task).await?;
    let scans = admin.get(&path).await?;
    let scan = scans["items"].as_array().and_then(|all| all.iter().find(|scan| scan["id"] == task["id"]));
    scan.cloned().context("the scan is not listed")
}

/// All keys of a class, page by page.
async fn browse(admin: &Client, storage: &str, class: &str) -> Result<BTreeSet<String>> {
    browse_by(admin, storage, &format!("class={class}")).await
}

/// All keys that a filter lists, page by page.
async fn browse_by(admin: &Client, storage: &str, filter: &str) -> Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    let mut token = String::new();
    loop {
        let path = format!("/admin/image-storages/{storage}/objects?limit=500&{filter}{token}");
        let page = admin.get(&path).await?;
        for item in page["items"].as_array().into_iter().flatten() {
            keys.insert(item["key"].as_str().unwrap_or_default().to_owned());
        }
        match page["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return Ok(keys),
        }
    }
}

async fn storage_id(admin: &Client) -> Result<String> {
    let storages = admin.get("/admin/image-storages").await?;
    let images = storages["items"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "images"));
    Ok(id(images.context("the demo has a storage `images`")?).to_owned())
}

/// The list has a filter for all faults, and the scan says what can be done about each class.
async fn faults_are_listed(
    admin: &Client,
    storage: &str,
    faults: &BTreeMap<&'static str, BTreeSet<String>>,
    classes: &[Value],
) -> Result<()> {
    let all: BTreeSet<String> = faults.values().flatten().cloned().collect();
    assert_eq!(browse_by(admin, storage, "fault=true").await?, all);
    assert!(browse_by(admin, storage, "fault=false").await?.is_disjoint(&all));
    let both = format!("/admin/image-storages/{storage}/objects?class=orphan&fault=true");
    let answer = admin.send(reqwest::Method::GET, &both, None, &[]).await?;
    let outcome = (answer.status.as_u16(), &answer.body["code"]);
    assert_eq!(outcome, (400, &json!("invalid_request")), "{answer:?}");
    let orphans = classes.iter().find(|class| class["class"] == "orphan");
    assert_eq!(
        orphans.map(|class| (&class["actions"], &class["proposed"])),
        Some((&json!(["quarantine", "delete"]), &json!("quarantine"))),
        "{classes:?}"
    );
    Ok(())
}

#[tokio::test]
async fn among_thousands_of_objects_every_fault_is_found_and_nothing_else() -> Result<()> {
    let server = Server::demo().await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let first = customer.running_instance("demo-1").await?;
    let (real, _) = customer.capture(id(&first), "real", json!({})).await?;
    let storage = storage_id(&admin).await?;
    let folder = server.image_storage();
    let keys = add_images(&server, id(&real), image_count())?;
    let faults = plant(&folder, &keys)?;
    let started = std::time::Instant::now();
    let scan = scanned(&admin, &storage, false).await?;
    println!("{} objects scanned in {:.1} s", scan["objects"], started.elapsed().as_secs_f64());
    for (class, planted) in &faults {
        assert_eq!(&browse(&admin, &storage, class).await?, planted, "{class}");
    }
    let classes = scan["classes"].as_array().cloned().unwrap_or_default();
    let found: u64 = classes
        .iter()
        .filter(|class| class["fault"] == true)
        .filter_map(|class| class["count"].as_u64())
        .sum();
    let planted: usize = faults.values().map(BTreeSet::len).sum();
    assert_eq!(usize::try_from(found)?, planted, "{classes:?}");
    faults_are_listed(&admin, &storage, &faults, &classes).await?;
    assert_eq!(browse(&admin, &storage, "image").await?.len(), keys.len() + 1 - planted / 2, "{classes:?}");
    assert_eq!(browse(&admin, &storage, "in_progress").await?, BTreeSet::new());

    // The plan changes nothing; applying it does what it says.
    let path = format!("/admin/image-storages/{storage}/actions/reconcile");
    let changes = json!([
        {"action": "delete", "class": "orphan"},
        {"action": "quarantine", "class": "foreign"},
    ]);
    let mut body = json!({"scan_id": scan["id"], "changes": changes, "dry_run": true});
    let plan = admin.post(&path, &body).await?;
    assert_eq!(browse(&admin, &storage, "orphan").await?, faults["orphan"]);
    body["dry_run"] = json!(false);
    let done = admin.post(&path, &body).await?;
    assert_eq!(done["entries"], plan["entries"]);
    for task in done["task_ids"].as_array().into_iter().flatten() {
        admin.succeeded(&json!({"id": task})).await?;
    }
    for orphan in &faults["orphan"] {
        assert!(!folder.join(orphan).exists(), "{orphan}");
    }
    for foreign in &faults["foreign"] {
        assert!(folder.join(foreign).exists(), "a quarantined file stays where it is: {foreign}");
    }
    let again = scanned(&admin, &storage, false).await?;
    let count = |name: &str| {
        let classes = again["classes"].as_array().into_iter().flatten();
        classes
            .filter(|class| class["class"] == name)
            .filter_map(|class| class["count"].as_u64())
            .sum::<u64>()
    };
    assert_eq!((count("orphan"), count("foreign")), (0, 0), "{again}");
    assert_eq!(usize::try_from(count("quarantined"))?, faults["foreign"].len());
    Ok(())
}

#[tokio::test]
async fn a_damaged_file_is_found_the_image_goes_in_error_and_comes_back_with_a_good_copy() -> Result<()> {
    let server = Server::demo().await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let first = customer.running_instance("demo-1").await?;
    let (image, _) = customer.capture(id(&first), "kept", json!({})).await?;
    let storage = storage_id(&admin).await?;
    let path = server.stored_files()?.pop().context("the image's file")?;
    let good = fs::read(&path)?;
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    for byte in &mut bad[middle..middle + 4096] {
        *byte ^= 0xff;
    }
    fs::write(&path, &bad)?;
    let scan = scanned(&admin, &storage, false).await?;
    assert_eq!(scan["classes"][0]["class"], "image", "the size is right: {scan}");
    let scan = scanned(&admin, &storage, true).await?;
    assert_eq!(scan["classes"][0]["class"], "digest_mismatch", "{scan}");
    let repair = async |scan: &Value, wanted: &str| {
        let body = json!({"scan_id": scan["id"], "changes": [
            {"action": "repair", "class": scan["classes"][0]["class"]},
        ], "dry_run": false});
        let report = admin.post(&format!("/admin/image-storages/{storage}/actions/reconcile"), &body).await?;
        let task = admin.finished(&json!({"id": report["task_ids"][0]})).await?;
        let shown = customer.get(&format!("/images/{}", id(&image))).await?;
        ensure!(shown["status"] == wanted, "{shown} after {task}");
        anyhow::Ok(task)
    };
    repair(&scan, "error").await?;
    fs::write(&path, &good)?;
    let scan = scanned(&admin, &storage, false).await?;
    assert_eq!(scan["classes"][0]["class"], "failed_image", "{scan}");
    repair(&scan, "available").await?;
    let deployed = customer.deploy(id(&image), "from the good copy", json!({})).await?;
    assert_eq!(deployed["status"], "ready");
    // Lost altogether.
    fs::remove_file(&path)?;
    let scan = scanned(&admin, &storage, false).await?;
    assert_eq!(scan["classes"][0]["class"], "missing", "{scan}");
    let task = repair(&scan, "error").await?;
    assert_eq!(task["error"]["code"], "image_file_missing", "{task}");
    Ok(())
}

#[tokio::test]
async fn the_command_line_scans_browses_plans_and_adopts() -> Result<()> {
    let server = Server::demo().await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let first = customer.running_instance("demo-1").await?;
    customer.capture(id(&first), "real", json!({})).await?;
    let folder = server.image_storage();
    let real = server.stored_files()?.pop().context("the image's file")?;
    let orphan = "img_01940000-0000-7000-8000-000000000001.qcow2";
    fs::copy(&real, folder.join(orphan))?;
    let old = SystemTime::now() - Duration::from_secs(7200);
    let times = FileTimes::new().set_modified(old);
    File::options().write(true).open(folder.join(orphan))?.set_times(times)?;
    let run = |args: &[&str]| -> Result<String> {
        let mut command = Command::new(binary()?);
        command.args(args).env("IMPRINT_SERVER", &server.url).env("IMPRINT_TOKEN", admin.token());
        let output = command.output()?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let found = run(&["storage", "scan", "images", "--deep", "--wait"])?;
    assert!(found.contains("orphan") && found.contains("image"), "{found}");
    let listed = run(&["storage", "browse", "images", "--class", "orphan"])?;
    assert!(listed.contains(orphan), "{listed}");
    let plan = run(&["storage", "reconcile", "images"])?;
    assert!(plan.contains("quarantine") && folder.join(orphan).exists(), "{plan}");
    let account = admin.get("/admin/accounts").await?;
    let demo = account["items"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "demo"));
    let demo = id(demo.context("the account of the demo")?).to_owned();
    let locations = admin.get("/admin/locations").await?;
    let location = id(&locations["items"][0]).to_owned();
    let args = ["storage", "adopt", "images", orphan, "--name", "adopted", "--format", "qcow2", "--wait"];
    run(&[&args[..], &["--location", &location, "--account", &demo]].concat())?;
    let images = customer.get("/images").await?;
    let adopted = images["items"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "adopted"));
    let adopted = adopted.context("the adopted image")?;
    assert_eq!(adopted["status"], "available");
    let deployed = customer.deploy(id(adopted), "from adopted", json!({})).await?;
    assert_eq!(deployed["status"], "ready");
    Ok(())
}
