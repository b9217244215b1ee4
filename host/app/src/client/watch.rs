//! Waits for a task, with a progress bar on a terminal.

use std::time::Duration;

use imprint_api::dto::task::Task;
use imprint_domain::task::{Phase, TaskState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{api::Api, failure::Failure};

/// How long the server may delay an answer while the task does not change.
const WAIT: Duration = Duration::from_secs(25);

/// The shortest time between two requests: a progress bar need not move more often.
const PAUSE: Duration = Duration::from_millis(250);

/// The progress bar while bytes are copied and their number is known.
const BYTES: &str =
    "{spinner} {prefix} [{bar:32}] {percent:>3} %  {binary_bytes} of {binary_total_bytes}  {msg}";

/// The progress bar before and after that.
const STEPS: &str = "{spinner} {prefix} {msg} ({elapsed})";

/// Waits until the task has ended; anything but success is a failure.
pub(crate) async fn watch(api: &Api, task: Task) -> Result<Task, Failure> {
    let task = watch_until_ended(api, task).await?;
    match task.state {
        TaskState::Succeeded => Ok(task),
        TaskState::Queued | TaskState::Running | TaskState::Failed | TaskState::Cancelled => {
            Err(Failure::Task(Box::new(task)))
        }
    }
}

/// Waits until the task has ended in any state. The task's deadline bounds the wait.
pub(crate) async fn watch_until_ended(api: &Api, mut task: Task) -> Result<Task, Failure> {
    let bar = Bar::new();
    let path = format!("/tasks/{}", task.id);
    while !task.state.is_final() {
        bar.show(&task);
        let answered = tokio::time::sleep(PAUSE);
        task = api.get_waiting(&path, WAIT).await?;
        answered.await;
    }
    bar.0.finish_and_clear();
    Ok(task)
}

/// The progress bar. It draws nothing where standard error is not a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn show(&self, task: &Task) {
        let copies = matches!(task.phase, Phase::Copying);
        let (template, length) = match task.bytes_total {
            Some(total) if copies => (BYTES, Some(total)),
            Some(_) | None => (STEPS, None),
        };
        let style = ProgressStyle::with_template(template).expect("a test parses both templates");
        self.0.set_style(style.progress_chars("=> "));
        match length {
            Some(total) => self.0.set_length(total),
            None => self.0.unset_length(),
        }
        self.0.set_position(task.bytes_done);
        self.0.set_prefix(format!("{} {}", task.kind, task.phase));
        self.0.set_message(message(task));
    }
}

fn message(task: &Task) -> String {
    if task.cancel_requested {
        return "cancelling".to_owned();
    }
    if let Some(waiting_for) = &task.waiting_for {
        return match task.queue_position {
            Some(place) => format!("waiting for {waiting_for}, place {place} in the queue"),
            None => format!("waiting for {waiting_for}"),
        };
    }
    match (task.rate_bps, task.eta_s) {
        (Some(rate), Some(eta)) => format!("{}/s, {eta} s left", super::output::size(Some(rate))),
        (Some(rate), None) => format!("{}/s", super::output::size(Some(rate))),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    use super::{BYTES, STEPS};

    #[test]
    fn the_bars_can_be_drawn() {
        for template in [BYTES, STEPS] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
