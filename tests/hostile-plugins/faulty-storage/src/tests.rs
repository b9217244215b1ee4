use imprint_plugin_sdk::{
    testing::storage::{MockSubject, case_names, run, run_some},
    types::{Props, props},
};

use crate::{FaultyStorage, GRANT, fault::Fault};

#[test]
fn without_a_fault_the_suite_finds_none() {
    let outcomes = run(&mut |_| MockSubject::<FaultyStorage>::streaming(&Props::new(), &[GRANT]));
    for outcome in &outcomes {
        assert!(!outcome.is_failure(), "{outcome}");
    }
    assert_eq!(outcomes.len(), case_names().len());
}

#[test]
fn the_suite_finds_every_fault_in_its_case() {
    let mut cases: Vec<&str> = Fault::ALL.iter().map(|(.., case)| *case).collect();
    for (fault, name, case) in Fault::ALL {
        let settings = props([("fault", name)]);
        let mut fresh = |_: &str| MockSubject::<FaultyStorage>::streaming(&settings, &[GRANT]);
        let outcomes = run_some(&mut fresh, |wanted| wanted == case);
        let [outcome] = outcomes.as_slice() else { panic!("there is no case {case}") };
        assert!(outcome.is_failure(), "{fault:?} is not found: {outcome}");
    }
    let mut all = case_names();
    all.sort_unstable();
    cases.sort_unstable();
    assert_eq!(cases, all, "every case has a fault that shows that it works");
}
