//! Connection tests of image storages, and the secrets of storages.

use std::{fs, sync::atomic::Ordering, time::Duration};

use imprint_agent_protocol::{
    Assignment, AssignmentKind, Outcome, SecretsRequest, StorageRef, TestStorageAssignment,
};
use imprint_domain::{
    secret::{SecretText, Secrets},
    storage::StorageRole,
    storage_test::{StorageTest, TestStatus, TestStep, TestStepResult},
};
use imprint_ports::SettingFinding;

use super::fakes::{World, assignment, storage_ref};
use crate::{jobs::storage_test::key_of, journal::FileJournal};

const SECRET: &str = "very-secret-value";

fn secrets() -> Secrets {
    Secrets::from([("key".to_owned(), SecretText::new(SECRET.to_owned()))])
}

fn test_of(role: StorageRole, has_secrets: bool) -> Assignment {
    let storage = storage_ref();
    let read_only = false;
    assignment(AssignmentKind::TestStorage(TestStorageAssignment { storage, role, read_only, has_secrets }))
}

/// Lets the agent test a storage and returns what it found.
async fn tested(world: &World, work: Assignment) -> StorageTest {
    let task = work.task_id;
    world.control.give(work);
    let outcome = world.control.outcome(task).await;
    let Outcome::StorageTested(test) = outcome else { panic!("{outcome:?}") };
    let steps: Vec<_> = test.steps.iter().map(|result| result.step).collect();
    assert_eq!(steps, TestStep::ALL, "every step once, in order");
    test
}

fn step(test: &StorageTest, step: TestStep) -> &TestStepResult {
    test.steps.iter().find(|result| result.step == step).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_works_passes_and_is_left_as_it_was() {
    let world = World::new();
    let agent = world.start();
    let test = tested(&world, test_of(StorageRole::Customer, false)).await;
    assert!(test.passed(), "{test:#?}");
    for result in &test.steps {
        let expected =
            if result.step == TestStep::Settings { TestStatus::Skipped } else { TestStatus::Passed };
        assert_eq!(result.status, expected, "{result:?}");
    }
    assert!(step(&test, TestStep::Space).detail.as_ref().unwrap().contains("bytes are free"));
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_storage_is_not_written_to() {
    let world = World::new();
    fs::write(world.ports.storage.path("debian.qcow2"), b"x").unwrap();
    let agent = world.start();
    let test = tested(&world, test_of(StorageRole::Stock, false)).await;
    assert!(test.passed(), "{test:#?}");
    let write = step(&test, TestStep::Write);
    assert_eq!(write.status, TestStatus::Skipped);
    assert!(write.detail.as_ref().unwrap().contains("`stock` are only read"), "{write:?}");
    assert_eq!(step(&test, TestStep::List).status, TestStatus::Passed);
    let mut work = test_of(StorageRole::Customer, false);
    let AssignmentKind::TestStorage(assigned) = &mut work.kind else { unreachable!() };
    assigned.read_only = true;
    let test = tested(&world, work).await;
    let write = step(&test, TestStep::Write);
    assert!(write.detail.as_ref().unwrap().contains("no new images"), "{write:?}");
    agent.stop().await;
    world.assert_nothing_left(&["debian.qcow2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_plugin_finds_in_its_settings_is_named_and_no_secret_is_repeated() {
    let world = World::new();
    world.control.script.lock().unwrap().secrets = secrets();
    let finding = |is_error, setting: &str, message: &str| SettingFinding {
        is_error,
        setting: setting.to_owned(),
        message: message.to_owned(),
    };
    let agent = world.start();
    *world.ports.findings.lock().unwrap() = Some(vec![finding(false, "region", "is guessed")]);
    let test = tested(&world, test_of(StorageRole::Customer, true)).await;
    assert!(test.passed(), "{test:#?}");
    assert_eq!(step(&test, TestStep::Settings).detail.as_deref(), Some("region: is guessed"));
    let words = format!("there is no bucket for {SECRET}");
    *world.ports.findings.lock().unwrap() = Some(vec![finding(true, "bucket", &words)]);
    let test = tested(&world, test_of(StorageRole::Customer, true)).await;
    assert!(!test.passed());
    let settings = step(&test, TestStep::Settings);
    assert_eq!(settings.status, TestStatus::Failed);
    assert_eq!(settings.setting.as_deref(), Some("bucket"));
    assert_eq!(settings.detail.as_deref(), Some("there is no bucket for (secret)"));
    assert!(test.steps[1..].iter().all(|result| result.status == TestStatus::Skipped), "{test:#?}");
    agent.stop().await;
    let opened = world.ports.opened_with.lock().unwrap();
    assert!(opened.iter().any(|given| given.get("key").is_some_and(|key| key.expose() == SECRET)));
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_the_middle_is_typed_and_leaves_no_object() {
    let world = World::new();
    world.ports.storage.full_at_commit.store(true, Ordering::SeqCst);
    let agent = world.start();
    let test = tested(&world, test_of(StorageRole::Customer, false)).await;
    let write = step(&test, TestStep::Write);
    assert_eq!((write.status, write.code.as_deref()), (TestStatus::Failed, Some("storage.no-space")));
    assert_eq!(step(&test, TestStep::Stat).status, TestStatus::Skipped);
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_a_test_that_a_crash_ended_is_removed() {
    let world = World::new();
    let work = test_of(StorageRole::Customer, false);
    let key = key_of(work.task_id);
    let header = crate::journal::Header::new(work, "fake".to_owned(), Default::default());
    let journal =
        FileJournal::create(&world.folders().journal(), header, crate::journal::fault::Fault::default())
            .unwrap();
    journal.note(crate::journal::steps::UPLOAD, [("token", hex::encode(format!(".{key}")))]).unwrap();
    fs::write(world.ports.storage.path(&key), b"half").unwrap();
    fs::write(world.ports.storage.path(&format!(".{key}")), b"half").unwrap();
    let agent = world.start();
    world.control.until(|calls| (!calls.registers.is_empty()).then_some(())).await;
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_fetched_when_their_version_changes_and_reach_no_file() {
    let world = World::new();
    let agent = world.start();
    let fetched = async |count: usize| {
        world.control.until(|calls| (calls.secrets.len() == count).then(|| calls.secrets.clone())).await
    };
    {
        let mut script = world.control.script.lock().unwrap();
        script.secrets = secrets();
        script.secrets_version = 1;
    }
    let asked = tokio::time::timeout(Duration::from_secs(30), fetched(1)).await.unwrap();
    assert_eq!(asked, [SecretsRequest::Storage { id: storage_ref().id }]);
    world.control.script.lock().unwrap().secrets_version = 2;
    tokio::time::timeout(Duration::from_secs(30), fetched(2)).await.unwrap();
    agent.stop().await;
    let opened = world.ports.opened_with.lock().unwrap();
    let with_key = opened.iter().filter(|given| given.contains_key("key")).count();
    assert_eq!(with_key, 2, "once for each version: {opened:?}");
    for path in files_below(world.folder.path()) {
        let text = fs::read(&path).unwrap_or_default();
        let found = text.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert!(!found, "{} has the secret", path.display());
    }
    let printed = format!("{:?}", StorageRef { secrets_version: 2, ..storage_ref() });
    assert!(!printed.contains(SECRET));
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let path = entry.path();
            if path.is_dir() { files_below(&path) } else { vec![path] }
        })
        .collect()
}
