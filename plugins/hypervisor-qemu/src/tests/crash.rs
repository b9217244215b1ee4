//! The client dies, loses its monitor or is refused at every single point, and nothing is left
//! behind.

use imprint_plugin_sdk::hypervisor::{Consistency, Hypervisor, Outcome, Power};

use super::{
    model::{Kill, Model, VM},
    request,
};
use crate::Qemu;

/// More than a whole capture has.
const MANY: u32 = 200;

fn wanted() -> imprint_plugin_sdk::hypervisor::CaptureRequest {
    request(Consistency::Filesystem, Consistency::Filesystem)
}

fn notes(model: &Model) -> Vec<imprint_plugin_sdk::host::Note> {
    model.0.borrow().journal.clone()
}

fn next_capture_works(model: &Model, point: &str) {
    let mut next = wanted();
    next.capture_id = "c2".to_owned();
    Qemu::begin_capture(model, &next).unwrap_or_else(|error| panic!("after {point}: {error:?}"));
    Qemu::end_capture(model, VM, "c2", Outcome::Commit).unwrap();
    assert_eq!(model.residue(), None, "after {point}");
}

/// Kills a capture after `effect`; `None` when it was through before.
fn killed_at(effect: u32) -> Option<Model> {
    let model = Model::new();
    model.revive(Kill::After(effect));
    let outcome = Qemu::begin_capture(&model, &wanted());
    if outcome.is_ok() {
        return None;
    }
    assert!(model.was_killed());
    Some(model)
}

#[test]
fn killed_at_every_point_and_recovered() {
    let mut points = 0;
    for effect in 0..MANY {
        let Some(model) = killed_at(effect) else { break };
        points += 1;
        model.revive(Kill::Never);
        for _ in 0..2 {
            let recovered = Qemu::recover(&model, VM, "c1", &notes(&model)).unwrap();
            assert_eq!(recovered.power, Power::Running);
            assert_eq!(model.residue(), None, "killed after effect {effect}: {:?}", model.steps());
        }
        next_capture_works(&model, &format!("a kill at effect {effect}"));
    }
    assert!(points > 30, "only {points} points: the loop did not see a whole capture");
}

#[test]
fn recovery_itself_killed_at_every_point() {
    let mut points = 0;
    for effect in (0..MANY).take_while(|effect| killed_at(*effect).is_some()) {
        for second in 0..MANY {
            let model = killed_at(effect).unwrap();
            model.revive(Kill::After(second));
            if Qemu::recover(&model, VM, "c1", &notes(&model)).is_ok() {
                break;
            }
            points += 1;
            model.revive(Kill::Never);
            Qemu::recover(&model, VM, "c1", &notes(&model)).unwrap();
            assert_eq!(
                model.residue(),
                None,
                "killed after {effect}, recovery after {second}: {:?}",
                model.steps()
            );
        }
    }
    assert!(points > 300, "only {points} points");
}

#[test]
fn the_monitor_is_lost_at_every_point() {
    let mut points = 0;
    for effect in 1..MANY {
        let model = Model::with(|state| state.lose_monitor_at = Some(effect));
        let started = Qemu::begin_capture(&model, &wanted());
        if started.is_ok() {
            // Either the loss fell on a step that connects again, or it came after the end.
            Qemu::end_capture(&model, VM, "c1", Outcome::Commit).unwrap();
            assert_eq!(model.residue(), None, "lost at {effect}");
            if model.0.borrow().lose_monitor_at.is_some() {
                break;
            }
            continue;
        }
        points += 1;
        // A conversation with the agent that breaks costs the level, not the monitor.
        let code = started.unwrap_err().code;
        assert!(["qemu.connection-lost", "qemu.consistency-not-reached"].contains(&code.as_str()), "{code}");
        assert_eq!(model.residue(), None, "lost at {effect}: {:?}", model.commands());
        next_capture_works(&model, &format!("a lost monitor at {effect}"));
    }
    assert!(points > 15, "only {points} points");
}

#[test]
fn refused_at_every_command_and_note() {
    let refusable = [
        "query-block",
        "query-iothreads",
        "query-status",
        "query-named-block-nodes",
        "query-block-exports",
        "query-qmp-schema",
        "query-chardev",
        "blockdev-add",
        "nbd-server-start",
        "stop",
        "qom-set",
        "block-export-add",
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
    for what in refusable {
        let model = Model::with(|state| state.refuse.push((what, "refused by the test")));
        let error = Qemu::begin_capture(&model, &wanted()).unwrap_err();
        assert!(!error.message.is_empty());
        assert_eq!(model.residue(), None, "refused {what}: {:?}", model.commands());
        next_capture_works(&model, &format!("a refused {what}"));
    }
}

#[test]
fn each_node_refused() {
    for earlier in 0..3 {
        let model = Model::with(|state| {
            state.accept_first = earlier;
            state.refuse.push(("blockdev-add", "no such file"));
        });
        assert_eq!(Qemu::begin_capture(&model, &wanted()).unwrap_err().code, "qemu.refused");
        assert_eq!(model.residue(), None, "node {earlier} refused: {:?}", model.commands());
    }
}

#[test]
fn a_held_guest_is_resumed_a_second_time() {
    let model = Model::with(|state| state.refuse.push(("cont", "busy")));
    Qemu::begin_capture(&model, &wanted()).unwrap();
    assert_eq!(model.0.borrow().status, "running");
    Qemu::end_capture(&model, VM, "c1", Outcome::Commit).unwrap();
    assert_eq!(model.residue(), None);
}

#[test]
fn the_instance_dies_during_a_capture() {
    let model = Model::new();
    Qemu::begin_capture(&model, &wanted()).unwrap();
    model.0.borrow_mut().gone = true;
    assert_eq!(Qemu::capture_status(&model, VM, "c1").unwrap_err().code, "qemu.vm-gone");
    Qemu::end_capture(&model, VM, "c1", Outcome::Discard).unwrap();
    assert_eq!(Qemu::recover(&model, VM, "c1", &notes(&model)).unwrap().power, Power::Off);
}
