//! Hypervisor drivers.

use std::marker::PhantomData;

use super::{
    host::HypervisorSide,
    shapes::{props_in, props_out},
};
use crate::{
    bindings::{
        host::imprint::{host::journal, types::types as shapes},
        hypervisor::exports::imprint::hypervisor::driver as wit,
    },
    host::Note,
    hypervisor::{
        AgentInfo, CaptureRequest, CaptureStatus, Consistency, Disk, DiskSpec, Hypervisor, Launch, Outcome,
        Plan, Power, PowerAction, QuiesceReport, Recovered, StartedCapture, Vm, VmSpec,
    },
};

/// What `export_hypervisor!` exports.
pub struct Driver<H>(PhantomData<H>);

fn power(power: Power) -> wit::Power {
    match power {
        Power::Running => wit::Power::Running,
        Power::Paused => wit::Power::Paused,
        Power::IoError => wit::Power::IoError,
        Power::Off => wit::Power::Off,
        Power::Unknown => wit::Power::Unknown,
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

fn level_in(level: wit::Consistency) -> Consistency {
    match level {
        wit::Consistency::Crash => Consistency::Crash,
        wit::Consistency::Filesystem => Consistency::Filesystem,
        wit::Consistency::Application => Consistency::Application,
        wit::Consistency::Stopped => Consistency::Stopped,
    }
}

fn request_in(request: wit::CaptureRequest) -> CaptureRequest {
    CaptureRequest {
        vm_id: request.vm_id,
        capture_id: request.capture_id,
        want: level_in(request.want),
        minimum: level_in(request.minimum),
        scratch_path: request.scratch_path,
        scratch_limit: request.scratch_limit,
        freeze_limit_ms: request.freeze_limit_ms,
    }
}

fn vm(vm: Vm) -> wit::Vm {
    wit::Vm {
        id: vm.id,
        power: power(vm.power),
        hypervisor_version: vm.hypervisor_version,
        guest_agent: vm.guest_agent.map(|AgentInfo { version, can_freeze, hooks }| wit::AgentInfo {
            version,
            can_freeze,
            hooks,
        }),
        disks: vm.disks.into_iter().map(disk).collect(),
        facts: props_out(vm.facts),
    }
}

fn disk(disk: Disk) -> wit::Disk {
    let Disk { id, primary, virtual_size, format, bus, read_only, iothread, facts } = disk;
    wit::Disk { id, primary, virtual_size, format, bus, read_only, iothread, facts: props_out(facts) }
}

fn quiesce(report: QuiesceReport) -> wit::QuiesceReport {
    wit::QuiesceReport {
        level: level_out(report.level),
        frozen_filesystems: report.frozen_filesystems,
        freeze_ms: report.freeze_ms,
        frozen_total_ms: report.frozen_total_ms,
        vm_stopped_ms: report.vm_stopped_ms,
        downgraded_because: report.downgraded_because,
    }
}

fn disk_spec(spec: wit::DiskSpec) -> DiskSpec {
    DiskSpec { path: spec.path, format: spec.format, read_only: spec.read_only, serial: spec.serial }
}

fn vm_spec(spec: wit::VmSpec) -> VmSpec {
    VmSpec {
        id: spec.id,
        name: spec.name,
        vcpus: spec.vcpus,
        memory_bytes: spec.memory_bytes,
        disks: spec.disks.into_iter().map(disk_spec).collect(),
        cdroms: spec.cdroms.into_iter().map(disk_spec).collect(),
        paths: props_in(spec.paths),
        options: props_in(spec.options),
    }
}

impl<H: Hypervisor> wit::Guest for Driver<H> {
    fn requirements() -> Vec<(String, String)> {
        H::requirements()
    }

    fn describe(vm_id: String) -> Result<wit::Vm, shapes::Error> {
        Ok(vm(H::describe(&HypervisorSide, &vm_id)?))
    }

    fn plan_capture(request: wit::CaptureRequest) -> Result<wit::Plan, shapes::Error> {
        let Plan { method, expected, virtual_size, remarks } =
            H::plan_capture(&HypervisorSide, &request_in(request))?;
        Ok(wit::Plan { method, expected: level_out(expected), virtual_size, remarks })
    }

    fn begin_capture(request: wit::CaptureRequest) -> Result<wit::StartedCapture, shapes::Error> {
        let StartedCapture { source, content, virtual_size, quiesce: report, method } =
            H::begin_capture(&HypervisorSide, &request_in(request))?;
        Ok(wit::StartedCapture {
            source: source.into(),
            content,
            virtual_size,
            quiesce: quiesce(report),
            method,
        })
    }

    fn capture_status(vm_id: String, capture_id: String) -> Result<wit::Status, shapes::Error> {
        let CaptureStatus { power: state, scratch_used, broken } =
            H::capture_status(&HypervisorSide, &vm_id, &capture_id)?;
        Ok(wit::Status { power: power(state), scratch_used, broken })
    }

    fn end_capture(vm_id: String, capture_id: String, outcome: wit::Outcome) -> Result<(), shapes::Error> {
        let outcome = match outcome {
            wit::Outcome::Commit => Outcome::Commit,
            wit::Outcome::Discard => Outcome::Discard,
        };
        Ok(H::end_capture(&HypervisorSide, &vm_id, &capture_id, outcome)?)
    }

    fn recover(
        vm_id: String,
        capture_id: String,
        notes: Vec<journal::Note>,
    ) -> Result<wit::Recovered, shapes::Error> {
        let notes: Vec<Note> =
            notes.into_iter().map(|note| Note { step: note.step, data: props_in(note.data) }).collect();
        let Recovered { power: state, actions } = H::recover(&HypervisorSide, &vm_id, &capture_id, &notes)?;
        Ok(wit::Recovered { power: power(state), actions })
    }

    fn define(spec: wit::VmSpec) -> Result<wit::Launch, shapes::Error> {
        let Launch { program, arguments, environment } = H::define(&HypervisorSide, &vm_spec(spec))?;
        Ok(wit::Launch { program, arguments, environment: props_out(environment) })
    }

    fn set_power(vm_id: String, action: wit::PowerAction) -> Result<wit::Power, shapes::Error> {
        let action = match action {
            wit::PowerAction::Shutdown => PowerAction::Shutdown,
            wit::PowerAction::PowerOff => PowerAction::PowerOff,
            wit::PowerAction::Resume => PowerAction::Resume,
        };
        Ok(power(H::set_power(&HypervisorSide, &vm_id, action)?))
    }
}
