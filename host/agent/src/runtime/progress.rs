//! Progress reports of one job. Their answers also tell the agent that a job is to be stopped.

use std::{convert::Infallible, time::Duration};

use imprint_agent_protocol::{HeldLease, ProgressReport, ProtocolError};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    error::StopReason,
    jobs::control::{Control, State},
    runtime::state::AgentState,
};

/// The time between two reports of one job: at most two a second.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// The number of reports in a row that are left out because nothing has changed.
const MAX_UNCHANGED: u32 = 3;

/// Reports progress when it changes, and now and then when it does not, until it is dropped.
pub(crate) async fn report_progress(state: &AgentState, lease: HeldLease, control: &Control) -> Infallible {
    let mut ticks = interval(REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut unchanged) = (None, 0);
    loop {
        ticks.tick().await;
        let now = control.state();
        if last == Some(now) && unchanged < MAX_UNCHANGED {
            unchanged += 1;
            continue;
        }
        unchanged = 0;
        match state.control_plane.progress(report(state, lease, now)).await {
            Ok(answer) => {
                last = Some(now);
                if answer.cancel {
                    control.stop(StopReason::Cancelled);
                }
            }
            Err(ProtocolError::LeaseLost) => control.stop(StopReason::LeaseLost),
            Err(ProtocolError::NotRegistered) => state.registration_lost.notify_one(),
            // A later report says the same and more.
            Err(
                ProtocolError::Unavailable { .. }
                | ProtocolError::Unauthenticated
                | ProtocolError::Version { .. }
                | ProtocolError::Refused { .. },
            ) => {}
        }
    }
}

/// Reports the last progress of a job that has succeeded: a short one ends between two reports.
pub(crate) async fn report_last(state: &AgentState, lease: HeldLease, control: &Control) {
    let last = state.control_plane.progress(report(state, lease, control.state()));
    timeout(REPORT_INTERVAL, last).await.ok();
}

fn report(state: &AgentState, lease: HeldLease, now: State) -> ProgressReport {
    ProgressReport {
        agent_id: state.id,
        lease,
        phase: now.phase,
        bytes_done: now.bytes_done,
        bytes_total: now.bytes_total,
    }
}
