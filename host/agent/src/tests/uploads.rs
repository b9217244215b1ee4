//! Uploads that another attempt goes on with.

use std::{
    fs,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use imprint_agent_protocol::{Assignment, AssignmentKind, HeldLease, MoveImageAssignment, Outcome};
use imprint_ports::{ByteRange, PartLog, SentPart};

use super::{
    fakes::{World, assignment, image_ref, storage_ref},
    recovery::{journal, machine},
};
use crate::{
    jobs::{cleanup::clean_up, undo::Cleanup},
    journal::steps,
    runtime::{
        outbox::Outbox,
        recovery::{recover_all, remove_unused_uploads},
    },
    uploads::{UploadHeader, UploadLog},
};

/// The bytes that the interrupted move has copied.
const COPIED: usize = 1 << 20;
const TOKEN: &[u8] = b".image-1-moved";

/// A stored image of several MiB, and the order to move it.
async fn stored_image(world: &World) -> Assignment {
    let instance = world.stopped_instance();
    let agent = world.start();
    let work = world.capture(&instance);
    let task = work.task_id;
    world.control.give(work);
    let Outcome::Captured(captured) = world.control.outcome(task).await else { panic!("not captured") };
    agent.stop().await;
    assignment(AssignmentKind::MoveImage(MoveImageAssignment {
        image: image_ref("raw"),
        source: None,
        to: storage_ref(),
        key: "image-1-moved".to_owned(),
        size: captured.image.size,
        stored_digest: captured.image.stored_digest,
    }))
}

/// What an agent leaves that was killed when it had copied `copied`: its journal, its log, and the
/// file under its temporary name.
fn killed(world: &World, moving: &Assignment, copied: &[u8]) {
    fs::write(world.ports.storage.path(".image-1-moved"), copied).unwrap();
    let held = journal(world, moving);
    held.note(steps::UPLOAD, [("token", hex::encode(TOKEN))]).unwrap();
    let header = UploadHeader::new(moving.task_id, &storage_ref(), "image-1-moved", TOKEN);
    let log = UploadLog::create(&world.folders().uploads(), header).unwrap();
    if !copied.is_empty() {
        let range = ByteRange { offset: 0, length: u64::try_from(copied.len()).unwrap() };
        log.sent(SentPart { range, digest: None, answer: String::new() });
    }
}

/// Gives the task out again, and returns how it ends.
async fn again(world: &World, moving: &Assignment) -> Outcome {
    let agent = world.start();
    let next = Assignment { fence: moving.fence + 1, attempt: 2, ..moving.clone() };
    world.control.give(next);
    let outcome = world.control.outcome(moving.task_id).await;
    agent.stop().await;
    outcome
}

fn file(world: &World, key: &str) -> Vec<u8> {
    fs::read(world.ports.storage.path(key)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_move_goes_on_where_it_was() {
    let world = World::new();
    let moving = stored_image(&world).await;
    let before = world.ports.storage.commits.load(Ordering::SeqCst);
    killed(&world, &moving, &file(&world, "image-1")[..COPIED]);
    let lease = HeldLease { task_id: moving.task_id, fence: moving.fence };
    let advanced = recover_all(&machine(&world), &Outbox::new(&world.folders())).await;
    assert_eq!(advanced, [lease], "it does not count as an attempt");
    assert_eq!(world.ports.storage.names(), [".image-1-moved", "image-1"]);
    assert!(matches!(again(&world, &moving).await, Outcome::Moved(_)));
    assert!(file(&world, "image-1") == file(&world, "image-1-moved"));
    assert_eq!(world.ports.storage.commits.load(Ordering::SeqCst) - before, 1);
    world.assert_nothing_left(&["image-1", "image-1-moved"]);
}

/// The bytes that are there are not copied again; that they are wrong is found when the copy is
/// read, and then everything is.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_interrupted_move_left_is_verified() {
    let world = World::new();
    let moving = stored_image(&world).await;
    let before = world.ports.storage.commits.load(Ordering::SeqCst);
    killed(&world, &moving, &[9; COPIED]);
    assert!(matches!(again(&world, &moving).await, Outcome::Moved(_)));
    assert!(file(&world, "image-1") == file(&world, "image-1-moved"));
    assert_eq!(world.ports.storage.commits.load(Ordering::SeqCst) - before, 2);
    world.assert_nothing_left(&["image-1", "image-1-moved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_was_killed_while_it_read_its_copy_only_reads_it() {
    let world = World::new();
    let moving = stored_image(&world).await;
    let before = world.ports.storage.commits.load(Ordering::SeqCst);
    killed(&world, &moving, &file(&world, "image-1"));
    fs::rename(world.ports.storage.path(".image-1-moved"), world.ports.storage.path("image-1-moved"))
        .unwrap();
    UploadLog::find(&world.folders().uploads(), moving.task_id).unwrap().unwrap().committing().unwrap();
    assert!(matches!(again(&world, &moving).await, Outcome::Moved(_)));
    assert_eq!(world.ports.storage.commits.load(Ordering::SeqCst), before, "nothing is sent");
    world.assert_nothing_left(&["image-1", "image-1-moved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_its_storage_has_forgotten_starts_anew() {
    for gone in [false, true] {
        let world = World::new();
        let moving = stored_image(&world).await;
        killed(&world, &moving, &[9; COPIED]);
        if gone {
            fs::remove_file(world.ports.storage.path(".image-1-moved")).unwrap();
        } else {
            world.ports.storage.forgets_uploads.store(true, Ordering::SeqCst);
        }
        assert!(matches!(again(&world, &moving).await, Outcome::Moved(_)));
        assert!(file(&world, "image-1") == file(&world, "image-1-moved"));
        world.assert_nothing_left(&["image-1", "image-1-moved"]);
    }
}

/// The copy was visible and wrong, and the move had begun to send everything anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_upload_of_one_attempt_is_removed_with_the_first_ones_object() {
    let world = World::new();
    let moving = stored_image(&world).await;
    fs::write(world.ports.storage.path("image-1-moved"), b"wrong").unwrap();
    fs::write(world.ports.storage.path(".image-1-moved"), b"half").unwrap();
    let held = journal(&world, &moving);
    let upload = || held.note(steps::UPLOAD, [("token", hex::encode(TOKEN))]).unwrap();
    upload();
    held.note(steps::COMMITTING, []).unwrap();
    held.note(steps::COMMITTED, []).unwrap();
    upload();
    clean_up(&machine(&world), &Arc::new(held), Cleanup::Rollback).await.unwrap();
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_which_nothing_was_sent_is_removed_and_counts() {
    let world = World::new();
    let moving = stored_image(&world).await;
    killed(&world, &moving, &[]);
    let advanced = recover_all(&machine(&world), &Outbox::new(&world.folders())).await;
    assert_eq!(advanced, []);
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nothing_goes_on_with_is_removed() {
    let world = World::new();
    let moving = stored_image(&world).await;
    killed(&world, &moving, &[9; COPIED]);
    let machine = machine(&world);
    recover_all(&machine, &Outbox::new(&world.folders())).await;
    let kept = || world.ports.storage.names().len() == 2;
    remove_unused_uploads(&machine, Duration::from_secs(3600), &|_| false).await;
    assert!(kept(), "it is young");
    remove_unused_uploads(&machine, Duration::ZERO, &|task| task == moving.task_id).await;
    assert!(kept(), "its task is at work");
    remove_unused_uploads(&machine, Duration::ZERO, &|_| false).await;
    world.assert_nothing_left(&["image-1"]);
}
