//! What every storage must do, by the suite of the SDK, on a Swift in memory.

use std::{cell::RefCell, rc::Rc};

use imprint_plugin_sdk::testing::storage::{CaseResult, MockSubject, run};

use crate::{
    SwiftVolume,
    tests::{server::Server, settings},
};

#[test]
fn it_does_what_every_storage_must() {
    let outcomes = run(&mut |_| {
        let server = Rc::new(RefCell::new(Server::new()));
        MockSubject::<SwiftVolume>::http(&settings(&[]), &["password"], server)
    });
    for outcome in outcomes {
        assert_eq!(outcome.result, CaseResult::Passed, "{outcome}");
    }
}
