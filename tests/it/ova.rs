//! `imprint disk` on appliances: the disk inside is converted in place.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Result, ensure};
use imprint_tests::{
    binary,
    client::id,
    server::Server,
    tools::{self, arg},
};
use serde_json::json;
use tempfile::TempDir;

fn disk(args: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    Ok(command.arg("disk").args(args).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).output()?)
}

#[track_caller]
fn ends(output: &Output, status: i32, text: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(status) && said.contains(text), "{}: {said}", output.status);
}

/// A description of these disks.
fn ovf(disks: &[&str]) -> String {
    let list = |line: fn(&str) -> String| disks.iter().map(|name| line(name)).collect::<String>();
    format!(
        "<?xml version=\"1.0\"?><Envelope xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"><References>{}</References><DiskSection>{}</DiskSection></Envelope>",
        list(|name| format!("<File ovf:id=\"f-{name}\" ovf:href=\"{name}\"/>")),
        list(|name| format!("<Disk ovf:diskId=\"d-{name}\" ovf:fileRef=\"f-{name}\"/>")),
    )
}

fn raw(path: &Path, seed: u8) -> Result<()> {
    let mut bytes = vec![0; 6 << 20];
    for (number, piece) in bytes.chunks_mut(65536).enumerate().filter(|(number, _)| number % 3 == 0) {
        piece.fill(seed.wrapping_add(u8::try_from(number % 200)?));
    }
    Ok(fs::write(path, bytes)?)
}

/// An appliance whose disks are the raw ones in another format, by the tar program and qemu-img.
fn appliance(dir: &Path, disks: &[(&str, &str)]) -> Result<()> {
    let names: Vec<_> = disks.iter().map(|(name, _)| *name).collect();
    fs::write(dir.join("a.ovf"), ovf(&names))?;
    for (number, (name, format)) in (1..).zip(disks) {
        let from = dir.join(format!("{name}.raw"));
        raw(&from, number)?;
        let options = if *format == "vmdk" { "subformat=streamOptimized" } else { "cluster_size=64k" };
        let to = dir.join(name);
        tools::ok("qemu-img", &["convert", "-f", "raw", "-O", format, "-o", options, arg(&from), arg(&to)])?;
    }
    let archive = dir.join("a.ova");
    let mut args = vec!["--format=ustar", "-C", arg(dir), "-cf", arg(&archive), "a.ovf"];
    args.extend(&names);
    tools::ok("tar", &args)?;
    Ok(())
}

#[test]
fn the_disk_of_an_appliance_is_converted() -> Result<()> {
    let dir = TempDir::new()?;
    appliance(dir.path(), &[("disk1.vmdk", "vmdk")])?;
    let (from, to) = (dir.path().join("a.ova"), dir.path().join("out.qcow2"));
    ends(&disk(&["convert", arg(&from), arg(&to)])?, 0, "");
    let original = dir.path().join("disk1.vmdk.raw");
    tools::ok("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", arg(&original), arg(&to)])?;
    ends(&disk(&["compare", arg(&from), arg(&original)])?, 0, "");
    Ok(())
}

#[test]
fn one_of_several_disks_is_named() -> Result<()> {
    let dir = TempDir::new()?;
    appliance(dir.path(), &[("system.vmdk", "vmdk"), ("data.qcow2", "qcow2")])?;
    let (from, to) = (dir.path().join("a.ova"), dir.path().join("out.raw"));
    let output = disk(&["convert", arg(&from), arg(&to)])?;
    ends(&output, 3, "system.vmdk, data.qcow2");
    ensure!(!to.exists(), "nothing is left of what was refused");
    for (name, file) in [("data.qcow2", "data.qcow2"), ("d-system.vmdk", "system.vmdk")] {
        ends(&disk(&["convert", "--force", "--disk", name, arg(&from), arg(&to)])?, 0, "");
        let original = dir.path().join(format!("{file}.raw"));
        ensure!(fs::read(&to)? == fs::read(original)?, "{name}");
    }
    Ok(())
}

#[test]
fn what_the_description_calls_a_vmdk_has_to_be_one() -> Result<()> {
    let dir = TempDir::new()?;
    appliance(dir.path(), &[("disk1.vmdk", "qcow2")])?;
    let (from, to) = (dir.path().join("a.ova"), dir.path().join("out.raw"));
    let output = disk(&["convert", arg(&from), arg(&to)])?;
    ends(&output, 3, "denied.ambiguous-content");
    Ok(())
}

#[test]
fn an_appliance_is_described_and_checked_as_the_disk_in_it() -> Result<()> {
    let dir = TempDir::new()?;
    appliance(dir.path(), &[("disk1.qcow2", "qcow2")])?;
    let (ova, bare) = (dir.path().join("a.ova"), dir.path().join("disk1.qcow2"));
    let (wrapped, plain) =
        (crate::disk::done(&["inspect", arg(&ova)])?, crate::disk::done(&["inspect", arg(&bare)])?);
    for key in ["virtual_size", "data_bytes", "encoded_bytes", "unit", "subformat", "findings"] {
        assert_eq!(wrapped[key], plain[key], "{key}");
    }
    assert_eq!((&wrapped["format"], &wrapped["contains"]), (&json!("ova"), &json!("qcow2")));
    let facts = wrapped["facts"].as_object().unwrap();
    assert_eq!((&facts["wrapper"], &facts["wrapper-member"]), (&json!("ova"), &json!("disk1.qcow2")));
    for (key, value) in plain["facts"].as_object().unwrap() {
        assert_eq!(&facts[key], value, "{key}");
    }
    // A refcount of 0 for a cluster that is used: an error, also inside.
    let mut bytes = fs::read(&bare)?;
    let be64 = |bytes: &[u8], at: usize| {
        usize::try_from(u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
    };
    let block = be64(&bytes, be64(&bytes, 48));
    let last = bytes.len().div_ceil(65536) - 1;
    bytes[block + last * 2..block + last * 2 + 2].fill(0);
    fs::write(&bare, bytes)?;
    tools::ok("tar", &["--format=ustar", "-C", arg(dir.path()), "-cf", arg(&ova), "a.ovf", "disk1.qcow2"])?;
    for image in [&bare, &ova] {
        let output = disk(&["check", arg(image)])?;
        ends(&output, 3, "corrupt.tables");
        let found = &crate::disk::done(&["inspect", arg(image)])?["findings"];
        ensure!(found["errors"].as_u64() >= Some(1), "{found}");
    }
    Ok(())
}

#[test]
fn an_appliance_of_any_name_and_spelling_is_read() -> Result<()> {
    let dir = TempDir::new()?;
    let name = "My VM (Büro) 1+,@.qcow2";
    appliance(dir.path(), &[(name, "qcow2")])?;
    let ova = dir.path().join("a.ova");
    // The disk first, a manifest with odd spellings, a file that is missing, a folder.
    let digest = tools::ok("sha256sum", &[arg(&dir.path().join(name))])?;
    let digest = digest.split(' ').next().unwrap_or_default();
    fs::write(dir.path().join("a.mf"), format!("\u{feff}# made by hand\nsha-256 ( {name} ) = {digest}\r\n"))?;
    let encoded = name.replace(' ', "%20").replace('ü', "%C3%BC");
    let text = ovf(&[name]).replace(&format!("href=\"{name}\""), &format!("href=\"{encoded}\""));
    let more = "<File ovf:id=\"nvram\" ovf:href=\"vm.nvram\"/></References>";
    fs::write(dir.path().join("a.ovf"), text.replace("</References>", more))?;
    fs::create_dir(dir.path().join("empty"))?;
    let members = ["--format=gnu", "-C", arg(dir.path()), "-cf", arg(&ova), name, "empty", "a.ovf", "a.mf"];
    tools::ok("tar", &members)?;
    let report = crate::disk::done(&["check", arg(&ova)])?;
    assert_eq!((&report["errors"], &report["manifest"]), (&json!(0), &json!("sha256")), "{report}");
    ensure!(report["findings"].to_string().contains("vm.nvram"), "what was odd is said: {report}");
    ends(&disk(&["compare", arg(&ova), arg(&dir.path().join(format!("{name}.raw")))])?, 0, "");
    Ok(())
}

/// Seals an appliance with a manifest, and packs it again. Of the disk, the byte at `damage` from
/// its end is changed after that.
fn seal(dir: &Path, member: &str, algorithm: &str, damage: Option<usize>) -> Result<String> {
    let disk = dir.join(member);
    let sum = tools::ok(&format!("{algorithm}sum"), &[arg(&disk)])?;
    let digest = sum.split(' ').next().unwrap_or_default().to_owned();
    fs::write(dir.join("a.mf"), format!("{}({member})= {digest}\n", algorithm.to_uppercase()))?;
    if let Some(damage) = damage {
        let mut bytes = fs::read(&disk)?;
        let at = bytes.len() - damage;
        bytes[at] ^= 0x10;
        fs::write(&disk, bytes)?;
    }
    let archive = dir.join("a.ova");
    tools::ok("tar", &["--format=ustar", "-C", arg(dir), "-cf", arg(&archive), "a.ovf", "a.mf", member])?;
    Ok(digest)
}

#[test]
fn the_digest_of_the_manifest_is_compared() -> Result<()> {
    for algorithm in ["sha1", "sha256", "sha512"] {
        let dir = TempDir::new()?;
        appliance(dir.path(), &[("disk1.vmdk", "vmdk")])?;
        seal(dir.path(), "disk1.vmdk", algorithm, None)?;
        let (from, to) = (dir.path().join("a.ova"), dir.path().join("out.raw"));
        let report = crate::disk::done(&["convert", arg(&from), arg(&to)])?;
        assert_eq!(report["source"]["manifest"], algorithm, "{report}");
        ensure!(fs::read(&to)? == fs::read(dir.path().join("disk1.vmdk.raw"))?, "{algorithm}");
        assert_eq!(crate::disk::done(&["check", arg(&from)])?["manifest"], algorithm);
    }
    Ok(())
}

#[test]
fn a_damaged_appliance_is_refused() -> Result<()> {
    // A byte of plain data, which nothing else protects; and one of compressed data, which may also
    // fail to decode.
    for (member, format) in [("disk1.qcow2", "qcow2"), ("disk1.vmdk", "vmdk")] {
        let dir = TempDir::new()?;
        appliance(dir.path(), &[(member, format)])?;
        let digest = seal(dir.path(), member, "sha256", Some(3000))?;
        let found = tools::ok("sha256sum", &[arg(&dir.path().join(member))])?;
        let found = found.split(' ').next().unwrap_or_default();
        let (from, to) = (dir.path().join("a.ova"), dir.path().join("out.raw"));
        let original = dir.path().join(format!("{member}.raw"));
        let commands: [&[&str]; 4] = [
            &["convert", arg(&from), arg(&to)],
            &["digest", arg(&from)],
            &["compare", arg(&original), arg(&from)],
            &["check", arg(&from)],
        ];
        for command in commands {
            let output = disk(command)?;
            ends(&output, 3, "error[corrupt.checksum]");
            ends(&output, 3, &digest);
            ends(&output, 3, found);
        }
        ensure!(!to.exists(), "nothing is left of what was refused");
        ends(&disk(&["inspect", arg(&from)])?, 0, "");
    }
    Ok(())
}

#[test]
fn a_manifest_can_be_left_out() -> Result<()> {
    let dir = TempDir::new()?;
    appliance(dir.path(), &[("disk1.qcow2", "qcow2")])?;
    seal(dir.path(), "disk1.qcow2", "sha256", Some(3000))?;
    let (from, to) = (dir.path().join("a.ova"), dir.path().join("out.raw"));
    let report = crate::disk::done(&["convert", arg(&from), arg(&to), "--ignore-manifest"])?;
    ensure!(report["source"]["manifest"].is_null(), "{report}");
    let (found, expected) = (fs::read(&to)?, fs::read(dir.path().join("disk1.qcow2.raw"))?);
    let differing = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert_eq!((found.len(), differing), (expected.len(), 1), "the damage is in the data");
    Ok(())
}

#[tokio::test]
async fn an_appliance_is_registered_unless_it_is_damaged() -> Result<()> {
    let dir = TempDir::new()?;
    let pool = dir.path().join("pool");
    fs::create_dir(&pool)?;
    for (name, damage) in [("good", None), ("bad", Some(3000))] {
        let folder = dir.path().join(name);
        fs::create_dir(&folder)?;
        appliance(&folder, &[("disk1.qcow2", "qcow2")])?;
        seal(&folder, "disk1.qcow2", "sha256", damage)?;
        fs::copy(folder.join("a.ova"), pool.join(format!("{name}.ova")))?;
    }
    let server = Server::start(&["--demo"], &[]).await?;
    let admin = server.admin().await?;
    let location = admin.get("/admin/locations").await?["items"][0].clone();
    let hypervisor = admin.get("/admin/hypervisors").await?["items"][0].clone();
    let body = json!({"name": "appliances", "role": "stock", "kind": "local", "settings": {"path": pool}});
    let storage = admin.post("/admin/image-storages", &body).await?;
    let bind = format!("/admin/image-storages/{}/hypervisors/{}", id(&storage), id(&hypervisor));
    let bound = admin.send(reqwest::Method::PUT, &bind, None, &[]).await?;
    ensure!(bound.status.is_success(), "{bound:?}");
    for (name, code) in [("good", None), ("bad", Some("corrupt.checksum"))] {
        let body = json!({"name": name, "description": "", "storage_id": id(&storage), "key": format!("{name}.ova"),
            "format": "ova", "location_id": id(&location)});
        let accepted = admin.post("/admin/stock-images", &body).await?;
        let task = admin.finished(&accepted["task"]).await?;
        assert_eq!(task["error"]["code"].as_str(), code, "{task}");
        assert_eq!(task["state"] == "succeeded", code.is_none(), "{task}");
    }
    Ok(())
}
