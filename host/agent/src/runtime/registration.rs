//! Registering with the control plane: at the start, and whenever it has forgotten the process.

use imprint_agent_protocol::{PROTOCOL_VERSION, ProtocolError, Register, RegisterResponse};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{backoff::Backoff, runtime::state::AgentState};

/// The largest difference between the clocks that needs no warning, in seconds.
const MAX_CLOCK_DIFFERENCE_S: i64 = 5;

/// Registers the process; tries until the control plane answers.
///
/// # Errors
///
/// Fails when the control plane refuses the agent, so that trying again does not help.
pub(crate) async fn register(state: &AgentState) -> Result<(), ProtocolError> {
    let mut backoff = Backoff::new();
    loop {
        let request = Register {
            agent_id: state.id,
            protocol: PROTOCOL_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            plugins: state.machine.plugins(),
            storage_kinds: state.machine.storage_kinds(),
            drivers_with_devices: state.machine.drivers_with_devices(),
            findings: state.machine.findings(),
            objects: state.announced(),
            advanced: state.advanced(),
        };
        match state.control_plane.register(request).await {
            Ok(answer) => {
                warn_about_clock(state, &answer);
                info!(agent = %state.id, driver = %answer.driver, "registered");
                state.set_registration(answer);
                return Ok(());
            }
            Err(
                error @ (ProtocolError::Unauthenticated
                | ProtocolError::Version { .. }
                | ProtocolError::Refused { .. }),
            ) => return Err(error),
            Err(
                error @ (ProtocolError::Unavailable { .. }
                | ProtocolError::NotRegistered
                | ProtocolError::LeaseLost),
            ) => {
                warn!(%error, "cannot register yet");
                backoff.wait().await;
            }
        }
    }
}

/// Registers again whenever the registration is lost, until `stop`.
///
/// # Errors
///
/// Fails as [`register`] does.
pub(crate) async fn keep_registered(
    state: &AgentState,
    stop: &CancellationToken,
) -> Result<(), ProtocolError> {
    while stop.run_until_cancelled(state.registration_lost.notified()).await.is_some() {
        stop.run_until_cancelled(register(state)).await.transpose()?;
    }
    Ok(())
}

fn warn_about_clock(state: &AgentState, answer: &RegisterResponse) {
    let seconds = (state.environment.now() - answer.control_plane_time).num_seconds();
    if seconds.abs() > MAX_CLOCK_DIFFERENCE_S {
        warn!(seconds, "this machine's clock differs from the control plane's; set up time synchronisation");
    }
}
