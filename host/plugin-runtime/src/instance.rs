//! A plugin instance: a store, the calls into it, and how they end.
//!
//! A store is used for one image, one layout, one upload or one call of a driver, and thrown away.
//! A trap poisons it for good, so after one (and after a timeout, which leaves a call half done)
//! the instance is closed: every further call is refused.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use imprint_ports::{ErrorClass, PortError};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, error::Elapsed},
};
use tracing::{debug, warn};
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::{
    bindings::host::imprint::types::types as wit,
    codes::Code,
    cpu::{CpuExhausted, CpuMark},
    plugin::Plugin,
    state::{Abort, Grants, PluginContext, State},
    text::truncate,
    wit_error,
};

/// The bytes that every answer counts for, in addition to its lists and texts.
const ANSWER_BYTES: usize = 64;
/// The longest part of a plugin's output or of wasmtime's message in an error message, in bytes.
/// The log has the rest.
const SHOWN: usize = 500;

/// A store with what belongs to it.
pub(crate) struct PluginInstance {
    pub(crate) store: Store<State>,
    plugin: Arc<PluginContext>,
    /// The reason why every further call is refused.
    closed: Option<String>,
    call_started: Instant,
    /// The processor time of one call, where that is less than the plugin's limit.
    cpu: Duration,
    _permit: OwnedSemaphorePermit,
}

impl PluginInstance {
    /// Waits until one more instance is allowed, for as long as a call may take.
    pub(crate) async fn start(
        plugin: &Plugin,
        engine: &wasmtime::Engine,
        grants: Grants,
    ) -> Result<Self, PortError> {
        let context = plugin.context.clone();
        let limits = context.limits;
        let permit = tokio::time::timeout(limits.wall_per_call, plugin.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            let message = format!("all {} instances of plugin {} are busy", limits.instances, context.id);
            return Err(Code::Busy.error(message));
        };
        let mut store = Store::new(engine, State::new(context.clone(), grants));
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| {
            let state = store.data_mut();
            let (used, left) = state.cpu.tick();
            let used = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
            state.plugin.counters.cpu_ns.fetch_add(used, Ordering::Relaxed);
            if let Err(CpuExhausted) = left {
                let limit_ms = state.cpu.limit().as_millis();
                return Err(Abort::Cpu { limit_ms }.into());
            }
            // A plain yield can be scheduled again at once, ahead of every timer.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store.set_hostcall_fuel(usize::try_from(limits.boundary_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        let call_started = Instant::now();
        let cpu = Duration::MAX;
        Ok(Self { store, plugin: context, closed: None, call_started, cpu, _permit: permit })
    }

    /// Prepares one call. Returns how long it may take, and the meter of its processor time.
    pub(crate) fn begin_call(&mut self) -> Result<(Duration, Arc<CpuMark>), PortError> {
        if let Some(reason) = &self.closed {
            let message = format!("this instance of plugin {} has ended: {reason}", self.plugin.id);
            return Err(Code::InstanceClosed.error(message));
        }
        let limits = self.plugin.limits;
        let state = self.store.data_mut();
        let mark = state.cpu.begin(limits.cpu_per_call.min(self.cpu));
        state.reading = Duration::ZERO;
        state.progress = None;
        self.call_started = Instant::now();
        state.deadline = self.call_started.checked_add(limits.wall_per_call);
        self.store.set_epoch_deadline(1);
        self.plugin.counters.calls.fetch_add(1, Ordering::Relaxed);
        Ok((limits.wall_per_call, mark))
    }

    /// Lowers the processor time of each call of this instance.
    pub(crate) fn lower_cpu(&mut self, limit: Duration) {
        self.cpu = self.cpu.min(limit);
    }

    /// Returns the processor time that the last call left of its limit.
    pub(crate) fn cpu_left(&self) -> Duration {
        self.store.data().cpu.left()
    }

    /// Returns what the plugin last reported as done in the last call.
    pub(crate) fn progress(&self) -> Option<u64> {
        self.store.data().progress
    }

    /// Counts what a call used, and returns its answer. A call without one closes the instance.
    pub(crate) fn end_call<T>(
        &mut self,
        call: &str,
        outcome: Result<wasmtime::Result<T>, Elapsed>,
    ) -> Result<T, PortError> {
        let counters = &self.plugin.counters;
        let busy = self.call_started.elapsed().saturating_sub(self.store.data().reading);
        counters.busy_ns.fetch_add(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        counters.memory_peak.fetch_max(self.store.data().memory.peak, Ordering::Relaxed);
        let failure = match outcome {
            Ok(Ok(answer)) => {
                counters.count_from_plugin(ANSWER_BYTES);
                return Ok(answer);
            }
            Ok(Err(error)) => self.failure(call, &error),
            Err(Elapsed { .. }) => {
                let limit = self.plugin.limits.wall_per_call.as_millis();
                let failure = self.error(Code::Timeout, &format!("did not answer {call} within {limit} ms"));
                warn!(plugin = self.plugin.id, call, code = failure.code, "{failure}");
                failure
            }
        };
        counters.failures.fetch_add(1, Ordering::Relaxed);
        self.closed = Some(failure.message.clone());
        Err(failure)
    }

    /// Returns a plugin's own error for the caller, counts its bytes and logs it.
    pub(crate) fn port_error(&self, error: &wit::Error) -> PortError {
        port_error(&self.plugin, error)
    }

    /// Counts bytes of an answer of the plugin.
    pub(crate) fn count_from_plugin(&self, bytes: usize) {
        self.plugin.counters.count_from_plugin(bytes);
    }

    /// Counts bytes that a call passes to the plugin.
    pub(crate) fn count_to_plugin(&self, bytes: usize) {
        self.plugin.counters.count_to_plugin(bytes);
    }

    /// Passes on a checked answer. One that breaks the contract is logged and closes the instance:
    /// the plugin cannot be relied on.
    pub(crate) fn record<T>(&mut self, checked: Result<T, PortError>) -> Result<T, PortError> {
        checked.inspect_err(|error| self.close(error))
    }

    /// Closes this instance because of a failure that was found outside of it.
    pub(crate) fn close(&mut self, failure: &PortError) {
        log_bad_answer(&self.plugin, failure);
        self.closed.get_or_insert_with(|| failure.message.clone());
    }

    /// Returns whether every further call is refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Returns the failure of a call that wasmtime ended. The log gets all of it: wasmtime's
    /// message with its causes, the backtrace, and what the plugin printed.
    fn failure(&self, call: &str, error: &wasmtime::Error) -> PortError {
        let text = format!("{error:#}");
        let printed = self.store.data().output.text();
        let failure = self.classify(call, error, &text, &printed);
        let plugin = &self.plugin.id;
        warn!(plugin, call, code = failure.code, cause = text, printed, "{failure}");
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            debug!(plugin, call, "{backtrace}");
        }
        failure
    }

    fn classify(&self, call: &str, error: &wasmtime::Error, text: &str, printed: &str) -> PortError {
        if let Some(abort) = error.downcast_ref::<Abort>() {
            let code = match abort {
                Abort::Memory { .. } | Abort::Tables => Code::MemoryLimit,
                Abort::Cpu { .. } => Code::CpuLimit,
            };
            return self.error(code, &format!("was stopped in {call}: {abort}"));
        }
        if text.contains("fuel allocated for hostcalls") {
            let limit = self.plugin.limits.boundary_bytes;
            return self.error(Code::BoundaryLimit, &format!("returned more than {limit} bytes from {call}"));
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let printed = match truncate(printed, SHOWN) {
                "" => String::new(),
                printed => format!("; it printed: {printed}"),
            };
            return self.error(Code::Trap, &format!("trapped in {call} ({trap}){printed}"));
        }
        self.error(Code::Trap, &format!("failed in {call}: {}", truncate(text, SHOWN)))
    }

    fn error(&self, code: Code, what: &str) -> PortError {
        code.error(format!("plugin {} {what}", self.plugin.id))
    }
}

/// Calls an export within the limits: `call!(instance, "extents", |store| future)`.
macro_rules! call {
    ($instance:expr, $name:literal, |$store:ident| $future:expr) => {{
        match $instance.begin_call() {
            Err(error) => Err(error),
            Ok((wall, mark)) => {
                let outcome = {
                    let $store = &mut $instance.store;
                    tokio::time::timeout(wall, mark.measure($future)).await
                };
                $instance.end_call($name, outcome)
            }
        }
    }};
}
pub(crate) use call;

/// Logs an answer that breaks the contract.
pub(crate) fn log_bad_answer(plugin: &PluginContext, failure: &PortError) {
    warn!(plugin = plugin.id, code = failure.code, "answer refused: {failure}");
}

/// Returns a plugin's own error for the caller, counts its bytes and logs it. Errors that answer a
/// question (no such object, not this format) are not worth a warning.
pub(crate) fn port_error(plugin: &PluginContext, error: &wit::Error) -> PortError {
    plugin.counters.count_from_plugin(error.code.len() + error.message.len());
    let failure = wit_error::into_port_error(error);
    match failure.class {
        ErrorClass::InvalidInput
        | ErrorClass::Unsupported
        | ErrorClass::NotFound
        | ErrorClass::AlreadyExists
        | ErrorClass::Cancelled => debug!(plugin = plugin.id, code = failure.code, "{failure}"),
        ErrorClass::Denied
        | ErrorClass::Conflict
        | ErrorClass::Corrupt
        | ErrorClass::LimitExceeded
        | ErrorClass::Transient
        | ErrorClass::Internal => warn!(plugin = plugin.id, code = failure.code, "{failure}"),
    }
    failure
}
