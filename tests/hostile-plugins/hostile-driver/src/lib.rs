//! A hypervisor driver that sends the messages that its settings name, and leaves guests frozen.

use imprint_plugin_sdk::{
    error::{Error, Result},
    export_hypervisor,
    host::{Channel, Framing, HypervisorHost, Note},
    hypervisor::{
        CaptureRequest, CaptureStatus, Consistency, Hypervisor, Launch, Outcome, Plan, Power, PowerAction,
        QuiesceReport, Recovered, StartedCapture, Vm, VmSpec,
    },
    types::{NbdRef, Props, ReadLocator, props},
};

struct HostileDriver;

const WAIT_MS: u32 = 5_000;

fn open(host: &dyn HypervisorHost, grant: &str, vm_id: &str) -> Result<Box<dyn Channel>> {
    host.open(grant, &[("vm", vm_id)], Framing::Lines)
}

fn ask(channel: &dyn Channel, message: &str) -> Result<String> {
    channel.send(message.as_bytes())?;
    let answer = channel.receive(WAIT_MS)?;
    let answer = answer.ok_or_else(|| Error::transient("hostile.silence", "the peer did not answer"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn vm(vm_id: &str, facts: Props) -> Vm {
    Vm {
        id: vm_id.to_owned(),
        power: Power::Running,
        hypervisor_version: "1".to_owned(),
        guest_agent: None,
        disks: Vec::new(),
        facts,
    }
}

impl Hypervisor for HostileDriver {
    fn requirements() -> Vec<(String, String)> {
        vec![("hostile".to_owned(), "1".to_owned())]
    }

    /// Sends the message in the setting `message` on the channel in the setting `channel`.
    fn describe(host: &dyn HypervisorHost, vm_id: &str) -> Result<Vm> {
        let grant = host.config("channel").unwrap_or_else(|| "qmp".to_owned());
        let channel = open(host, &grant, vm_id)?;
        let answer = ask(channel.as_ref(), &host.config("message").unwrap_or_default())?;
        Ok(vm(vm_id, props([("answer", answer.as_str())])))
    }

    fn plan_capture(_host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<Plan> {
        Ok(Plan {
            method: "none".to_owned(),
            expected: request.want,
            virtual_size: 0,
            remarks: vec!["x".to_owned(); 100_000],
        })
    }

    /// Freezes the guest, and then does what the mode in `capture_id` names instead of thawing it.
    fn begin_capture(host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<StartedCapture> {
        host.record(&Note {
            step: "freezing".to_owned(),
            data: props([("capture", request.capture_id.as_str())]),
        })?;
        let endpoint = host.reserve_endpoint("qmp", "nbd")?;
        let channel = open(host, "qga", &request.vm_id)?;
        ask(channel.as_ref(), r#"{"execute":"guest-fsfreeze-freeze"}"#)?;
        match request.capture_id.as_str() {
            "trap" => panic!("this plugin panics with a frozen guest"),
            "sleep" => loop {
                host.sleep_ms(1_000);
            },
            "forget" => {}
            "thaw" => {
                ask(channel.as_ref(), r#"{"execute":"guest-fsfreeze-thaw"}"#)?;
            }
            other => return Err(Error::invalid_input("hostile.capture", format!("no mode {other}"))),
        }
        let endpoint =
            if request.scratch_path.ends_with("foreign") { "not-mine".to_owned() } else { endpoint.id };
        let source = ReadLocator::Nbd(NbdRef {
            endpoint,
            export_name: "disk".to_owned(),
            meta_contexts: vec!["base:allocation".to_owned()],
            max_connections: 1,
        });
        let quiesce = QuiesceReport {
            level: Consistency::Crash,
            frozen_filesystems: 0,
            freeze_ms: 0,
            frozen_total_ms: 0,
            vm_stopped_ms: 0,
            downgraded_because: None,
        };
        Ok(StartedCapture {
            source,
            content: "raw".to_owned(),
            virtual_size: 1 << 20,
            quiesce,
            method: "none".to_owned(),
        })
    }

    fn capture_status(_host: &dyn HypervisorHost, _vm_id: &str, _capture_id: &str) -> Result<CaptureStatus> {
        Ok(CaptureStatus { power: Power::Running, scratch_used: 0, broken: None })
    }

    fn end_capture(
        _host: &dyn HypervisorHost,
        _vm_id: &str,
        _capture_id: &str,
        _outcome: Outcome,
    ) -> Result<()> {
        Ok(())
    }

    fn recover(
        _host: &dyn HypervisorHost,
        _vm_id: &str,
        _capture_id: &str,
        notes: &[Note],
    ) -> Result<Recovered> {
        Ok(Recovered { power: Power::Running, actions: notes.iter().map(|note| note.step.clone()).collect() })
    }

    fn define(_host: &dyn HypervisorHost, spec: &VmSpec) -> Result<Launch> {
        Ok(Launch {
            program: "hostile".to_owned(),
            arguments: vec![spec.id.clone()],
            environment: Props::new(),
        })
    }

    fn set_power(_host: &dyn HypervisorHost, _vm_id: &str, action: PowerAction) -> Result<Power> {
        Ok(match action {
            PowerAction::Shutdown | PowerAction::Resume => Power::Running,
            PowerAction::PowerOff => Power::Off,
        })
    }
}

export_hypervisor!(HostileDriver);
