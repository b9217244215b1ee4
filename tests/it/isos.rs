//! ISOs and disks, in real guests: a medium in the drive, a system that is installed onto an empty
//! disk, and a second disk, which no image contains (S4, S16, S110, S111).

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    client::{Client, id},
    dist, eventually,
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
    server::Server,
    storages,
    tools::{self, arg},
};
use reqwest::Method;
use serde_json::{Value, json};

/// Where the boot partition of the demo's guest begins, and how long it is, in bytes.
const BOOT_START: u64 = 1 << 20;
const BOOT_BYTES: u64 = 40960 * 512;
/// A disk as a BIOS shows one that is emulated from a CD: three cylinders of 255 heads and 63
/// sectors, and one partition from the second track on.
const EMULATED_BYTES: usize = 3 * 255 * 63 * 512;
const TRACK: u32 = 63;
/// In the boot record: the code, and the first entry of the partition table.
const BOOT_CODE: usize = 440;
const ENTRY: usize = 446;

/// What the installing system runs, and the installed one: the first program of the guest. On a
/// disk that holds nothing yet it writes the boot image of its CD.
const INIT: &str = r#"#!/bin/sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk cdrom isofs scsi_common \
    scsi_mod sr_mod virtio_scsi; do
    [ -f /modules/$module.ko ] && $B insmod /modules/$module.ko 2>/dev/null
done
while [ ! -b /dev/vda ]; do $B sleep 0.1; done
if $B dd if=/dev/vda bs=512 count=1 2>/dev/null | $B grep -q "Missing operating system"; then
    echo "SYSTEM runs from its disk"
    while true; do $B sleep 1000; done
fi
$B mkdir -p /cd
while ! $B ls /cd/boot.img >/dev/null 2>&1; do
    for device in /dev/sr0 /dev/sr1; do
        [ -b $device ] || continue
        $B mount -t iso9660 -o ro $device /cd 2>/dev/null || continue
        [ -f /cd/boot.img ] && break
        $B umount /cd
    done
    $B sleep 0.1
done
$B dd if=/cd/boot.img of=/dev/vda bs=1M 2>/dev/null
$B sync
echo "SYSTEM is installed"
$B poweroff -f
"#;

/// Runs in the guest of the demo: says what is in the drive and which disk appears, and writes to
/// that disk. The mark is put together there, so that it is nowhere but on that disk.
const WATCH: &str = r#"#!/bin/sh
(
    seen=none; disk=none
    while true; do
        label=$(dd if=/dev/sr1 bs=2048 skip=16 count=1 2>/dev/null | tr -c 'A-Z0-9_-' ' ' | grep -o 'CD001.*' | cut -c6-60)
        label=$(echo $label | sed 's/LINUX *//')
        [ "$label" = "$seen" ] || echo "DRIVE [$label]"
        seen=$label
        now=absent
        [ -b /dev/vdb ] && now=present
        [ "$now" = "$disk" ] || echo "SECOND-DISK $now"
        if [ "$now" = present ] && [ "$disk" != present ]; then
            echo "MARK-$((40 + 2))-MARK" | dd of=/dev/vdb bs=512 conv=sync 2>/dev/null
            sync
            echo "SECOND-DISK written"
        fi
        disk=$now
        sleep 1
    done
) >/dev/ttyS0 2>&1 </dev/null &
"#;

/// Makes an ISO of a folder.
fn iso(file: &Path, label: &str, folder: &Path, more: &[&str]) -> Result<()> {
    let mut args = vec!["-quiet", "-o", arg(file), "-V", label, "-r"];
    args.extend(more);
    args.push(arg(folder));
    tools::ok("genisoimage", &args)?;
    Ok(())
}

/// Makes an ISO that holds and boots a system which installs itself. It is made of the boot
/// partition of the demo's guest, with another first program.
fn installer(folder: &Path, file: &Path) -> Result<()> {
    let stock = dist()?.join("guest/stock-linux.raw");
    let work = folder.join("installer");
    fs::create_dir_all(work.join("cd"))?;
    let boot = work.join("cd/boot.img");
    let mut bytes = vec![0; EMULATED_BYTES];
    let mut guest = fs::File::open(&stock).context("`cargo xtask build guest` makes the guest")?;
    guest.read_exact(&mut bytes[..BOOT_CODE])?;
    let sectors = u32::try_from(EMULATED_BYTES / 512)? - TRACK;
    // Active, from cylinder 0, head 1, sector 1, FAT16, to the end.
    bytes[ENTRY..ENTRY + 8].copy_from_slice(&[0x80, 1, 1, 0, 6, 254, 63, 2]);
    bytes[ENTRY + 8..ENTRY + 12].copy_from_slice(&TRACK.to_le_bytes());
    bytes[ENTRY + 12..ENTRY + 16].copy_from_slice(&sectors.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    let (start, length) = (usize::try_from(TRACK)? * 512, usize::try_from(BOOT_BYTES)?);
    guest.seek(SeekFrom::Start(BOOT_START))?;
    guest.read_exact(&mut bytes[start..start + length])?;
    fs::write(&boot, bytes)?;
    let partition = format!("{}@@{start}", arg(&boot));
    let initrd = work.join("initrd.gz");
    tools::ok("mcopy", &["-o", "-i", &partition, "::initrd.gz", arg(&initrd)])?;
    // A later archive of the same file replaces what the first one has.
    fs::create_dir_all(work.join("tree"))?;
    fs::write(work.join("tree/init"), INIT)?;
    tools::ok("chmod", &["755", arg(&work.join("tree/init"))])?;
    let pack = "echo init | cpio --quiet -o -H newc | gzip -n";
    let packed = Command::new("sh")
        .args(["-c", pack])
        .current_dir(work.join("tree"))
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(packed.status.success(), "{packed:?}");
    let mut file_of = fs::File::options().append(true).open(&initrd)?;
    file_of.seek(SeekFrom::End(0))?;
    file_of.write_all(&packed.stdout)?;
    drop(file_of);
    tools::ok("mcopy", &["-o", "-i", &partition, arg(&initrd), "::initrd.gz"])?;
    let cd = work.join("cd");
    iso(file, "SETUP", &cd, &["-b", "boot.img", "-hard-disk-boot", "-c", "boot.cat"])
}

/// A storage for ISOs that is bound to the only hypervisor, with the ids of its location.
struct Library {
    admin: Client,
    storage: String,
    location: String,
    folder: PathBuf,
}

impl Library {
    async fn of(server: &Server, folder: &Path) -> Result<Self> {
        let admin = server.admin().await?;
        let body = json!({"name": "isos", "role": "iso", "kind": "local",
            "settings": {"path": arg(folder), "folder": "."}});
        let storage = storages::bound(&admin, &body).await?;
        let location = admin.get("/admin/locations").await?["items"][0].clone();
        assert_eq!(location["iso_enabled"], true, "{location}");
        let (storage, location) = (id(&storage).to_owned(), id(&location).to_owned());
        Ok(Self { admin, storage, location, folder: folder.to_owned() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    async fn register(&self, name: &str, key: &str) -> Result<(Value, Value)> {
        let body =
            json!({"name": name, "storage_id": self.storage, "location_id": self.location, "key": key});
        let made = self.admin.post("/admin/isos", &body).await?;
        let task = self.admin.finished(&made["task"]).await?;
        let all = self.admin.get("/admin/isos").await?;
        let found =
            all["items"].as_array().and_then(|all| all.iter().find(|iso| id(iso) == id(&made["iso"])));
        Ok((found.cloned().context("the ISO is listed")?, task))
    }
}

/// Removes the guest of the demo, which is not needed, and returns the customer.
async fn without_guest(server: &Server) -> Result<Client> {
    let customer = server.customer().await?;
    let guest = customer.running_instance("demo-1").await?;
    let made = customer.delete(&format!("/instances/{}", id(&guest))).await?;
    customer.succeeded(&made["task"]).await?;
    Ok(customer)
}

/// Waits until the guest says words that it has said once before.
async fn says_again(server: &Server, instance: &str, words: &str) -> Result<()> {
    eventually("the guest to say it again", async || {
        Ok((server.console(instance).matches(words).count() > 1).then_some(()))
    })
    .await
}

/// The files in the folder of an instance whose paths have that text.
fn files(server: &Server, instance: &str, part: &str) -> Result<Vec<PathBuf>> {
    let folder = server.agent_dir().join("instances").join(instance);
    let all = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(all.into_iter().filter(|path| arg(path).contains(part)).collect())
}

async fn act(client: &Client, instance: &str, path: &str, body: Value) -> Result<Value> {
    let made = client.post(&format!("/instances/{instance}/{path}"), &body).await?;
    client.succeeded(&made["task"]).await?;
    client.get(&format!("/instances/{instance}")).await
}

/// S4, S110, S111: a system is installed from an ISO onto an empty disk, and boots from that disk.
#[tokio::test]
async fn a_system_is_installed_from_an_iso_onto_an_empty_disk() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::demo().await?;
    let library = Library::of(&server, folder.path()).await?;
    installer(folder.path(), &library.file("setup.iso"))?;
    let customer = without_guest(&server).await?;

    // What is no complete CD is refused with its reason.
    let whole = fs::read(library.file("setup.iso"))?;
    fs::write(library.file("cut.iso"), &whole[..whole.len() / 2])?;
    fs::write(library.file("noise.iso"), vec![0x5A; 1 << 20])?;
    for key in ["cut.iso", "noise.iso"] {
        let (iso, task) = library.register(key, key).await?;
        assert_eq!(
            (&iso["status"], &task["error"]["code"]),
            (&json!("error"), &json!("iso_invalid")),
            "{task}"
        );
    }
    let (setup, task) = library.register("Setup", "setup.iso").await?;
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!((&setup["status"], &setup["label"]), (&json!("available"), &json!("SETUP")), "{setup}");
    assert_eq!(setup["size_bytes"], whole.len());
    let offered = customer.get("/isos").await?;
    assert_eq!(offered["items"].as_array().map(Vec::len), Some(1), "{offered}");

    let body = json!({"name": "fresh", "iso_id": id(&setup), "disk_size_bytes": 64 << 20, "memory_bytes": 256 << 20});
    let made = customer.post("/instances", &body).await?;
    let instance = id(&made["instance"]).to_owned();
    customer.succeeded(&made["task"]).await?;
    server.console_says(&instance, "SYSTEM is installed").await?;
    let path = format!("/instances/{instance}");
    let off = eventually("the installation to switch the instance off", async || {
        let seen = customer.get(&path).await?;
        Ok((seen["power"] == "off").then_some(seen))
    })
    .await?;
    assert_eq!(off["iso"], json!({"id": id(&setup), "name": "Setup", "boot_from_cd": true}));
    assert_eq!(off["image"], Value::Null);

    // It cannot be removed while it is mounted.
    let answer =
        library.admin.send(Method::DELETE, &format!("/admin/isos/{}", id(&setup)), None, &[]).await?;
    assert_eq!(answer.body["code"], "resource_in_use", "{answer:?}");
    let ejected = act(&customer, &instance, "actions/eject-iso", json!({})).await?;
    assert_eq!(ejected["iso"], Value::Null);
    let answer =
        library.admin.send(Method::DELETE, &format!("/admin/isos/{}", id(&setup)), None, &[]).await?;
    assert_eq!(answer.status.as_u16(), 204, "{answer:?}");

    act(&customer, &instance, "actions/start", json!({})).await?;
    server.console_says(&instance, "SYSTEM runs from its disk").await?;
    Ok(())
}

/// S16, S111: the drive and the disks of a running guest.
#[tokio::test]
async fn media_and_disks_of_a_running_guest_change() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::demo().await?;
    let library = Library::of(&server, folder.path()).await?;
    let content = folder.path().join("content");
    fs::create_dir(&content)?;
    for label in ["FIRST", "OTHER"] {
        fs::write(content.join("label"), label)?;
        iso(&library.file(&format!("{label}.iso")), label, &content, &[])?;
    }
    let (first, _) = library.register("First", "FIRST.iso").await?;
    // One that no folder of this machine has.
    let s3 = S3Server::start().await?;
    s3.put("own/OTHER.iso", &library.file("OTHER.iso"))?;
    let bucket = json!({"name": "bucket of isos", "role": "iso", "kind": "s3", "secrets": {"secret-key": SECRET_KEY},
        "settings": {"endpoint": s3.url, "bucket": S3Server::BUCKET, "prefix": "own", "access-key": ACCESS_KEY,
            "private-networks": "true", "part-size": "5"}});
    let bucket = storages::bound(&library.admin, &bucket).await?;
    let remote = Library { storage: id(&bucket).to_owned(), ..library };
    let (other, _) = remote.register("Other", "OTHER.iso").await?;
    let customer = without_guest(&server).await?;
    let stock = customer.get("/images?scope=stock").await?;
    let instance = customer.deploy(id(&stock["items"][0]), "guest", json!({"user_data": WATCH})).await?;
    let instance = id(&instance);
    server.console_says(instance, "DRIVE []").await?;

    let mounted = act(&customer, instance, "actions/mount-iso", json!({"iso_id": id(&first)})).await?;
    assert_eq!(mounted["iso"]["name"], "First");
    server.console_says(instance, "DRIVE [FIRST]").await?;
    let swapped = act(&customer, instance, "actions/mount-iso", json!({"iso_id": id(&other)})).await?;
    assert_eq!(swapped["iso"]["name"], "Other");
    server.console_says(instance, "DRIVE [OTHER]").await?;
    assert_eq!(files(&server, instance, "/cd-")?.len(), 1, "it was copied from the bucket");

    let with_disk = act(&customer, instance, "disks", json!({"size_bytes": 8 << 20})).await?;
    let disks = with_disk["disks"].as_array().cloned().unwrap_or_default();
    assert_eq!(disks.len(), 2, "{with_disk}");
    assert_eq!((&disks[1]["primary"], &disks[1]["virtual_size_bytes"]), (&json!(false), &json!(8 << 20)));
    server.console_says(instance, "SECOND-DISK written").await?;

    // The image has the primary disk and nothing of the second one.
    let (image, _) = customer.capture(instance, "captured", json!({})).await?;
    assert_eq!(image["virtual_size_bytes"], disks[0]["virtual_size_bytes"]);
    let (stored, plain) = (server.stored_files()?, folder.path().join("captured.raw"));
    tools::ok("qemu-img", &["convert", "-O", "raw", arg(&stored[0]), arg(&plain)])?;
    let mark = b"MARK-42-MARK";
    let has_mark = |path: &Path| -> Result<bool> {
        Ok(fs::read(path)?.windows(mark.len()).any(|window| window == mark))
    };
    assert!(!has_mark(&plain)?, "the content of the second disk is in the image");

    let path = format!("/instances/{instance}/disks/{}", id(&disks[1]));
    let before = files(&server, instance, "/further-")?;
    assert_eq!(before.len(), 1, "{before:?}");
    let second = folder.path().join("second.raw");
    tools::ok("qemu-img", &["convert", "-U", "-O", "raw", arg(&before[0]), arg(&second)])?;
    assert!(has_mark(&second)?, "the guest wrote to the second disk");
    let made = customer.delete(&path).await?;
    customer.succeeded(&made["task"]).await?;
    says_again(&server, instance, "SECOND-DISK absent").await?;
    assert_eq!(files(&server, instance, "/further-")?, Vec::<PathBuf>::new());
    let ejected = act(&customer, instance, "actions/eject-iso", json!({})).await?;
    assert_eq!((&ejected["iso"], &ejected["disks"].as_array().map(Vec::len)), (&Value::Null, &Some(1)));
    says_again(&server, instance, "DRIVE []").await?;
    assert_eq!(files(&server, instance, "/cd-")?, Vec::<PathBuf>::new(), "the copy is gone");
    Ok(())
}
