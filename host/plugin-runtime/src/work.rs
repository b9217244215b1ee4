//! One piece of work: a store, the calls into it, and how they end.
//!
//! A store is used for one piece of work and thrown away. A trap poisons it for good, so after one
//! (and after a timeout, which leaves a call half done) every further call answers that the work is
//! over.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use imprint_ports::{ErrorClass, Origin, PortError};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, error::Elapsed},
};
use tracing::{debug, warn};
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::{
    bindings::host::imprint::types::types as wit,
    cpu::{CpuMark, UsedUp},
    log::clip,
    plugin::Plugin,
    state::{Abort, Grants, State},
};

/// Longest message of a plugin's error that is handed on.
const MAX_MESSAGE: usize = 2000;
const MAX_CODE: usize = 100;

/// A store with what belongs to it.
pub(crate) struct Work {
    pub(crate) store: Store<State>,
    pub(crate) plugin: Arc<Plugin>,
    over: Option<String>,
    /// When the current call began.
    begun: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Work {
    /// Waits for a free instance, for as long as a call may take.
    pub(crate) async fn start(
        plugin: &Arc<Plugin>,
        engine: &wasmtime::Engine,
        grants: Grants,
    ) -> Result<Self, PortError> {
        let limits = plugin.manifest.limits;
        let permit = tokio::time::timeout(limits.wall_per_call, plugin.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            let detail =
                format!("all {} instances of plugin {} are busy", limits.instances, plugin.manifest.id);
            return Err(PortError::host(ErrorClass::Transient, "plugin.busy", detail));
        };
        let mut store = Store::new(engine, State::new(plugin.clone(), grants));
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut context| {
            let state = context.data_mut();
            let (used, left) = state.cpu.tick();
            let used = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
            state.plugin.counters.cpu_ns.fetch_add(used, Ordering::Relaxed);
            if let Err(UsedUp) = left {
                let limit_ms = state.plugin.manifest.limits.cpu_per_call.as_millis();
                return Err(Abort::Cpu { limit_ms }.into());
            }
            // A plain yield can be scheduled again at once, ahead of every timer.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store.set_hostcall_fuel(usize::try_from(limits.boundary_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Ok(Self { store, plugin: plugin.clone(), over: None, begun: Instant::now(), _permit: permit })
    }

    /// Gets ready for one call, and answers how long it may take, and what follows its use of the
    /// processor.
    pub(crate) fn arm(&mut self) -> Result<(Duration, Arc<CpuMark>), PortError> {
        if let Some(why) = &self.over {
            let message = format!("this work of plugin {} is over: {why}", self.plugin.manifest.id);
            return Err(PortError::host(ErrorClass::Conflict, "plugin.over", message));
        }
        let limits = self.plugin.manifest.limits;
        let state = self.store.data_mut();
        let mark = state.cpu.begin(limits.cpu_per_call);
        state.reading = Duration::ZERO;
        self.begun = Instant::now();
        state.deadline = self.begun.checked_add(limits.wall_per_call);
        self.store.set_epoch_deadline(1);
        self.plugin.counters.calls.fetch_add(1, Ordering::Relaxed);
        Ok((limits.wall_per_call, mark))
    }

    /// Judges how a call ended.
    pub(crate) fn settle<T>(
        &mut self,
        call: &str,
        outcome: Result<wasmtime::Result<T>, Elapsed>,
    ) -> Result<T, PortError> {
        let busy = self.begun.elapsed().saturating_sub(self.store.data().reading);
        let busy = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
        self.plugin.counters.busy_ns.fetch_add(busy, Ordering::Relaxed);
        let peak = self.store.data().memory.peak;
        self.plugin.counters.memory_peak.fetch_max(peak, Ordering::Relaxed);
        let failure = match outcome {
            Ok(Ok(answer)) => {
                self.plugin.counters.received(64);
                return Ok(answer);
            }
            Ok(Err(error)) => self.failure(call, &error),
            Err(Elapsed { .. }) => {
                let limit = self.plugin.manifest.limits.wall_per_call;
                self.port_error(
                    Origin::Timeout,
                    ErrorClass::Transient,
                    "plugin.timeout",
                    &format!("did not answer {call} within {} ms", limit.as_millis()),
                )
            }
        };
        self.plugin.counters.failures.fetch_add(1, Ordering::Relaxed);
        warn!(plugin = self.plugin.manifest.id, call, code = failure.code, "{failure}");
        self.over = Some(failure.message.clone());
        Err(failure)
    }

    /// Ends this work early, because of an answer that shows that the plugin cannot be relied on.
    pub(crate) fn end(&mut self, why: &PortError) {
        self.over.get_or_insert_with(|| why.message.clone());
    }

    /// Whether every further call is refused.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    fn failure(&self, call: &str, error: &wasmtime::Error) -> PortError {
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            debug!(plugin = self.plugin.manifest.id, call, "{backtrace}");
        }
        if let Some(abort) = error.downcast_ref::<Abort>() {
            let (origin, class, code) = match abort {
                Abort::Memory { .. } | Abort::Tables => {
                    (Origin::Trap, ErrorClass::LimitExceeded, "plugin.memory-limit")
                }
                Abort::Cpu { .. } => (Origin::Timeout, ErrorClass::LimitExceeded, "plugin.cpu-limit"),
            };
            return self.port_error(origin, class, code, &format!("was stopped in {call}: {abort}"));
        }
        let text = format!("{error:#}");
        if text.contains("fuel allocated for hostcalls") {
            let limit = self.plugin.manifest.limits.boundary_bytes;
            let what = format!("brought more than {limit} bytes through {call}");
            return self.port_error(Origin::Trap, ErrorClass::LimitExceeded, "plugin.boundary-limit", &what);
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let printed = self.store.data().output.text();
            let said = if printed.is_empty() {
                String::new()
            } else {
                format!("; it printed: {}", clip(&printed, 500))
            };
            let what = format!("trapped in {call} ({trap}){said}");
            return self.port_error(Origin::Trap, ErrorClass::Internal, "plugin.trap", &what);
        }
        let what = format!("failed in {call}: {}", clip(&text, 500));
        self.port_error(Origin::Trap, ErrorClass::Internal, "plugin.trap", &what)
    }

    fn port_error(&self, origin: Origin, class: ErrorClass, code: &str, what: &str) -> PortError {
        let message = format!("plugin {} {what}", self.plugin.manifest.id);
        PortError { origin, class, code: code.to_owned(), message, retry_after_ms: None }
    }
}

/// Calls an export within the limits: `call!(work, "extents", |store| future)`.
macro_rules! call {
    ($work:expr, $name:literal, |$store:ident| $future:expr) => {{
        match $work.arm() {
            Err(error) => Err(error),
            Ok((wall, mark)) => {
                let outcome = {
                    let $store = &mut $work.store;
                    tokio::time::timeout(wall, mark.follow($future)).await
                };
                $work.settle($name, outcome)
            }
        }
    }};
}
pub(crate) use call;

/// What a plugin answered with, as the engine's error.
pub(crate) fn plugin_error(plugin: &Plugin, error: wit::Error) -> PortError {
    let class = match error.class {
        wit::ErrorClass::InvalidInput => ErrorClass::InvalidInput,
        wit::ErrorClass::Unsupported => ErrorClass::Unsupported,
        wit::ErrorClass::NotFound => ErrorClass::NotFound,
        wit::ErrorClass::AlreadyExists => ErrorClass::AlreadyExists,
        wit::ErrorClass::Denied => ErrorClass::Denied,
        wit::ErrorClass::Conflict => ErrorClass::Conflict,
        wit::ErrorClass::Corrupt => ErrorClass::Corrupt,
        wit::ErrorClass::LimitExceeded => ErrorClass::LimitExceeded,
        wit::ErrorClass::Transient => ErrorClass::Transient,
        wit::ErrorClass::Cancelled => ErrorClass::Cancelled,
        wit::ErrorClass::Internal => ErrorClass::Internal,
    };
    plugin.counters.received(error.code.len() + error.message.len());
    let denied_by_host = class == ErrorClass::Denied && error.code == crate::host::DENIED;
    PortError {
        origin: if denied_by_host { Origin::Denied } else { Origin::Plugin },
        class,
        code: clip(&error.code, MAX_CODE).to_owned(),
        message: clip(&error.message, MAX_MESSAGE).to_owned(),
        retry_after_ms: error.retry_after_ms,
    }
}
