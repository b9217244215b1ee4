//! A live capture: a copy-before-write filter between device and disk keeps the old content of
//! whatever the guest overwrites in a scratch file; a snapshot-access node shows the disk as it
//! was, and an NBD export serves that.
//!
//! The guest never waits for the reader: when the scratch fails, the snapshot breaks and the guest
//! continues.

use imprint_plugin_sdk::{
    host::{Endpoint, HypervisorHost},
    hypervisor::{CaptureRequest, CaptureStatus, Consistency, Plan, Power, StartedCapture},
    types::{NbdRef, Props, ReadLocator, props},
};
use serde_json::json;

use crate::{
    error::Fault,
    monitor::Monitor,
    names::{EXPORT_NAME, Names, step},
    quiesce::{self, Quiesced, elapsed, record},
    survey::{self, FoundDisk, Survey},
    teardown,
};

/// The method, as it is recorded with the image.
const METHOD: &str = "cbw-snapshot-access";
/// Connections that QEMU takes for one export at once.
const MAX_CONNECTIONS: u16 = 4;
/// Seconds that a guest's write waits for the scratch before the snapshot is given up instead.
const FILTER_TIMEOUT_S: u32 = 10;
/// What a unix socket address holds, less its terminator.
const MAX_SOCKET_PATH: usize = 107;
/// The longest freeze that may be asked for.
const MAX_FREEZE_LIMIT_MS: u32 = 10_000;

/// What a capture would do.
pub(crate) fn plan(host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<Plan, Fault> {
    check_request(request)?;
    let mut monitor = Monitor::connect(host, &request.vm_id)?;
    let survey = Survey::take(&mut monitor)?;
    let disk = survey.gates(&mut monitor)?;
    let mut remarks = Vec::new();
    let expected = if request.want == Consistency::Crash {
        Consistency::Crash
    } else {
        match quiesce::freezer(host, &mut monitor, &request.vm_id, survey.power)? {
            Ok(_) => {
                let level = quiesce::frozen_level(host);
                remarks.extend(quiesce::shortfall(level, request.want));
                level
            }
            Err(reason) => {
                remarks.push(reason);
                Consistency::Crash
            }
        }
    };
    let others: Vec<&str> = survey.disks.iter().map(FoundDisk::id).filter(|id| *id != disk.id()).collect();
    if !others.is_empty() {
        remarks.push(format!("only the primary disk `{}` is captured, not {}", disk.id(), others.join(", ")));
    }
    Ok(Plan { method: METHOD.to_owned(), expected, virtual_size: disk.virtual_size, remarks })
}

fn check_request(request: &CaptureRequest) -> Result<Names, Fault> {
    if !request.scratch_path.starts_with('/') {
        return Err(Fault::Invalid { what: "scratch path", problem: "use an absolute path".to_owned() });
    }
    if !(1..=MAX_FREEZE_LIMIT_MS).contains(&request.freeze_limit_ms) {
        return Err(Fault::Invalid {
            what: "freeze limit",
            problem: format!("use 1 to {MAX_FREEZE_LIMIT_MS} ms"),
        });
    }
    if request.minimum > request.want {
        return Err(Fault::Invalid {
            what: "minimum",
            problem: "`want` must not be weaker than `minimum`".to_owned(),
        });
    }
    Names::new(&request.capture_id)
}

/// Takes the point in time and serves it. On any failure nothing stays behind.
pub(crate) fn begin(host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<StartedCapture, Fault> {
    let names = check_request(request)?;
    let mut monitor = Monitor::connect(host, &request.vm_id)?;
    let survey = Survey::take(&mut monitor)?;
    let disk = survey.gates(&mut monitor)?;
    if request.minimum == Consistency::Stopped {
        return Err(Fault::ConsistencyNotReached {
            reached: quiesce::frozen_level(host),
            minimum: request.minimum,
            reason: "the instance is not off".to_owned(),
        });
    }
    let endpoint = host.reserve_endpoint("run", "nbd")?;
    if endpoint.peer_path.len() > MAX_SOCKET_PATH {
        return Err(Fault::Invalid {
            what: "endpoint",
            problem: format!("its path is longer than {MAX_SOCKET_PATH} bytes; move the agent's run folder"),
        });
    }
    let mut sequence = Sequence { host, request, names, disk, power: survey.power, endpoint };
    sequence.run(&mut monitor).map_err(|fault| {
        // The monitor may be what failed: taking down begins with a new one.
        drop(monitor);
        match teardown::recover(host, &request.vm_id, &sequence.names, &host.notes()) {
            Ok(left) if fault.is_lost() && left.power == Power::Off => Fault::VmGone,
            Ok(_) => fault,
            Err(left) => {
                imprint_plugin_sdk::warn!("after `{fault}`: {left}");
                fault
            }
        }
    })
}

struct Sequence<'a> {
    host: &'a dyn HypervisorHost,
    request: &'a CaptureRequest,
    names: Names,
    disk: &'a FoundDisk,
    power: Power,
    endpoint: Endpoint,
}

impl<'a> Sequence<'a> {
    fn run(&mut self, monitor: &mut Monitor<'a>) -> Result<StartedCapture, Fault> {
        self.add_scratch(monitor)?;
        self.start_server(monitor)?;
        if self.host.cancelled() {
            return Err(Fault::Cancelled);
        }
        let limits = (self.request.want, self.power, self.request.freeze_limit_ms);
        let mut quiesced = Quiesced::freeze(self.host, monitor, &self.request.vm_id, limits)?;
        let stopped = quiesced.check(self.request.minimum).and_then(|()| self.take_point(monitor));
        let released = quiesced.release(stopped.is_ok());
        let vm_stopped_ms = stopped?;
        released?;
        quiesced.check(self.request.minimum)?;
        self.export(monitor)?;
        Ok(StartedCapture {
            source: ReadLocator::Nbd(NbdRef {
                endpoint: self.endpoint.id.clone(),
                export_name: EXPORT_NAME.to_owned(),
                meta_contexts: vec!["base:allocation".to_owned()],
                max_connections: MAX_CONNECTIONS,
            }),
            content: "raw".to_owned(),
            virtual_size: self.disk.virtual_size,
            quiesce: quiesced.into_report(vm_stopped_ms),
            method: METHOD.to_owned(),
        })
    }

    fn add_scratch(&self, monitor: &mut Monitor<'_>) -> Result<(), Fault> {
        let Names { scratch, scratch_file, .. } = &self.names;
        record(self.host, step::ADDING_SCRATCH, props([("path", &self.request.scratch_path)]))?;
        monitor.run(
            "blockdev-add",
            json!({
                "driver": "qcow2", "node-name": scratch, "discard": "unmap", "backing": null,
                "file": { "driver": "file", "node-name": scratch_file, "filename": self.request.scratch_path },
            }),
        )?;
        let size =
            survey::nodes(monitor)?.iter().find(|node| node.name == *scratch).map(|node| node.virtual_size);
        match size {
            Some(size) if size == self.disk.virtual_size => Ok(()),
            size => {
                Err(Fault::ScratchSize { scratch: size.unwrap_or_default(), disk: self.disk.virtual_size })
            }
        }
    }

    /// Before the guest is touched: a server that others hold must not cost it a freeze.
    fn start_server(&self, monitor: &mut Monitor<'_>) -> Result<(), Fault> {
        record(self.host, step::STARTING_SERVER, Props::new())?;
        let address = json!({ "type": "unix", "data": { "path": self.endpoint.peer_path } });
        match monitor.run("nbd-server-start", json!({ "addr": address, "max-connections": MAX_CONNECTIONS }))
        {
            Err(fault) if fault.is_server_running() => {
                // Otherwise taking down would stop the other server.
                record(self.host, step::SERVER_REFUSED, Props::new())?;
                Err(Fault::NbdBusy)
            }
            outcome => outcome,
        }
    }

    /// Inserts the filter while the virtual processors are stopped; returns how long they did,
    /// in milliseconds. They continue on every path.
    fn take_point(&self, monitor: &mut Monitor<'a>) -> Result<u32, Fault> {
        let data = props([("root", &self.disk.node), ("device", &self.disk.device)]);
        record(self.host, step::INSERTING_FILTER, data)?;
        monitor.forget_events();
        if self.power != Power::Running {
            self.insert_filter(monitor)?;
            return Ok(0);
        }
        record(self.host, step::STOPPING, Props::new())?;
        let since_ms = self.host.monotonic_ms();
        let inserted =
            monitor.run("stop", serde_json::Value::Null).and_then(|()| self.insert_filter(monitor));
        let noted = record(self.host, step::RESUMING, Props::new());
        teardown::resume(self.host, monitor, &self.request.vm_id)?;
        let stopped_ms = elapsed(self.host, since_ms);
        let confirmed = record(self.host, step::RESUMED, Props::new());
        inserted?;
        noted?;
        confirmed?;
        Ok(stopped_ms)
    }

    fn insert_filter(&self, monitor: &mut Monitor<'_>) -> Result<(), Fault> {
        monitor.run(
            "blockdev-add",
            json!({
                "driver": "copy-before-write", "node-name": self.names.filter, "file": self.disk.node,
                "target": self.names.scratch, "on-cbw-error": "break-snapshot", "cbw-timeout": FILTER_TIMEOUT_S,
            }),
        )?;
        teardown::set_drive(monitor, &self.disk.device, &self.names.filter)?;
        // A watchdog or an operator may have let the guest continue; what it wrote before the
        // filter was in is then torn.
        let still_stopped = survey::power(monitor)? != Power::Running;
        if still_stopped && !monitor.saw("RESUME") { Ok(()) } else { Err(Fault::ResumedEarly) }
    }

    fn export(&self, monitor: &mut Monitor<'_>) -> Result<(), Fault> {
        let Names { access, filter, export, .. } = &self.names;
        record(self.host, step::EXPORTING, Props::new())?;
        monitor.run(
            "blockdev-add",
            json!({ "driver": "snapshot-access", "node-name": access, "file": filter }),
        )?;
        monitor.run(
            "block-export-add",
            json!({ "id": export, "type": "nbd", "node-name": access, "name": EXPORT_NAME, "writable": false }),
        )
    }
}

/// How a running capture is doing. QEMU does not show that a filter gave its snapshot up after a
/// failed write to the scratch: the reader of the export learns that, from its failing reads.
pub(crate) fn status(host: &dyn HypervisorHost, vm: &str, capture_id: &str) -> Result<CaptureStatus, Fault> {
    let names = Names::new(capture_id)?;
    let mut monitor = Monitor::connect(host, vm)?;
    let survey = Survey::take(&mut monitor)?;
    let scratch_used =
        survey.nodes.iter().find(|node| node.name == names.scratch_file).map_or(0, |node| node.allocated);
    let broken = if !survey.exports.iter().any(|export| export.id == names.export && !export.shutting_down) {
        Some("the instance does not serve the snapshot any more".to_owned())
    } else if !survey.disks.iter().any(|disk| disk.node == names.filter) {
        Some("the snapshot's filter was taken out of the disk".to_owned())
    } else {
        None
    };
    Ok(CaptureStatus { power: survey.power, scratch_used, broken })
}
