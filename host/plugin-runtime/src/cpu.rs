//! What a call uses of the processor.
//!
//! The engine's epoch ticks in real time, and a plugin notices a tick when it runs. Counting ticks
//! would charge it for what others do on a busy machine: with three runnable threads for each core,
//! plugins were stopped after a third of the time that they may use. So a tick only says when to
//! look at the clock of the thread, which stands still while the thread waits for a core.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::engine::TICK;

/// Counts what one call after the other uses.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    left: Duration,
    mark: Arc<CpuMark>,
}

/// The time of its thread, in nanoseconds, at which a call last began or went on.
#[derive(Debug, Default)]
pub(crate) struct CpuMark(AtomicU64);

/// More was used than the call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsedUp;

impl CpuMeter {
    /// A call begins, which may use so much. It has to run in [`CpuMark::follow`].
    pub(crate) fn begin(&mut self, limit: Duration) -> Arc<CpuMark> {
        self.left = limit;
        self.mark.clone()
    }

    /// The plugin noticed a tick. Says what it used since it was last marked, a tick at most.
    pub(crate) fn tick(&mut self) -> (Duration, Result<(), UsedUp>) {
        let now = thread_time();
        let used =
            Duration::from_nanos(now.saturating_sub(self.mark.0.swap(now, Ordering::Relaxed))).min(TICK);
        let left = self.left.checked_sub(used);
        self.left = left.unwrap_or_default();
        (used, left.map(drop).ok_or(UsedUp))
    }
}

impl CpuMark {
    /// Runs a call, and marks where it goes on after it waited: perhaps on another thread, and when
    /// that did other work.
    pub(crate) async fn follow<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        std::future::poll_fn(|context| {
            self.0.store(thread_time(), Ordering::Relaxed);
            call.as_mut().poll(context)
        })
        .await
    }
}

/// Nanoseconds that this thread has used.
fn thread_time() -> u64 {
    let used = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    u64::try_from(used.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    fn work() {
        let begun = thread_time();
        while thread_time() - begun < u64::try_from(LIMIT.as_nanos()).unwrap() {}
    }

    #[tokio::test]
    async fn a_tick_without_work_costs_nothing_to_speak_of() {
        let mut meter = CpuMeter::default();
        let mark = meter.begin(LIMIT);
        work();
        let ticks = async {
            (0..1000).map(|_| meter.tick()).map(|(used, left)| left.map(|()| used).unwrap()).sum::<Duration>()
        };
        let used = mark.follow(ticks).await;
        assert!(used < LIMIT, "{used:?}");
    }

    #[tokio::test]
    async fn work_uses_the_limit_up() {
        let mut meter = CpuMeter::default();
        let mark = meter.begin(LIMIT);
        let begun = thread_time();
        let ticks = async {
            let mut sum = Duration::ZERO;
            while let (used, Ok(())) = meter.tick() {
                assert!(used <= TICK);
                sum += used;
            }
            sum
        };
        let sum = mark.follow(ticks).await;
        assert!(sum <= LIMIT && Duration::from_nanos(thread_time() - begun) >= LIMIT, "{sum:?}");
        assert_eq!(meter.tick().1, Err(UsedUp));
    }

    #[tokio::test]
    async fn what_the_thread_did_meanwhile_does_not_count() {
        let mut meter = CpuMeter::default();
        let mark = meter.begin(LIMIT);
        let call = async {
            tokio::task::yield_now().await;
            meter.tick()
        };
        let others = async { work() };
        let ((used, left), ()) = tokio::join!(mark.follow(call), others);
        assert!(used < TICK && left.is_ok(), "{used:?}");
    }

    /// Its clock may be far ahead of the one before.
    #[tokio::test]
    async fn a_call_that_goes_on_in_another_thread_is_not_charged_for_it() {
        let mut meter = CpuMeter::default();
        let mark = meter.begin(LIMIT);
        let call =
            async move { mark.follow(async { (tokio::task::yield_now().await, meter.tick()) }).await.1 };
        let mut call = Box::pin(call);
        assert!(poll_once(&mut call).is_none());
        let (used, left) = std::thread::spawn(move || {
            work();
            poll_once(&mut call).expect("it waits once")
        })
        .join()
        .unwrap();
        assert!(used < TICK && left.is_ok(), "{used:?}");
    }

    fn poll_once<F: Future + Unpin>(call: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(call).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
