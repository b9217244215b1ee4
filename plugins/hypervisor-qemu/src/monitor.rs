//! A QMP conversation: greeting, commands, events.

use std::collections::VecDeque;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::error::Fault;
use imprint_plugin_sdk::{
    error::{Error, ErrorClass},
    host::{Channel, Framing, HypervisorHost},
};

/// The channel's grant in the manifest.
const GRANT: &str = "qmp";
/// A monitor that another client holds accepts the connection and keeps silent.
const GREETING_MS: u32 = 3_000;
/// For one command. QEMU answers most within a millisecond; a drain of slow storage takes longer.
const COMMAND_MS: u32 = 15_000;
/// Lines to skip while waiting for one answer: events and answers to others.
const MAX_SKIPPED: u32 = 10_000;
/// Events to keep until they are waited for.
const MAX_EVENTS: usize = 256;

/// The host's code when nothing listens.
const UNREACHABLE: &str = "channel.unreachable";
/// How the host says that the peer hung up.
const CLOSED: &str = "channel.closed";

/// Version of the QEMU process.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) micro: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

#[derive(Deserialize)]
struct Greeting {
    #[serde(rename = "QMP")]
    qmp: GreetingBody,
}

#[derive(Deserialize)]
struct GreetingBody {
    version: GreetingVersion,
}

#[derive(Deserialize)]
struct GreetingVersion {
    qemu: Version,
}

/// The parts of a line that say what it is. The answer itself is parsed when it turns out to be
/// ours.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    data: Option<EventData>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Default, Deserialize)]
struct EventData {
    #[serde(default)]
    id: Option<String>,
    /// Some events about devices name them so.
    #[serde(default)]
    device: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    desc: String,
}

#[derive(Deserialize)]
struct Answer<T> {
    #[serde(rename = "return")]
    value: T,
}

/// An event: its name, and the id that it is about, where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
}

/// A connection to QEMU's monitor. Closed when dropped.
pub(crate) struct Monitor<'h> {
    host: &'h dyn HypervisorHost,
    line: Box<dyn Channel>,
    events: VecDeque<Event>,
    next_id: u64,
    /// Of the QEMU process, from the greeting.
    pub(crate) version: Version,
}

impl<'h> Monitor<'h> {
    /// Connects, reads the greeting and leaves the capability negotiation.
    pub(crate) fn connect(host: &'h dyn HypervisorHost, vm: &str) -> Result<Self, Fault> {
        let line = host.open(GRANT, &[("vm", vm)], Framing::Lines).map_err(gone_or_host)?;
        let greeting = line.receive(GREETING_MS).map_err(lost_or_host)?.ok_or(Fault::MonitorBusy)?;
        let greeting: Greeting = serde_json::from_slice(&greeting).map_err(|error| Fault::Protocol {
            doing: "the connection to the monitor".to_owned(),
            problem: error.to_string(),
        })?;
        let mut monitor =
            Self { host, line, events: VecDeque::new(), next_id: 0, version: greeting.qmp.version.qemu };
        monitor.run("qmp_capabilities", Value::Null)?;
        Ok(monitor)
    }

    /// Runs a command whose answer does not matter.
    pub(crate) fn run(&mut self, command: &str, arguments: Value) -> Result<(), Fault> {
        self.call::<Value>(command, arguments).map(drop)
    }

    /// Runs a command without arguments.
    pub(crate) fn query<T: DeserializeOwned>(&mut self, command: &str) -> Result<T, Fault> {
        self.call(command, Value::Null)
    }

    /// Runs a command and parses its answer.
    pub(crate) fn call<T: DeserializeOwned>(&mut self, command: &str, arguments: Value) -> Result<T, Fault> {
        self.next_id += 1;
        let id = json!(format!("imprint-{}", self.next_id));
        let mut message = json!({ "execute": command, "id": id });
        if !arguments.is_null() {
            message["arguments"] = arguments;
        }
        self.line.send(message.to_string().as_bytes()).map_err(lost_or_host)?;
        let deadline = self.host.monotonic_ms().saturating_add(u64::from(COMMAND_MS));
        for _ in 0..MAX_SKIPPED {
            let Some(text) = self.line_before(deadline)? else {
                return Err(Fault::Timeout { command: command.to_owned() });
            };
            let head = parse_head(&text, command)?;
            if let Some(name) = head.event {
                self.keep_event(name, head.data);
                continue;
            }
            // The host's watchdogs use this connection too; their answers carry no id of ours.
            if head.id.as_ref() != Some(&id) {
                continue;
            }
            if let Some(refusal) = head.error {
                return Err(Fault::Refused { command: command.to_owned(), description: refusal.desc });
            }
            let answer: Answer<T> =
                serde_json::from_slice(&text).map_err(|error| protocol(command, &error))?;
            return Ok(answer.value);
        }
        Err(Fault::Timeout { command: command.to_owned() })
    }

    /// Waits until an event that `wanted` accepts arrives, at most `timeout_ms`. Earlier events
    /// count.
    pub(crate) fn wait_event(
        &mut self,
        wanted: impl Fn(&Event) -> bool,
        timeout_ms: u32,
    ) -> Result<bool, Fault> {
        let deadline = self.host.monotonic_ms().saturating_add(u64::from(timeout_ms));
        for _ in 0..MAX_SKIPPED {
            if let Some(index) = self.events.iter().position(&wanted) {
                self.events.remove(index);
                return Ok(true);
            }
            let Some(text) = self.line_before(deadline)? else { return Ok(false) };
            let head = parse_head(&text, "an event")?;
            if let Some(name) = head.event {
                self.keep_event(name, head.data);
            }
        }
        Ok(false)
    }

    /// Forgets the events so far, so that [`Self::saw`] is about later ones.
    pub(crate) fn forget_events(&mut self) {
        self.events.clear();
    }

    /// Whether an event of this name arrived since [`Self::forget_events`].
    pub(crate) fn saw(&self, name: &str) -> bool {
        self.events.iter().any(|event| event.name == name)
    }

    fn line_before(&mut self, deadline: u64) -> Result<Option<Vec<u8>>, Fault> {
        let left = deadline.saturating_sub(self.host.monotonic_ms());
        if left == 0 {
            return Ok(None);
        }
        self.line.receive(u32::try_from(left).unwrap_or(u32::MAX)).map_err(lost_or_host)
    }

    fn keep_event(&mut self, name: String, data: Option<EventData>) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        let data = data.unwrap_or_default();
        self.events.push_back(Event { name, id: data.id.or(data.device) });
    }
}

fn parse_head(text: &[u8], doing: &str) -> Result<Head, Fault> {
    serde_json::from_slice(text).map_err(|error| protocol(doing, &error))
}

fn protocol(command: &str, error: &serde_json::Error) -> Fault {
    Fault::Protocol { doing: format!("`{command}`"), problem: error.to_string() }
}

/// A channel that cannot be opened, as nothing listens, means that QEMU is gone.
fn gone_or_host(error: Error) -> Fault {
    let gone = error.class == ErrorClass::NotFound || [UNREACHABLE, CLOSED].contains(&error.code.as_str());
    if gone { Fault::VmGone } else { Fault::Host(error) }
}

/// A channel that closed in the middle of a conversation.
pub(crate) fn lost_or_host(error: Error) -> Fault {
    if error.code == CLOSED { Fault::ConnectionLost } else { Fault::Host(error) }
}
