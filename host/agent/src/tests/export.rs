//! Exports, with formats whose files are the disks themselves.

use std::{
    fs,
    sync::{Arc, atomic::Ordering},
};

use imprint_agent_protocol::{AssignmentKind, ExportImageAssignment, ExportResult, Outcome};
use imprint_data_path::{Disk, Limits, MemorySource, WriteOptions, digest};
use imprint_domain::{
    export::ExportForm,
    image::ImageFormat,
    secret::{SecretText, Secrets},
};
use sha2::{Digest as _, Sha256};

use super::{
    fakes::{DISK_SIZE, World, assignment, image_ref, storage_ref},
    jobs::failed,
};

/// The content of the image, and its digest.
async fn image(world: &World) -> (Vec<u8>, String) {
    let mut bytes = vec![0; usize::try_from(DISK_SIZE).unwrap()];
    bytes[100_000..200_000].fill(9);
    fs::write(world.ports.storage.path("image-1"), &bytes).unwrap();
    let disk = Disk::from_raw(Arc::new(MemorySource::new(bytes.clone())), &Limits::default()).unwrap();
    let logical = digest(&disk.into(), &WriteOptions::default()).await.unwrap();
    (bytes, logical.to_string())
}

fn order(format: ImageFormat, logical: &str) -> ExportImageAssignment {
    ExportImageAssignment {
        image: image_ref("raw"),
        source: None,
        name: "web".to_owned(),
        logical_digest: logical.parse().unwrap(),
        form: ExportForm::new(format, None, None).unwrap(),
        to: storage_ref(),
        key: "export-1".to_owned(),
        is_destination: false,
    }
}

async fn run(world: &World, order: ExportImageAssignment) -> Outcome {
    let work = assignment(AssignmentKind::ExportImage(order));
    let task = work.task_id;
    world.control.give(work);
    world.control.outcome(task).await
}

fn exported(outcome: Outcome) -> ExportResult {
    let Outcome::Exported(result) = outcome else { panic!("{outcome:?}") };
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_written_as_another_file_and_hashed() {
    let world = World::new();
    let (bytes, logical) = image(&world).await;
    let agent = world.start();
    let result = exported(run(&world, order(ImageFormat::Raw, &logical)).await);
    assert_eq!(fs::read(world.ports.storage.path("export-1")).unwrap(), bytes);
    assert_eq!(result.logical_digest.to_string(), logical);
    assert_eq!(result.stored.size.bytes(), DISK_SIZE);
    assert_eq!(result.stored.sha256.to_string(), hex::encode(Sha256::digest(&bytes)));
    agent.stop().await;
    world.assert_nothing_left(&["export-1", "image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_not_what_was_stored_is_no_export() {
    let world = World::new();
    image(&world).await;
    let agent = world.start();
    let other = format!("imprint1:{}", "7".repeat(64));
    let error = failed(run(&world, order(ImageFormat::Raw, &other)).await);
    assert_eq!(error.code(), "image_damaged");
    agent.stop().await;
    world.assert_nothing_left(&["image-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_storage_of_an_owner_is_opened_with_the_secrets_of_the_task() {
    let world = World::new();
    let (_, logical) = image(&world).await;
    let secrets = Secrets::from([("secret-key".to_owned(), SecretText::new("precious".to_owned()))]);
    world.control.script.lock().unwrap().secrets = secrets;
    let agent = world.start();
    let order = ExportImageAssignment { is_destination: true, ..order(ImageFormat::Raw, &logical) };
    exported(run(&world, order.clone()).await);
    let opened_with = world.ports.opened_with.lock().unwrap().last().cloned().unwrap();
    assert_eq!(opened_with["secret-key"].expose(), "precious");
    // What does not succeed leaves nothing there.
    world.ports.storage.commit_faults.lock().unwrap().push_back(super::fakes::CommitFault::WrongSize);
    let before = world.ports.storage.commits.load(Ordering::SeqCst);
    failed(run(&world, ExportImageAssignment { key: "export-2".to_owned(), ..order }).await);
    assert!(world.ports.storage.commits.load(Ordering::SeqCst) > before);
    agent.stop().await;
    world.assert_nothing_left(&["export-1", "image-1"]);
}
