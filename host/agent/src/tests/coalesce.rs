//! Chains of layers behind a disk: read as one, merged, and what becomes of the layers.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, sync::atomic::Ordering};

use imprint_agent_protocol::{Assignment, CoalesceWork, InstanceRef, Outcome, Work};
use imprint_domain::{task::Phase, task_error::TaskError};

use super::{
    fakes::{DISK_SIZE, World, assignment},
    recovery::{journal, machine},
    stack::{CLUSTER, Header, STACK, write_layer},
};
use crate::{
    instance::{Definition, Home, MERGED},
    job::{Fate, settle},
    step,
};

const TOP: &str = "disk.vhd";

fn over(parent: &str) -> Header {
    Header { parent: parent.to_owned(), parent_format: STACK.to_owned(), ..Header::default() }
}

/// A stopped instance whose disk is a chain of three: base, middle, top.
fn chained(world: &World) -> (InstanceRef, Home) {
    let (instance, home) = empty(world);
    write_layer(&home.file("base.vhd"), Header::default(), &[(0, 1), (1, 1), (2, 1)]);
    write_layer(&home.file("middle.vhd"), over("/elsewhere/base.vhd"), &[(1, 2), (5, 2)]);
    write_layer(&home.file(TOP), over(r"C:\disks\middle.vhd"), &[(2, 3), (9, 3)]);
    fs::set_permissions(home.file(TOP), fs::Permissions::from_mode(0o640)).unwrap();
    (instance, home)
}

/// A stopped instance of that format, whose disk the test writes.
fn empty(world: &World) -> (InstanceRef, Home) {
    let stopped = world.stopped_instance();
    let instance = InstanceRef { disk_format: STACK.parse().unwrap(), ..stopped };
    let home = Home::new(&world.folders(), instance.id);
    fs::remove_file(home.file("disk.raw")).unwrap();
    home.define(&Definition::new(instance.clone(), "fake".to_owned(), super::recovery::settings())).unwrap();
    (instance, home)
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

fn names(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.folder()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

const CHAIN: [&str; 4] = ["base.vhd", TOP, "instance.json", "middle.vhd"];
const FLAT: [&str; 2] = [TOP, "instance.json"];

/// The merged disk holds the content, and names no parent.
fn assert_merged(home: &Home) {
    let bytes = fs::read(home.file(TOP)).unwrap();
    assert!(bytes.starts_with(b"STACK\n\n"), "no parent");
    assert!(bytes[usize::try_from(CLUSTER).unwrap()..] == content());
    assert_eq!(fs::metadata(home.file(TOP)).unwrap().permissions().mode() & 0o777, 0o640);
}

fn merge(instance: &InstanceRef, timeout_s: u32) -> Assignment {
    assignment(Work::Coalesce(CoalesceWork { instance: instance.clone(), timeout_s }))
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
async fn a_chain_is_merged_and_its_layers_go() {
    let world = World::new();
    let (instance, home) = chained(&world);
    assert_eq!(names(&home), CHAIN);
    let agent = world.start();
    assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
    let (phase, total) = world
        .control
        .until(|heard| heard.progress.last().map(|report| (report.phase, report.bytes_total)))
        .await;
    assert_eq!((phase, total), (Phase::Coalesce, Some(10 * CLUSTER)), "written, and read again");
    // One file already: nothing to do.
    assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
    agent.stop().await;
    assert_merged(&home);
    assert_eq!(names(&home), FLAT);
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_merges_the_chain_first_where_it_may() {
    for (timeout_s, phases, left) in
        [(Some(60), &[Phase::Coalesce, Phase::Finalizing][..], &FLAT[..]), (None, &[], &CHAIN)]
    {
        let world = World::new();
        let (instance, home) = chained(&world);
        let agent = world.start();
        let mut work = world.capture(&instance);
        let Work::Capture(capture) = &mut work.work else { unreachable!() };
        capture.coalesce_timeout_s = timeout_s;
        let done = outcome(&world, work).await;
        let Outcome::Captured(result) = done else { panic!("{done:?}") };
        let method = if timeout_s.is_some() { "stopped-file" } else { "stopped-chain" };
        assert_eq!(result.method, method);
        assert!(fs::read(world.ports.storage.path("image-1")).unwrap() == content());
        let total = world.control.until(|heard| heard.progress.last().map(|report| report.bytes_total)).await;
        assert_eq!(total, Some(if phases.is_empty() { 5 } else { 15 } * CLUSTER));
        agent.stop().await;
        assert_eq!(names(&home), left);
        world.assert_nothing_left(&["image-1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_takes_too_long_changes_nothing() {
    let world = World::new();
    let (instance, home) = chained(&world);
    let layers = || CHAIN.map(|name| fs::read(home.file(name)).unwrap());
    let before = layers();
    // The tables never come, so that every limit is too short.
    world.ports.hold.store(true, Ordering::SeqCst);
    let agent = world.start();
    let mut capture = world.capture(&instance);
    let Work::Capture(work) = &mut capture.work else { unreachable!() };
    work.coalesce_timeout_s = Some(0);
    for work in [merge(&instance, 0), capture] {
        let error = failed(outcome(&world, work).await);
        assert_eq!((error.code(), error.is_retryable()), ("coalesce_timeout", true));
        assert!(error.customer_action().contains("send the request again"), "{error:?}");
    }
    let seen = world.control.until(|heard| Some(heard.finishes.len())).await;
    assert_eq!(seen, 2);
    agent.stop().await;
    assert_eq!(names(&home), CHAIN);
    assert!(before == layers());
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_merge_changes_nothing() {
    let world = World::new();
    let (instance, home) = chained(&world);
    world.ports.hold.store(true, Ordering::SeqCst);
    let agent = world.start();
    let work = merge(&instance, 3600);
    let task = work.task_id;
    world.control.give(work);
    world
        .control
        .until(|heard| heard.progress.iter().any(|report| report.phase == Phase::Coalesce).then_some(()))
        .await;
    world.control.script.lock().unwrap().cancel = true;
    assert!(matches!(world.control.outcome(task).await, Outcome::Cancelled));
    agent.stop().await;
    assert_eq!(names(&home), CHAIN);
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_merge_would_break_is_refused() {
    let world = World::new();
    let agent = world.start();
    let (instance, home) = chained(&world);
    write_layer(&home.file("base.vhd"), Header { snapshots: 1, ..Header::default() }, &[(0, 1)]);
    let error = failed(outcome(&world, merge(&instance, 60)).await);
    assert_eq!((error.code(), error.is_retryable()), ("coalesce_snapshots", false));
    assert_eq!(names(&home), CHAIN);
    // What is in the folder but is no layer, and what is not there: neither is read.
    fs::write(home.file("seed.iso"), b"STACK\n").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", home.file("link.vhd")).unwrap();
    for (parent, code) in [
        ("instance.json", "denied.external-reference"),
        ("/var/lib/seed.iso", "denied.external-reference"),
        ("nowhere.vhd", "denied.external-reference"),
        ("base.vhd/..", "denied.external-reference"),
        ("base.vhd/", "denied.external-reference"),
        ("/etc/link.vhd", "io.open"),
        (TOP, "denied.chain"),
    ] {
        write_layer(&home.file(TOP), over(parent), &[]);
        let error = failed(outcome(&world, merge(&instance, 60)).await);
        assert_eq!(error.code(), code, "{parent}: {}", error.operator_detail());
    }
    // The layer must say which format its parent has: a guest could have written another format's
    // header into it.
    write_layer(&home.file(TOP), Header { parent: "base.vhd".to_owned(), ..Header::default() }, &[]);
    let error = failed(outcome(&world, merge(&instance, 60)).await);
    assert_eq!(error.code(), "unsupported.layout", "{}", error.operator_detail());
    let running = world.running_instance();
    let error = failed(outcome(&world, merge(&running, 60)).await);
    assert_eq!(error.code(), "instance_running");
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_that_others_refer_to_stay() {
    let world = World::new();
    let (instance, home) = chained(&world);
    // Another instance's disk is over our base, and a file beside ours over the middle.
    let (_, other) = empty(&world);
    write_layer(&other.file(TOP), over(&home.file("base.vhd").display().to_string()), &[(7, 7)]);
    let agent = world.start();
    assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
    agent.stop().await;
    assert_merged(&home);
    assert_eq!(names(&home), ["base.vhd", TOP, "instance.json"]);

    for keep in ["sibling", "unreadable", "link", "folder"] {
        let world = World::new();
        let (instance, home) = chained(&world);
        let mut left: Vec<_> = CHAIN.map(str::to_owned).into();
        match keep {
            "sibling" => write_layer(&home.file("sibling"), over("middle.vhd"), &[]),
            "unreadable" => {
                fs::write(home.file("unreadable"), b"STACK, and then nothing of the kind").unwrap()
            }
            "link" => {
                // The link leads to the middle layer, which needs the base.
                std::os::unix::fs::symlink("middle.vhd", home.file("link")).unwrap();
            }
            _ => fs::create_dir(home.file("folder")).unwrap(),
        }
        left.push(keep.to_owned());
        left.sort_unstable();
        let agent = world.start();
        assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
        agent.stop().await;
        assert_merged(&home);
        assert_eq!(names(&home), left, "{keep}");
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
        let (instance, home) = chained(&world);
        let held = Arc::new(journal(&world, &merge(&instance, 60)));
        held.note(step::MERGING, []).unwrap();
        if at != "merging" {
            let flat: Vec<_> = [(0, 1), (1, 2), (2, 3), (5, 2), (9, 3)].into();
            write_layer(&home.file(MERGED), Header::default(), &flat);
            fs::set_permissions(home.file(MERGED), fs::Permissions::from_mode(0o640)).unwrap();
        }
        if !["merging", "written"].contains(&at) {
            let layers = r#"["middle.vhd","base.vhd"]"#.to_owned();
            held.note(step::REPLACING, [("layers", layers)]).unwrap();
        }
        if renamed {
            fs::rename(home.file(MERGED), home.file(TOP)).unwrap();
        }
        if at == "replaced" {
            held.note(step::REPLACED, []).unwrap();
        }
        // Recovered twice: the second time after it was killed while recovering.
        for _ in 0..2 {
            if renamed {
                crate::coalesce::settle(&machine(&world), &held).await.unwrap();
            }
        }
        settle(&machine(&world), &held, Fate::Undone).await.unwrap();
        if renamed {
            assert_merged(&home);
            assert_eq!(names(&home), FLAT, "{at}");
        } else {
            assert_eq!(names(&home), CHAIN, "{at}");
        }
        world.assert_nothing_left(&[]);
        // What is left can be merged, or is merged.
        let agent = world.start();
        assert!(matches!(outcome(&world, merge(&instance, 60)).await, Outcome::Done));
        agent.stop().await;
        assert_merged(&home);
    }
}
