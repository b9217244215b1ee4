//! The folder of a storage that is not there any more, or is another one.

use std::{fs, sync::atomic::Ordering};

use imprint_agent_protocol::{AssignmentKind, InstanceRef, Outcome};
use imprint_domain::{task::Phase, task_error::TaskError};
use imprint_ports::RESERVED_NAMES;

use super::fakes::{World, storage_ref};

fn failed(outcome: Outcome) -> TaskError {
    let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
    error
}

/// Captures a stopped instance, and returns how that fails.
async fn failure(world: &World) -> TaskError {
    failure_of(world, &world.stopped_instance()).await
}

async fn failure_of(world: &World, instance: &InstanceRef) -> TaskError {
    let work = world.capture(instance);
    let task = work.task_id;
    world.control.give(work);
    failed(world.control.outcome(task).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_under_the_same_path_is_refused_before_the_first_byte() {
    let world = World::new();
    let folder = world.ports.storage.folder().to_owned();
    let agent = world.start();
    world
        .control
        .until(|calls| calls.heartbeats.last()?.storages.first().filter(|report| report.marked).cloned())
        .await;
    fs::rename(&folder, folder.with_extension("away")).unwrap();
    let error = failure(&world).await;
    assert!(error.code().starts_with("storage.path") && !error.is_retried(), "{}", error.operator_detail());
    // As when a mount is missing.
    fs::create_dir(&folder).unwrap();
    let error = failure(&world).await;
    assert_eq!((error.code(), error.is_retried()), ("storage.marker", false), "{}", error.operator_detail());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing was written");
    let problem = world.control.until(|calls| {
        let report = calls.heartbeats.last()?.storages.first()?.clone();
        report.problem.filter(|_| !report.marked)
    });
    assert!(problem.await.contains("mount what belongs there"));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_storage_gets_its_marker_from_the_first_report() {
    let world = World::new();
    let marker = world.ports.storage.folder().join(format!("{RESERVED_NAMES}{}", storage_ref().id));
    fs::remove_file(&marker).unwrap();
    let agent = world.start();
    world
        .control
        .until(|calls| calls.heartbeats.last()?.storages.first().filter(|report| report.marked).cloned())
        .await;
    assert!(marker.is_file());
    // This process has seen it, so a folder without it is another one, whatever the control plane
    // says.
    fs::remove_file(&marker).unwrap();
    assert_eq!(failure(&world).await.code(), "storage.marker");
    assert!(!marker.exists());
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_replaced_while_bytes_are_written_ends_the_capture() {
    let world = World::new();
    let folder = world.ports.storage.folder().to_owned();
    let away = folder.with_extension("away");
    let agent = world.start();
    world.ports.hold.store(true, Ordering::SeqCst);
    let instance = world.stopped_instance();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    world
        .control
        .until(|calls| calls.progress.iter().any(|report| report.phase == Phase::Copying).then_some(()))
        .await;
    fs::rename(&folder, &away).unwrap();
    fs::create_dir(&folder).unwrap();
    let error = failed(world.control.outcome(task).await);
    assert_eq!((error.code(), error.is_retried()), ("storage.moved", true), "{}", error.operator_detail());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing went to the wrong folder");
    world.ports.hold.store(false, Ordering::SeqCst);
    // The upload cannot be removed yet, and that does not hold the instance.
    assert_eq!(failure_of(&world, &instance).await.code(), "storage.marker");
    agent.stop().await;
    fs::remove_dir(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    assert!(matches!(world.control.outcome(task).await, Outcome::Captured(_)));
    agent.stop().await;
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_without_a_folder_is_recognised_by_its_plugin() {
    let world = World::new();
    world.ports.remote.store(true, Ordering::SeqCst);
    let folder = world.ports.storage.folder().to_owned();
    let marker = folder.join(format!("{RESERVED_NAMES}{}", storage_ref().id));
    fs::remove_file(&marker).unwrap();
    // It cannot be marked yet, which is no problem of the storage.
    world.ports.remote_is_read_only.store(true, Ordering::SeqCst);
    let agent = world.start();
    let report = world.control.until(|calls| calls.heartbeats.last()?.storages.first().cloned()).await;
    assert!(!report.marked && report.problem.is_none(), "{report:?}");
    world.ports.remote_is_read_only.store(false, Ordering::SeqCst);
    world
        .control
        .until(|calls| calls.heartbeats.last()?.storages.first().filter(|report| report.marked).cloned())
        .await;
    assert!(marker.is_file());
    let work = world.capture(&world.stopped_instance());
    let task = work.task_id;
    world.control.give(work);
    assert!(matches!(world.control.outcome(task).await, Outcome::Captured(_)));
    agent.stop().await;
    // Another process, and another storage in its place. That it was marked is known to the control
    // plane, and the heartbeats of the fake one do not say so: they must not mark it.
    fs::remove_file(&marker).unwrap();
    world.ports.remote_is_read_only.store(true, Ordering::SeqCst);
    let agent = world.start();
    let mut work = world.capture(&world.stopped_instance());
    if let AssignmentKind::Capture(capture) = &mut work.kind {
        capture.image.storage.initialise = false;
    }
    let task = work.task_id;
    world.control.give(work);
    let error = failed(world.control.outcome(task).await);
    assert_eq!(error.code(), "storage.marker", "{}", error.operator_detail());
    agent.stop().await;
}
