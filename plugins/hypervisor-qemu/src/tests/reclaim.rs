//! Space that guests give back, against the model.

use imprint_plugin_sdk::hypervisor::{Consistency, Hypervisor, Reclaim, Reclaiming};

use super::{
    model::{AgentKind, Model, State, VM},
    request,
};
use crate::Qemu;

fn started(change: impl FnOnce(&mut State)) -> (Model, Reclaiming) {
    let model = Model::with(change);
    let answer = Qemu::start_reclaim(&model, VM).unwrap();
    (model, answer)
}

#[test]
fn a_short_trim_ends_with_the_call() {
    let (model, answer) = started(|_| {});
    assert_eq!(answer, Reclaiming::Ended);
    assert!(model.commands().contains(&"guest-fstrim".to_owned()));
    assert_eq!(Qemu::reclaim_status(&model, VM).unwrap(), Reclaiming::Ended);
}

#[test]
fn a_long_trim_continues_behind_the_call() {
    let (model, answer) = started(|state| state.trim_takes_ms = 8_000);
    assert_eq!(answer, Reclaiming::Running);
    let mut asked = 0;
    while Qemu::reclaim_status(&model, VM).unwrap() == Reclaiming::Running {
        asked += 1;
        assert!(asked < 10, "it never ends");
    }
    assert!(asked >= 2, "{asked}");
    assert_eq!(model.commands().iter().filter(|command| *command == "guest-fstrim").count(), 1);
    // The agent is there again for the freeze.
    let wanted = request(Consistency::Filesystem, Consistency::Filesystem);
    assert_eq!(Qemu::plan_capture(&model, &wanted).unwrap().expected, Consistency::Filesystem);
}

#[test]
fn who_cannot_be_asked_is_no_error() {
    let without = |change: fn(&mut State)| {
        let (model, answer) = started(change);
        assert_eq!(answer, Reclaiming::Unavailable);
        model
    };
    without(|state| state.agent = AgentKind::Absent);
    without(|state| state.agent = AgentKind::Silent);
    without(|state| state.status = "paused");
    without(|state| state.refuse.push(("guest-fstrim", "the discard operation is not supported")));
    let model = without(|state| state.can_trim = false);
    assert!(!model.commands().contains(&"guest-fstrim".to_owned()));
}
