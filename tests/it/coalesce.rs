//! A disk that is a chain of layers, made by qemu-img: captured, merged, and the agent killed in
//! the middle of it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use imprint_tests::{
    binary,
    client::{Client, id},
    eventually,
    server::{ADMIN_PASSWORD, Server},
    tools::{arg, ok},
};
use serde_json::{Value, json};

/// A stopped instance of the demo's stock image.
async fn stopped(customer: &Client, name: &str) -> Result<String> {
    let image = eventually("the stock image to be available", async || {
        let images = customer.get("/images?scope=stock&status=available").await?;
        Ok(images["items"][0]["id"].as_str().map(str::to_owned))
    })
    .await?;
    let body = json!({"image_id": image, "name": name, "start": false});
    let accepted = customer.post("/instances", &body).await?;
    customer.succeeded(&accepted["task"]).await?;
    Ok(id(&accepted["instance"]).to_owned())
}

fn folder(server: &Server, instance: &str) -> PathBuf {
    server.agent_dir().join("instances").join(instance)
}

/// Puts two layers over an instance's disk, and answers what the guest sees then, as a raw file.
fn put_layers(folder: &Path, dir: &Path) -> Result<PathBuf> {
    let file = |name: &str| folder.join(name);
    std::fs::rename(file("disk.qcow2"), file("base.qcow2"))?;
    let over = |parent: &str, name: &str, writes: &[&str]| -> Result<()> {
        ok("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", parent, arg(&file(name))])?;
        for write in writes {
            ok("qemu-io", &["-f", "qcow2", "-c", write, arg(&file(name))])?;
        }
        Ok(())
    };
    over("base.qcow2", "middle.qcow2", &["write -P 0x5a 8M 3M", "write -z 20M 1M"])?;
    // The whole path is written into the file; only its last component counts.
    over(arg(&file("middle.qcow2")), "disk.qcow2", &["write -P 0xa5 9M 64k", "write -P 0x11 24M 4k"])?;
    let raw = dir.join("chain.raw");
    ok("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", arg(&file("disk.qcow2")), arg(&raw)])?;
    Ok(raw)
}

fn same(raw: &Path, image: &Path) -> Result<()> {
    let compared = ok("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", arg(raw), arg(image)])?;
    ok("qemu-img", &["check", "-q", "-f", "qcow2", arg(image)])?;
    if compared.contains("identical") { Ok(()) } else { bail!("{compared}") }
}

/// The disk is one file with that content, and its layers are gone.
fn is_merged(folder: &Path, raw: &Path) -> Result<()> {
    same(raw, &folder.join("disk.qcow2"))?;
    let info = ok("qemu-img", &["info", "--output", "json", arg(&folder.join("disk.qcow2"))])?;
    let info: Value = serde_json::from_str(&info)?;
    assert_eq!(info["backing-filename"], Value::Null, "{info}");
    let names: BTreeSet<_> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    let disks: Vec<_> =
        names.iter().filter(|name| name.contains("qcow2") || name.contains("merged")).collect();
    assert_eq!(disks, ["disk.qcow2"]);
    Ok(())
}

#[tokio::test]
async fn a_chain_is_captured_as_one_disk_and_merged_where_the_operator_wants_it() -> Result<()> {
    let server = Server::demo().await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let instance = stopped(&customer, "chained").await?;
    let folder = folder(&server, &instance);
    let raw = put_layers(&folder, server.dir.path())?;
    let chain = std::fs::read(folder.join("disk.qcow2"))?;

    let locations = admin.get("/admin/locations").await?;
    let location = format!("/admin/locations/{}", id(&locations["items"][0]));
    admin.patch(&location, &json!({"coalesce_before_capture": false})).await?;
    let (image, _) = customer.capture(&instance, "as-it-is", json!({})).await?;
    let file = |image: &Value| server.image_storage().join(format!("{}.qcow2", id(image)));
    same(&raw, &file(&image))?;
    assert!(chain == std::fs::read(folder.join("disk.qcow2"))?, "the chain stays as it was");

    admin.patch(&location, &json!({"coalesce_before_capture": true})).await?;
    let (image, _) = customer.capture(&instance, "merged", json!({})).await?;
    same(&raw, &file(&image))?;
    is_merged(&folder, &raw)
}

/// What an operator types.
fn imprint(server: &Server, args: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new(binary()?);
    command.args(args).env("IMPRINT_CREDENTIALS", server.dir.path().join("credentials"));
    Ok(command.env("IMPRINT_SERVER", &server.url).env("IMPRINT_PASSWORD", ADMIN_PASSWORD).output()?)
}

#[tokio::test]
async fn an_operator_merges_a_chain_and_not_one_in_use() -> Result<()> {
    let server = Server::demo().await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let running = customer.running_instance("demo-1").await?;
    let path = format!("/admin/instances/{}/actions/coalesce", id(&running));
    let refused = admin.post(&path, &json!({})).await.expect_err("a running instance is left alone");
    assert!(format!("{refused:#}").contains("stop the instance first"), "{refused:#}");
    let refused = customer.post(&path, &json!({})).await.expect_err("customers may not");
    assert!(format!("{refused:#}").contains("forbidden"), "{refused:#}");

    let instance = stopped(&customer, "chained").await?;
    let folder = folder(&server, &instance);
    let raw = put_layers(&folder, server.dir.path())?;
    imprint(&server, &["login", "--account", "admin", "-o", "json"])?;
    let ran = imprint(&server, &["admin", "coalesce", "chained", "--wait", "-o", "json"])?;
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let answer: Value = serde_json::from_slice(&ran.stdout)?;
    assert_eq!(
        (&answer["task"]["kind"], &answer["task"]["state"], &answer["task"]["checkpoint"]),
        (&json!("instance.coalesce"), &json!("succeeded"), &json!(100)),
        "{answer}"
    );
    is_merged(&folder, &raw)?;

    // The merged disk is the instance's: it boots.
    let accepted = customer.post(&format!("/instances/{instance}/actions/start"), &json!({})).await?;
    customer.succeeded(&accepted["task"]).await.map(drop)
}

async fn kill_at(server: &mut Server, admin: &Client, instance: &str, step: &str) -> Result<()> {
    let folder = folder(server, instance);
    let raw = put_layers(&folder, server.dir.path())?;
    server.start_agent(Some(&format!("kill@{step}"))).await?;
    let path = format!("/admin/instances/{instance}/actions/coalesce");
    let accepted =
        eventually("the agent to be online", async || Ok(admin.post(&path, &json!({})).await.ok())).await?;
    let status = eventually("the agent to be killed", async || server.agent()?.ended()).await?;
    assert!(!status.success());
    // Whatever was cut off, the disk is whole.
    same(&raw, &folder.join("disk.qcow2")).context("after the kill")?;
    server.start_agent(None).await?;
    admin.succeeded(&accepted["task"]).await?;
    is_merged(&folder, &raw)?;
    server.agent()?.stop().await.map(drop)
}

#[tokio::test]
async fn a_killed_merge_leaves_a_whole_disk() -> Result<()> {
    let mut server = Server::without_agent().await?;
    server.start_agent(None).await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let instance = stopped(&customer, "chained").await?;
    server.agent()?.stop().await?;
    for step in ["claimed", "merging", "replacing", "replaced", "reporting"] {
        kill_at(&mut server, &admin, &instance, step).await.with_context(|| format!("killed at {step}"))?;
    }
    Ok(())
}

/// Differencing VHDs: neither QEMU nor its tools can make one.
mod vhd {
    use anyhow::{Context, Result};

    const SECTOR: usize = 512;
    const BLOCK: usize = 2 << 20;
    const FOOTER: usize = 512;
    const HEADER: usize = 1024;

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    /// The ones' complement of the sum of all other bytes, big endian.
    fn seal(bytes: &mut [u8], at: usize) {
        put(bytes, at, &[0; 4]);
        let sum = bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        put(bytes, at, &(!sum).to_be_bytes());
    }

    /// A layer over the dynamic disk whose first bytes are `base`, known as `name`. Of block 1 it
    /// has the given sectors, filled with `fill`; everything else is the base's.
    pub(super) fn over(base: &[u8], name: &str, sectors: &[usize], fill: u8) -> Result<Vec<u8>> {
        let (mut footer, mut header) = (base[..FOOTER].to_vec(), base[FOOTER..FOOTER + HEADER].to_vec());
        let (id, stamp) = (base[68..84].to_vec(), base[24..28].to_vec());
        let size = u64::from_be_bytes(base[48..56].try_into()?);
        let blocks = usize::try_from(size)?.div_ceil(BLOCK);
        // Footer: type 4 is differencing, and an id of its own.
        put(&mut footer, 60, &4_u32.to_be_bytes());
        put(&mut footer, 68, &[fill; 16]);
        seal(&mut footer, 64);
        let table_at = FOOTER + HEADER;
        let locator_at = table_at + (blocks * 4).next_multiple_of(SECTOR);
        let block_at = locator_at + SECTOR;
        let relative: Vec<u8> = format!("./{name}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        put(&mut header, 16, &u64::try_from(table_at)?.to_be_bytes());
        put(&mut header, 28, &u32::try_from(blocks)?.to_be_bytes());
        put(&mut header, 40, &id);
        put(&mut header, 56, &stamp);
        put(&mut header, 64, &wide);
        put(&mut header, 576, b"W2ru");
        put(&mut header, 580, &512_u32.to_be_bytes());
        put(&mut header, 584, &u32::try_from(relative.len())?.to_be_bytes());
        put(&mut header, 592, &u64::try_from(locator_at)?.to_be_bytes());
        seal(&mut header, 36);
        let mut file = vec![0; block_at + SECTOR + BLOCK];
        put(&mut file, 0, &footer);
        put(&mut file, FOOTER, &header);
        file[table_at..locator_at].fill(0xff);
        put(&mut file, table_at + 4, &u32::try_from(block_at / SECTOR)?.to_be_bytes());
        put(&mut file, locator_at, &relative);
        for sector in sectors {
            let bits = file.get_mut(block_at + sector / 8).context("a sector of the block")?;
            *bits |= 0x80 >> (sector % 8);
            let at = block_at + SECTOR + sector * SECTOR;
            file[at..at + SECTOR].fill(fill);
        }
        file.extend_from_slice(&footer);
        Ok(file)
    }

    /// What the guest sees of it, given what it saw of the base.
    pub(super) fn apply(disk: &mut [u8], sectors: &[usize], fill: u8) {
        for sector in sectors {
            let at = BLOCK + sector * SECTOR;
            disk[at..at + SECTOR].fill(fill);
        }
    }
}

#[tokio::test]
async fn a_chain_of_vhds_is_captured_and_merged() -> Result<()> {
    let server = Server::demo().await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let instance = stopped(&customer, "from-elsewhere").await?;
    let folder = folder(&server, &instance);
    let file = |name: &str| folder.join(name);
    // A disk that came from a hypervisor which writes VHDs: nothing of ours makes such an instance
    // yet.
    let vhd = ["-O", "vpc", "-o", "subformat=dynamic,force_size=on"];
    let (disk, base) = (file("disk.qcow2"), file("base.vhd"));
    ok("qemu-img", &[&["convert", "-f", "qcow2"], &vhd[..], &[arg(&disk), arg(&base)]].concat())?;
    let raw = server.dir.path().join("chain.raw");
    ok("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", arg(&disk), arg(&raw)])?;
    std::fs::remove_file(&disk)?;
    let hex: String = instance.trim_start_matches("ins_").replace('-', "");
    let database = server.dir.path().join("data/imprint.db");
    let sql = format!(
        "pragma busy_timeout = 20000; update instance_disks set format = 'vhd' where instance_id = x'{hex}'; \
         select changes();"
    );
    let changed = ok("sqlite3", &[arg(&database), &sql])?;
    assert_eq!(changed.lines().last(), Some("1"), "{changed}");

    let mut content = std::fs::read(&raw)?;
    let lower = vhd::over(&std::fs::read(&base)?, "base.vhd", &[0, 1, 2, 3, 100], 0xee)?;
    vhd::apply(&mut content, &[0, 1, 2, 3, 100], 0xee);
    std::fs::write(file("middle.vhd"), &lower)?;
    std::fs::write(file("disk.vhd"), vhd::over(&lower, "middle.vhd", &[2, 3, 4095], 0x77)?)?;
    vhd::apply(&mut content, &[2, 3, 4095], 0x77);
    std::fs::write(&raw, &content)?;

    let locations = admin.get("/admin/locations").await?;
    let location = format!("/admin/locations/{}", id(&locations["items"][0]));
    admin.patch(&location, &json!({"coalesce_before_capture": false})).await?;
    let (image, _) = customer.capture(&instance, "of-vhds", json!({})).await?;
    same(&raw, &server.image_storage().join(format!("{}.qcow2", id(&image))))?;
    let path = format!("/admin/instances/{instance}/actions/coalesce");
    let started = admin.post(&path, &json!({})).await?;
    admin.succeeded(&started["task"]).await?;
    let merged = arg(&file("disk.vhd")).to_owned();
    let compared = ok("qemu-img", &["compare", "-f", "raw", "-F", "vpc", arg(&raw), &merged])?;
    assert!(compared.contains("identical"), "{compared}");
    assert!(!file("base.vhd").exists() && !file("middle.vhd").exists(), "the layers are gone");
    Ok(())
}
