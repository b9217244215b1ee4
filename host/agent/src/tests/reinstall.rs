//! Instances whose disk is written anew.

use std::fs;

use imprint_agent_protocol::{AssignmentKind, DeployAssignment, DeployResult, Outcome};
use imprint_domain::{id::DiskId, instance::Power};
use uuid::Uuid;

use super::{
    fakes::{World, assignment},
    jobs::{failed, store},
    recovery::{journal, settings},
};
use crate::{
    journal::steps,
    machine::instance::{Definition, InstanceDir, REPLACEMENT},
};

const SIZE: usize = 1 << 20;

async fn outcome(world: &World, order: DeployAssignment) -> Outcome {
    let work = assignment(AssignmentKind::Deploy(order));
    let task = work.task_id;
    world.control.give(work);
    world.control.outcome(task).await
}

fn deployed(outcome: Outcome) -> DeployResult {
    let Outcome::Deployed(result) = outcome else { panic!("{outcome:?}") };
    result
}

/// Deploys an instance, and answers the order to write its disk anew.
async fn running(world: &World) -> (InstanceDir, DeployAssignment) {
    let digest = store(world, &vec![1; SIZE]).await;
    let AssignmentKind::Deploy(mut order) = world.deploy(u64::try_from(SIZE).unwrap(), Some(digest)).kind
    else {
        unreachable!()
    };
    deployed(outcome(world, order.clone()).await);
    let dir = InstanceDir::new(&world.folders(), order.instance.id);
    order.logical_digest = Some(store(world, &vec![2; SIZE]).await.parse().unwrap());
    order.instance.disk_id = DiskId::new(Uuid::from_u128(2));
    order.seed.instance_id = Some("another-system".to_owned());
    order.seed.config_drive = true;
    order.replace = true;
    (dir, order)
}

fn first_byte(dir: &InstanceDir) -> u8 {
    fs::read(dir.file("disk.raw")).unwrap()[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_instance_starts_anew_from_its_new_disk() {
    let world = World::new();
    let agent = world.start();
    let (dir, order) = running(&world).await;
    let process = fs::read(dir.process_record()).unwrap();
    let result = deployed(outcome(&world, order.clone()).await);
    assert_eq!((result.power, first_byte(&dir)), (Power::Running, 2));
    assert_ne!(fs::read(dir.process_record()).unwrap(), process, "it has a new process");
    assert!(dir.process().is_some() && !dir.file(REPLACEMENT).exists());
    assert_eq!(dir.definition().unwrap().instance.disk_id, order.instance.disk_id);
    let seed = fs::read(dir.file("seed.iso")).unwrap();
    assert!(seed.windows(14).any(|window| window == b"another-system"), "cloud-init configures it again");
    assert!(dir.file("config-drive.iso").exists());

    // The next image asks for no config drive, and the instance stays off.
    let mut off = order;
    (off.seed.config_drive, off.start) = (false, false);
    assert_eq!(deployed(outcome(&world, off).await).power, Power::Off);
    assert!(dir.process().is_none() && !dir.file("config-drive.iso").exists());
    dir.terminate_and_remove().await.unwrap();
    agent.stop().await;
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reinstallation_that_fails_leaves_the_instance_as_it_was() {
    let world = World::new();
    let agent = world.start();
    let (dir, order) = running(&world).await;
    let before = (fs::read(dir.process_record()).unwrap(), dir.definition().unwrap());
    let mut damaged = order.clone();
    damaged.logical_digest = order
        .logical_digest
        .clone()
        .map(|digest| digest.to_string().replace(char::is_numeric, "0").parse().unwrap());
    let mut small = order;
    small.instance.disk_size = "4096".parse().unwrap();
    for (order, code) in [(damaged, "image_damaged"), (small, "disk_too_small")] {
        assert_eq!(failed(outcome(&world, order).await).code(), code);
        assert_eq!((fs::read(dir.process_record()).unwrap(), dir.definition().unwrap()), before);
        assert!(dir.process().is_some() && first_byte(&dir) == 1 && !dir.file(REPLACEMENT).exists());
    }
    dir.terminate_and_remove().await.unwrap();
    agent.stop().await;
    world.assert_nothing_left(&["image-1"]);
}

/// The disk is the new one, whether its system starts or not: the control plane has to know that.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_does_not_start_from_its_new_disk_is_off() {
    let world = World::new();
    let agent = world.start();
    let (dir, order) = running(&world).await;
    world.driver().behaviour.lock().unwrap().program = "/bin/sh".to_owned();
    assert_eq!(deployed(outcome(&world, order).await).power, Power::Off);
    assert!(dir.process().is_none() && first_byte(&dir) == 2);
    dir.terminate_and_remove().await.unwrap();
    agent.stop().await;
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_reinstallation_wrote_is_removed() {
    let world = World::new();
    let AssignmentKind::Deploy(mut order) = world.deploy(u64::try_from(SIZE).unwrap(), None).kind else {
        unreachable!()
    };
    order.replace = true;
    let dir = InstanceDir::new(&world.folders(), order.instance.id);
    fs::create_dir(dir.folder()).unwrap();
    for (name, bytes) in [("disk.raw", b"old"), (REPLACEMENT, b"new")] {
        fs::write(dir.file(name), bytes).unwrap();
    }
    dir.define(&Definition::new(order.instance.clone(), "fake".to_owned(), settings())).unwrap();
    let work = assignment(AssignmentKind::Deploy(order));
    let held = journal(&world, &work);
    held.note(steps::REINSTALLING, [("instance", dir.id().to_string())]).unwrap();
    drop(held);
    let agent = world.start();
    world.control.until(|calls| calls.registers.first().map(|_| ())).await;
    agent.stop().await;
    assert_eq!(fs::read(dir.file("disk.raw")).unwrap(), b"old");
    assert!(!dir.file(REPLACEMENT).exists());
    assert_eq!(fs::read_dir(world.folders().journal()).unwrap().count(), 0);
}
