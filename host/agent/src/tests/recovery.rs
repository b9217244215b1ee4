use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    sync::Arc,
};

use imprint_agent_protocol::{Assignment, AssignmentKind, Finish, HeldLease, Outcome};
use imprint_domain::{
    id::AgentId,
    task_error::{TaskError, TaskErrorCode},
};
use imprint_ports::{Journal, JournalNote, Props};
use uuid::Uuid;

use super::fakes::World;
use crate::{
    jobs::{cleanup::clean_up, undo::Cleanup},
    journal::{FileJournal, Header, JournalError, fault::Fault, steps},
    machine::{
        Machine,
        instance::{Definition, InstanceDir},
    },
    runtime::{
        outbox::{Outbox, Sent},
        recovery::recover_all,
    },
};

pub(super) fn settings() -> BTreeMap<String, String> {
    BTreeMap::from([("accelerator".to_owned(), "tcg".to_owned())])
}

pub(super) fn journal(world: &World, assignment: &Assignment) -> FileJournal {
    let header = Header::new(assignment.clone(), "fake".to_owned(), settings());
    FileJournal::create(&world.folders().journal(), header, Fault::default()).unwrap()
}

pub(super) fn machine(world: &World) -> Machine {
    Machine::new(
        world.settings.clone(),
        world.folders(),
        Fault::default(),
        world.ports.clone(),
        world.control.clone(),
    )
}

fn driver_note(step: &str) -> JournalNote {
    JournalNote { step: step.to_owned(), data: Props::from([("root".to_owned(), "disk0".to_owned())]) }
}

#[test]
fn an_incomplete_line_is_dropped_and_overwritten() {
    let world = World::new();
    let instance = world.stopped_instance();
    let work = world.capture(&instance);
    let first = journal(&world, &work);
    first.note(steps::SCRATCH, [("path", "/x".to_owned())]).unwrap();
    first.record(&driver_note("freezing")).unwrap();
    let path = first.path().to_owned();
    drop(first);
    let whole = fs::read(&path).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for torn in [last_line + 1, whole.len() - 1] {
        fs::write(&path, &whole[..torn]).unwrap();
        let opened = FileJournal::open(&path, Fault::default()).unwrap();
        assert_eq!(opened.notes(), [], "cut at {torn}");
        assert_eq!(opened.last(steps::SCRATCH).unwrap()["path"], "/x");
        opened.record(&driver_note("thawed")).unwrap();
        let again = FileJournal::open(&path, Fault::default()).unwrap();
        assert_eq!(again.notes(), [driver_note("thawed")]);
        assert_eq!(again.header().assignment.task_id, work.task_id);
    }
    fs::write(&path, b"{\"version\":").unwrap();
    assert!(matches!(FileJournal::open(&path, Fault::default()), Err(JournalError::Empty { .. })));
    fs::write(&path, b"{\"version\":2}\n").unwrap();
    assert!(matches!(
        FileJournal::open(&path, Fault::default()),
        Err(JournalError::Version { version: 2, .. })
    ));
    fs::write(&path, [&whole[..last_line], b"nonsense\n"].concat()).unwrap();
    assert!(matches!(FileJournal::open(&path, Fault::default()), Err(JournalError::Damaged { line: 3, .. })));
}

#[test]
fn drivers_see_only_their_own_notes_and_cannot_write_the_hosts() {
    let world = World::new();
    let journal = journal(&world, &world.capture(&world.stopped_instance()));
    journal.note(steps::SNAPSHOT, []).unwrap();
    journal.record(&driver_note(steps::UPLOAD)).unwrap();
    assert_eq!(journal.notes(), [driver_note(steps::UPLOAD)]);
    assert_eq!(journal.last(steps::UPLOAD), None);
    let long = JournalNote { step: "x".repeat(200_000), data: Props::new() };
    assert!(journal.record(&long).is_err());
    let mut file = OpenOptions::new().append(true).open(journal.path()).unwrap();
    file.write_all(b"{}").unwrap();
    assert_eq!(
        FileJournal::open(journal.path(), Fault::default()).unwrap().notes(),
        [driver_note(steps::UPLOAD)]
    );
}

/// A capture that died in the middle of its copy.
fn interrupted_capture(world: &World) -> Assignment {
    let instance = world.running_instance();
    let work = world.capture(&instance);
    let journal = journal(world, &work);
    let scratch = world.folders().scratch_file(work.task_id, work.fence);
    fs::write(&scratch, b"scratch").unwrap();
    fs::write(world.ports.storage.path(".image-1"), b"half").unwrap();
    journal.note(steps::SCRATCH, [("path", scratch.display().to_string())]).unwrap();
    journal.note(steps::SNAPSHOT, []).unwrap();
    journal.record(&driver_note("freezing")).unwrap();
    journal.note(steps::UPLOAD, [("token", hex::encode(b".image-1"))]).unwrap();
    work
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_capture_is_undone_once_however_often_it_is_recovered() {
    let world = World::new();
    interrupted_capture(&world);
    let (machine, outbox) = (machine(&world), Outbox::new(&world.folders()));
    recover_all(&machine, &outbox).await;
    world.assert_nothing_left(&[]);
    recover_all(&machine, &outbox).await;
    assert_eq!(world.driver().calls(), ["recover freezing"]);
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_yet_is_kept_and_tried_again() {
    let world = World::new();
    let work = interrupted_capture(&world);
    let (machine, outbox) = (machine(&world), Outbox::new(&world.folders()));
    world.driver().behaviour.lock().unwrap().refuse_recovery = true;
    recover_all(&machine, &outbox).await;
    let AssignmentKind::Capture(capture) = &work.kind else { unreachable!() };
    assert!(
        machine.require_recovered(capture.instance.id).is_err(),
        "no new capture over the old one's remains"
    );
    assert!(machine.findings().iter().any(|finding| finding.contains("could not be undone")));
    assert_eq!(world.ports.storage.names().len(), 0, "what can be undone is");
    world.driver().behaviour.lock().unwrap().refuse_recovery = false;
    recover_all(&machine, &outbox).await;
    assert!(machine.require_recovered(capture.instance.id).is_ok());
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hypervisor_that_has_ended_needs_no_driver() {
    let world = World::new();
    let work = interrupted_capture(&world);
    let AssignmentKind::Capture(capture) = &work.kind else { unreachable!() };
    let dir = InstanceDir::new(&world.folders(), capture.instance.id);
    dir.process().unwrap().terminate().await.unwrap();
    recover_all(&machine(&world), &Outbox::new(&world.folders())).await;
    assert!(world.driver().calls().is_empty());
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visible_image_and_a_stored_result_are_kept() {
    let world = World::new();
    let instance = world.running_instance();
    let work = world.capture(&instance);
    let held = journal(&world, &work);
    fs::write(world.ports.storage.path("image-1"), b"whole").unwrap();
    held.note(steps::SNAPSHOT, []).unwrap();
    held.note(steps::UPLOAD, [("token", hex::encode(b"image-1"))]).unwrap();
    held.note(steps::COMMITTED, []).unwrap();
    // The token names the visible file: a clean-up would remove it.
    clean_up(&machine(&world), &Arc::new(held), Cleanup::Rollback).await.unwrap();
    world.assert_nothing_left(&["image-1"]);
}

/// What became of the result of a deployment before the agent was killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Report {
    Missing,
    Failure,
    Stored,
    Reported,
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]
async fn an_unfinished_instance_is_removed_unless_its_success_is_stored_or_reported() {
    for result in [Report::Missing, Report::Failure, Report::Stored, Report::Reported] {
        let world = World::new();
        let work = world.deploy(1 << 20, None);
        let AssignmentKind::Deploy(deploy) = &work.kind else { unreachable!() };
        let held = journal(&world, &work);
        held.note(steps::NEW_INSTANCE, [("instance", deploy.instance.id.to_string())]).unwrap();
        held.note(steps::LAUNCHING, []).unwrap();
        let dir = InstanceDir::new(&world.folders(), deploy.instance.id);
        fs::create_dir(dir.folder()).unwrap();
        fs::write(dir.file("disk.raw"), b"disk").unwrap();
        dir.define(&Definition::new(deploy.instance.clone(), "fake".to_owned(), settings())).unwrap();
        let outbox = Outbox::new(&world.folders());
        let outcome = match result {
            Report::Failure => Outcome::Failed(TaskError::new(TaskErrorCode::Internal, "a failure")),
            Report::Missing | Report::Stored | Report::Reported => Outcome::Done,
        };
        if result != Report::Missing {
            let lease = HeldLease { task_id: work.task_id, fence: work.fence };
            let agent_id = AgentId::new(Uuid::now_v7());
            outbox.store(Finish { agent_id, lease, outcome }).unwrap();
        }
        if result == Report::Reported {
            assert_eq!(outbox.send(world.control.as_ref()).await, Sent::All);
        }
        recover_all(&machine(&world), &outbox).await;
        let kept = matches!(result, Report::Stored | Report::Reported);
        assert_eq!(dir.folder().exists(), kept, "{result:?}");
        assert_eq!(fs::read_dir(world.folders().journal()).unwrap().count(), 0);
        outbox.send(world.control.as_ref()).await;
        assert_eq!(fs::read_dir(world.folders().results()).unwrap().count(), 0, "{result:?}");
        assert_eq!(world.control.finishes(), usize::from(result != Report::Missing), "sent once");
    }
}
