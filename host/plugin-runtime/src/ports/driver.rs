//! Hypervisor drivers over components.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use imprint_ports::{
    AgentInfo, CaptureOutcome, CapturePlan, CaptureRequest, CaptureStatus, Consistency, DiskSpec, Driver,
    ErrorClass, Launch, NbdSource, Origin, PortError, Power, PowerAction, Props, QuiesceReport, Recovered,
    SharedJournal, StartedCapture, Vm, VmDisk, VmSpec,
};
use tokio_util::task::TaskTracker;
use wasmtime::Engine;

use super::{at_most, bounded, props_in, props_out};
use crate::{
    bindings::{
        host::imprint::types::{locators, types as shapes},
        hypervisor::{HypervisorPlugin, HypervisorPluginPre, exports::imprint::hypervisor::driver as wit},
    },
    channel::{ChannelGrant, ChannelWork, WorkShared},
    host::note_out,
    plugin::{Code, Plugin},
    state::{Grants, State},
    work::{Work, call, plugin_error},
};

const MAX_TEXT: usize = 1000;
const MAX_DISKS: usize = 256;
const MAX_LIST: usize = 100;
const MAX_ARGUMENTS: usize = 1000;
const MAX_ARGUMENT: usize = 64 << 10;
/// How long a call waits for the host's own undoing, which goes on after that.
const UNDO_WAIT: Duration = Duration::from_secs(30);

/// What an operator gives to a hypervisor driver.
#[derive(Clone, Debug, Default)]
pub struct DriverGrants {
    /// Handed to the plugin as they are.
    pub settings: Props,
    /// Socket paths by the channel ids of the plugin's manifest, with `{vm}` for the instance. A
    /// channel that is not here is not granted.
    pub channels: BTreeMap<String, String>,
    /// Folder for the sockets that hypervisors listen on. Unix sockets have short paths: keep it
    /// below 60 bytes.
    pub endpoints: PathBuf,
}

/// A driver of a plugin.
pub(crate) struct ComponentDriver {
    plugin: Arc<Plugin>,
    pre: HypervisorPluginPre<State>,
    engine: Engine,
    settings: Arc<Props>,
    granted: Arc<BTreeMap<String, ChannelGrant>>,
    endpoint_ids: Arc<std::collections::BTreeSet<String>>,
    endpoints: PathBuf,
}

/// A fresh instance for one call.
struct Session {
    work: Work,
    bindings: HypervisorPlugin,
    shared: Arc<WorkShared>,
    undos: TaskTracker,
}

/// What a call is about.
struct About<'a> {
    vm_id: &'a str,
    capture_id: Option<&'a str>,
    journal: Option<&'a SharedJournal>,
    /// Files that commands may name.
    paths: &'a [&'a Path],
}

impl<'a> About<'a> {
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
        let Code::Hypervisor(pre) = &plugin.code else {
            let message = format!("plugin {} is no hypervisor driver", plugin.manifest.id);
            return Err(PortError::host(ErrorClass::InvalidInput, "plugin.kind", message));
        };
        let asked = plugin.manifest.channels.iter();
        let granted = asked
            .filter_map(|capability| {
                let template = grants.channels.get(&capability.id)?.clone();
                Some((capability.id.clone(), ChannelGrant { capability: capability.clone(), template }))
            })
            .collect();
        // QEMU creates the sockets, under its own working folder: the paths must be whole.
        let endpoints = std::path::absolute(&grants.endpoints)
            .map_err(|error| PortError::host(ErrorClass::InvalidInput, "plugin.endpoints", error))?;
        Ok(Self {
            plugin: plugin.clone(),
            pre: pre.clone(),
            engine: engine.clone(),
            settings: Arc::new(grants.settings),
            granted: Arc::new(granted),
            endpoint_ids: Arc::new(plugin.manifest.endpoints.clone()),
            endpoints,
        })
    }

    async fn session(&self, about: About<'_>) -> Result<Session, PortError> {
        let shared = Arc::new(WorkShared::default());
        for path in about.paths {
            shared.hand_out(path);
        }
        let undos = TaskTracker::new();
        undos.close();
        let channels = ChannelWork {
            granted: self.granted.clone(),
            endpoint_ids: self.endpoint_ids.clone(),
            vm_id: about.vm_id.to_owned(),
            endpoints: self.endpoints.clone(),
            endpoint_prefix: about.capture_id.unwrap_or("host").to_owned(),
            shared: shared.clone(),
            journal: about.journal.cloned(),
            undos: undos.clone(),
        };
        let grants = Grants {
            settings: self.settings.clone(),
            channels: Some(channels),
            journal: about.journal.cloned(),
            ..Grants::default()
        };
        let mut work = Work::start(&self.plugin, &self.engine, grants).await?;
        let bindings = call!(work, "start", |store| self.pre.instantiate_async(store))?;
        Ok(Session { work, bindings, shared, undos })
    }

    fn said(&self, error: shapes::Error) -> PortError {
        plugin_error(&self.plugin, error)
    }

    /// Removes the sockets of a capture. QEMU removes them itself when it closes them properly.
    fn forget_endpoints(&self, capture_id: &str) {
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
    /// Ends the call: the store goes, and with it the channels; what is then still armed is undone
    /// by the host before the caller goes on. Answers which guard fired.
    async fn end(self) -> Option<String> {
        let Self { work, bindings, shared, undos } = self;
        drop((bindings, work));
        if tokio::time::timeout(UNDO_WAIT, undos.wait()).await.is_err() {
            tracing::error!("the host still tries to undo what a plugin left behind");
        }
        shared.fired()
    }
}

fn utf8(path: &Path) -> Result<String, PortError> {
    path.to_str().map(ToOwned::to_owned).ok_or_else(|| {
        let message = format!("path {} is not UTF-8; use another folder", path.display());
        PortError::host(ErrorClass::InvalidInput, "plugin.path", message)
    })
}

fn check_capture_id(id: &str) -> Result<(), PortError> {
    let plain = id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if (1..=12).contains(&id.len()) && plain {
        return Ok(());
    }
    let message =
        format!("capture id {:?} must be 1 to 12 lower-case letters and digits", crate::log::clip(id, 50));
    Err(PortError::host(ErrorClass::InvalidInput, "capture.id", message))
}

fn power(power: wit::Power) -> Power {
    match power {
        wit::Power::Running => Power::Running,
        wit::Power::Paused => Power::Paused,
        wit::Power::IoError => Power::IoError,
        wit::Power::Off => Power::Off,
        wit::Power::Unknown => Power::Unknown,
    }
}

fn level_in(level: wit::Consistency) -> Consistency {
    match level {
        wit::Consistency::Crash => Consistency::Crash,
        wit::Consistency::Filesystem => Consistency::Filesystem,
        wit::Consistency::Application => Consistency::Application,
        wit::Consistency::Stopped => Consistency::Stopped,
    }
}

fn level_out(level: Consistency) -> wit::Consistency {
    match level {
        Consistency::Crash => wit::Consistency::Crash,
        Consistency::Filesystem => wit::Consistency::Filesystem,
        Consistency::Application => wit::Consistency::Application,
        Consistency::Stopped => wit::Consistency::Stopped,
    }
}

fn request(request: &CaptureRequest) -> Result<wit::CaptureRequest, PortError> {
    check_capture_id(&request.capture_id)?;
    Ok(wit::CaptureRequest {
        vm_id: request.vm_id.clone(),
        capture_id: request.capture_id.clone(),
        want: level_out(request.want),
        minimum: level_out(request.minimum),
        scratch_path: utf8(&request.scratch_path)?,
        scratch_limit: request.scratch_limit,
        freeze_limit_ms: request.freeze_limit_ms,
    })
}

fn texts(what: &str, list: Vec<String>, max: usize, length: usize) -> Result<Vec<String>, PortError> {
    at_most(what, list, max)?.into_iter().map(|text| bounded(what, text, length)).collect()
}

fn vm(found: wit::Vm, vm_id: &str) -> Result<Vm, PortError> {
    if found.id != vm_id {
        let message =
            format!("asked for instance {vm_id}, it answered with {:?}", crate::log::clip(&found.id, 100));
        return Err(PortError::bad_answer("plugin.bad-answer.vm", message));
    }
    let agent = |agent: wit::AgentInfo| {
        let version = bounded("the guest agent's version", agent.version, MAX_TEXT)?;
        Ok::<_, PortError>(AgentInfo { version, can_freeze: agent.can_freeze, hooks: agent.hooks })
    };
    Ok(Vm {
        id: found.id,
        power: power(found.power),
        hypervisor_version: bounded("the hypervisor's version", found.hypervisor_version, MAX_TEXT)?,
        guest_agent: found.guest_agent.map(agent).transpose()?,
        disks: at_most("the list of disks", found.disks, MAX_DISKS)?
            .into_iter()
            .map(disk)
            .collect::<Result<_, _>>()?,
        facts: props_in("the facts", found.facts)?,
    })
}

fn disk(disk: wit::Disk) -> Result<VmDisk, PortError> {
    Ok(VmDisk {
        id: bounded("a disk's id", disk.id, MAX_TEXT)?,
        primary: disk.primary,
        virtual_size: disk.virtual_size,
        format: bounded("a format", disk.format, MAX_TEXT)?,
        bus: bounded("a bus", disk.bus, MAX_TEXT)?,
        read_only: disk.read_only,
        iothread: disk.iothread,
        facts: props_in("the facts", disk.facts)?,
    })
}

fn quiesce(report: wit::QuiesceReport) -> Result<QuiesceReport, PortError> {
    let downgrade_reason =
        report.downgraded_because.map(|text| bounded("a reason", text, MAX_TEXT)).transpose()?;
    Ok(QuiesceReport {
        level: level_in(report.level),
        frozen_filesystems: report.frozen_filesystems,
        freeze_ms: report.freeze_ms,
        frozen_total_ms: report.frozen_total_ms,
        vm_stopped_ms: report.vm_stopped_ms,
        downgrade_reason,
    })
}

/// A capture is served by NBD, on an endpoint that this very call reserved.
fn begun(begun: wit::Begun, shared: &WorkShared, minimum: Consistency) -> Result<StartedCapture, PortError> {
    let locators::ReadLocator::Nbd(nbd) = begun.source else {
        let message = "a capture must be served by NBD";
        return Err(PortError::bad_answer("plugin.bad-answer.locator", message));
    };
    let Some(socket) = shared.endpoint(&nbd.endpoint) else {
        let message =
            format!("endpoint {:?} was not reserved in this call", crate::log::clip(&nbd.endpoint, 100));
        return Err(PortError::bad_answer("plugin.bad-answer.endpoint", message));
    };
    let quiesce = quiesce(begun.quiesce)?;
    if quiesce.level < minimum {
        let message = format!("the capture reached {:?}, at least {minimum:?} was asked for", quiesce.level);
        return Err(PortError::bad_answer("plugin.bad-answer.consistency", message));
    }
    Ok(StartedCapture {
        source: NbdSource {
            socket,
            export: bounded("an export's name", nbd.export_name, MAX_TEXT)?,
            meta_contexts: texts("the meta contexts", nbd.meta_contexts, 16, MAX_TEXT)?,
            max_connections: nbd.max_connections.max(1),
        },
        content: bounded("the content", begun.content, 64)?,
        virtual_size: begun.virtual_size,
        quiesce,
        method: bounded("the method", begun.method, MAX_TEXT)?,
    })
}

fn disk_spec(spec: &DiskSpec) -> Result<wit::DiskSpec, PortError> {
    Ok(wit::DiskSpec {
        path: utf8(&spec.path)?,
        format: spec.format.clone(),
        read_only: spec.read_only,
        serial: spec.serial.clone(),
    })
}

fn launch(launch: wit::Launch) -> Result<Launch, PortError> {
    let program = bounded("a program", launch.program, 256)?;
    if program.is_empty() || program.contains(['/', '\0']) {
        let message = format!("program {program:?} must be a plain name; the host knows where programs are");
        return Err(PortError::bad_answer("plugin.bad-answer.program", message));
    }
    let arguments = texts("the arguments", launch.arguments, MAX_ARGUMENTS, MAX_ARGUMENT)?;
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(PortError::bad_answer("plugin.bad-answer.arguments", "an argument holds a zero byte"));
    }
    Ok(Launch { program, arguments, environment: props_in("the environment", launch.environment)? })
}

#[async_trait]
impl Driver for ComponentDriver {
    async fn requirements(&self) -> Result<Vec<(String, String)>, PortError> {
        let mut session = self.session(About::vm("")).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.work, "requirements", |store| driver.call_requirements(store))?;
        let list = at_most("the requirements", answer, MAX_LIST)?;
        let pair = |(program, version)| {
            Ok((bounded("a program", program, MAX_TEXT)?, bounded("a version", version, MAX_TEXT)?))
        };
        list.into_iter().map(pair).collect()
    }

    async fn describe(&self, vm_id: &str) -> Result<Vm, PortError> {
        let mut session = self.session(About::vm(vm_id)).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.work, "describe", |store| driver.call_describe(store, vm_id));
        session.end().await;
        vm(answer?.map_err(|error| self.said(error))?, vm_id)
    }

    async fn plan_capture(&self, asked: &CaptureRequest) -> Result<CapturePlan, PortError> {
        let wanted = request(asked)?;
        let mut session = self.session(About::vm(&asked.vm_id)).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.work, "plan-capture", |store| driver.call_plan_capture(store, &wanted));
        session.end().await;
        let plan = answer?.map_err(|error| self.said(error))?;
        Ok(CapturePlan {
            method: bounded("the method", plan.method, MAX_TEXT)?,
            expected: level_in(plan.expected),
            virtual_size: plan.virtual_size,
            remarks: texts("the remarks", plan.remarks, MAX_LIST, MAX_TEXT)?,
        })
    }

    async fn begin_capture(
        &self,
        asked: &CaptureRequest,
        journal: &SharedJournal,
    ) -> Result<StartedCapture, PortError> {
        let wanted = request(asked)?;
        let about = About {
            vm_id: &asked.vm_id,
            capture_id: Some(&asked.capture_id),
            journal: Some(journal),
            paths: &[&asked.scratch_path],
        };
        let mut session = self.session(about).await?;
        let shared = session.shared.clone();
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.work, "begin-capture", |store| driver.call_begin_capture(store, &wanted));
        let fired = session.end().await;
        let answer = answer?.map_err(|error| self.said(error))?;
        if let Some(fired) = fired {
            // The guest ran again before the plugin said so: the point in time may not be what it
            // claims.
            let message = format!("{fired}; the capture is given up");
            let (origin, class) = (Origin::Plugin, ErrorClass::Transient);
            let code = "plugin.guard-fired".to_owned();
            return Err(PortError { origin, class, code, message, retry_after_ms: None });
        }
        begun(answer, &shared, asked.minimum)
    }

    async fn capture_status(&self, vm_id: &str, capture_id: &str) -> Result<CaptureStatus, PortError> {
        check_capture_id(capture_id)?;
        let mut session = self.session(About { capture_id: Some(capture_id), ..About::vm(vm_id) }).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.work, "capture-status", |store| driver
            .call_capture_status(store, vm_id, capture_id));
        session.end().await;
        let status = answer?.map_err(|error| self.said(error))?;
        Ok(CaptureStatus {
            power: power(status.power),
            scratch_used: status.scratch_used,
            broken: status.broken.map(|text| bounded("a reason", text, MAX_TEXT)).transpose()?,
        })
    }

    async fn end_capture(
        &self,
        vm_id: &str,
        capture_id: &str,
        outcome: CaptureOutcome,
        journal: &SharedJournal,
    ) -> Result<(), PortError> {
        check_capture_id(capture_id)?;
        let about = About { vm_id, capture_id: Some(capture_id), journal: Some(journal), paths: &[] };
        let mut session = self.session(about).await?;
        let outcome = match outcome {
            CaptureOutcome::Commit => wit::Outcome::Commit,
            CaptureOutcome::Discard => wit::Outcome::Discard,
        };
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.work, "end-capture", |store| driver
            .call_end_capture(store, vm_id, capture_id, outcome));
        session.end().await;
        answer?.map_err(|error| self.said(error))?;
        self.forget_endpoints(capture_id);
        Ok(())
    }

    async fn recover(
        &self,
        vm_id: &str,
        capture_id: &str,
        journal: &SharedJournal,
    ) -> Result<Recovered, PortError> {
        check_capture_id(capture_id)?;
        let about = About { vm_id, capture_id: Some(capture_id), journal: Some(journal), paths: &[] };
        let mut session = self.session(about).await?;
        let notes: Vec<_> = journal.notes().into_iter().map(note_out).collect();
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer =
            call!(session.work, "recover", |store| driver.call_recover(store, vm_id, capture_id, &notes));
        session.end().await;
        let recovered = answer?.map_err(|error| self.said(error))?;
        self.forget_endpoints(capture_id);
        let actions = texts("the actions", recovered.actions, MAX_LIST, MAX_TEXT)?;
        Ok(Recovered { power: power(recovered.power), actions })
    }

    async fn define(&self, spec: &VmSpec) -> Result<Launch, PortError> {
        let wanted = wit::VmSpec {
            id: spec.id.clone(),
            name: spec.name.clone(),
            vcpus: spec.vcpus,
            memory_bytes: spec.memory_bytes,
            disks: spec.disks.iter().map(disk_spec).collect::<Result<_, _>>()?,
            cdroms: spec.cdroms.iter().map(disk_spec).collect::<Result<_, _>>()?,
            paths: props_out(&spec.paths),
            options: props_out(&spec.options),
        };
        let mut session = self.session(About::vm(&spec.id)).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.work, "define", |store| driver.call_define(store, &wanted));
        session.end().await;
        launch(answer?.map_err(|error| self.said(error))?)
    }

    async fn set_power(&self, vm_id: &str, action: PowerAction) -> Result<Power, PortError> {
        let action = match action {
            PowerAction::Shutdown => wit::PowerAction::Shutdown,
            PowerAction::PowerOff => wit::PowerAction::PowerOff,
            PowerAction::Resume => wit::PowerAction::Resume,
        };
        let mut session = self.session(About::vm(vm_id)).await?;
        let driver = session.bindings.imprint_hypervisor_driver();
        let answer = call!(session.work, "set-power", |store| driver.call_set_power(store, vm_id, action));
        session.end().await;
        Ok(power(answer?.map_err(|error| self.said(error))?))
    }
}
