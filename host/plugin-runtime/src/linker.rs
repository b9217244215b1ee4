//! The imports of a component: exactly what its manifest asks for.
//!
//! An interface that is not granted is not in the linker, so a component that uses it cannot be
//! instantiated, and the error names the interface and what to do. WASI is linked as an empty set:
//! no environment, no arguments, no files, no sockets; output goes to the plugin's log. Rust's
//! standard library imports it even when it is not used.

use semver::{Version, VersionReq};
use wasmtime::{
    Engine,
    component::{Component, HasData, HasSelf, InstancePre, Linker, ResourceTable, types::ComponentItem},
};
use wasmtime_wasi::{
    WasiView as _,
    cli::{WasiCli, WasiCliView as _},
    clocks::{WasiClocks, WasiClocksView as _},
    p2::bindings::{cli, clocks, random},
    random::WasiRandom,
};

use crate::{
    bindings::{
        admin::AdministeredPre,
        devices::ChangingPre,
        format::FormatFullPre,
        host::imprint::{host, types},
        hypervisor::HypervisorPluginPre,
        inspector::InspectorPluginPre,
        reclaim::ReclaimingPre,
        storage::StoragePluginPre,
        stream::StreamingPre,
    },
    error::LoadError,
    manifest::{Kind, Manifest},
    plugin::{DriverCode, FormatCode, InspectorCode, PluginCode, StorageCode},
    state::State,
    text::truncate,
};

/// The version of the contract's packages that this host supports.
const CONTRACT_VERSION: &str = "0.1";

/// The interfaces of WASI that are linked, without any effect beyond the plugin.
const NULL_WASI: [&str; 18] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The interfaces without functions, which every component may import.
const TYPES: [&str; 4] =
    ["imprint:types/types", "imprint:types/block-map", "imprint:types/locators", "imprint:types/http-types"];

/// The interface of storages whose bytes pass through the plugin.
const STREAM: &str = "imprint:storage/stream-io";
/// The interface of plugins that check their settings.
const ADMIN: &str = "imprint:plugin/admin";
/// The interface that a driver may export for changes of devices.
const DEVICES: &str = "imprint:hypervisor/devices";
/// The interface that a driver may export for space that guests give back.
const RECLAIM: &str = "imprint:hypervisor/reclaim";
/// The instances that a storage with streams needs: one transfer reads an object with two, asks a
/// third one about it, and may read a second object meanwhile.
const MIN_STREAM_INSTANCES: u32 = 4;
/// The bytes that a call of a stream returns: at most 1 MiB of data, and the record around it.
const MIN_STREAM_BOUNDARY: u64 = 2 << 20;

/// Every interface of the host, and how a manifest asks for it; `None` when every plugin gets it.
const HOST_INTERFACES: [(&str, Option<&str>); 10] = [
    ("imprint:host/log", None),
    ("imprint:host/config", None),
    ("imprint:host/task", None),
    ("imprint:host/blobs", Some("`kinds = [\"format\"]` or `kinds = [\"inspector\"]`")),
    ("imprint:host/dirs", Some("a `[[capabilities.dir]]`")),
    ("imprint:host/files", Some("a `[[capabilities.dir]]` and `kinds = [\"storage\"]`")),
    ("imprint:host/http", Some("a `[[capabilities.http]]`")),
    ("imprint:host/tcp", Some("a `[[capabilities.tcp]]`")),
    ("imprint:host/journal", Some("`kinds = [\"hypervisor\"]`")),
    ("imprint:host/channels", Some("a `[[capabilities.channel]]`")),
];

/// Returns whether a manifest asks for an interface of the host.
fn is_requested(manifest: &Manifest, interface: &str) -> bool {
    match interface {
        "imprint:host/blobs" => matches!(manifest.kind, Kind::Format | Kind::Inspector),
        "imprint:host/dirs" => !manifest.dirs.is_empty(),
        "imprint:host/files" => manifest.kind == Kind::Storage && !manifest.dirs.is_empty(),
        "imprint:host/http" => !manifest.http.is_empty(),
        "imprint:host/tcp" => !manifest.tcp.is_empty(),
        "imprint:host/journal" => manifest.kind == Kind::Hypervisor,
        "imprint:host/channels" => !manifest.channels.is_empty(),
        other => HOST_INTERFACES.iter().any(|(name, request)| *name == other && request.is_none()),
    }
}

/// Links a component against what its manifest asks for. Every mismatch is found before any of its
/// code runs.
pub(crate) fn link(
    engine: &Engine,
    component: &Component,
    manifest: &Manifest,
) -> Result<PluginCode, LoadError> {
    let mismatch = |error: wasmtime::Error| mismatch(manifest, &error);
    Ok(match manifest.kind {
        Kind::Format => PluginCode::Format(FormatCode::ready(link_format(engine, component, manifest)?)),
        Kind::Storage => {
            let pre = link_instance(engine, component, manifest)?;
            let stream = if streams(engine, component, manifest)? {
                Some(StreamingPre::new(pre.clone()).map_err(mismatch)?)
            } else {
                None
            };
            let admin = if exports(engine, component, manifest, ADMIN)? {
                Some(AdministeredPre::new(pre.clone()).map_err(mismatch)?)
            } else {
                None
            };
            let backend = StoragePluginPre::new(pre).map_err(mismatch)?;
            PluginCode::Storage(Box::new(StorageCode { backend, stream, admin }))
        }
        Kind::Hypervisor => {
            let pre = link_instance(engine, component, manifest)?;
            let devices = if exports(engine, component, manifest, DEVICES)? {
                Some(ChangingPre::new(pre.clone()).map_err(mismatch)?)
            } else {
                None
            };
            let reclaim = if exports(engine, component, manifest, RECLAIM)? {
                Some(ReclaimingPre::new(pre.clone()).map_err(mismatch)?)
            } else {
                None
            };
            let driver = HypervisorPluginPre::new(pre).map_err(mismatch)?;
            PluginCode::Hypervisor(Box::new(DriverCode { driver, devices, reclaim }))
        }
        Kind::Inspector => {
            PluginCode::Inspector(InspectorCode::ready(link_inspector(engine, component, manifest)?))
        }
    })
}

/// Links a format.
pub(crate) fn link_format(
    engine: &Engine,
    component: &Component,
    manifest: &Manifest,
) -> Result<FormatFullPre<State>, LoadError> {
    let pre = link_instance(engine, component, manifest)?;
    FormatFullPre::new(pre).map_err(|error| mismatch(manifest, &error))
}

/// Links an inspector.
pub(crate) fn link_inspector(
    engine: &Engine,
    component: &Component,
    manifest: &Manifest,
) -> Result<InspectorPluginPre<State>, LoadError> {
    let pre = link_instance(engine, component, manifest)?;
    InspectorPluginPre::new(pre).map_err(|error| mismatch(manifest, &error))
}

/// Checks and links a component without instantiating it.
fn link_instance(
    engine: &Engine,
    component: &Component,
    manifest: &Manifest,
) -> Result<InstancePre<State>, LoadError> {
    check_kind(engine, component, manifest)?;
    check_imports(engine, component, manifest)?;
    let linker = linker(engine, manifest).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
    linker.instantiate_pre(component).map_err(|error| mismatch(manifest, &error))
}

fn mismatch(manifest: &Manifest, error: &wasmtime::Error) -> LoadError {
    let detail = format!("{error:#}");
    LoadError::Mismatch { id: manifest.id.clone(), detail: truncate(&detail, 1000).to_owned() }
}

/// Splits `imprint:host/blobs@0.1.0` into its name and its version.
fn split_version(interface: &str) -> (&str, Option<Version>) {
    match interface.split_once('@') {
        Some((name, version)) => (name, Version::parse(version).ok()),
        None => (interface, None),
    }
}

fn is_supported_version(version: Option<&Version>) -> bool {
    let supported = VersionReq::parse(CONTRACT_VERSION).expect("the constant is a requirement");
    version.is_some_and(|version| supported.matches(version))
}

fn check_kind(engine: &Engine, component: &Component, manifest: &Manifest) -> Result<(), LoadError> {
    let interfaces = [
        (Kind::Format, "imprint:format/reader"),
        (Kind::Storage, "imprint:storage/backend"),
        (Kind::Hypervisor, "imprint:hypervisor/driver"),
        (Kind::Inspector, "imprint:inspector/inspector"),
    ];
    let component_type = component.component_type();
    let exports: Vec<&str> = component_type.exports(engine).map(|(name, _)| name).collect();
    let mut found = Vec::new();
    for export in &exports {
        let (name, version) = split_version(export);
        let Some((kind, _)) = interfaces.iter().find(|(_, interface)| *interface == name) else { continue };
        if !is_supported_version(version.as_ref()) {
            return Err(version_error(manifest, export, version.as_ref()));
        }
        found.push(*kind);
    }
    if found == [manifest.kind] {
        return Ok(());
    }
    let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    Err(LoadError::Kind { declared: manifest.kind.as_str(), exports })
}

/// Returns whether a component exports an optional interface, in a version that the host supports.
fn exports(
    engine: &Engine,
    component: &Component,
    manifest: &Manifest,
    interface: &str,
) -> Result<bool, LoadError> {
    let component_type = component.component_type();
    let found = component_type.exports(engine).find(|(name, _)| split_version(name).0 == interface);
    let Some((export, _)) = found else { return Ok(false) };
    let version = split_version(export).1;
    if !is_supported_version(version.as_ref()) {
        return Err(version_error(manifest, export, version.as_ref()));
    }
    Ok(true)
}

/// Returns whether a storage moves bytes itself. Its limits must be high enough for that.
fn streams(engine: &Engine, component: &Component, manifest: &Manifest) -> Result<bool, LoadError> {
    if !exports(engine, component, manifest, STREAM)? {
        return Ok(false);
    }
    let limits = manifest.limits;
    if limits.instances < MIN_STREAM_INSTANCES || limits.boundary_bytes < MIN_STREAM_BOUNDARY {
        return Err(LoadError::manifest(format!(
            "a storage that streams needs `limits.instances` of at least {MIN_STREAM_INSTANCES} and `limits.boundary-bytes` of \
             at least {} MiB",
            MIN_STREAM_BOUNDARY >> 20
        )));
    }
    Ok(true)
}

fn version_error(manifest: &Manifest, interface: &str, version: Option<&Version>) -> LoadError {
    let older = VersionReq::parse(&format!("<{CONTRACT_VERSION}")).expect("it is a requirement");
    let newer = version.is_none_or(|version| !older.matches(version));
    let advice = if newer {
        "upgrade the host, or install an older version of the plugin"
    } else {
        "install a newer version of the plugin"
    };
    LoadError::Interface {
        id: manifest.id.clone(),
        interface: interface.to_owned(),
        supported: CONTRACT_VERSION.to_owned(),
        advice: advice.to_owned(),
    }
}

fn check_imports(engine: &Engine, component: &Component, manifest: &Manifest) -> Result<(), LoadError> {
    for (interface, import) in component.component_type().imports(engine) {
        let (name, version) = split_version(interface);
        let refused = |advice: String| LoadError::NotGranted {
            id: manifest.id.clone(),
            interface: interface.to_owned(),
            advice,
        };
        if !matches!(import.ty, ComponentItem::ComponentInstance(_)) {
            return Err(refused("plugins can only import interfaces".to_owned()));
        }
        if NULL_WASI.contains(&name) {
            continue;
        }
        let known = HOST_INTERFACES.iter().find(|(interface, _)| *interface == name);
        if known.is_none() && !TYPES.contains(&name) {
            return Err(refused(
                "this host has no such interface; plugins have no files, sockets or processes".to_owned(),
            ));
        }
        if !is_supported_version(version.as_ref()) {
            return Err(version_error(manifest, interface, version.as_ref()));
        }
        if let Some((_, Some(request))) = known
            && !is_requested(manifest, name)
        {
            return Err(refused(format!("its manifest must ask for it with {request}")));
        }
    }
    Ok(())
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

fn linker(engine: &Engine, manifest: &Manifest) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    types::types::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    types::block_map::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    types::locators::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    types::http_types::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    host::log::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    host::config::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    host::task::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    if is_requested(manifest, "imprint:host/blobs") {
        host::blobs::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    }
    if is_requested(manifest, "imprint:host/dirs") {
        host::dirs::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    }
    if is_requested(manifest, "imprint:host/files") {
        host::files::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    }
    if is_requested(manifest, "imprint:host/http") {
        host::http::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    }
    if is_requested(manifest, "imprint:host/tcp") {
        host::tcp::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    }
    if is_requested(manifest, "imprint:host/journal") {
        host::journal::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    }
    if is_requested(manifest, "imprint:host/channels") {
        host::channels::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    }
    null_wasi(l)?;
    Ok(linker)
}

fn null_wasi(l: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime_wasi_io::bindings::wasi::io;

    io::error::add_to_linker::<State, Io>(l, |state| state.ctx().table)?;
    io::poll::add_to_linker::<State, Io>(l, |state| state.ctx().table)?;
    io::streams::add_to_linker::<State, Io>(l, |state| state.ctx().table)?;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    random::random::add_to_linker::<State, WasiRandom>(l, |state| state.ctx().ctx.random())?;
    random::insecure::add_to_linker::<State, WasiRandom>(l, |state| state.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(l, |state| state.ctx().ctx.random())?;
    Ok(())
}
