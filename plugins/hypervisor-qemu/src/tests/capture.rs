//! The sequence, its gates and its levels, against the model.

use imprint_plugin_sdk::{
    error::ErrorClass,
    hypervisor::{Consistency, Hypervisor, Outcome, Power, PowerAction},
    types::ReadLocator,
};

use super::{
    model::{AgentKind, Model, SIZE, State, VM},
    request,
};
use crate::Qemu;

/// Begins a capture that must fail with `code`, and checks that it leaves nothing behind.
fn begin_fails(model: &Model, want: Consistency, minimum: Consistency, code: &str) -> ErrorClass {
    let error = Qemu::begin_capture(model, &request(want, minimum)).unwrap_err();
    assert_eq!(error.code, code, "{error:?}");
    error.class
}

fn gate(change: impl Fn(&mut State), code: &str) -> ErrorClass {
    let planned = Qemu::plan_capture(&Model::with(&change), &request(Consistency::Crash, Consistency::Crash));
    assert_eq!(planned.unwrap_err().code, code);
    let model = Model::with(&change);
    let class = begin_fails(&model, Consistency::Crash, Consistency::Crash, code);
    assert_eq!(model.steps(), Vec::<String>::new(), "a gate comes before the first step");
    class
}

#[test]
fn the_whole_sequence_in_order() {
    let model = Model::new();
    let started =
        Qemu::begin_capture(&model, &request(Consistency::Filesystem, Consistency::Filesystem)).unwrap();
    let ReadLocator::Nbd(nbd) = started.source else { panic!("not an export") };
    assert_eq!((nbd.endpoint.as_str(), nbd.export_name.as_str(), nbd.max_connections), ("e1", "disk", 4));
    assert_eq!((started.content.as_str(), started.virtual_size), ("raw", SIZE));
    assert_eq!(started.quiesce.level, Consistency::Filesystem);
    assert_eq!((started.quiesce.frozen_filesystems, started.quiesce.freeze_ms), (2, 20));
    assert_eq!(started.quiesce.downgraded_because, None);
    let changing: Vec<String> = model
        .commands()
        .into_iter()
        .filter(|name| !name.starts_with("query-") && !name.ends_with("-get") && !name.starts_with("x-"))
        .collect();
    assert_eq!(
        changing,
        [
            "qmp_capabilities",
            "blockdev-add",
            "nbd-server-start",
            "guest-sync-delimited",
            "guest-info",
            "guest-fsfreeze-status",
            "guest-fsfreeze-freeze",
            "stop",
            "blockdev-add",
            "qom-set",
            "cont",
            "guest-fsfreeze-thaw",
            "blockdev-add",
            "block-export-add",
        ]
    );
    let started_steps = [
        "adding-scratch",
        "starting-server",
        "freezing",
        "inserting-filter",
        "stopping",
        "resuming",
        "resumed",
        "thawed",
        "exporting",
    ];
    assert_eq!(model.steps(), started_steps);
    assert_eq!(Qemu::capture_status(&model, VM, "c1").unwrap().broken, None);
    for outcome in [Outcome::Commit, Outcome::Discard] {
        Qemu::end_capture(&model, VM, "c1", outcome).unwrap();
        assert_eq!(model.residue(), None);
    }
    assert_eq!(model.steps().last().map(String::as_str), Some("ended"));
}

#[test]
fn node_names_fit_into_qemu() {
    for id in ["", "UPPER", "a-b", "thirteenchars", "ü"] {
        let mut bad = request(Consistency::Crash, Consistency::Crash);
        bad.capture_id = id.to_owned();
        assert_eq!(
            Qemu::begin_capture(&Model::new(), &bad).unwrap_err().code,
            "qemu.invalid-request",
            "{id}"
        );
    }
    let names = crate::names::Names::new("abcdefghijkl").unwrap();
    for name in [names.scratch, names.scratch_file, names.filter, names.access] {
        assert!(name.len() <= 31, "{name}");
    }
}

#[test]
fn gates() {
    assert_eq!(gate(|state| state.version = (7, 1), "qemu.version"), ErrorClass::Unsupported);
    let old_with_iothread = |state: &mut State| {
        state.version = (9, 2);
        state.iothreads = 1;
    };
    assert_eq!(gate(old_with_iothread, "qemu.unsafe-configuration"), ErrorClass::Unsupported);
    assert_eq!(gate(|state| state.drivers.truncate(4), "qemu.feature-missing"), ErrorClass::Unsupported);
    assert_eq!(gate(|state| state.exports.push("backup".to_owned()), "qemu.nbd-busy"), ErrorClass::Transient);
    assert_eq!(
        gate(|state| state.exports.push("imprint-c0-exp".to_owned()), "qemu.leftovers"),
        ErrorClass::Conflict
    );
    assert_eq!(gate(|state| state.read_only = true, "qemu.read-only-disk"), ErrorClass::Conflict);
    assert_eq!(gate(|state| state.no_disk = true, "qemu.no-primary-disk"), ErrorClass::Conflict);
    assert_eq!(gate(|state| state.busy_for = u32::MAX, "qemu.monitor-busy"), ErrorClass::Transient);
    assert_eq!(gate(|state| state.gone = true, "qemu.vm-gone"), ErrorClass::NotFound);
}

#[test]
fn an_iothread_is_safe_from_version_10_on() {
    let model = Model::with(|state| state.iothreads = 1);
    Qemu::begin_capture(&model, &request(Consistency::Crash, Consistency::Crash)).unwrap();
}

#[test]
fn a_server_of_another_program_stays() {
    let model = Model::with(|state| state.server = true);
    begin_fails(&model, Consistency::Filesystem, Consistency::Crash, "qemu.nbd-busy");
    let state = model.0.borrow();
    assert!(state.server, "the server of the other backup was stopped");
    assert!(!state.commands.contains(&"guest-fsfreeze-freeze".to_owned()));
    assert!(state.nodes.keys().all(|name| !name.starts_with("imprint-")));
}

#[test]
fn only_the_primary_disk_is_captured() {
    let model = Model::with(|state| state.second_disk = true);
    let plan = Qemu::plan_capture(&model, &request(Consistency::Crash, Consistency::Crash)).unwrap();
    assert_eq!((plan.expected, plan.virtual_size), (Consistency::Crash, SIZE));
    assert!(plan.remarks.iter().any(|remark| remark.contains("vdisk1")), "{:?}", plan.remarks);
    let vm = Qemu::describe(&model, VM).unwrap();
    let primaries: Vec<(&str, bool)> = vm.disks.iter().map(|disk| (disk.id.as_str(), disk.primary)).collect();
    assert_eq!(primaries, [("vdisk1", false), ("vdisk0", true)]);
    assert!(vm.guest_agent.is_some_and(|agent| agent.can_freeze && !agent.hooks));
}

#[test]
fn a_scratch_of_the_wrong_size_is_refused() {
    let model = Model::with(|state| state.scratch_size = SIZE - 512);
    begin_fails(&model, Consistency::Filesystem, Consistency::Crash, "qemu.scratch-size");
    assert_eq!(model.residue(), None);
}

/// Captures with `filesystem` wanted: asserts the level that is reached and why not more, and that
/// requiring it fails cleanly.
fn downgraded(change: impl Fn(&mut State), expected: &str) {
    let model = Model::with(&change);
    let started = Qemu::begin_capture(&model, &request(Consistency::Filesystem, Consistency::Crash)).unwrap();
    assert_eq!(started.quiesce.level, Consistency::Crash);
    let reason = started.quiesce.downgraded_because.unwrap();
    assert!(reason.contains(expected), "{reason}");
    Qemu::end_capture(&model, VM, "c1", Outcome::Discard).unwrap();
    assert_eq!(model.residue(), None);
    let model = Model::with(&change);
    begin_fails(&model, Consistency::Filesystem, Consistency::Filesystem, "qemu.consistency-not-reached");
    assert_eq!(model.residue(), None);
}

#[test]
fn without_an_agent_it_is_crash_consistent() {
    downgraded(|state| state.agent = AgentKind::Absent, "no guest agent");
    downgraded(|state| state.agent = AgentKind::Silent, "no guest agent");
    downgraded(|state| state.can_freeze = false, "does not allow freezing");
}

#[test]
fn an_absent_agent_costs_no_wait() {
    let model = Model::with(|state| state.agent = AgentKind::Absent);
    let started = model.0.borrow().clock;
    Qemu::begin_capture(&model, &request(Consistency::Filesystem, Consistency::Crash)).unwrap();
    assert_eq!(model.0.borrow().clock, started);
}

#[test]
fn a_freeze_that_does_not_hold_is_crash_consistent() {
    downgraded(|state| state.thaws_by_itself = true, "thawed before");
    downgraded(|state| state.freezable = 0, "froze no file system");
    downgraded(|state| state.freeze_takes_ms = 3_000, "did not freeze within 2000 ms");
    downgraded(|state| state.refuse.push(("guest-fsfreeze-freeze", "hook has failed")), "hook has failed");
    let failing_thaw = ("guest-fsfreeze-thaw", "ioctl failed");
    downgraded(|state| state.refuse.extend([failing_thaw; 2]), "ioctl failed");
}

#[test]
fn a_freeze_of_others_is_left_alone() {
    let model = Model::with(|state| state.frozen = 1);
    let started = Qemu::begin_capture(&model, &request(Consistency::Filesystem, Consistency::Crash)).unwrap();
    assert!(started.quiesce.downgraded_because.unwrap().contains("another program"));
    Qemu::end_capture(&model, VM, "c1", Outcome::Commit).unwrap();
    assert_eq!(model.0.borrow().frozen, 1);
}

#[test]
fn application_level_needs_the_operators_word() {
    let want = request(Consistency::Application, Consistency::Filesystem);
    let started = Qemu::begin_capture(&Model::new(), &want).unwrap();
    assert_eq!(started.quiesce.level, Consistency::Filesystem);
    assert!(started.quiesce.downgraded_because.unwrap().contains("freeze-hooks"));
    let model =
        Model::with(|state| drop(state.settings.insert("freeze-hooks".to_owned(), "present".to_owned())));
    let started = Qemu::begin_capture(&model, &want).unwrap();
    assert_eq!((started.quiesce.level, started.quiesce.downgraded_because), (Consistency::Application, None));
}

#[test]
fn a_running_guest_cannot_be_stopped_consistent() {
    let model = Model::new();
    begin_fails(&model, Consistency::Stopped, Consistency::Stopped, "qemu.consistency-not-reached");
    assert_eq!(model.steps(), Vec::<String>::new());
}

#[test]
fn a_paused_guest_stays_paused() {
    let model = Model::with(|state| state.status = "paused");
    let started = Qemu::begin_capture(&model, &request(Consistency::Filesystem, Consistency::Crash)).unwrap();
    assert_eq!(started.quiesce.level, Consistency::Crash);
    Qemu::end_capture(&model, VM, "c1", Outcome::Commit).unwrap();
    assert!(!model.commands().contains(&"cont".to_owned()));
    assert_eq!(model.0.borrow().status, "paused");
}

#[test]
fn a_guest_that_was_resumed_early_has_no_point_in_time() {
    let model = Model::with(|state| state.resumes_by_itself = true);
    begin_fails(&model, Consistency::Filesystem, Consistency::Crash, "qemu.resumed-early");
    assert_eq!(model.residue(), None);
}

#[test]
fn stale_bytes_of_earlier_clients_are_skipped() {
    let stale = [&b"{\"return\": 7}"[..], b"half a li", b"junk\xff{\"return\": 123456}", b"\xff\xff"];
    let model = Model::with(|state| state.agent_stale.extend(stale.map(<[u8]>::to_vec)));
    let started =
        Qemu::begin_capture(&model, &request(Consistency::Filesystem, Consistency::Filesystem)).unwrap();
    assert_eq!(started.quiesce.frozen_filesystems, 2);
}

#[test]
fn a_cancelled_capture_does_not_touch_the_guest() {
    let model = Model::with(|state| state.cancelled = true);
    assert_eq!(
        begin_fails(&model, Consistency::Filesystem, Consistency::Crash, "qemu.cancelled"),
        ErrorClass::Cancelled
    );
    assert_eq!(model.residue(), None);
    assert!(!model.commands().contains(&"stop".to_owned()));
}

#[test]
fn a_lost_snapshot_shows_in_the_status() {
    let model = Model::new();
    Qemu::begin_capture(&model, &request(Consistency::Crash, Consistency::Crash)).unwrap();
    let status = Qemu::capture_status(&model, VM, "c1").unwrap();
    assert_eq!((status.power, status.scratch_used, status.broken), (Power::Running, 4096, None));
    model.0.borrow_mut().exports.clear();
    assert!(Qemu::capture_status(&model, VM, "c1").unwrap().broken.is_some());
}

#[test]
fn without_the_block_graph_the_journal_names_the_disk() {
    let model = Model::new();
    Qemu::begin_capture(&model, &request(Consistency::Crash, Consistency::Crash)).unwrap();
    model.0.borrow_mut().refuse.push(("x-debug-query-block-graph", "not found"));
    Qemu::end_capture(&model, VM, "c1", Outcome::Commit).unwrap();
    assert_eq!(model.residue(), None);
}

#[test]
fn without_the_journal_the_block_graph_names_the_disk() {
    let model = Model::new();
    Qemu::begin_capture(&model, &request(Consistency::Crash, Consistency::Crash)).unwrap();
    model.0.borrow_mut().journal.clear();
    let recovered = Qemu::recover(&model, VM, "c1", &[]).unwrap();
    assert_eq!(recovered.power, Power::Running);
    assert_eq!(model.residue(), None);
}

#[test]
fn a_guest_that_may_be_frozen_is_not_given_up() {
    let model = Model::with(|state| state.refuse.extend([("guest-fsfreeze-thaw", "ioctl failed"); 2]));
    Qemu::begin_capture(&model, &request(Consistency::Filesystem, Consistency::Crash)).unwrap();
    model.0.borrow_mut().agent = AgentKind::Silent;
    let error = Qemu::end_capture(&model, VM, "c1", Outcome::Discard).unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("qemu.guest-held", ErrorClass::Transient));
    model.0.borrow_mut().agent = AgentKind::Works;
    Qemu::end_capture(&model, VM, "c1", Outcome::Discard).unwrap();
    assert_eq!(model.residue(), None);
}

#[test]
fn recovery_waits_for_a_busy_monitor() {
    let model = Model::new();
    Qemu::begin_capture(&model, &request(Consistency::Crash, Consistency::Crash)).unwrap();
    model.0.borrow_mut().busy_for = 2;
    Qemu::end_capture(&model, VM, "c1", Outcome::Commit).unwrap();
    assert_eq!(model.residue(), None);
    model.0.borrow_mut().busy_for = u32::MAX;
    let error = Qemu::end_capture(&model, VM, "c1", Outcome::Commit).unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("qemu.monitor-busy", ErrorClass::Transient));
}

#[test]
fn power() {
    let model = Model::new();
    assert_eq!(Qemu::set_power(&model, VM, PowerAction::Shutdown), Ok(Power::Running));
    model.0.borrow_mut().status = "paused";
    assert_eq!(Qemu::set_power(&model, VM, PowerAction::Resume), Ok(Power::Running));
    for _ in 0..2 {
        assert_eq!(Qemu::set_power(&model, VM, PowerAction::PowerOff), Ok(Power::Off));
    }
    assert_eq!(Qemu::describe(&model, VM).unwrap_err().code, "qemu.vm-gone");
    assert_eq!(Qemu::recover(&model, VM, "c1", &[]).unwrap().power, Power::Off);
}
