//! `log`, `config` and `task`: the interfaces that every plugin gets.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use tracing::Level;

use crate::{
    bindings::host::imprint::host::{config, log, task},
    log::TARGET,
    state::State,
    text::truncate,
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn level(level: log::Level) -> Level {
    match level {
        log::Level::Trace => Level::TRACE,
        log::Level::Debug => Level::DEBUG,
        log::Level::Info => Level::INFO,
        log::Level::Warn => Level::WARN,
        log::Level::Error => Level::ERROR,
    }
}

impl log::Host for State {
    async fn write(
        &mut self,
        at: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.plugin.counters.count_from_plugin(message.len());
        self.plugin.log.write(level(at), &message, &fields);
        Ok(())
    }

    async fn enabled(&mut self, at: log::Level) -> wasmtime::Result<bool> {
        Ok(match at {
            log::Level::Trace => tracing::enabled!(target: TARGET, Level::TRACE),
            log::Level::Debug => tracing::enabled!(target: TARGET, Level::DEBUG),
            log::Level::Info => tracing::enabled!(target: TARGET, Level::INFO),
            log::Level::Warn => tracing::enabled!(target: TARGET, Level::WARN),
            log::Level::Error => tracing::enabled!(target: TARGET, Level::ERROR),
        })
    }
}

impl config::Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.grants.settings.get(&key).cloned())
    }

    async fn all(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.grants.settings.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl task::Host for State {
    /// The host drops a call that is cancelled, so a running one is not.
    async fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(false)
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<Option<u64>> {
        let left =
            self.deadline.map(|deadline| deadline.saturating_duration_since(tokio::time::Instant::now()));
        Ok(left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)))
    }

    async fn monotonic_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep_ms(&mut self, ms: u32) -> wasmtime::Result<()> {
        tokio::time::sleep(Duration::from_millis(u64::from(ms))).await;
        Ok(())
    }

    async fn progress(&mut self, done: u64, total: Option<u64>, note: String) -> wasmtime::Result<()> {
        self.progress = Some(done);
        tracing::debug!(target: TARGET, plugin = self.plugin.id, done, total, "{}", truncate(&note, 200));
        Ok(())
    }
}
