//! What a call uses of the processor.
//!
//! The engine's epoch ticks in real time, and a plugin notices a tick when it runs. Counting ticks would charge it for what others do
//! on a busy machine: with three runnable threads for each core, plugins were stopped after a third of the time that they may use.
//! So a tick only says when to look at the clock of the thread, which stands still while the thread waits for a core.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::engine::TICK;

/// Counts what one call after the other uses.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    left: Duration,
    /// When the plugin was last known to begin or to go on.
    mark: Arc<Mutex<Option<Mark>>>,
}

/// A time of one thread's clock.
#[derive(Clone, Copy, Debug)]
struct Mark {
    thread: ThreadId,
    used: Duration,
}

impl Mark {
    fn now() -> Self {
        let used = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
        Self { thread: thread::current().id(), used }
    }
}

/// More was used than the call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsedUp;

impl CpuMeter {
    /// A call begins on this thread, which may use so much.
    pub(crate) fn begin(&mut self, limit: Duration) {
        self.left = limit;
        note(&self.mark);
    }

    /// The plugin noticed a tick. Says what it used since it was last marked: a tick at most, and a whole one where that cannot be
    /// known, because a call of the host brought it to another thread.
    pub(crate) fn tick(&mut self) -> (Duration, Result<(), UsedUp>) {
        let now = Mark::now();
        let before = self.mark.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        let used = match before.filter(|mark| mark.thread == now.thread) {
            Some(mark) => now.used.saturating_sub(mark.used).min(TICK),
            None => TICK,
        };
        let left = self.left.checked_sub(used);
        self.left = left.unwrap_or_default();
        (used, left.map(drop).ok_or(UsedUp))
    }

    /// Lets others run, and marks where the plugin goes on.
    pub(crate) fn pause(&self) -> impl Future<Output = ()> + Send + use<> {
        let mark = self.mark.clone();
        async move {
            // A plain yield can be scheduled again at once, ahead of every timer.
            tokio::task::yield_now().await;
            note(&mark);
        }
    }
}

fn note(mark: &Mutex<Option<Mark>>) {
    *mark.lock().unwrap_or_else(PoisonError::into_inner) = Some(Mark::now());
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    fn meter() -> CpuMeter {
        let mut meter = CpuMeter::default();
        meter.begin(LIMIT);
        meter
    }

    #[test]
    fn a_tick_without_work_costs_nothing_to_speak_of() {
        let mut meter = meter();
        let used: Duration =
            (0..1000).map(|_| meter.tick()).map(|(used, left)| left.map(|()| used).unwrap()).sum();
        assert!(used < LIMIT, "{used:?}");
    }

    #[test]
    fn work_uses_the_limit_up() {
        let begun = Mark::now();
        let mut meter = meter();
        let mut sum = Duration::ZERO;
        while let (used, Ok(())) = meter.tick() {
            assert!(used <= TICK);
            sum += used;
        }
        assert!(sum <= LIMIT && Mark::now().used - begun.used >= LIMIT, "{sum:?}");
        assert_eq!(meter.tick().1, Err(UsedUp));
    }

    #[test]
    fn what_another_thread_used_is_not_known() {
        let mut meter = meter();
        let (used, left) = thread::scope(|scope| scope.spawn(|| meter.tick()).join().unwrap());
        assert_eq!((used, left), (TICK, Ok(())));
    }

    #[tokio::test]
    async fn what_others_did_meanwhile_does_not_count() {
        let mut meter = meter();
        let others = async {
            let begun = Mark::now();
            while Mark::now().used - begun.used < LIMIT {}
        };
        tokio::join!(meter.pause(), others);
        // Marked when it goes on, which is after the others.
        let (used, left) = meter.tick();
        assert!(used < TICK && left.is_ok(), "{used:?}");
    }
}
