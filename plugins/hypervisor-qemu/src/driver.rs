//! The driver's functions, as the host calls them.

use imprint_plugin_sdk::hypervisor::{
    CaptureRequest, CaptureStatus, Devices, DiskSpec, Hypervisor, Launch, Outcome, Plan, Power, PowerAction,
    Reclaim, Reclaiming, Recovered, StartedCapture, Vm, VmSpec,
};
use imprint_plugin_sdk::types::Props;
use imprint_plugin_sdk::{
    error::Result,
    host::{HypervisorHost, Note},
};
use serde_json::Value;

use crate::{
    error::Fault,
    monitor::Monitor,
    names::Names,
    survey::{LOWEST, Survey},
    {capture, devices, launch, quiesce, reclaim, survey, teardown},
};

/// How long a process may take to end: it flushes its disks first.
const QUIT_MS: u32 = 20_000;

/// Plain QEMU, over QMP and the guest agent's socket.
pub struct Qemu;

impl Hypervisor for Qemu {
    fn requirements() -> Vec<(String, String)> {
        vec![(launch::PROGRAM.to_owned(), LOWEST.to_owned())]
    }

    fn describe(host: &dyn HypervisorHost, vm_id: &str) -> Result<Vm> {
        Ok(describe(host, vm_id)?)
    }

    fn plan_capture(host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<Plan> {
        Ok(capture::plan(host, request)?)
    }

    fn begin_capture(host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<StartedCapture> {
        Ok(capture::begin(host, request)?)
    }

    fn capture_status(host: &dyn HypervisorHost, vm_id: &str, capture_id: &str) -> Result<CaptureStatus> {
        Ok(capture::status(host, vm_id, capture_id)?)
    }

    fn end_capture(host: &dyn HypervisorHost, vm_id: &str, capture_id: &str, outcome: Outcome) -> Result<()> {
        // Full captures leave nothing for the next one, so both outcomes are taken down alike.
        let (Outcome::Commit | Outcome::Discard) = outcome;
        teardown::recover(host, vm_id, &Names::new(capture_id)?, &host.notes())?;
        Ok(())
    }

    fn recover(
        host: &dyn HypervisorHost,
        vm_id: &str,
        capture_id: &str,
        notes: &[Note],
    ) -> Result<Recovered> {
        Ok(teardown::recover(host, vm_id, &Names::new(capture_id)?, notes)?)
    }

    fn define(_host: &dyn HypervisorHost, spec: &VmSpec) -> Result<Launch> {
        Ok(launch::define(spec)?)
    }

    fn set_power(host: &dyn HypervisorHost, vm_id: &str, action: PowerAction) -> Result<Power> {
        Ok(set_power(host, vm_id, action)?)
    }
}

impl Devices for Qemu {
    fn change_medium(host: &dyn HypervisorHost, vm_id: &str, medium: Option<&DiskSpec>) -> Result<()> {
        Ok(devices::change_medium(host, vm_id, medium)?)
    }

    fn attach_disk(host: &dyn HypervisorHost, vm_id: &str, disk: &DiskSpec) -> Result<()> {
        Ok(devices::attach_disk(host, vm_id, disk)?)
    }

    fn detach_disk(host: &dyn HypervisorHost, vm_id: &str, serial: &str) -> Result<()> {
        Ok(devices::detach_disk(host, vm_id, serial)?)
    }
}

impl Reclaim for Qemu {
    fn start_reclaim(host: &dyn HypervisorHost, vm_id: &str) -> Result<Reclaiming> {
        Ok(reclaim::start(host, vm_id)?)
    }

    fn reclaim_status(host: &dyn HypervisorHost, vm_id: &str) -> Result<Reclaiming> {
        Ok(reclaim::status(host, vm_id)?)
    }
}

fn describe(host: &dyn HypervisorHost, vm_id: &str) -> std::result::Result<Vm, Fault> {
    let mut monitor = Monitor::connect(host, vm_id)?;
    let survey = Survey::take(&mut monitor)?;
    let disks = survey.describe_disks(&mut monitor)?;
    let guest_agent = if survey.power == Power::Running {
        match quiesce::find_agent(host, &mut monitor, vm_id)? {
            Some(mut agent) => agent.info(quiesce::has_hooks(host)).ok(),
            None => None,
        }
    } else {
        None
    };
    Ok(Vm {
        id: vm_id.to_owned(),
        power: survey.power,
        hypervisor_version: survey.version.to_string(),
        guest_agent,
        disks,
        facts: Props::new(),
    })
}

fn set_power(
    host: &dyn HypervisorHost,
    vm_id: &str,
    action: PowerAction,
) -> std::result::Result<Power, Fault> {
    let mut monitor = match (Monitor::connect(host, vm_id), action) {
        (Err(fault), PowerAction::PowerOff) if fault.is_gone() => return Ok(Power::Off),
        (monitor, _) => monitor?,
    };
    match action {
        PowerAction::Shutdown => {
            monitor.run("system_powerdown", Value::Null)?;
            survey::power(&mut monitor)
        }
        PowerAction::Resume => {
            monitor.run("cont", Value::Null)?;
            survey::power(&mut monitor)
        }
        PowerAction::PowerOff => quit(&mut monitor),
    }
}

/// The monitor closes when the process has flushed its disks and ended.
fn quit(monitor: &mut Monitor<'_>) -> std::result::Result<Power, Fault> {
    let asked = monitor.run("quit", Value::Null);
    match asked.and_then(|()| monitor.wait_event(|_| false, QUIT_MS)) {
        Err(fault) if fault.is_lost() => Ok(Power::Off),
        Ok(_) => Err(Fault::Timeout { command: "quit".to_owned() }),
        Err(fault) => Err(fault),
    }
}
