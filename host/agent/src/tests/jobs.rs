use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use imprint_agent_protocol::{
    AssignmentKind, CaptureResult, DeleteImageAssignment, MoveImageAssignment, Outcome, PowerAssignment,
    ProtocolError, RegisterImageAssignment,
};
use imprint_data_path::{Disk, Limits, MemorySource, WriteOptions, digest};
use imprint_domain::{
    consistency::Consistency, image::ImageFormat, instance::Power, task::Phase, task_error::TaskError,
};

use super::fakes::{CommitFault, DISK_SIZE, WRAPPED_AT, WRAPPER, World, assignment, image_ref, storage_ref};
use crate::machine::instance::{InstanceDir, disk_file};

fn captured(outcome: Outcome) -> CaptureResult {
    let Outcome::Captured(result) = outcome else { panic!("{outcome:?}") };
    result
}

pub(super) fn failed(outcome: Outcome) -> TaskError {
    let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_instance_is_captured() {
    let world = World::new();
    let instance = world.running_instance();
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    let result = captured(world.control.outcome(task).await);
    assert_eq!(result.consistency, Consistency::Filesystem);
    assert_eq!((result.frozen_ms, result.stopped_ms, result.method.as_str()), (20, 3, "fake"));
    assert_eq!(result.image.virtual_size.bytes(), DISK_SIZE);
    let dir = InstanceDir::new(&world.folders(), instance.id);
    let disk = dir.file(&disk_file("raw"));
    assert!(fs::read(world.ports.storage.path("image-1")).unwrap() == fs::read(disk).unwrap());
    let phases = world.control.until(|calls| {
        let phases: Vec<_> = calls.progress.iter().map(|report| report.phase).collect();
        (!phases.is_empty()).then_some(phases)
    });
    assert!(!phases.await.contains(&Phase::Done));
    agent.stop().await;
    let calls = world.driver().calls();
    assert_eq!(calls.iter().filter(|call| *call != "status").collect::<Vec<_>>(), ["begin", "end Commit"]);
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_instance_is_captured_from_its_file() {
    let world = World::new();
    let instance = world.stopped_instance();
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    let result = captured(world.control.outcome(task).await);
    assert_eq!(result.consistency, Consistency::Stopped);
    assert_eq!(result.image.consistency, Some(Consistency::Stopped));
    assert_eq!(result.method, "stopped-file");
    let adopt =
        assignment(AssignmentKind::RegisterImage(RegisterImageAssignment { image: image_ref("raw") }));
    let task = adopt.task_id;
    world.control.give(adopt);
    // The same file, read again: the same digests, and no level.
    let outcome = world.control.outcome(task).await;
    let Outcome::ImageRegistered(adopted) = outcome else { panic!("{outcome:?}") };
    assert_eq!(adopted.image.logical_digest, result.image.logical_digest);
    assert_eq!(adopted.image.stored_digest, result.image.stored_digest);
    assert_eq!(adopted.image.size, result.image.size);
    assert_eq!(adopted.image.consistency, None);
    let virtual_size = adopted.image.virtual_size.bytes();
    // Before it was copied, and when it was read again.
    assert_eq!(*world.ports.looked.lock().unwrap(), [virtual_size; 2]);
    assert_eq!(adopted.findings, result.findings);
    assert_eq!(result.findings.map(|found| found.size), Some(virtual_size));
    // The same file as a wrapper: the disk is the one inside of it.
    let adopt =
        assignment(AssignmentKind::RegisterImage(RegisterImageAssignment { image: image_ref(WRAPPER) }));
    let task = adopt.task_id;
    world.control.give(adopt);
    let outcome = world.control.outcome(task).await;
    let Outcome::ImageRegistered(wrapped) = outcome else { panic!("{outcome:?}") };
    assert_eq!(wrapped.image.stored_digest, result.image.stored_digest);
    assert_ne!(wrapped.image.logical_digest, result.image.logical_digest);
    assert_eq!(world.ports.looked.lock().unwrap().last(), Some(&wrapped.image.virtual_size.bytes()));
    assert_eq!(wrapped.image.virtual_size.bytes(), result.image.virtual_size.bytes() - WRAPPED_AT);
    for _ in 0..2 {
        let delete =
            assignment(AssignmentKind::DeleteImage(DeleteImageAssignment { image: image_ref("raw") }));
        let task = delete.task_id;
        world.control.give(delete);
        assert!(matches!(world.control.outcome(task).await, Outcome::Done));
    }
    agent.stop().await;
    assert!(world.driver().calls().is_empty());
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_tried_again_without_another_capture() {
    let world = World::new();
    let instance = world.running_instance();
    let agent = world.start();
    for (fault, commits) in
        [(CommitFault::Busy, 2), (CommitFault::LostAnswer, 1), (CommitFault::TrapAfterPublish, 1)]
    {
        world.ports.storage.commit_faults.lock().unwrap().push_back(fault);
        let before = world.ports.storage.commits.load(Ordering::SeqCst);
        let work = world.capture(&instance);
        let task = work.task_id;
        world.control.give(work);
        let result = captured(world.control.outcome(task).await);
        assert_eq!(result.image.virtual_size.bytes(), DISK_SIZE, "{fault:?}");
        assert_eq!(world.ports.storage.commits.load(Ordering::SeqCst) - before, commits, "{fault:?}");
    }
    agent.stop().await;
    let captures = world.driver().calls().iter().filter(|call| *call == "begin").count();
    assert_eq!(captures, 3, "one point in time for each capture");
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_published_before_a_failure_is_removed() {
    let world = World::new();
    let instance = world.running_instance();
    let agent = world.start();
    world.ports.storage.commit_faults.lock().unwrap().push_back(CommitFault::WrongSize);
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    let error = failed(world.control.outcome(task).await);
    assert_eq!(error.code(), "plugin.bad-answer.size", "{}", error.operator_detail());
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_copied_byte_by_byte_and_verified() {
    let world = World::new();
    let instance = world.stopped_instance();
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    let image = captured(world.control.outcome(task).await).image;
    let order = MoveImageAssignment {
        image: image_ref("raw"),
        source: None,
        to: storage_ref(),
        key: "image-1-moved".to_owned(),
        size: image.size,
        stored_digest: image.stored_digest.clone(),
    };
    let damaged = MoveImageAssignment {
        key: "image-1-damaged".to_owned(),
        stored_digest: format!("imprint1:{}", "3".repeat(64)).parse().unwrap(),
        ..order.clone()
    };
    let moving = assignment(AssignmentKind::MoveImage(order));
    let task = moving.task_id;
    world.control.give(moving);
    let Outcome::Moved(moved) = world.control.outcome(task).await else { panic!("not moved") };
    assert_eq!((moved.size, moved.stored_digest), (image.size, image.stored_digest));
    let file = |key| fs::read(world.ports.storage.path(key)).unwrap();
    assert!(file("image-1") == file("image-1-moved"));
    // What is not what was stored is not kept.
    let moving = assignment(AssignmentKind::MoveImage(damaged));
    let task = moving.task_id;
    world.control.give(moving);
    assert_eq!(failed(world.control.outcome(task).await).code(), "image_damaged");
    agent.stop().await;
    world.assert_nothing_left(&["image-1", "image-1-moved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_below_the_minimum_fails_and_leaves_nothing() {
    let world = World::new();
    let instance = world.running_instance();
    let agent = world.start();
    for expected in [Consistency::Crash, Consistency::Filesystem] {
        world.driver().behaviour.lock().unwrap().expected = expected;
        world.driver().behaviour.lock().unwrap().level = Consistency::Crash;
        let mut work = world.capture(&instance);
        let task = work.task_id;
        if let AssignmentKind::Capture(capture) = &mut work.kind {
            capture.minimum = Consistency::Filesystem;
        }
        world.control.give(work);
        let error = failed(world.control.outcome(task).await);
        assert_eq!(
            (error.code(), error.is_retryable()),
            ("consistency_not_reached", false),
            "{}",
            error.operator_detail()
        );
        assert!(error.operator_detail().contains("no guest agent"), "{}", error.operator_detail());
    }
    agent.stop().await;
    let calls: Vec<_> = world.driver().calls().into_iter().filter(|call| call != "status").collect();
    // The plan stopped the first one before anything was touched; the second was undone.
    assert_eq!(calls, ["begin", "recover adding-scratch freezing stopping resumed thawed exporting"]);
    world.assert_nothing_left(&[]);
}

/// A capture of an instance whose guest may give back space for so many seconds, after it has said
/// so many times that it still does.
async fn reclaimed(world: &World, limit_s: u32, reclaims_for: u32) -> Outcome {
    let instance = world.running_instance();
    world.driver().behaviour.lock().unwrap().reclaims_for = reclaims_for;
    let mut work = world.capture(&instance);
    let AssignmentKind::Capture(capture) = &mut work.kind else { panic!("{work:?}") };
    capture.reclaim_limit_s = limit_s;
    let task = work.task_id;
    world.control.give(work);
    world.control.outcome(task).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_waits_until_the_guest_has_given_back_space() {
    let world = World::new();
    let agent = world.start();
    let result = captured(reclaimed(&world, 60, 2).await);
    assert_eq!((result.consistency, result.downgraded_because), (Consistency::Filesystem, None));
    agent.stop().await;
    let calls: Vec<_> = world.driver().calls().into_iter().filter(|call| call != "status").collect();
    assert_eq!(calls, ["reclaim", "reclaiming", "reclaiming", "begin", "end Commit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_gives_back_space_for_too_long_is_captured_nevertheless() {
    let world = World::new();
    world.driver().behaviour.lock().unwrap().level = Consistency::Crash;
    let agent = world.start();
    let result = captured(reclaimed(&world, 1, u32::MAX).await);
    assert_eq!(result.consistency, Consistency::Crash);
    let reason = result.downgraded_because.unwrap();
    assert!(reason.contains("still giving back") && reason.contains("no guest agent"), "{reason}");
    agent.stop().await;
}

/// S31: what has begun in the guest goes on, so that there is less to store half an hour later.
#[tokio::test(flavor = "multi_thread")]
async fn space_is_given_back_before_a_full_storage_refuses() {
    let world = World::new();
    world.ports.storage.available.store(1 << 20, Ordering::SeqCst);
    let agent = world.start();
    let error = failed(reclaimed(&world, 60, 0).await);
    assert_eq!(error.code(), "insufficient_storage");
    agent.stop().await;
    assert_eq!(world.driver().calls(), ["reclaim"]);
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_copy_leaves_nothing() {
    let world = World::new();
    let instance = world.running_instance();
    world.ports.hold.store(true, Ordering::SeqCst);
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    world
        .control
        .until(|calls| calls.progress.iter().any(|report| report.phase == Phase::Copying).then_some(()))
        .await;
    assert_eq!(world.ports.storage.names(), [".image-1"], "bytes are under way");
    world.control.script.lock().unwrap().cancel = true;
    assert!(matches!(world.control.outcome(task).await, Outcome::Cancelled));
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_undoes_and_reports_nothing() {
    let world = World::new();
    let instance = world.running_instance();
    world.ports.hold.store(true, Ordering::SeqCst);
    world.control.script.lock().unwrap().progress_error = Some(ProtocolError::LeaseLost);
    let agent = world.start();
    world.control.give(world.capture(&instance));
    world.control.until(|calls| (!calls.progress.is_empty()).then_some(())).await;
    // The instance is free again once the work is undone: this waits for it.
    world.control.script.lock().unwrap().progress_error = None;
    let stop =
        assignment(AssignmentKind::Stop(PowerAssignment { instance: instance.clone(), grace_ms: 5000 }));
    let task = stop.task_id;
    world.driver().behaviour.lock().unwrap().ignore_shutdown = false;
    world.control.give(stop);
    let outcome = world.control.outcome(task).await;
    assert!(matches!(outcome, Outcome::Done | Outcome::Failed(_)), "{outcome:?}");
    assert_eq!(world.control.finishes(), 1, "only the stop is reported");
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_without_space_is_reported_and_the_job_undone() {
    let world = World::new();
    let instance = world.running_instance();
    let agent = world.start();
    world.ports.storage.available.store(1 << 20, Ordering::SeqCst);
    let early = world.capture(&instance);
    let task = early.task_id;
    world.control.give(early);
    let error = failed(world.control.outcome(task).await);
    assert_eq!(error.code(), "insufficient_storage");
    assert!(error.customer_detail().contains("image storage backend: 1.0 MiB free"), "{error:?}");
    assert!(world.driver().calls().is_empty(), "the guest was not touched");
    world.ports.storage.available.store(1 << 40, Ordering::SeqCst);
    world.ports.storage.full_at_commit.store(true, Ordering::SeqCst);
    let late = world.capture(&instance);
    let task = late.task_id;
    world.control.give(late);
    assert_eq!(failed(world.control.outcome(task).await).code(), "insufficient_storage");
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_snapshot_ends_the_copy() {
    let world = World::new();
    let instance = world.running_instance();
    world.ports.hold.store(true, Ordering::SeqCst);
    world.driver().behaviour.lock().unwrap().broken = Some("scratch is full".to_owned());
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    let error = failed(world.control.outcome(task).await);
    assert_eq!((error.code(), error.is_retryable()), ("snapshot_broken", true));
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_holds_the_guest_too_long_is_stopped() {
    for (step, code) in [("freezing", "freeze_watchdog"), ("stopping", "stop_watchdog")] {
        let mut world = World::new();
        world.settings.freeze_watchdog = Duration::from_millis(50);
        world.settings.stop_watchdog = Duration::from_millis(50);
        let instance = world.running_instance();
        world.driver().behaviour.lock().unwrap().hang_behind = Some(step);
        let agent = world.start();
        let work = world.capture(&instance);
        let task = work.task_id;
        world.control.give(work);
        let error = failed(world.control.outcome(task).await);
        assert_eq!((error.code(), error.is_retryable()), (code, true));
        agent.stop().await;
        let calls = world.driver().calls();
        assert!(calls.last().unwrap().starts_with("recover adding-scratch freezing"), "{calls:?}");
        world.assert_nothing_left(&[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_own_job_only() {
    let world = World::new();
    let instance = world.running_instance();
    world.driver().behaviour.lock().unwrap().panic_in_plan = true;
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    assert_eq!(failed(world.control.outcome(task).await).code(), "internal");
    world.driver().behaviour.lock().unwrap().panic_in_plan = false;
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    captured(world.control.outcome(task).await);
    agent.stop().await;
    world.assert_nothing_left(&["image-1"]);
}

/// What is to be done with an instance's power.
type Of = fn(PowerAssignment) -> AssignmentKind;

/// Stores an image and answers its logical digest.
pub(super) async fn store(world: &World, bytes: &[u8]) -> String {
    fs::write(world.ports.storage.path("image-1"), bytes).unwrap();
    let disk = Disk::from_raw(Arc::new(MemorySource::new(bytes.to_vec())), &Limits::default()).unwrap();
    digest(&Arc::new(disk), &WriteOptions::default()).await.unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_deployed_grown_stopped_started_and_deleted() {
    let world = World::new();
    let mut bytes = vec![0; 1 << 20];
    bytes[5000..70_000].fill(9);
    let digest = store(&world, &bytes).await;
    let agent = world.start();
    let work = world.deploy(3 << 20, Some(digest));
    let (task, AssignmentKind::Deploy(deploy)) = (work.task_id, work.kind.clone()) else { unreachable!() };
    world.control.give(work);
    let outcome = world.control.outcome(task).await;
    let Outcome::Deployed(result) = outcome else { panic!("{outcome:?}") };
    assert_eq!(result.power, Power::Running);
    let dir = InstanceDir::new(&world.folders(), deploy.instance.id);
    let disk = fs::read(dir.file("disk.raw")).unwrap();
    assert!(
        disk.len() == 3 << 20 && disk[..1 << 20] == bytes && disk[1 << 20..].iter().all(|byte| *byte == 0)
    );
    assert!(dir.file("seed.iso").exists() && dir.sockets().is_dir());
    assert!(dir.process().is_some());
    let (stop, start): (Of, Of) = (AssignmentKind::Stop, AssignmentKind::Start);
    let power =
        |work: Of| assignment(work(PowerAssignment { instance: deploy.instance.clone(), grace_ms: 300 }));
    world.driver().behaviour.lock().unwrap().ignore_shutdown = true;
    for (work, runs) in [(stop, false), (stop, false), (start, true), (start, true)] {
        let work = power(work);
        let task = work.task_id;
        world.control.give(work);
        let outcome = world.control.outcome(task).await;
        assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
        assert_eq!(dir.process().is_some(), runs);
    }
    assert_eq!(
        world.driver().calls(),
        ["Shutdown", "PowerOff"],
        "a guest that does not shut down is powered off"
    );
    for _ in 0..2 {
        let work = power(AssignmentKind::DeleteInstance);
        let task = work.task_id;
        world.control.give(work);
        assert!(matches!(world.control.outcome(task).await, Outcome::Done));
    }
    assert!(!dir.folder().exists() && !dir.sockets().exists() && dir.process().is_none());
    agent.stop().await;
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_fails_leaves_nothing() {
    let world = World::new();
    let digest = store(&world, &vec![1; 1 << 20]).await;
    let agent = world.start();
    let run = async |change: &dyn Fn(), work: imprint_agent_protocol::Assignment| {
        change();
        let task = work.task_id;
        world.control.give(work);
        failed(world.control.outcome(task).await)
    };
    let program = |name: &str| world.driver().behaviour.lock().unwrap().program = name.to_owned();
    let error = run(&|| (), world.deploy(4096, Some(digest.clone()))).await;
    assert_eq!(error.code(), "disk_too_small");
    let error = run(&|| (), world.deploy(1 << 20, Some(digest.replace(char::is_numeric, "0")))).await;
    assert_eq!(error.code(), "image_damaged");
    let error = run(&|| program("/bin/sh"), world.deploy(1 << 20, Some(digest.clone()))).await;
    assert_eq!(error.code(), "program_not_approved");
    // It is approved, and ends at once: the disk is not its kind of thing.
    let mut work = world.deploy(1 << 20, Some(digest));
    if let AssignmentKind::Deploy(deploy) = &mut work.kind {
        deploy.instance.disk_format = ImageFormat::Vhdx;
    }
    assert_eq!(run(&|| program("guest"), work).await.code(), "format_unknown");
    agent.stop().await;
    assert_eq!(fs::read_dir(world.folders().instances()).unwrap().count(), 0);
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_program_names_its_package() {
    let mut world = World::new();
    world.settings.programs[0].path = Path::new("/nonexistent/guest").to_owned();
    store(&world, &vec![1; 1 << 20]).await;
    let agent = world.start();
    let work = world.deploy(1 << 20, None);
    let task = work.task_id;
    world.control.give(work);
    let error = failed(world.control.outcome(task).await);
    assert_eq!(error.code(), "program_missing");
    assert!(error.operator_detail().contains("install the package coreutils"), "{}", error.operator_detail());
    let findings =
        world.control.until(|calls| calls.registers.first().map(|register| register.findings.clone())).await;
    assert!(findings[0].contains("install the package coreutils"), "{findings:?}");
    agent.stop().await;
    world.assert_nothing_left(&["image-1"]);
}
