//! Requests of drivers on their way into the plugin, and checked answers on their way out.

use std::path::Path;

use imprint_ports::{
    AgentInfo, CapturePlan, CaptureRequest, CaptureStatus, Consistency, DiskSpec, Launch, NbdSource,
    PortError, Power, QuiesceReport, Recovered, StartedCapture, Vm, VmDisk, VmSpec,
};

use crate::{
    bindings::{host::imprint::types::locators, hypervisor::exports::imprint::hypervisor::driver as wit},
    channel::CallResources,
    codes::Code,
    ports::bounds::{bounded_list, bounded_text, props_from_plugin, props_to_plugin},
    text::truncate,
};

/// The longest text, in bytes.
const MAX_TEXT: usize = 1000;
const MAX_DISKS: usize = 256;
const MAX_LIST: usize = 100;
const MAX_ARGUMENTS: usize = 1000;
/// The longest argument of a launch, in bytes.
const MAX_ARGUMENT: usize = 64 << 10;

/// Returns a path for the plugin, which must be UTF-8.
pub(super) fn utf8(path: &Path) -> Result<String, PortError> {
    path.to_str().map(ToOwned::to_owned).ok_or_else(|| {
        let message = format!("path {} is not UTF-8; use another folder", path.display());
        Code::Path.error(message)
    })
}

pub(super) fn check_capture_id(id: &str) -> Result<(), PortError> {
    let plain = id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if (1..=12).contains(&id.len()) && plain {
        return Ok(());
    }
    let message = format!("capture id {:?} must be 1 to 12 lower-case letters and digits", truncate(id, 50));
    Err(Code::CaptureId.error(message))
}

pub(super) fn power_from_plugin(power: wit::Power) -> Power {
    match power {
        wit::Power::Running => Power::Running,
        wit::Power::Paused => Power::Paused,
        wit::Power::IoError => Power::IoError,
        wit::Power::Off => Power::Off,
        wit::Power::Unknown => Power::Unknown,
    }
}

fn level_from_plugin(level: wit::Consistency) -> Consistency {
    match level {
        wit::Consistency::Crash => Consistency::Crash,
        wit::Consistency::Filesystem => Consistency::Filesystem,
        wit::Consistency::Application => Consistency::Application,
        wit::Consistency::Stopped => Consistency::Stopped,
    }
}

fn level_to_plugin(level: Consistency) -> wit::Consistency {
    match level {
        Consistency::Crash => wit::Consistency::Crash,
        Consistency::Filesystem => wit::Consistency::Filesystem,
        Consistency::Application => wit::Consistency::Application,
        Consistency::Stopped => wit::Consistency::Stopped,
    }
}

pub(super) fn request_to_plugin(request: &CaptureRequest) -> Result<wit::CaptureRequest, PortError> {
    check_capture_id(&request.capture_id)?;
    Ok(wit::CaptureRequest {
        vm_id: request.vm_id.clone(),
        capture_id: request.capture_id.clone(),
        want: level_to_plugin(request.want),
        minimum: level_to_plugin(request.minimum),
        scratch_path: utf8(&request.scratch_path)?,
        scratch_limit: request.scratch_limit,
        freeze_limit_ms: request.freeze_limit_ms,
    })
}

fn bounded_texts(what: &str, list: Vec<String>, max: usize, length: usize) -> Result<Vec<String>, PortError> {
    bounded_list(what, list, max)?.into_iter().map(|text| bounded_text(what, text, length)).collect()
}

pub(super) fn vm(found: wit::Vm, vm_id: &str) -> Result<Vm, PortError> {
    if found.id != vm_id {
        let message =
            format!("requested instance {vm_id}, the driver described {:?}", truncate(&found.id, 100));
        return Err(Code::BadVm.error(message));
    }
    let agent = |agent: wit::AgentInfo| {
        let version = bounded_text("the guest agent's version", agent.version, MAX_TEXT)?;
        Ok::<_, PortError>(AgentInfo { version, can_freeze: agent.can_freeze, hooks: agent.hooks })
    };
    Ok(Vm {
        id: found.id,
        power: power_from_plugin(found.power),
        hypervisor_version: bounded_text("the hypervisor's version", found.hypervisor_version, MAX_TEXT)?,
        guest_agent: found.guest_agent.map(agent).transpose()?,
        disks: bounded_list("the list of disks", found.disks, MAX_DISKS)?
            .into_iter()
            .map(disk)
            .collect::<Result<_, _>>()?,
        facts: props_from_plugin("the facts", found.facts)?,
    })
}

fn disk(disk: wit::Disk) -> Result<VmDisk, PortError> {
    Ok(VmDisk {
        id: bounded_text("a disk's id", disk.id, MAX_TEXT)?,
        primary: disk.primary,
        virtual_size: disk.virtual_size,
        format: bounded_text("a format", disk.format, MAX_TEXT)?,
        bus: bounded_text("a bus", disk.bus, MAX_TEXT)?,
        read_only: disk.read_only,
        iothread: disk.iothread,
        facts: props_from_plugin("the facts", disk.facts)?,
    })
}

fn quiesce(report: wit::QuiesceReport) -> Result<QuiesceReport, PortError> {
    let downgrade_reason =
        report.downgraded_because.map(|text| bounded_text("a reason", text, MAX_TEXT)).transpose()?;
    Ok(QuiesceReport {
        level: level_from_plugin(report.level),
        frozen_filesystems: report.frozen_filesystems,
        freeze_ms: report.freeze_ms,
        frozen_total_ms: report.frozen_total_ms,
        vm_stopped_ms: report.vm_stopped_ms,
        downgrade_reason,
    })
}

/// Checks the answer of `begin-capture`: the capture is served by NBD, on an endpoint that the same
/// call reserved.
pub(super) fn capture(
    started: wit::StartedCapture,
    resources: &CallResources,
    minimum: Consistency,
) -> Result<StartedCapture, PortError> {
    let locators::ReadLocator::Nbd(nbd) = started.source else {
        let message = "a capture must be served by NBD";
        return Err(Code::BadLocator.error(message));
    };
    let Some(socket) = resources.endpoint(&nbd.endpoint) else {
        let message = format!("endpoint {:?} was not reserved in this call", truncate(&nbd.endpoint, 100));
        return Err(Code::BadEndpoint.error(message));
    };
    let quiesce = quiesce(started.quiesce)?;
    if quiesce.level < minimum {
        let message = format!("the capture reached {:?}, at least {minimum:?} was requested", quiesce.level);
        return Err(Code::BadConsistency.error(message));
    }
    Ok(StartedCapture {
        source: NbdSource {
            socket,
            export: bounded_text("an export's name", nbd.export_name, MAX_TEXT)?,
            meta_contexts: bounded_texts("the meta contexts", nbd.meta_contexts, 16, MAX_TEXT)?,
            max_connections: nbd.max_connections.max(1),
        },
        content: bounded_text("the content", started.content, 64)?,
        virtual_size: started.virtual_size,
        quiesce,
        method: bounded_text("the method", started.method, MAX_TEXT)?,
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

pub(super) fn launch(launch: wit::Launch) -> Result<Launch, PortError> {
    let program = bounded_text("a program", launch.program, 256)?;
    if program.is_empty() || program.contains(['/', '\0']) {
        let message =
            format!("program {program:?} must be a plain name; the host finds programs by their names");
        return Err(Code::BadProgram.error(message));
    }
    let arguments = bounded_texts("the arguments", launch.arguments, MAX_ARGUMENTS, MAX_ARGUMENT)?;
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(Code::BadArguments.error("an argument contains a zero byte"));
    }
    Ok(Launch { program, arguments, environment: props_from_plugin("the environment", launch.environment)? })
}

pub(super) fn requirements(list: Vec<(String, String)>) -> Result<Vec<(String, String)>, PortError> {
    let pair = |(program, version)| {
        Ok((bounded_text("a program", program, MAX_TEXT)?, bounded_text("a version", version, MAX_TEXT)?))
    };
    bounded_list("the requirements", list, MAX_LIST)?.into_iter().map(pair).collect()
}

pub(super) fn plan(plan: wit::Plan) -> Result<CapturePlan, PortError> {
    Ok(CapturePlan {
        method: bounded_text("the method", plan.method, MAX_TEXT)?,
        expected: level_from_plugin(plan.expected),
        virtual_size: plan.virtual_size,
        remarks: bounded_texts("the remarks", plan.remarks, MAX_LIST, MAX_TEXT)?,
    })
}

pub(super) fn capture_status(status: wit::Status) -> Result<CaptureStatus, PortError> {
    Ok(CaptureStatus {
        power: power_from_plugin(status.power),
        scratch_used: status.scratch_used,
        broken: status.broken.map(|text| bounded_text("a reason", text, MAX_TEXT)).transpose()?,
    })
}

pub(super) fn recovered(recovered: wit::Recovered) -> Result<Recovered, PortError> {
    let actions = bounded_texts("the actions", recovered.actions, MAX_LIST, MAX_TEXT)?;
    Ok(Recovered { power: power_from_plugin(recovered.power), actions })
}

pub(super) fn spec_to_plugin(spec: &VmSpec) -> Result<wit::VmSpec, PortError> {
    Ok(wit::VmSpec {
        id: spec.id.clone(),
        name: spec.name.clone(),
        vcpus: spec.vcpus,
        memory_bytes: spec.memory_bytes,
        disks: spec.disks.iter().map(disk_spec).collect::<Result<_, _>>()?,
        cdroms: spec.cdroms.iter().map(disk_spec).collect::<Result<_, _>>()?,
        paths: props_to_plugin(&spec.paths),
        options: props_to_plugin(&spec.options),
    })
}
