//! What every storage must do, by the suite of the SDK.

use imprint_plugin_sdk::{
    testing::storage::{CaseResult, MockSubject, run},
    types::Props,
};

use crate::{LocalVolume, folder::POOL};

#[test]
fn it_does_what_every_storage_must() {
    let outcomes = run(&mut |_| MockSubject::<LocalVolume>::files(&Props::new(), &[POOL]));
    for outcome in outcomes {
        assert_eq!(outcome.result, CaseResult::Passed, "{outcome}");
    }
}
