//! Scans of image storages, the removal of objects, and images that are read anew.

use std::fs;

use imprint_agent_protocol::{
    AssignmentKind, CleanStorageAssignment, MAX_SCANNED_OBJECTS, Outcome, ScanStorageAssignment,
    VerifyImageAssignment,
};
use imprint_domain::{digest::LogicalDigest, task_error::TaskErrorCode};

use super::fakes::{World, assignment, image_ref, storage_ref};

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_reports_every_object_once_and_reads_what_is_asked_for() {
    let world = World::new();
    let count = 2 * MAX_SCANNED_OBJECTS + 1;
    for number in 0..count {
        fs::write(world.ports.storage.path(&format!("{number:05}")), vec![b'x'; number % 7]).unwrap();
    }
    world.control.script.lock().unwrap().digests = vec!["00003".to_owned(), "01000".to_owned()];
    let agent = world.start();
    let work = assignment(AssignmentKind::ScanStorage(ScanStorageAssignment { storage: storage_ref() }));
    let task = work.task_id;
    world.control.give(work);
    let outcome = world.control.outcome(task).await;
    assert!(matches!(outcome, Outcome::StorageScanned), "{outcome:?}");
    agent.stop().await;
    let scans = world.control.scans();
    let listed: Vec<_> = scans.iter().flat_map(|report| report.objects.clone()).collect();
    let expected: Vec<_> = (0..count).map(|number| format!("{number:05}")).collect();
    assert_eq!(listed.iter().map(|object| object.key.clone()).collect::<Vec<_>>(), expected);
    assert_eq!(listed[6].size, 6);
    let digests: Vec<_> = scans.iter().flat_map(|report| report.digests.clone()).collect();
    assert_eq!(digests.iter().map(|digest| digest.key.as_str()).collect::<Vec<_>>(), ["00003", "01000"]);
    assert_ne!(digests[0].digest, digests[1].digest, "3 bytes and 6 bytes");
    let pages = scans.iter().filter(|report| !report.objects.is_empty());
    assert_eq!(pages.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_named_objects_are_removed_and_those_that_are_gone_are_no_failure() {
    let world = World::new();
    for key in ["kept", "removed"] {
        fs::write(world.ports.storage.path(key), b"x").unwrap();
    }
    let agent = world.start();
    let keys = vec!["removed".to_owned(), "gone".to_owned()];
    let work =
        assignment(AssignmentKind::CleanStorage(CleanStorageAssignment { storage: storage_ref(), keys }));
    let task = work.task_id;
    world.control.give(work);
    let outcome = world.control.outcome(task).await;
    assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
    agent.stop().await;
    world.assert_nothing_left(&["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_says_whether_the_file_is_gone_or_another_one() {
    let world = World::new();
    let agent = world.start();
    let image = image_ref("raw");
    let logical_digest: LogicalDigest = format!("imprint1:{}", "0a".repeat(32)).parse().unwrap();
    let verify = || {
        let (image, logical_digest) = (image.clone(), logical_digest.clone());
        assignment(AssignmentKind::VerifyImage(VerifyImageAssignment { image, logical_digest }))
    };
    for (content, expected) in
        [(None, TaskErrorCode::ImageFileMissing), (Some(vec![7; 4096]), TaskErrorCode::ImageDamaged)]
    {
        if let Some(content) = content {
            fs::write(world.ports.storage.path(&image.key), content).unwrap();
        }
        let work = verify();
        let task = work.task_id;
        world.control.give(work);
        let outcome = world.control.outcome(task).await;
        let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
        assert!(error.is(expected), "{error:?}");
    }
    agent.stop().await;
}
