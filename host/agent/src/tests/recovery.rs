use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    sync::Arc,
};

use imprint_agent_protocol::{Assignment, Finish, HeldLease, Outcome, Work};
use imprint_domain::id::AgentId;
use imprint_ports::{Journal, JournalNote, Props};
use uuid::Uuid;

use super::fakes::World;
use crate::{
    instance::{Definition, Home},
    job::{Fate, settle, to_hex},
    journal::{FileJournal, Header, JournalError},
    machine::Machine,
    outbox::Outbox,
    recovery::recover_all,
    step::{self, Fault},
};

pub(super) fn settings() -> BTreeMap<String, String> {
    BTreeMap::from([("accelerator".to_owned(), "tcg".to_owned())])
}

pub(super) fn journal(world: &World, assignment: &Assignment) -> FileJournal {
    let header = Header::new(assignment.clone(), "fake".to_owned(), settings());
    FileJournal::create(&world.folders().journal(), header, Fault::default()).unwrap()
}

pub(super) fn machine(world: &World) -> Machine {
    Machine::new(world.settings.clone(), world.folders(), Fault::default(), world.ports.clone())
}

fn driver_note(step: &str) -> JournalNote {
    JournalNote { step: step.to_owned(), data: Props::from([("root".to_owned(), "disk0".to_owned())]) }
}

#[test]
fn a_torn_line_is_dropped_and_written_over() {
    let world = World::new();
    let instance = world.stopped_instance();
    let work = world.capture(&instance);
    let first = journal(&world, &work);
    first.note(step::SCRATCH, [("path", "/x".to_owned())]).unwrap();
    first.record(&driver_note("freezing")).unwrap();
    let path = first.path().to_owned();
    drop(first);
    let whole = fs::read(&path).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for torn in [last_line + 1, whole.len() - 1] {
        fs::write(&path, &whole[..torn]).unwrap();
        let opened = FileJournal::open(&path, Fault::default()).unwrap();
        assert_eq!(opened.notes(), [], "cut at {torn}");
        assert_eq!(opened.last(step::SCRATCH).unwrap()["path"], "/x");
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
    journal.note(step::SNAPSHOT, []).unwrap();
    journal.record(&driver_note(step::UPLOAD)).unwrap();
    assert_eq!(journal.notes(), [driver_note(step::UPLOAD)]);
    assert_eq!(journal.last(step::UPLOAD), None);
    let long = JournalNote { step: "x".repeat(200_000), data: Props::new() };
    assert!(journal.record(&long).is_err());
    let mut file = OpenOptions::new().append(true).open(journal.path()).unwrap();
    file.write_all(b"{}").unwrap();
    assert_eq!(
        FileJournal::open(journal.path(), Fault::default()).unwrap().notes(),
        [driver_note(step::UPLOAD)]
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
    journal.note(step::SCRATCH, [("path", scratch.display().to_string())]).unwrap();
    journal.note(step::SNAPSHOT, []).unwrap();
    journal.record(&driver_note("freezing")).unwrap();
    journal.note(step::UPLOAD, [("token", to_hex(b".image-1"))]).unwrap();
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
    let Work::Capture(capture) = &work.work else { unreachable!() };
    assert!(
        machine.require_recovered(capture.instance.id).is_err(),
        "no new capture over the old one's remains"
    );
    assert_eq!(machine.findings().len(), 1);
    assert_eq!(world.ports.storage.names().len(), 0, "what can be undone is");
    world.driver().behaviour.lock().unwrap().refuse_recovery = false;
    recover_all(&machine, &outbox).await;
    assert!(machine.require_recovered(capture.instance.id).is_ok());
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hypervisor_that_is_gone_needs_no_driver() {
    let world = World::new();
    let work = interrupted_capture(&world);
    let Work::Capture(capture) = &work.work else { unreachable!() };
    let home = Home::new(&world.folders(), capture.instance.id);
    home.process().unwrap().end(super::fakes::SOON).await.unwrap();
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
    held.note(step::SNAPSHOT, []).unwrap();
    held.note(step::UPLOAD, [("token", to_hex(b"image-1"))]).unwrap();
    held.note(step::COMMITTED, []).unwrap();
    // The token names the visible file: a clean-up would remove it.
    settle(&machine(&world), &Arc::new(held), Fate::Undone).await.unwrap();
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_instance_is_removed_unless_its_result_is_stored() {
    for stored in [false, true] {
        let world = World::new();
        let work = world.deploy(1 << 20, None);
        let Work::Deploy(deploy) = &work.work else { unreachable!() };
        let held = journal(&world, &work);
        held.note(step::NEW_INSTANCE, [("instance", deploy.instance.id.to_string())]).unwrap();
        held.note(step::LAUNCHING, []).unwrap();
        let home = Home::new(&world.folders(), deploy.instance.id);
        fs::create_dir(home.folder()).unwrap();
        fs::write(home.file("disk.raw"), b"disk").unwrap();
        home.define(&Definition::new(deploy.instance.clone(), "fake".to_owned(), settings())).unwrap();
        let outbox = Outbox::new(&world.folders());
        if stored {
            let lease = HeldLease { task_id: work.task_id, fence: work.fence };
            let agent_id = AgentId::new(Uuid::now_v7());
            outbox.store(Finish { agent_id, lease, outcome: Outcome::Done }).unwrap();
        }
        recover_all(&machine(&world), &outbox).await;
        assert_eq!(home.folder().exists(), stored);
        assert_eq!(fs::read_dir(world.folders().journal()).unwrap().count(), 0);
    }
}
