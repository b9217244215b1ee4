//! The log of plugins: events of the host's log, under the plugin's id and within its rate.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::{sync, text::truncate};

/// The target of the events, for filters.
pub(crate) const TARGET: &str = "imprint_plugin";

const MAX_MESSAGE: usize = 4 << 10;
const MAX_FIELDS: usize = 32;
/// The length of the output that is kept for error messages, in bytes.
const MAX_TAIL: usize = 4 << 10;

/// The log of one plugin.
#[derive(Debug)]
pub(crate) struct PluginLog {
    id: String,
    per_second: u32,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    written: u32,
    dropped: u64,
}

impl PluginLog {
    pub(crate) fn new(id: &str, per_second: u32) -> Arc<Self> {
        let window = Mutex::new(Window { since: Instant::now(), written: 0, dropped: 0 });
        Arc::new(Self { id: id.to_owned(), per_second, window })
    }

    /// Writes an event, or counts it when the plugin is over its rate.
    pub(crate) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let Some(dropped) = self.admit() else { return };
        if dropped > 0 {
            tracing::warn!(target: TARGET, plugin = self.id, dropped, "plugin logs faster than its rate");
        }
        let mut text = truncate(message, MAX_MESSAGE).to_owned();
        for (key, value) in fields.iter().take(MAX_FIELDS) {
            let room = MAX_MESSAGE.saturating_sub(text.len());
            // Writing to a string does not fail.
            let _written = write!(text, " {}={}", truncate(key, room), truncate(value, room));
        }
        let plugin = self.id.as_str();
        if level == Level::ERROR {
            tracing::error!(target: TARGET, plugin, "{text}");
        } else if level == Level::WARN {
            tracing::warn!(target: TARGET, plugin, "{text}");
        } else if level == Level::INFO {
            tracing::info!(target: TARGET, plugin, "{text}");
        } else if level == Level::DEBUG {
            tracing::debug!(target: TARGET, plugin, "{text}");
        } else {
            tracing::trace!(target: TARGET, plugin, "{text}");
        }
    }

    /// Counts one more event. Returns how many were dropped since the last one that was written;
    /// `None` when this one is dropped, too.
    fn admit(&self) -> Option<u64> {
        let mut window = sync::lock(&self.window);
        if window.since.elapsed() >= Duration::from_secs(1) {
            window.since = Instant::now();
            window.written = 0;
        }
        if window.written >= self.per_second {
            window.dropped += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.dropped))
    }
}

/// The end of what a plugin printed.
#[derive(Clone, Default)]
pub(crate) struct OutputTail(Arc<Mutex<VecDeque<u8>>>);

impl OutputTail {
    fn push(&self, bytes: &[u8]) {
        let mut tail = sync::lock(&self.0);
        tail.extend(bytes);
        let excess = tail.len().saturating_sub(MAX_TAIL);
        tail.drain(..excess);
    }

    /// Returns the output as text in one line.
    pub(crate) fn text(&self) -> String {
        let tail = sync::lock(&self.0);
        let bytes: Vec<u8> = tail.iter().copied().collect();
        String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The standard output and the standard error of a plugin: lines for its log.
#[derive(Clone)]
pub(crate) struct PluginOutput {
    log: Arc<PluginLog>,
    tail: OutputTail,
    line: Vec<u8>,
}

impl PluginOutput {
    pub(crate) fn new(log: Arc<PluginLog>, tail: OutputTail) -> Self {
        Self { log, tail, line: Vec::new() }
    }

    fn take_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.log.write(Level::INFO, String::from_utf8_lossy(&line).trim_end(), &[]);
    }
}

impl IsTerminal for PluginOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for PluginOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for PluginOutput {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.tail.push(bytes);
        for byte in bytes {
            if *byte == b'\n' || self.line.len() >= MAX_MESSAGE {
                self.take_line();
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_over_the_rate_are_counted_and_dropped() {
        let log = PluginLog::new("noisy", 3);
        let admitted = (0..10).filter(|_| log.admit().is_some()).count();
        assert_eq!(admitted, 3);
        log.window.lock().unwrap().since = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        assert_eq!(log.admit(), Some(7));
        assert_eq!(log.admit(), Some(0));
    }
}
