//! The processor time of calls.
//!
//! The engine's epoch ticks in real time, and a plugin notices a tick while it runs. Counting ticks
//! would charge it for other programs on a busy machine: with three runnable threads for each core,
//! plugins were stopped after a third of the time that they may use. So a tick only triggers a
//! reading of the thread's own clock, which stops while the thread waits for a core.

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

/// Counts the processor time of one call after the other.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    limit: Duration,
    left: Duration,
    mark: Arc<CpuMark>,
}

/// The time of its thread, in nanoseconds, at which a call last started or continued.
#[derive(Debug, Default)]
pub(crate) struct CpuMark(AtomicU64);

/// The call used more than it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuExhausted;

impl CpuMeter {
    /// Starts a call that may use `limit`. It has to run in [`CpuMark::measure`].
    pub(crate) fn begin(&mut self, limit: Duration) -> Arc<CpuMark> {
        self.limit = limit;
        self.left = limit;
        self.mark.clone()
    }

    /// Returns what the call may use.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns what the call has left.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// Handles a tick that the plugin noticed. Returns what it used since the last mark, at most
    /// one tick.
    pub(crate) fn tick(&mut self) -> (Duration, Result<(), CpuExhausted>) {
        let now = thread_time();
        let used =
            Duration::from_nanos(now.saturating_sub(self.mark.0.swap(now, Ordering::Relaxed))).min(TICK);
        let left = self.left.checked_sub(used);
        self.left = left.unwrap_or_default();
        (used, left.map(drop).ok_or(CpuExhausted))
    }
}

impl CpuMark {
    /// Runs a call, and sets the mark whenever it continues after a wait: perhaps on another
    /// thread, which did other work meanwhile.
    pub(crate) async fn measure<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        std::future::poll_fn(|context| {
            self.0.store(thread_time(), Ordering::Relaxed);
            call.as_mut().poll(context)
        })
        .await
    }
}

/// Returns the processor time of this thread in nanoseconds.
fn thread_time() -> u64 {
    let used = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    u64::try_from(used.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    fn work() {
        let start = thread_time();
        while thread_time() - start < u64::try_from(LIMIT.as_nanos()).unwrap() {}
    }

    #[tokio::test]
    async fn ticks_of_an_idle_call_cost_almost_nothing() {
        let mut meter = CpuMeter::default();
        let mark = meter.begin(LIMIT);
        work();
        let ticks = async {
            (0..1000).map(|_| meter.tick()).map(|(used, left)| left.map(|()| used).unwrap()).sum::<Duration>()
        };
        let used = mark.measure(ticks).await;
        assert!(used < LIMIT, "{used:?}");
    }

    #[tokio::test]
    async fn work_exhausts_the_limit() {
        let mut meter = CpuMeter::default();
        let mark = meter.begin(LIMIT);
        let start = thread_time();
        let ticks = async {
            let mut sum = Duration::ZERO;
            while let (used, Ok(())) = meter.tick() {
                assert!(used <= TICK);
                sum += used;
            }
            sum
        };
        let sum = mark.measure(ticks).await;
        assert!(sum <= LIMIT && Duration::from_nanos(thread_time() - start) >= LIMIT, "{sum:?}");
        assert_eq!(meter.tick().1, Err(CpuExhausted));
    }

    #[tokio::test]
    async fn other_work_of_the_thread_does_not_count() {
        let mut meter = CpuMeter::default();
        let mark = meter.begin(LIMIT);
        let call = async {
            tokio::task::yield_now().await;
            meter.tick()
        };
        let others = async { work() };
        let ((used, left), ()) = tokio::join!(mark.measure(call), others);
        assert!(used < TICK && left.is_ok(), "{used:?}");
    }

    /// The clock of the other thread may be far ahead.
    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "tests hold no clock of their own, and run what they test in the background"
    )]
    async fn a_call_that_continues_on_another_thread_is_not_charged_for_it() {
        let mut meter = CpuMeter::default();
        let mark = meter.begin(LIMIT);
        let call =
            async move { mark.measure(async { (tokio::task::yield_now().await, meter.tick()) }).await.1 };
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
