//! The signals that stop a server.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a second signal is waited for after the first. A process that has not ended by then can
/// only be ended with SIGKILL.
const SECOND_SIGNAL_TIMEOUT: Duration = Duration::from_secs(120);

/// Cancels `stop` at the first SIGINT or SIGTERM; at the second the process ends at once.
pub(super) async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("cannot watch signals; end the process with SIGKILL");
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stop.cancelled() => return,
    }
    tracing::info!("stopping; send the signal again to end at once");
    stop.cancel();
    tokio::select! {
        _ = interrupt.recv() => std::process::exit(130),
        _ = terminate.recv() => std::process::exit(143),
        () = tokio::time::sleep(SECOND_SIGNAL_TIMEOUT) => {}
    }
}
