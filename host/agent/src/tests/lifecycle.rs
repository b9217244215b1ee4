use std::sync::atomic::Ordering;

use imprint_agent_protocol::{
    AssignmentKind, Heartbeat, Outcome, PROTOCOL_VERSION, PowerAssignment, ProtocolError,
};
use imprint_domain::{instance::Power, task::Phase};

use super::fakes::{World, assignment, storage_ref};
use crate::runtime::agent::AgentError;

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_sent_until_it_is_answered_even_by_the_next_process() {
    let world = World::new();
    let instance = world.stopped_instance();
    world.control.script.lock().unwrap().refuse_finishes =
        Some(ProtocolError::Unavailable { detail: "down".to_owned() });
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    let sent =
        world.control.until(|calls| (calls.finishes.len() >= 2).then(|| calls.finishes[0].agent_id)).await;
    agent.stop().await;
    let stored = std::fs::read_dir(world.folders().results()).unwrap().count();
    assert_eq!(stored, 1, "the result waits on disk");
    world.control.script.lock().unwrap().refuse_finishes = None;
    let before = world.control.finishes();
    let agent = world.start();
    let again = world.control.until(|calls| calls.finishes.get(before).cloned()).await;
    assert_eq!(
        (again.lease.task_id, again.agent_id),
        (task, sent),
        "under the lease of the process that did the work"
    );
    assert!(matches!(again.outcome, Outcome::Captured(_)));
    agent.stop().await;
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_its_lease_is_dropped_and_its_image_left_alone() {
    let world = World::new();
    let instance = world.stopped_instance();
    world.control.script.lock().unwrap().refuse_finishes = Some(ProtocolError::LeaseLost);
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    world.control.outcome(task).await;
    // A result that is not dropped yet when the agent stops is sent once more; its lease is held
    // until it is dropped.
    let beats = world.control.until(|calls| Some(calls.heartbeats.len())).await;
    let dropped = |beat: &&Heartbeat| beat.leases.is_empty();
    world.control.until(|calls| calls.heartbeats.iter().skip(beats).find(dropped).map(|_| ())).await;
    agent.stop().await;
    assert_eq!(world.control.finishes(), 1);
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reports_its_version_instances_and_storages() {
    let world = World::new();
    let instance = world.running_instance();
    let agent = world.start();
    let register = world.control.until(|calls| calls.registers.first().cloned()).await;
    assert_eq!((register.protocol, register.plugins["fake"].as_str()), (PROTOCOL_VERSION, "1"));
    let beat = world.control.until(|calls| calls.heartbeats.first().cloned()).await;
    assert_eq!(beat.agent_id, register.agent_id);
    assert_eq!((beat.instances[0].id, beat.instances[0].power), (instance.id, Power::Running));
    assert!(beat.instances[0].disk_allocated.unwrap().bytes() > 0);
    assert_eq!(
        (beat.storages[0].id, beat.storages[0].available.unwrap().bytes()),
        (storage_ref().id, 1 << 40)
    );
    agent.stop().await;
    assert!(
        crate::machine::instance::InstanceDir::new(&world.folders(), instance.id).process().is_none(),
        "told to end the guests"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_continue_without_the_agent_and_are_found_again() {
    let mut world = World::new();
    world.settings.stop_guests = false;
    let instance = world.running_instance();
    world.start().stop().await;
    let dir = crate::machine::instance::InstanceDir::new(&world.folders(), instance.id);
    assert!(dir.process().is_some());
    world.settings.stop_guests = true;
    let before = world.control.until(|calls| Some(calls.heartbeats.len())).await;
    let agent = world.start();
    let beat = world.control.until(|calls| calls.heartbeats.get(before).cloned()).await;
    assert_eq!(beat.instances[0].power, Power::Running);
    agent.stop().await;
    assert!(dir.process().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn captures_have_a_limit_of_their_own() {
    let world = World::new();
    let (first, second) = (world.running_instance(), world.running_instance());
    world.ports.hold.store(true, Ordering::SeqCst);
    let agent = world.start();
    world.control.give(world.capture(&first));
    world
        .control
        .until(|calls| calls.progress.iter().any(|report| report.phase == Phase::Copying).then_some(()))
        .await;
    world.control.give(world.capture(&second));
    let stop = assignment(AssignmentKind::Stop(PowerAssignment { instance: second.clone(), grace_ms: 1 }));
    let task = stop.task_id;
    world.driver().behaviour.lock().unwrap().ignore_shutdown = true;
    world.control.give(stop);
    // Other work goes by the capture that waits.
    world.control.outcome(task).await;
    assert_eq!(world.control.waiting(), 1);
    agent.stop().await;
    let stopped = world.control.until(|calls| {
        calls.finishes.iter().find_map(|finish| {
            let Outcome::Failed(error) = &finish.outcome else { return None };
            (error.code() == "agent_stopping").then_some(error.is_retryable())
        })
    });
    assert!(stopped.await, "the first capture is undone and may be tried again");
    world.assert_nothing_left(&[]);
}

#[tokio::test]
async fn two_agents_cannot_share_a_folder() {
    let world = World::new();
    let first = world.agent();
    let second = crate::Agent::new(
        world.settings.clone(),
        world.ports.clone(),
        world.control.clone(),
        std::sync::Arc::new(super::fakes::SystemEnvironment),
    );
    assert!(matches!(second, Err(AgentError::Locked { .. })));
    drop(first);
    let mut long = world.settings.clone();
    long.run_dir = world.folder.path().join("x".repeat(80));
    assert!(matches!(crate::settings::Folders::create(&long), Err(crate::FolderError::TooLong { .. })));
}
