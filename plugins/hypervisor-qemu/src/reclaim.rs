//! Letting the guest give back the space that its file systems do not use any more: the guest agent
//! trims them, and QEMU punches holes into the disk's file.
//!
//! The agent answers nothing while it trims. That is how its end is seen: it answers again.

use imprint_plugin_sdk::{
    host::HypervisorHost,
    hypervisor::{Power, Reclaiming},
};

use crate::{agent::Agent, error::Fault, monitor::Monitor, quiesce::find_agent, survey};

/// How long the start waits for the end: most trims take no longer.
const START_MS: u32 = 5_000;
/// How long an agent has to answer that trims no more.
const STATUS_MS: u32 = 1_000;

/// Begins to trim, if the guest has an agent that does.
pub(crate) fn start(host: &dyn HypervisorHost, vm: &str) -> Result<Reclaiming, Fault> {
    let mut monitor = Monitor::connect(host, vm)?;
    if survey::power(&mut monitor)? != Power::Running {
        return Ok(Reclaiming::Unavailable);
    }
    let Some(mut agent) = find_agent(host, &mut monitor, vm)? else {
        return Ok(Reclaiming::Unavailable);
    };
    if !agent.can_trim()? {
        return Ok(Reclaiming::Unavailable);
    }
    match agent.trim(START_MS) {
        Ok(()) => Ok(Reclaiming::Ended),
        Err(Fault::Timeout { .. }) => Ok(Reclaiming::Running),
        // For example no file system that can be trimmed.
        Err(Fault::Refused { .. }) => Ok(Reclaiming::Unavailable),
        Err(fault) => Err(fault),
    }
}

/// Whether the agent is still busy.
pub(crate) fn status(host: &dyn HypervisorHost, vm: &str) -> Result<Reclaiming, Fault> {
    Ok(match Agent::connect_within(host, vm, STATUS_MS)? {
        Some(_) => Reclaiming::Ended,
        None => Reclaiming::Running,
    })
}
