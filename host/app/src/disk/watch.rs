//! Signals that cancel a command, and its progress bar.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use imprint_data_path::{EngineError, Progress, WriteOptions};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

/// The interval between two updates of the progress bar.
const TICK: Duration = Duration::from_millis(100);

/// Cancels a command on signals, and shows its progress.
pub(super) struct Watch {
    cancel: CancellationToken,
    progress: Arc<Progress>,
}

impl Watch {
    /// Starts to watch: SIGINT, SIGTERM and SIGHUP do not end the process any more, but cancel the
    /// command, which then cleans up.
    #[expect(clippy::disallowed_methods, reason = "it ends with the command")]
    pub(super) fn start() -> Self {
        let cancel = CancellationToken::new();
        let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        if let [Ok(interrupt), Ok(terminate), Ok(hangup)] = signals {
            tokio::spawn(cancel_on(interrupt, terminate, hangup, cancel.clone()));
        }
        Self { cancel, progress: Arc::new(Progress::default()) }
    }

    /// Returns options that connect a transfer with this watch.
    pub(super) fn options(&self) -> WriteOptions {
        WriteOptions {
            cancel: self.cancel.clone(),
            progress: self.progress.clone(),
            ..WriteOptions::default()
        }
    }

    /// Runs an operation without a progress bar.
    ///
    /// # Errors
    ///
    /// The operation fails or is cancelled.
    pub(super) async fn until<T>(
        &self,
        operation: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(EngineError::Cancelled),
            result = operation => result,
        }
    }

    /// Runs a transfer that was given [`Self::options`], with a progress bar on a terminal.
    ///
    /// # Errors
    ///
    /// The transfer fails or is cancelled.
    pub(super) async fn progress<T>(
        &self,
        doing: &'static str,
        operation: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        if !std::io::stderr().is_terminal() {
            return self.until(operation).await;
        }
        let bar = bar(doing);
        let show = async {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let now = self.progress.snapshot();
                if bar.length() != Some(now.total) {
                    bar.set_length(now.total);
                }
                bar.set_position(now.done);
            }
        };
        let result = tokio::select! {
            result = self.until(operation) => result,
            () = show => Err(EngineError::WorkerLost),
        };
        bar.finish_and_clear();
        result
    }
}

async fn cancel_on(
    mut interrupt: Signal,
    mut terminate: Signal,
    mut hangup: Signal,
    cancel: CancellationToken,
) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    cancel.cancel();
}

/// Returns a progress bar. It counts bytes with data only: holes take no time and would inflate the
/// rate.
fn bar(doing: &'static str) -> ProgressBar {
    let template = "{msg} {wide_bar} {percent:>3} %  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is a valid constant");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style).with_message(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        assert!(!bar("x").is_finished());
    }
}
