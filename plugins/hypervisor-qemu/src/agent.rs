//! A conversation with the guest agent.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{error::Fault, monitor::lost_or_host};
use imprint_plugin_sdk::{
    host::{Channel, Framing, HypervisorHost},
    hypervisor::AgentInfo,
};

/// The channel's grant in the manifest.
const GRANT: &str = "qga";
/// An agent that does not answer within this time is not there.
const SYNC_MS: u32 = 5_000;
/// For commands that do not touch file systems.
const COMMAND_MS: u32 = 5_000;
/// For the thaw: nothing may stay frozen, so it is worth a wait.
const THAW_MS: u32 = 10_000;
/// The command that trims the guest's file systems.
const TRIM: &str = "guest-fstrim";
/// Stale lines to skip before the agent counts as broken.
const MAX_SKIPPED: u32 = 1_000;
/// The agent's framing byte: it throws away a half-received command, and precedes a delimited
/// answer.
const SENTINEL: u8 = 0xff;

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "return")]
    value: Option<Value>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    desc: String,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    version: String,
    #[serde(default)]
    supported_commands: Vec<Supported>,
}

#[derive(Deserialize)]
struct Supported {
    name: String,
    enabled: bool,
}

impl Info {
    fn allows(&self, name: &str) -> bool {
        self.supported_commands.iter().any(|command| command.name == name && command.enabled)
    }
}

/// Whether the guest's file systems are frozen.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Frozen {
    Thawed,
    Frozen,
}

/// A synchronised connection to the guest agent. Closed when dropped.
pub(crate) struct Agent<'h> {
    host: &'h dyn HypervisorHost,
    line: Box<dyn Channel>,
    syncs: u64,
    /// An answer is outstanding: the next command must synchronise first.
    stale: bool,
}

impl<'h> Agent<'h> {
    /// Connects and synchronises. `Ok(None)`: no agent answers.
    pub(crate) fn connect(host: &'h dyn HypervisorHost, vm: &str) -> Result<Option<Self>, Fault> {
        Self::connect_within(host, vm, SYNC_MS)
    }

    /// Connects and synchronises. `Ok(None)`: no agent answers within that time.
    pub(crate) fn connect_within(
        host: &'h dyn HypervisorHost,
        vm: &str,
        timeout_ms: u32,
    ) -> Result<Option<Self>, Fault> {
        let Ok(line) = host.open(GRANT, &[("vm", vm)], Framing::Lines) else { return Ok(None) };
        let mut agent = Self { host, line, syncs: 0, stale: true };
        match agent.synchronise(timeout_ms) {
            Ok(()) => Ok(Some(agent)),
            Err(Fault::Timeout { .. } | Fault::ConnectionLost) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Throws away whatever earlier clients left in the pipe.
    fn synchronise(&mut self, timeout_ms: u32) -> Result<(), Fault> {
        self.syncs += 1;
        // Unlike any id of an earlier client: the host's clock does not go back.
        let id = self.host.monotonic_ms().wrapping_mul(1_000).wrapping_add(self.syncs) & 0x7fff_ffff;
        let mut message = vec![SENTINEL];
        message.extend(
            json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } }).to_string().bytes(),
        );
        self.stale = true;
        self.send(&message)?;
        let deadline = self.host.monotonic_ms().saturating_add(u64::from(timeout_ms));
        for _ in 0..MAX_SKIPPED {
            let Some(text) = self.line_before(deadline)? else { break };
            let tail = text.rsplit(|byte| *byte == SENTINEL).next().unwrap_or_default();
            let Ok(answer) = serde_json::from_slice::<Answer>(tail) else { continue };
            if answer.value == Some(json!(id)) {
                self.stale = false;
                return Ok(());
            }
        }
        Err(Fault::Timeout { command: "guest-sync-delimited".to_owned() })
    }

    /// Version and abilities. `hooks` is the operator's setting: the agent does not report it.
    pub(crate) fn info(&mut self, hooks: bool) -> Result<AgentInfo, Fault> {
        let info: Info = self.call("guest-info", COMMAND_MS)?;
        let can_freeze = info.allows("guest-fsfreeze-freeze") && info.allows("guest-fsfreeze-thaw");
        Ok(AgentInfo { can_freeze, hooks: hooks && can_freeze, version: info.version })
    }

    /// Whether the agent lets the guest's file systems be trimmed.
    pub(crate) fn can_trim(&mut self) -> Result<bool, Fault> {
        let info: Info = self.call("guest-info", COMMAND_MS)?;
        Ok(info.allows(TRIM))
    }

    /// Trims all file systems. A timeout leaves the agent at it.
    pub(crate) fn trim(&mut self, limit_ms: u32) -> Result<(), Fault> {
        self.call::<Value>(TRIM, limit_ms).map(drop)
    }

    pub(crate) fn freeze_status(&mut self) -> Result<Frozen, Fault> {
        self.call("guest-fsfreeze-status", COMMAND_MS)
    }

    /// Freezes; answers how many file systems. A timeout leaves the guest in an unknown state:
    /// thaw.
    pub(crate) fn freeze(&mut self, limit_ms: u32) -> Result<u32, Fault> {
        self.call("guest-fsfreeze-freeze", limit_ms)
    }

    /// Thaws; answers how many file systems, 0 when none was frozen any more.
    pub(crate) fn thaw(&mut self) -> Result<u32, Fault> {
        self.call("guest-fsfreeze-thaw", THAW_MS)
    }

    fn call<T: DeserializeOwned>(&mut self, command: &str, timeout_ms: u32) -> Result<T, Fault> {
        if self.stale {
            self.synchronise(THAW_MS)?;
        }
        self.stale = true;
        self.send(json!({ "execute": command }).to_string().as_bytes())?;
        let deadline = self.host.monotonic_ms().saturating_add(u64::from(timeout_ms));
        let text =
            self.line_before(deadline)?.ok_or_else(|| Fault::Timeout { command: command.to_owned() })?;
        let protocol = |error: serde_json::Error| Fault::Protocol {
            doing: format!("`{command}` of the guest agent"),
            problem: error.to_string(),
        };
        let answer: Answer = serde_json::from_slice(&text).map_err(protocol)?;
        self.stale = false;
        if let Some(refusal) = answer.error {
            return Err(Fault::Refused { command: command.to_owned(), description: refusal.desc });
        }
        serde_json::from_value(answer.value.unwrap_or(Value::Null)).map_err(protocol)
    }

    fn send(&mut self, message: &[u8]) -> Result<(), Fault> {
        self.line.send(message).map_err(lost_or_host)
    }

    fn line_before(&mut self, deadline: u64) -> Result<Option<Vec<u8>>, Fault> {
        let left = deadline.saturating_sub(self.host.monotonic_ms());
        if left == 0 {
            return Ok(None);
        }
        self.line.receive(u32::try_from(left).unwrap_or(u32::MAX)).map_err(lost_or_host)
    }
}
