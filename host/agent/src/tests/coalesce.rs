//! Chains of layers behind a disk: read as one, merged, and what becomes of the layers.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, sync::atomic::Ordering};

use imprint_agent_protocol::{Assignment, AssignmentKind, CoalesceAssignment, InstanceRef, Outcome};
use imprint_domain::{task::Phase, task_error::TaskError};

use super::{
    fakes::{DISK_SIZE, World, assignment},
    recovery::{journal, machine},
    stack::{CLUSTER, Header, STACK, write_layer},
};
use crate::{
    jobs::{cleanup::clean_up, undo::Cleanup},
    journal::steps,
    machine::instance::{Definition, InstanceDir, MERGED},
};

const TOP: &str = "disk.vhd";

fn over(parent: &str) -> Header {
    Header { parent: parent.to_owned(), parent_format: STACK.to_owned(), ..Header::default() }
}

/// A stopped instance whose disk is a chain of three: base, middle, top.
fn chained(world: &World) -> (InstanceRef, InstanceDir) {
    let (instance, dir) = empty(world);
    write_layer(&dir.file("base.vhd"), Header::default(), &[(0, 1), (1, 1), (2, 1)]);
    write_layer(&dir.file("middle.vhd"), over("/elsewhere/base.vhd"), &[(1, 2), (5, 2)]);
    write_layer(&dir.file(TOP), over(r"C:\disks\middle.vhd"), &[(2, 3), (9, 3)]);
    fs::set_permissions(dir.file(TOP), fs::Permissions::from_mode(0o640)).unwrap();
    (instance, dir)
}

/// A stopped instance of that format, whose disk the test writes.
fn empty(world: &World) -> (InstanceRef, InstanceDir) {
    let stopped = world.stopped_instance();
    let instance = InstanceRef { disk_format: STACK.parse().unwrap(), ..stopped };
    let dir = InstanceDir::new(&world.folders(), instance.id);
    fs::remove_file(dir.file("disk.raw")).unwrap();
    dir.define(&Definition::new(instance.clone(), "fake".to_owned(), super::recovery::settings())).unwrap();
    (instance, dir)
}

/// What the guest sees of [`chained`].
fn content() -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(DISK_SIZE).unwrap()];
    for (index, fill) in [(0, 1), (1, 2), (2, 3), (5, 2), (9, 3)] {
        let at = index * usize::try_from(CLUSTER).unwrap();
        bytes[at..at + usize::try_from(CLUSTER).unwrap()].fill(fill);
    }
    bytes
}

fn names(dir: &InstanceDir) -> Vec<String> {
    let entries = fs::read_dir(dir.folder()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

const CHAIN: [&str; 4] = ["base.vhd", TOP, "instance.json", "middle.vhd"];
const FLAT: [&str; 2] = [TOP, "instance.json"];

/// The merged disk holds the content, and names no parent.
fn assert_merged(dir: &InstanceDir) {
    let bytes = fs::read(dir.file(TOP)).unwrap();
    assert!(bytes.starts_with(b"STACK\n\n"), "no parent");
    assert!(bytes[usize::try_from(CLUSTER).unwrap()..] == content());
    assert_eq!(fs::metadata(dir.file(TOP)).unwrap().permissions().mode() & 0o777, 0o640);
}

fn merge(instance: &InstanceRef, timeout_s: u32) -> Assignment {
    assignment(AssignmentKind::Coalesce(CoalesceAssignment { instance: instance.clone(), timeout_s }))
}

async fn outcome(world: &World, work: Assignment) -> Outcome {
    let task = work.task_id;
    world.control.give(work);
    world.control.outcome(task).await
}

fn failed(outcome: Outcome) -> TaskError {
    let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_merged_and_its_layers_are_removed() {
    let world = World::new();
    let (instance, dir) = chained(&world);
    assert_eq!(names(&dir), CHAIN);
    let agent = world.start();
    assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
    let (phase, total) = world
        .control
        .until(|calls| calls.progress.last().map(|report| (report.phase, report.bytes_total)))
        .await;
    assert_eq!((phase, total), (Phase::Coalesce, Some(10 * CLUSTER)), "written, and read again");
    // One file already: nothing to do.
    assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
    agent.stop().await;
    assert_merged(&dir);
    assert_eq!(names(&dir), FLAT);
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_merges_the_chain_first_where_the_location_allows_it() {
    for (timeout_s, phases, left) in
        [(Some(60), &[Phase::Coalesce, Phase::Finalizing][..], &FLAT[..]), (None, &[], &CHAIN)]
    {
        let world = World::new();
        let (instance, dir) = chained(&world);
        let agent = world.start();
        let mut work = world.capture(&instance);
        let AssignmentKind::Capture(capture) = &mut work.kind else { unreachable!() };
        capture.coalesce_timeout_s = timeout_s;
        let done = outcome(&world, work).await;
        let Outcome::Captured(result) = done else { panic!("{done:?}") };
        let method = if timeout_s.is_some() { "stopped-file" } else { "stopped-chain" };
        assert_eq!(result.method, method);
        assert!(fs::read(world.ports.storage.path("image-1")).unwrap() == content());
        let total = world.control.until(|calls| calls.progress.last().map(|report| report.bytes_total)).await;
        assert_eq!(total, Some(if phases.is_empty() { 5 } else { 15 } * CLUSTER));
        agent.stop().await;
        assert_eq!(names(&dir), left);
        world.assert_nothing_left(&["image-1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_takes_too_long_changes_nothing() {
    let world = World::new();
    let (instance, dir) = chained(&world);
    let layers = || CHAIN.map(|name| fs::read(dir.file(name)).unwrap());
    let before = layers();
    // The tables never come, so that every limit is too short.
    world.ports.hold.store(true, Ordering::SeqCst);
    let agent = world.start();
    let mut capture = world.capture(&instance);
    let AssignmentKind::Capture(work) = &mut capture.kind else { unreachable!() };
    work.coalesce_timeout_s = Some(0);
    for work in [merge(&instance, 0), capture] {
        let error = failed(outcome(&world, work).await);
        assert_eq!((error.code(), error.is_retryable()), ("coalesce_timeout", true));
        assert!(error.customer_action().contains("send the request again"), "{error:?}");
    }
    let seen = world.control.until(|calls| Some(calls.finishes.len())).await;
    assert_eq!(seen, 2);
    agent.stop().await;
    assert_eq!(names(&dir), CHAIN);
    assert!(before == layers());
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_merge_changes_nothing() {
    let world = World::new();
    let (instance, dir) = chained(&world);
    world.ports.hold.store(true, Ordering::SeqCst);
    let agent = world.start();
    let work = merge(&instance, 3600);
    let task = work.task_id;
    world.control.give(work);
    world
        .control
        .until(|calls| calls.progress.iter().any(|report| report.phase == Phase::Coalesce).then_some(()))
        .await;
    world.control.script.lock().unwrap().cancel = true;
    assert!(matches!(world.control.outcome(task).await, Outcome::Cancelled));
    agent.stop().await;
    assert_eq!(names(&dir), CHAIN);
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_would_lose_data_is_refused() {
    let world = World::new();
    let agent = world.start();
    let (instance, dir) = chained(&world);
    write_layer(&dir.file("base.vhd"), Header { snapshots: 1, ..Header::default() }, &[(0, 1)]);
    let error = failed(outcome(&world, merge(&instance, 60)).await);
    assert_eq!((error.code(), error.is_retryable()), ("coalesce_snapshots", false));
    assert_eq!(names(&dir), CHAIN);
    // What is in the folder but is no layer, and what is not there: neither is read.
    fs::write(dir.file("seed.iso"), b"STACK\n").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.file("link.vhd")).unwrap();
    for (parent, code) in [
        ("instance.json", "denied.external-reference"),
        ("/var/lib/seed.iso", "denied.external-reference"),
        ("nowhere.vhd", "denied.external-reference"),
        ("base.vhd/..", "denied.external-reference"),
        ("base.vhd/", "denied.external-reference"),
        ("/etc/link.vhd", "io.open"),
        (TOP, "denied.chain"),
    ] {
        write_layer(&dir.file(TOP), over(parent), &[]);
        let error = failed(outcome(&world, merge(&instance, 60)).await);
        assert_eq!(error.code(), code, "{parent}: {}", error.operator_detail());
    }
    // The layer must say which format its parent has: a guest could have written another format's
    // header into it.
    write_layer(&dir.file(TOP), Header { parent: "base.vhd".to_owned(), ..Header::default() }, &[]);
    let error = failed(outcome(&world, merge(&instance, 60)).await);
    assert_eq!(error.code(), "unsupported.layout", "{}", error.operator_detail());
    let running = world.running_instance();
    let error = failed(outcome(&world, merge(&running, 60)).await);
    assert_eq!(error.code(), "instance_running");
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_that_other_disks_refer_to_are_kept() {
    let world = World::new();
    let (instance, dir) = chained(&world);
    // Another instance's disk is over our base, and a file beside ours over the middle.
    let (_, other) = empty(&world);
    write_layer(&other.file(TOP), over(&dir.file("base.vhd").display().to_string()), &[(7, 7)]);
    let agent = world.start();
    assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
    agent.stop().await;
    assert_merged(&dir);
    assert_eq!(names(&dir), ["base.vhd", TOP, "instance.json"]);

    for keep in ["sibling", "unreadable", "link", "folder"] {
        let world = World::new();
        let (instance, dir) = chained(&world);
        let mut left: Vec<_> = CHAIN.map(str::to_owned).into();
        match keep {
            "sibling" => write_layer(&dir.file("sibling"), over("middle.vhd"), &[]),
            "unreadable" => {
                fs::write(dir.file("unreadable"), b"STACK, and then nothing of the kind").unwrap()
            }
            "link" => {
                // The link leads to the middle layer, which needs the base.
                std::os::unix::fs::symlink("middle.vhd", dir.file("link")).unwrap();
            }
            _ => fs::create_dir(dir.file("folder")).unwrap(),
        }
        left.push(keep.to_owned());
        left.sort_unstable();
        let agent = world.start();
        assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
        agent.stop().await;
        assert_merged(&dir);
        assert_eq!(names(&dir), left, "{keep}");
        world.assert_nothing_left(&[]);
    }
}

/// At every point where the process can die, what is left is the whole chain or the whole new file.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_merge_leaves_the_chain_or_the_new_disk() {
    for (at, renamed) in
        [("merging", false), ("written", false), ("replacing", false), ("renamed", true), ("replaced", true)]
    {
        let world = World::new();
        let (instance, dir) = chained(&world);
        let held = Arc::new(journal(&world, &merge(&instance, 60)));
        held.note(steps::MERGING, []).unwrap();
        if at != "merging" {
            let flat: Vec<_> = [(0, 1), (1, 2), (2, 3), (5, 2), (9, 3)].into();
            write_layer(&dir.file(MERGED), Header::default(), &flat);
            fs::set_permissions(dir.file(MERGED), fs::Permissions::from_mode(0o640)).unwrap();
        }
        if !["merging", "written"].contains(&at) {
            let layers = r#"["middle.vhd","base.vhd"]"#.to_owned();
            held.note(steps::REPLACING, [("layers", layers)]).unwrap();
        }
        if renamed {
            fs::rename(dir.file(MERGED), dir.file(TOP)).unwrap();
        }
        if at == "replaced" {
            held.note(steps::REPLACED, []).unwrap();
        }
        // Recovered twice: the second time after it was killed while recovering.
        for _ in 0..2 {
            if renamed {
                crate::jobs::coalesce::clean_up(&machine(&world), &held).await.unwrap();
            }
        }
        clean_up(&machine(&world), &held, Cleanup::Rollback).await.unwrap();
        if renamed {
            assert_merged(&dir);
            assert_eq!(names(&dir), FLAT, "{at}");
        } else {
            assert_eq!(names(&dir), CHAIN, "{at}");
        }
        world.assert_nothing_left(&[]);
        // What is left can be merged, or is merged.
        let agent = world.start();
        assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
        agent.stop().await;
        assert_merged(&dir);
    }
}
