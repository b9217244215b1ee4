//! The mock host of the SDK refuses what this host refuses: plugins that pass their tests on the
//! one are not surprised by the other.

use std::collections::BTreeMap;

use imprint_plugin_sdk::{
    host::{Dirs, Files, Replace},
    mock::MockHost,
};
use proptest::prelude::*;

use super::*;
use crate::{
    bindings::host::imprint::host::{dirs::Host as _, files::Host as _},
    log::PluginLog,
    manifest::Limits,
    state::{DirGrant, Grants, PluginContext},
    usage::Counters,
};

const GRANT: &str = "pool";

/// An operation of a plugin.
#[derive(Clone, Debug)]
enum Operation {
    Stat(String),
    List(String, Option<String>, u32),
    Create(String),
    Remove(String),
    RemoveDirectory(String),
    Publish(String, String, bool),
    Read(String, u64, u32),
    Write(String, u64, usize),
    SetSize(String, u64),
    Sync(String),
}

/// What an operation answers, as far as both hosts can agree on it.
type Answer = Result<String, String>;

fn real_host() -> (TempDir, State) {
    let temporary = TempDir::new().unwrap();
    let dir = Arc::new(Dir::open_ambient_dir(temporary.path(), ambient_authority()).unwrap());
    let dirs = BTreeMap::from([(GRANT.to_owned(), DirGrant { dir, access: Access::ReadWrite })]);
    let context = PluginContext {
        id: "storage-test".to_owned(),
        limits: Limits::default(),
        log: PluginLog::new("storage-test", 1),
        counters: Counters::default(),
    };
    let grants = Grants { dirs: Arc::new(dirs), ..Grants::default() };
    (temporary, State::new(Arc::new(context), grants))
}

async fn on_real(state: &mut State, operation: &Operation) -> Answer {
    let grant = GRANT.to_owned();
    match operation.clone() {
        Operation::Stat(path) => {
            let found = state.stat(grant, path).await.unwrap();
            found.map(|entry| format!("{} {} {}", entry.name, entry.is_directory, entry.size))
        }
        Operation::List(path, resume, max) => {
            let page = dirs::Host::list(state, grant, path, resume, max).await.unwrap();
            page.map(|page| {
                let names: Vec<_> = page.entries.iter().map(|entry| entry.name.as_str()).collect();
                format!("{names:?} {:?}", page.resume)
            })
        }
        Operation::Create(path) => state.create_directory(grant, path).await.unwrap().map(|()| String::new()),
        Operation::Remove(path) => state.remove_file(grant, path).await.unwrap().map(|()| String::new()),
        Operation::RemoveDirectory(path) => {
            state.remove_directory(grant, path).await.unwrap().map(|()| String::new())
        }
        Operation::Publish(from, to, replace) => {
            state.publish(grant, from, to, replace).await.unwrap().map(|()| String::new())
        }
        Operation::Read(path, offset, length) => {
            let bytes = state.read_at(grant, path, offset, length).await.unwrap();
            bytes.map(|bytes| format!("{bytes:?}"))
        }
        Operation::Write(path, offset, length) => {
            let written = state.write_at(grant, path, offset, vec![7; length]).await.unwrap();
            written.map(|()| String::new())
        }
        Operation::SetSize(path, size) => {
            state.set_size(grant, path, size).await.unwrap().map(|()| String::new())
        }
        Operation::Sync(path) => state.sync(grant, path).await.unwrap().map(|()| String::new()),
    }
    .map_err(|error| format!("{} {:?}", error.code, wit_error::into_port_error(&error).class))
}

fn on_mock(host: &MockHost, operation: &Operation) -> Answer {
    match operation {
        Operation::Stat(path) => {
            let found = host.stat(GRANT, path);
            found.map(|entry| format!("{} {} {}", entry.name, entry.is_directory, entry.size))
        }
        Operation::List(path, resume, max) => host.list(GRANT, path, resume.as_deref(), *max).map(|page| {
            let names: Vec<_> = page.entries.iter().map(|entry| entry.name.as_str()).collect();
            format!("{names:?} {:?}", page.resume)
        }),
        Operation::Create(path) => host.create_directory(GRANT, path).map(|()| String::new()),
        Operation::Remove(path) => host.remove_file(GRANT, path).map(|()| String::new()),
        Operation::RemoveDirectory(path) => host.remove_directory(GRANT, path).map(|()| String::new()),
        Operation::Publish(from, to, replace) => {
            let replace = if *replace { Replace::Allowed } else { Replace::Refused };
            host.publish(GRANT, from, to, replace).map(|()| String::new())
        }
        Operation::Read(path, offset, length) => {
            host.read_at(GRANT, path, *offset, *length).map(|bytes| format!("{bytes:?}"))
        }
        Operation::Write(path, offset, length) => {
            host.write_at(GRANT, path, *offset, &vec![7; *length]).map(|()| String::new())
        }
        Operation::SetSize(path, size) => host.set_size(GRANT, path, *size).map(|()| String::new()),
        Operation::Sync(path) => host.sync(GRANT, path).map(|()| String::new()),
    }
    .map_err(|error| format!("{} {:?}", error.code, error.class))
}

fn path() -> impl Strategy<Value = String> {
    let few = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/f", "a/x", "missing/x"].map(str::to_owned);
    let odd = ["", "/a", "..", "d/../a", "d//a", ".", "nul\0", ".imprint-storage.x", "d/.imprint-storage.x"];
    let odd = odd.map(str::to_owned).to_vec();
    let long = vec!["n".repeat(255), "n".repeat(256), "x/".repeat(40) + "x", "y".repeat(1100)];
    prop_oneof![
        10 => prop::sample::select(few.to_vec()),
        1 => prop::sample::select(odd),
        1 => prop::sample::select(long),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        path().prop_map(Operation::Stat),
        (prop_oneof![Just(String::new()), path()], prop::option::of(path()), 1..4_u32)
            .prop_map(|(path, resume, max)| Operation::List(path, resume, max)),
        path().prop_map(Operation::Create),
        path().prop_map(Operation::Remove),
        path().prop_map(Operation::RemoveDirectory),
        (path(), path(), any::<bool>()).prop_map(|(from, to, replace)| Operation::Publish(from, to, replace)),
        (path(), 0..20_u64, prop_oneof![0..20_u32, Just((1 << 20) + 1)])
            .prop_map(|(path, offset, length)| Operation::Read(path, offset, length)),
        (path(), 0..20_u64, 0..20_usize)
            .prop_map(|(path, offset, length)| Operation::Write(path, offset, length)),
        (path(), 0..40_u64).prop_map(|(path, size)| Operation::SetSize(path, size)),
        path().prop_map(Operation::Sync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_hosts_answer_the_same(operations in prop::collection::vec(operation(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_temporary, mut real) = real_host();
        let mock = MockHost::new();
        mock.grant_dir(GRANT);
        for (index, operation) in operations.iter().enumerate() {
            let answers = (runtime.block_on(on_real(&mut real, operation)), on_mock(&mock, operation));
            prop_assert_eq!(&answers.0, &answers.1, "number {} of {:?}: the real host, the mock", index, operations);
        }
    }
}
