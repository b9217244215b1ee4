//! Freezing the guest's file systems, and thawing them.

use imprint_plugin_sdk::{
    host::{HypervisorHost, Note},
    hypervisor::{Consistency, Power, QuiesceReport},
    types::Props,
};

use crate::{
    agent::{Agent, Frozen},
    error::{Fault, level_name},
    monitor::Monitor,
    names::step,
    survey,
};

/// The chardev that [`crate::launch`] gives to the guest agent; `agent-chardev` names another.
pub(crate) const AGENT_CHARDEV: &str = "qga0";
/// With the value `present`, the operator states that the guests run freeze hooks: the agent does
/// not report it.
const HOOKS_SETTING: &str = "freeze-hooks";
/// For file systems that became frozen although the freeze was given up.
const LONGEST_FREEZE_MS: u32 = 10_000;

/// Whether the operator states that guests have freeze hooks.
pub(crate) fn has_hooks(host: &dyn HypervisorHost) -> bool {
    host.config(HOOKS_SETTING).is_some_and(|value| value == "present")
}

/// Connects to the guest agent, unless QEMU itself shows that nothing in the guest holds its port.
pub(crate) fn find_agent<'h>(
    host: &'h dyn HypervisorHost,
    monitor: &mut Monitor<'h>,
    vm: &str,
) -> Result<Option<Agent<'h>>, Fault> {
    let label = host.config("agent-chardev").unwrap_or_else(|| AGENT_CHARDEV.to_owned());
    if survey::agent_port_open(monitor, &label)? == Some(false) {
        return Ok(None);
    }
    Agent::connect(host, vm)
}

/// An agent that can freeze, or why there is none.
pub(crate) fn freezer<'h>(
    host: &'h dyn HypervisorHost,
    monitor: &mut Monitor<'h>,
    vm: &str,
    power: Power,
) -> Result<Result<Agent<'h>, String>, Fault> {
    if power != Power::Running {
        return Ok(Err("the guest is not running".to_owned()));
    }
    let Some(mut agent) = find_agent(host, monitor, vm)? else {
        return Ok(Err("no guest agent answers".to_owned()));
    };
    Ok(match (agent.info(false), agent.freeze_status()) {
        (Err(fault), _) | (_, Err(fault)) => Err(format!("the guest agent failed: {fault}")),
        (Ok(info), _) if !info.can_freeze => Err("the guest agent does not allow freezing".to_owned()),
        (_, Ok(Frozen::Frozen)) => {
            Err("the guest's file systems were already frozen by another program".to_owned())
        }
        (_, Ok(Frozen::Thawed)) => Ok(agent),
    })
}

/// The best level that a freeze of this guest reaches.
pub(crate) fn frozen_level(host: &dyn HypervisorHost) -> Consistency {
    if has_hooks(host) { Consistency::Application } else { Consistency::Filesystem }
}

/// Why a capture of this level stays below what was wanted, where the freeze itself worked.
pub(crate) fn shortfall(reached: Consistency, want: Consistency) -> Option<String> {
    if reached >= want {
        return None;
    }
    Some(match want {
        Consistency::Stopped => "the guest is not stopped".to_owned(),
        Consistency::Application => {
            "whether the guest has freeze hooks is not known; the operator can state it with the setting `freeze-hooks`"
                .to_owned()
        }
        Consistency::Filesystem | Consistency::Crash => {
            format!("only {} consistency was reached", level_name(reached))
        }
    })
}

/// A guest that is at rest, as far as that was possible. [`Quiesced::release`] must follow on every
/// path.
pub(crate) struct Quiesced<'h> {
    host: &'h dyn HypervisorHost,
    frozen: Option<FrozenGuest<'h>>,
    report: QuiesceReport,
}

struct FrozenGuest<'h> {
    agent: Agent<'h>,
    since_ms: u64,
}

impl<'h> Quiesced<'h> {
    /// Freezes the guest's file systems, if they are wanted frozen and can be. Fails only when the
    /// journal does; what the guest refuses lowers the level.
    pub(crate) fn freeze(
        host: &'h dyn HypervisorHost,
        monitor: &mut Monitor<'h>,
        vm: &str,
        (want, power, limit_ms): (Consistency, Power, u32),
    ) -> Result<Self, Fault> {
        let mut quiesced = Self { host, frozen: None, report: nothing_frozen() };
        if want == Consistency::Crash {
            return Ok(quiesced);
        }
        match freezer(host, monitor, vm, power)? {
            Ok(agent) => quiesced.freeze_with(agent, want, limit_ms)?,
            Err(reason) => quiesced.downgrade(reason),
        }
        Ok(quiesced)
    }

    fn freeze_with(&mut self, mut agent: Agent<'h>, want: Consistency, limit_ms: u32) -> Result<(), Fault> {
        record(self.host, step::FREEZING, Props::new())?;
        let since_ms = self.host.monotonic_ms();
        let answer = agent.freeze(limit_ms.min(LONGEST_FREEZE_MS));
        self.report.freeze_ms = elapsed(self.host, since_ms);
        self.frozen = Some(FrozenGuest { agent, since_ms });
        let problem = match answer {
            Ok(count) if count > 0 => {
                self.report.frozen_filesystems = count;
                self.report.level = frozen_level(self.host);
                self.report.downgraded_because = shortfall(self.report.level, want);
                return Ok(());
            }
            Ok(_) => "the guest agent froze no file system".to_owned(),
            Err(Fault::Timeout { .. }) => format!("the guest did not freeze within {limit_ms} ms"),
            Err(fault) => format!("the freeze failed: {fault}"),
        };
        // Whatever did freeze must not stay so, whether or not the agent thinks it did.
        let released = self.release(false);
        let thaw_problem = self.report.downgraded_because.take();
        self.downgrade(thaw_problem.map_or(problem.clone(), |thaw| format!("{problem}; {thaw}")));
        released
    }

    /// Thaws what was frozen. `counts`: a thaw that finds nothing frozen lowers the level, because
    /// the freeze then ended before the point in time was taken. Fails only when the journal does.
    pub(crate) fn release(&mut self, counts: bool) -> Result<(), Fault> {
        let Some(mut guest) = self.frozen.take() else { return Ok(()) };
        let thawed = guest.agent.thaw().or_else(|_| guest.agent.thaw());
        self.report.frozen_total_ms = elapsed(self.host, guest.since_ms);
        match thawed {
            Ok(count) => {
                if counts && count == 0 {
                    self.downgrade("the guest was thawed before the point in time was taken".to_owned());
                }
                record(self.host, step::THAWED, Props::new())
            }
            // Without the note, ending or recovering the capture tries again.
            Err(fault) => {
                self.downgrade(format!("the thaw failed: {fault}"));
                Ok(())
            }
        }
    }

    /// Whether the level suffices.
    pub(crate) fn check(&self, minimum: Consistency) -> Result<(), Fault> {
        if self.report.level >= minimum {
            return Ok(());
        }
        let reason =
            self.report.downgraded_because.clone().unwrap_or_else(|| "no freeze was asked for".to_owned());
        Err(Fault::ConsistencyNotReached { reached: self.report.level, minimum, reason })
    }

    /// What the capture's record says.
    pub(crate) fn into_report(self, vm_stopped_ms: u32) -> QuiesceReport {
        QuiesceReport { vm_stopped_ms, ..self.report }
    }

    fn downgrade(&mut self, reason: String) {
        self.report.level = Consistency::Crash;
        self.report.downgraded_because = Some(reason);
    }
}

fn nothing_frozen() -> QuiesceReport {
    QuiesceReport {
        level: Consistency::Crash,
        frozen_filesystems: 0,
        freeze_ms: 0,
        frozen_total_ms: 0,
        vm_stopped_ms: 0,
        downgraded_because: None,
    }
}

/// Writes a journal note.
pub(crate) fn record(host: &dyn HypervisorHost, step: &str, data: Props) -> Result<(), Fault> {
    Ok(host.record(&Note { step: step.to_owned(), data })?)
}

/// Milliseconds since `since_ms`.
pub(crate) fn elapsed(host: &dyn HypervisorHost, since_ms: u64) -> u32 {
    u32::try_from(host.monotonic_ms().saturating_sub(since_ms)).unwrap_or(u32::MAX)
}
