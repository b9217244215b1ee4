//! Changing the devices of an instance: what the driver is asked, which files there are, and how a
//! change that fails is undone.

use std::fs;

use imprint_agent_protocol::{
    AssignmentKind, Devices, DevicesAssignment, FurtherDisk, InstanceRef, IsoRef, Medium, Outcome,
    RegisterIsoAssignment,
};
use imprint_domain::{
    id::{DiskId, IsoId},
    image::ImageFormat,
    iso::StoredIso,
    size::ByteSize,
    task_error::TaskError,
};
use uuid::Uuid;

use super::fakes::{World, assignment, storage_ref};
use crate::machine::{devices::serial, instance::InstanceDir};

const KEY: &str = "setup.iso";

fn failed(outcome: Outcome) -> TaskError {
    let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
    error
}

fn iso_ref() -> IsoRef {
    IsoRef { id: IsoId::new(Uuid::from_u128(11)), storage: storage_ref(), key: KEY.to_owned() }
}

/// The image of a CD of 64 sectors.
fn image() -> Vec<u8> {
    let mut bytes = vec![0; 64 * 2048];
    let at = 16 * 2048;
    bytes[at] = 1;
    bytes[at + 1..at + 6].copy_from_slice(b"CD001");
    bytes[at + 6] = 1;
    bytes[at + 40..at + 45].copy_from_slice(b"SETUP");
    bytes[at + 80..at + 84].copy_from_slice(&64_u32.to_le_bytes());
    bytes[at + 84..at + 88].copy_from_slice(&64_u32.to_be_bytes());
    bytes[at + 128..at + 130].copy_from_slice(&2048_u16.to_le_bytes());
    bytes
}

async fn outcome(world: &World, kind: AssignmentKind) -> Outcome {
    let work = assignment(kind);
    let task = work.task_id;
    world.control.give(work);
    world.control.outcome(task).await
}

async fn register(world: &World) -> StoredIso {
    fs::write(world.ports.storage.path(KEY), image()).unwrap();
    let kind = AssignmentKind::RegisterIso(RegisterIsoAssignment { iso: iso_ref() });
    let Outcome::IsoRegistered(result) = outcome(world, kind).await else { panic!("it is an ISO") };
    result.stored
}

fn medium(stored: &StoredIso) -> Medium {
    let (size, digest) = (stored.size, stored.digest.clone());
    Medium { iso: iso_ref(), size, digest, source: None, boot: true }
}

fn disk(number: u128) -> FurtherDisk {
    FurtherDisk { id: DiskId::new(Uuid::from_u128(number)), format: ImageFormat::Raw, size: ByteSize::MIB }
}

fn change(instance: &InstanceRef, disks: Vec<FurtherDisk>, medium: Option<Medium>) -> AssignmentKind {
    let devices = Devices { disks, medium };
    AssignmentKind::ChangeDevices(DevicesAssignment { instance: instance.clone(), devices })
}

/// The names of the files of devices in an instance's folder.
fn files(dir: &InstanceDir) -> Vec<String> {
    let names = fs::read_dir(dir.folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("further-") || name.starts_with("cd-"));
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iso_is_registered_and_anything_else_is_refused() {
    let world = World::new();
    let agent = world.start();
    let stored = register(&world).await;
    assert_eq!((stored.size.bytes(), stored.label.as_str()), (64 * 2048, "SETUP"));
    for bytes in [image()[..63 * 2048].to_vec(), vec![0; 100_000], Vec::new(), vec![7; 10]] {
        fs::write(world.ports.storage.path(KEY), &bytes).unwrap();
        let kind = AssignmentKind::RegisterIso(RegisterIsoAssignment { iso: iso_ref() });
        let error = failed(outcome(&world, kind).await);
        assert_eq!((error.code(), error.is_retried()), ("iso_invalid", false), "{}", error.operator_detail());
    }
    agent.stop().await;
    world.assert_nothing_left(&[KEY]);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_running_instance_change_one_by_one() {
    let world = World::new();
    let instance = world.running_instance();
    let dir = InstanceDir::new(&world.folders(), instance.id);
    let agent = world.start();
    let stored = register(&world).await;
    let (first, second) = (disk(1), disk(2));
    let steps = [
        (vec![first.clone()], None),
        (vec![first.clone(), second.clone()], Some(medium(&stored))),
        (vec![second.clone()], Some(medium(&stored))),
        (Vec::new(), None),
    ];
    for (disks, medium) in steps {
        assert!(matches!(outcome(&world, change(&instance, disks, medium)).await, Outcome::Done));
    }
    let (one, two) = (serial(first.id), serial(second.id));
    assert_eq!(
        world.driver().calls(),
        [
            format!("attach {one}"),
            format!("attach {two}"),
            "medium setup.iso".to_owned(),
            format!("detach {one}"),
            format!("detach {two}"),
            "medium none".to_owned(),
        ]
    );
    assert_eq!(files(&dir), Vec::<String>::new());
    agent.stop().await;
    world.assert_nothing_left(&[KEY]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_instance_gets_its_devices_at_its_start() {
    let world = World::new();
    let instance = world.stopped_instance();
    let dir = InstanceDir::new(&world.folders(), instance.id);
    let agent = world.start();
    let stored = register(&world).await;
    let kind = change(&instance, vec![disk(1)], Some(medium(&stored)));
    assert!(matches!(outcome(&world, kind).await, Outcome::Done));
    assert_eq!(world.driver().calls(), Vec::<String>::new());
    let devices = dir.definition().unwrap().devices;
    assert_eq!(devices.disks, [disk(1)]);
    let defined = devices.medium.unwrap();
    assert!(defined.boot && defined.path == Some(world.ports.storage.path(KEY).canonicalize().unwrap()));
    assert_eq!(fs::metadata(dir.file(&files(&dir)[0])).unwrap().len(), 1 << 20);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_leaves_the_instance_as_it_was() {
    let world = World::new();
    let instance = world.running_instance();
    let dir = InstanceDir::new(&world.folders(), instance.id);
    let agent = world.start();
    let stored = register(&world).await;
    world.driver().behaviour.lock().unwrap().refuse_devices = true;
    let error = failed(outcome(&world, change(&instance, vec![disk(1)], None)).await);
    assert_eq!(error.code(), "fake.no-room");
    let one = serial(disk(1).id);
    assert_eq!(world.driver().calls(), [format!("attach {one}"), format!("detach {one}")]);
    assert_eq!(files(&dir), Vec::<String>::new());
    assert_eq!(dir.definition().unwrap().devices.disks, []);

    // Another file under the same key is not what was registered.
    let mut other = image();
    other.extend([0; 2048]);
    fs::write(world.ports.storage.path(KEY), other).unwrap();
    let error = failed(outcome(&world, change(&instance, Vec::new(), Some(medium(&stored)))).await);
    assert_eq!(error.code(), "iso_not_available");
    assert!(dir.definition().unwrap().devices.medium.is_none());
    agent.stop().await;
    world.assert_nothing_left(&[KEY]);
}
