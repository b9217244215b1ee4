//! Signals that end a command, and the bar that shows how far it is.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use imprint_data_path::{EngineError, Progress, WriteOptions};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

/// Between two looks at the counters.
const TICK: Duration = Duration::from_millis(100);

/// Watches over the work of one command.
pub(super) struct Watch {
    cancel: CancellationToken,
    progress: Arc<Progress>,
}

impl Watch {
    /// From now on SIGINT, SIGTERM and SIGHUP do not end the process: they cancel its work, which
    /// then cleans up.
    pub(super) fn start() -> Self {
        let cancel = CancellationToken::new();
        let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        if let [Ok(interrupt), Ok(terminate), Ok(hangup)] = signals {
            tokio::spawn(cancel_on(interrupt, terminate, hangup, cancel.clone()));
        }
        Self { cancel, progress: Arc::new(Progress::default()) }
    }

    /// Options whose job is watched.
    pub(super) fn options(&self) -> WriteOptions {
        WriteOptions {
            cancel: self.cancel.clone(),
            progress: self.progress.clone(),
            ..WriteOptions::default()
        }
    }

    /// Runs work that shows no progress until it ends or somebody asks to stop.
    pub(super) async fn until<T>(
        &self,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(EngineError::Cancelled),
            done = work => done,
        }
    }

    /// The same, for work with the options that this gave: its progress is shown on a terminal.
    pub(super) async fn progress<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        if !std::io::stderr().is_terminal() {
            return self.until(work).await;
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
        let done = tokio::select! {
            done = self.until(work) => done,
            () = show => Err(EngineError::WorkerLost),
        };
        bar.finish_and_clear();
        done
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

/// Counts bytes that hold data: holes take no time and would make the rate a lie.
fn bar(doing: &'static str) -> ProgressBar {
    let template = "{msg} {wide_bar} {percent:>3} %  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is constant and right");
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
