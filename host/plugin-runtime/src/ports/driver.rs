//! Hypervisor drivers over components.

mod convert;
mod devices;
mod reclaim;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use imprint_ports::{
    CaptureOutcome, CapturePlan, CaptureRequest, CaptureStatus, DiskSpec, Driver, Launch, PortError, Power,
    PowerAction, Props, Reclaiming, Recovered, SharedJournal, StartedCapture, Vm, VmSpec,
};
use tokio_util::task::TaskTracker;
use wasmtime::Engine;

use crate::{
    bindings::{
        devices::ChangingPre,
        hypervisor::{HypervisorPlugin, HypervisorPluginPre, exports::imprint::hypervisor::driver as wit},
        reclaim::ReclaimingPre,
    },
    channel::{CallResources, ChannelContext, ChannelGrant},
    codes::Code,
    imports::note_to_plugin,
    instance::{PluginInstance, call, log_bad_answer, port_error},
    plugin::{Plugin, PluginCode},
    state::{Grants, State},
};

/// How long a call waits for the undos of the host, which continue after that.
const UNDO_TIMEOUT: Duration = Duration::from_secs(30);

/// What an operator grants to a hypervisor driver.
#[derive(Clone, Debug, Default)]
pub struct DriverGrants {
    /// The settings, which the plugin gets unchanged.
    pub settings: Props,
    /// The socket paths by the channel ids of the plugin's manifest, with `{vm}` for the instance.
    /// A channel without a path is not granted.
    pub channels: BTreeMap<String, String>,
    /// The folder for the sockets that hypervisors listen on. Its path should be shorter than 60
    /// bytes, because the paths of unix sockets are limited.
    pub endpoints: PathBuf,
}

/// A driver of a plugin.
pub(crate) struct ComponentDriver {
    plugin: Arc<Plugin>,
    pre: HypervisorPluginPre<State>,
    /// The changes of devices, where the plugin exports them.
    devices: Option<ChangingPre<State>>,
    /// What lets guests give back space, where the plugin exports it.
    reclaim: Option<ReclaimingPre<State>>,
    engine: Engine,
    settings: Arc<Props>,
    granted: Arc<BTreeMap<String, ChannelGrant>>,
    endpoint_ids: Arc<BTreeSet<String>>,
    endpoints: PathBuf,
}

/// A new store for one call, with nothing in it yet.
struct Opened {
    instance: PluginInstance,
    resources: Arc<CallResources>,
    undos: TaskTracker,
}

/// A new instance for one call.
struct Session {
    instance: PluginInstance,
    bindings: HypervisorPlugin,
    resources: Arc<CallResources>,
    undos: TaskTracker,
}

/// The instance and the capture that a call is about.
struct Subject<'a> {
    vm_id: &'a str,
    capture_id: Option<&'a str>,
    journal: Option<&'a SharedJournal>,
    /// The files that commands may name.
    paths: &'a [&'a Path],
}

impl<'a> Subject<'a> {
    fn vm(vm_id: &'a str) -> Self {
        Self { vm_id, capture_id: None, journal: None, paths: &[] }
    }
}

impl ComponentDriver {
    pub(crate) fn new(
        plugin: &Arc<Plugin>,
        engine: &Engine,
        grants: DriverGrants,
    ) -> Result<Self, PortError> {
        let PluginCode::Hypervisor(code) = &plugin.code else {
            let message = format!("plugin {} is not a hypervisor driver", plugin.manifest.id);
            return Err(Code::Kind.error(message));
        };
        let requested = plugin.manifest.channels.iter();
        let granted = requested
            .filter_map(|capability| {
                let template = grants.channels.get(&capability.id)?.clone();
                Some((capability.id.clone(), ChannelGrant { capability: capability.clone(), template }))
            })
            .collect();
        // QEMU creates the sockets, and its working folder is another one: the paths must be
        // absolute.
        let endpoints =
            std::path::absolute(&grants.endpoints).map_err(|error| Code::Endpoints.error(error))?;
        Ok(Self {
            plugin: plugin.clone(),
            pre: code.driver.clone(),
            devices: code.devices.clone(),
            reclaim: code.reclaim.clone(),
            engine: engine.clone(),
            settings: Arc::new(grants.settings),
            granted: Arc::new(granted),
            endpoint_ids: Arc::new(plugin.manifest.endpoints.clone()),
            endpoints,
        })
    }

    async fn start(&self, subject: Subject<'_>) -> Result<Session, PortError> {
        let mut opened = self.open(subject).await?;
        let bindings = call!(opened.instance, "start", |store| self.pre.instantiate_async(store))?;
        let Opened { instance, resources, undos } = opened;
        Ok(Session { instance, bindings, resources, undos })
    }

    /// Prepares an instance for one call.
    async fn open(&self, subject: Subject<'_>) -> Result<Opened, PortError> {
        let resources = Arc::new(CallResources::default());
        for path in subject.paths {
            resources.allow_path(path);
        }
        let undos = TaskTracker::new();
        undos.close();
        let channels = ChannelContext {
            plugin_id: self.plugin.manifest.id.clone(),
            granted: self.granted.clone(),
            endpoint_ids: self.endpoint_ids.clone(),
            vm_id: subject.vm_id.to_owned(),
            endpoints: self.endpoints.clone(),
            endpoint_prefix: subject.capture_id.unwrap_or("host").to_owned(),
            resources: resources.clone(),
            journal: subject.journal.cloned(),
            undos: undos.clone(),
            all_undos: self.plugin.undos.clone(),
        };
        let grants = Grants {
            settings: self.settings.clone(),
            channels: Some(channels),
            journal: subject.journal.cloned(),
            ..Grants::default()
        };
        let instance = PluginInstance::start(&self.plugin, &self.engine, grants).await?;
        Ok(Opened { instance, resources, undos })
    }

    /// Returns the answer of a plugin or its error.
    fn answer<T>(&self, answer: Result<Result<T, wit::Error>, PortError>) -> Result<T, PortError> {
        answer?.map_err(|error| port_error(&self.plugin.context, &error))
    }

    /// Passes on a checked answer, and logs one that breaks the contract.
    fn record<T>(&self, checked: Result<T, PortError>) -> Result<T, PortError> {
        checked.inspect_err(|error| log_bad_answer(&self.plugin.context, error))
    }

    /// Removes the sockets of a capture. QEMU removes them itself when it closes them properly.
    fn remove_endpoints(&self, capture_id: &str) {
        let Ok(entries) = std::fs::read_dir(&self.endpoints) else { return };
        let prefix = format!("{capture_id}-");
        for entry in entries.flatten() {
            let name = entry.file_name();
            let ours = name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".sock"));
            if ours && let Err(error) = std::fs::remove_file(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "a socket is left behind");
            }
        }
    }
}

impl Session {
    /// Ends the call: drops the store and with it the channels, and waits until the host has undone
    /// what is still armed. Returns the first guard that fired.
    async fn end(self) -> Option<String> {
        let Self { instance, bindings: _, resources, undos } = self;
        Opened { instance, resources, undos }.end().await
    }
}

impl Opened {
    /// Ends the call as [`Session::end`] does.
    async fn end(self) -> Option<String> {
        let Self { instance, resources, undos } = self;
        drop(instance);
        if tokio::time::timeout(UNDO_TIMEOUT, undos.wait()).await.is_err() {
            tracing::error!("the host is still trying to undo what a plugin left behind");
        }
        resources.first_fired()
    }
}

#[async_trait]
impl Driver for ComponentDriver {
    async fn requirements(&self) -> Result<Vec<(String, String)>, PortError> {
        let mut session = self.start(Subject::vm("")).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.instance, "requirements", |store| driver.call_requirements(store))?;
        self.record(convert::requirements(answer))
    }

    async fn describe(&self, vm_id: &str) -> Result<Vm, PortError> {
        let mut session = self.start(Subject::vm(vm_id)).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.instance, "describe", |store| driver.call_describe(store, vm_id));
        session.end().await;
        self.record(convert::vm(self.answer(answer)?, vm_id))
    }

    async fn plan_capture(&self, request: &CaptureRequest) -> Result<CapturePlan, PortError> {
        let to_plugin = convert::request_to_plugin(request)?;
        let mut session = self.start(Subject::vm(&request.vm_id)).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer =
            call!(session.instance, "plan-capture", |store| driver.call_plan_capture(store, &to_plugin));
        session.end().await;
        self.record(convert::plan(self.answer(answer)?))
    }

    async fn begin_capture(
        &self,
        request: &CaptureRequest,
        journal: &SharedJournal,
    ) -> Result<StartedCapture, PortError> {
        let to_plugin = convert::request_to_plugin(request)?;
        let subject = Subject {
            vm_id: &request.vm_id,
            capture_id: Some(&request.capture_id),
            journal: Some(journal),
            paths: &[&request.scratch_path],
        };
        let mut session = self.start(subject).await?;
        let resources = session.resources.clone();
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer =
            call!(session.instance, "begin-capture", |store| driver.call_begin_capture(store, &to_plugin));
        let fired = session.end().await;
        let answer = self.answer(answer)?;
        if let Some(fired) = fired {
            // The guest ran again before the plugin ended the freeze: the point in time may be
            // another one than it claims.
            let message = format!("{fired}; the capture has failed");
            return Err(Code::GuardFired.error(message));
        }
        self.record(convert::capture(answer, &resources, request.minimum))
    }

    async fn capture_status(&self, vm_id: &str, capture_id: &str) -> Result<CaptureStatus, PortError> {
        convert::check_capture_id(capture_id)?;
        let mut session = self.start(Subject { capture_id: Some(capture_id), ..Subject::vm(vm_id) }).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.instance, "capture-status", |store| driver
            .call_capture_status(store, vm_id, capture_id));
        session.end().await;
        self.record(convert::capture_status(self.answer(answer)?))
    }

    async fn end_capture(
        &self,
        vm_id: &str,
        capture_id: &str,
        outcome: CaptureOutcome,
        journal: &SharedJournal,
    ) -> Result<(), PortError> {
        convert::check_capture_id(capture_id)?;
        let subject = Subject { vm_id, capture_id: Some(capture_id), journal: Some(journal), paths: &[] };
        let mut session = self.start(subject).await?;
        let outcome = match outcome {
            CaptureOutcome::Commit => wit::Outcome::Commit,
            CaptureOutcome::Discard => wit::Outcome::Discard,
        };
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.instance, "end-capture", |store| driver
            .call_end_capture(store, vm_id, capture_id, outcome));
        session.end().await;
        self.answer(answer)?;
        self.remove_endpoints(capture_id);
        Ok(())
    }

    async fn recover(
        &self,
        vm_id: &str,
        capture_id: &str,
        journal: &SharedJournal,
    ) -> Result<Recovered, PortError> {
        convert::check_capture_id(capture_id)?;
        let subject = Subject { vm_id, capture_id: Some(capture_id), journal: Some(journal), paths: &[] };
        let mut session = self.start(subject).await?;
        let notes: Vec<_> = journal.notes().into_iter().map(note_to_plugin).collect();
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer =
            call!(session.instance, "recover", |store| driver.call_recover(store, vm_id, capture_id, &notes));
        session.end().await;
        let recovered = self.answer(answer)?;
        self.remove_endpoints(capture_id);
        self.record(convert::recovered(recovered))
    }

    async fn define(&self, spec: &VmSpec) -> Result<Launch, PortError> {
        let to_plugin = convert::spec_to_plugin(spec)?;
        let mut session = self.start(Subject::vm(&spec.id)).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.instance, "define", |store| driver.call_define(store, &to_plugin));
        session.end().await;
        self.record(convert::launch(self.answer(answer)?))
    }

    async fn set_power(&self, vm_id: &str, action: PowerAction) -> Result<Power, PortError> {
        let action = match action {
            PowerAction::Shutdown => wit::PowerAction::Shutdown,
            PowerAction::PowerOff => wit::PowerAction::PowerOff,
            PowerAction::Resume => wit::PowerAction::Resume,
        };
        let mut session = self.start(Subject::vm(vm_id)).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer =
            call!(session.instance, "set-power", |store| driver.call_set_power(store, vm_id, action));
        session.end().await;
        Ok(convert::power_from_plugin(self.answer(answer)?))
    }

    async fn start_reclaim(&self, vm_id: &str) -> Result<Reclaiming, PortError> {
        self.start_reclaim_of(vm_id).await
    }

    async fn reclaim_status(&self, vm_id: &str) -> Result<Reclaiming, PortError> {
        self.reclaim_status_of(vm_id).await
    }

    fn changes_devices(&self) -> bool {
        self.devices.is_some()
    }

    async fn change_medium(&self, vm_id: &str, medium: Option<&DiskSpec>) -> Result<(), PortError> {
        self.change_medium_of(vm_id, medium).await
    }

    async fn attach_disk(&self, vm_id: &str, disk: &DiskSpec) -> Result<(), PortError> {
        self.attach_disk_to(vm_id, disk).await
    }

    async fn detach_disk(&self, vm_id: &str, serial: &str) -> Result<(), PortError> {
        self.detach_disk_from(vm_id, serial).await
    }
}
