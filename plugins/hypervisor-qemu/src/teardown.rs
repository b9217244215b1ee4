//! Taking a capture down, in whatever state it was left, and letting the guest go.

use imprint_plugin_sdk::{
    host::{HypervisorHost, Note},
    hypervisor::{Power, Recovered},
    types::Props,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    agent::Frozen,
    error::Fault,
    monitor::Monitor,
    names::{Names, step},
    quiesce::{find_agent, record},
    survey::{self, Export, Survey},
};

/// For a hard removal: QEMU drops the clients and reports it.
const EXPORT_GONE_MS: u32 = 10_000;
/// Between two looks at the exports, should the event have been missed.
const EXPORT_POLL_MS: u32 = 500;

/// Connections that may be lost, or find the monitor busy, while taking down.
const ATTEMPTS: u32 = 3;

#[derive(Deserialize)]
struct Graph {
    nodes: Vec<GraphNode>,
    edges: Vec<GraphEdge>,
}

#[derive(Deserialize)]
struct GraphNode {
    id: u64,
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct GraphEdge {
    parent: u64,
    child: u64,
    name: String,
}

/// The notes of the capture that is not ended yet: those after the last `ended`.
fn open_notes(notes: &[Note]) -> &[Note] {
    let begin = notes.iter().rposition(|note| note.step == step::ENDED).map_or(0, |index| index + 1);
    &notes[begin..]
}

fn noted(notes: &[Note], step: &str) -> bool {
    notes.iter().any(|note| note.step == step)
}

/// Undoes whatever a capture left behind, from the notes and from what QEMU shows: lets the guest
/// go if it is still held, and takes everything down. Idempotent. A process that is gone took
/// everything with it.
pub(crate) fn recover(
    host: &dyn HypervisorHost,
    vm: &str,
    names: &Names,
    notes: &[Note],
) -> Result<Recovered, Fault> {
    let notes = open_notes(notes);
    let mut last = Fault::ConnectionLost;
    for _ in 0..ATTEMPTS {
        let outcome = Monitor::connect(host, vm)
            .and_then(|mut monitor| recover_with(host, &mut monitor, vm, names, notes));
        match outcome {
            Err(fault) if fault.is_gone() => return gone(host, notes),
            // Only a new connection shows whether the process is gone, too. The host's watchdog may
            // hold the monitor.
            Err(fault @ (Fault::ConnectionLost | Fault::MonitorBusy)) => last = fault,
            outcome => return outcome,
        }
    }
    Err(last)
}

fn gone(host: &dyn HypervisorHost, notes: &[Note]) -> Result<Recovered, Fault> {
    if !notes.is_empty() {
        record(host, step::ENDED, Props::new())?;
    }
    Ok(Recovered {
        power: Power::Off,
        actions: vec!["the instance is off: nothing is left in it".to_owned()],
    })
}

fn recover_with<'h>(
    host: &'h dyn HypervisorHost,
    monitor: &mut Monitor<'h>,
    vm: &str,
    names: &Names,
    notes: &[Note],
) -> Result<Recovered, Fault> {
    let mut actions = Vec::new();
    // What holds the guest comes first, and must not keep the rest from being taken down.
    let resumed = resume_if_ours(host, monitor, vm, notes, &mut actions);
    let thawed = thaw_if_ours(host, monitor, vm, notes, &mut actions);
    if !notes.is_empty() {
        record(host, step::ENDING, Props::new())?;
    }
    take_down(monitor, names, notes, &mut actions)?;
    resumed?;
    thawed?;
    if !notes.is_empty() {
        record(host, step::ENDED, Props::new())?;
    }
    Ok(Recovered { power: survey::power(monitor)?, actions })
}

fn resume_if_ours<'h>(
    host: &'h dyn HypervisorHost,
    monitor: &mut Monitor<'h>,
    vm: &str,
    notes: &[Note],
    actions: &mut Vec<String>,
) -> Result<(), Fault> {
    if !noted(notes, step::STOPPING) || noted(notes, step::RESUMED) {
        return Ok(());
    }
    if survey::power(monitor)? == Power::Paused {
        resume(host, monitor, vm)?;
        actions.push("resumed the guest".to_owned());
    }
    record(host, step::RESUMED, Props::new())
}

/// Lets the virtual processors continue; a lost monitor is opened again for it.
pub(crate) fn resume<'h>(
    host: &'h dyn HypervisorHost,
    monitor: &mut Monitor<'h>,
    vm: &str,
) -> Result<(), Fault> {
    if let Err(first) = monitor.run("cont", Value::Null) {
        if !matches!(first, Fault::Refused { .. }) {
            *monitor = Monitor::connect(host, vm)?;
        }
        monitor.run("cont", Value::Null)?;
    }
    match survey::power(monitor)? {
        Power::Paused => Err(Fault::GuestHeld { problem: "it stays paused after `cont`".to_owned() }),
        Power::Running | Power::IoError | Power::Off | Power::Unknown => Ok(()),
    }
}

fn thaw_if_ours<'h>(
    host: &'h dyn HypervisorHost,
    monitor: &mut Monitor<'h>,
    vm: &str,
    notes: &[Note],
    actions: &mut Vec<String>,
) -> Result<(), Fault> {
    if !noted(notes, step::FREEZING) || noted(notes, step::THAWED) {
        return Ok(());
    }
    let Some(mut agent) = find_agent(host, monitor, vm)? else {
        let open = survey::agent_port_open(monitor, crate::quiesce::AGENT_CHARDEV)?;
        if open == Some(true) {
            return Err(Fault::GuestHeld {
                problem: "its agent does not answer, so it may be frozen".to_owned(),
            });
        }
        // An agent that left its port cannot hold a freeze for us to end: the guest is down or
        // rebooting.
        actions.push("the guest agent is gone; it was not asked to thaw".to_owned());
        return Ok(());
    };
    if agent.freeze_status()? == Frozen::Frozen {
        let count = agent.thaw()?;
        actions.push(format!("thawed {count} file systems of the guest"));
    }
    record(host, step::THAWED, Props::new())
}

/// Points a device at a node.
pub(crate) fn set_drive(monitor: &mut Monitor<'_>, device: &str, node: &str) -> Result<(), Fault> {
    monitor.run("qom-set", json!({ "path": device, "property": "drive", "value": node }))
}

/// Removes the export, the server if it is ours, and the nodes, from the reader's side down to the
/// disk. Goes on after a failure; what counts is what is left in the end.
fn take_down(
    monitor: &mut Monitor<'_>,
    names: &Names,
    notes: &[Note],
    actions: &mut Vec<String>,
) -> Result<(), Fault> {
    let survey = Survey::take(monitor)?;
    let exported = survey.exports.iter().any(|export| export.id == names.export);
    let present = |name: &str| survey.has_node(name);
    // Export, snapshot and filter come after the server, so they prove it ours even without the
    // journal.
    let noted_ours = noted(notes, step::STARTING_SERVER) && !noted(notes, step::SERVER_REFUSED);
    let ours = exported || present(&names.access) || present(&names.filter) || noted_ours;
    let mut problem = None;
    let mut step = |what: &str, outcome: Result<(), Fault>| match outcome {
        Ok(()) => {
            actions.push(what.to_owned());
            Ok(())
        }
        Err(fault) if fault.is_lost() => Err(fault),
        Err(fault) => {
            problem.get_or_insert(fault.to_string());
            Ok(())
        }
    };
    if exported {
        step("removed the export", remove_export(monitor, &names.export))?;
    }
    if ours && !survey::exports(monitor)?.iter().any(Export::is_nbd) {
        match monitor.run("nbd-server-stop", Value::Null) {
            Err(fault) if fault.is_server_stopped() => {}
            outcome => step("stopped the NBD server", outcome)?,
        }
    }
    if present(&names.access) {
        step("removed the snapshot", remove_node(monitor, &names.access))?;
    }
    if present(&names.filter) {
        step("put the disk back", put_back(monitor, names, &survey, notes))?;
        step("removed the filter", remove_node(monitor, &names.filter))?;
    }
    if present(&names.scratch) {
        step("removed the scratch", remove_node(monitor, &names.scratch))?;
    }
    verify(monitor, names, problem)
}

fn verify(monitor: &mut Monitor<'_>, names: &Names, problem: Option<String>) -> Result<(), Fault> {
    let ours = [&names.access, &names.filter, &names.scratch, &names.scratch_file];
    let mut left: Vec<String> = survey::nodes(monitor)?
        .into_iter()
        .map(|node| node.name)
        .filter(|name| ours.contains(&name))
        .collect();
    left.extend(
        survey::exports(monitor)?.into_iter().map(|export| export.id).filter(|id| *id == names.export),
    );
    if left.is_empty() {
        return Ok(());
    }
    let why = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
    Err(Fault::NotTakenDown { problem: format!("{}{why}", left.join(", ")) })
}

fn remove_node(monitor: &mut Monitor<'_>, node: &str) -> Result<(), Fault> {
    monitor.run("blockdev-del", json!({ "node-name": node }))
}

fn remove_export(monitor: &mut Monitor<'_>, id: &str) -> Result<(), Fault> {
    // It may be on its way out already; what counts is that it goes.
    let asked = monitor.run("block-export-del", json!({ "id": id, "mode": "hard" }));
    for _ in 0..EXPORT_GONE_MS / EXPORT_POLL_MS {
        let deleted = |event: &crate::monitor::Event| {
            event.name == "BLOCK_EXPORT_DELETED" && event.id.as_deref() == Some(id)
        };
        if monitor.wait_event(deleted, EXPORT_POLL_MS)? {
            return Ok(());
        }
        if !survey::exports(monitor)?.iter().any(|export| export.id == id) {
            return Ok(());
        }
    }
    asked.and(Err(Fault::Timeout { command: "block-export-del".to_owned() }))
}

/// Gives the disk back to the device that has the filter now.
fn put_back(monitor: &mut Monitor<'_>, names: &Names, survey: &Survey, notes: &[Note]) -> Result<(), Fault> {
    let Some(disk) = survey.disks.iter().find(|disk| disk.node == names.filter) else { return Ok(()) };
    let root = match filtered_node(monitor, &names.filter) {
        Ok(Some(root)) => root,
        Ok(None) | Err(Fault::Refused { .. } | Fault::Protocol { .. }) => noted_root(notes)?,
        Err(fault) => return Err(fault),
    };
    set_drive(monitor, &disk.device, &root)
}

/// What is below the filter, as the block graph shows it.
fn filtered_node(monitor: &mut Monitor<'_>, filter: &str) -> Result<Option<String>, Fault> {
    let graph: Graph = monitor.query("x-debug-query-block-graph")?;
    let driver = |node: &&GraphNode| node.kind == "block-driver";
    let Some(parent) = graph.nodes.iter().filter(driver).find(|node| node.name == filter) else {
        return Ok(None);
    };
    let child = graph
        .edges
        .iter()
        .find(|edge| edge.parent == parent.id && edge.name == "file")
        .map(|edge| edge.child);
    Ok(graph.nodes.iter().find(|node| Some(node.id) == child).map(|node| node.name.clone()))
}

fn noted_root(notes: &[Note]) -> Result<String, Fault> {
    let noted = notes.iter().rev().find(|note| note.step == step::INSERTING_FILTER);
    noted.and_then(|note| note.data.get("root").cloned()).ok_or_else(|| Fault::NotTakenDown {
        problem: "neither QEMU nor the journal shows which disk is below the filter".to_owned(),
    })
}
