//! What plugins used since they were loaded.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a plugin used since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The number of calls into the plugin.
    pub calls: u64,
    /// The number of calls that ended without an answer (trap, limit).
    pub failures: u64,
    /// The processor time in milliseconds. It is counted every 10 ms: what a call used after its
    /// last tick is missing.
    pub cpu_ms: u64,
    /// The time inside calls, with what the host did for them meanwhile, in nanoseconds. The host's
    /// reads of files are left out: any reader of the format has to make them.
    pub busy_ns: u64,
    /// The most memory that one instance used, in bytes.
    pub memory_peak: u64,
    /// The bytes that crossed the sandbox.
    pub boundary: BoundaryBytes,
}

impl std::ops::Add for Usage {
    type Output = Self;

    /// Returns the usage of two plugins together; the memory is that of the larger one.
    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failures: self.failures.saturating_add(other.failures),
            cpu_ms: self.cpu_ms.saturating_add(other.cpu_ms),
            busy_ns: self.busy_ns.saturating_add(other.busy_ns),
            memory_peak: self.memory_peak.max(other.memory_peak),
            boundary: self.boundary + other.boundary,
        }
    }
}

/// The bytes that crossed the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoundaryBytes {
    /// The bytes from the host into plugins.
    pub to_plugins: u64,
    /// The bytes from plugins to the host.
    pub from_plugins: u64,
}

impl BoundaryBytes {
    /// Returns the bytes in both directions.
    pub fn total(self) -> u64 {
        self.to_plugins.saturating_add(self.from_plugins)
    }
}

impl std::ops::Add for BoundaryBytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            to_plugins: self.to_plugins.saturating_add(other.to_plugins),
            from_plugins: self.from_plugins.saturating_add(other.from_plugins),
        }
    }
}

/// The counters behind [`Usage`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) cpu_ns: AtomicU64,
    pub(crate) busy_ns: AtomicU64,
    pub(crate) memory_peak: AtomicU64,
    to_plugin: AtomicU64,
    from_plugin: AtomicU64,
}

impl Counters {
    /// Counts bytes that the host passed to the plugin.
    pub(crate) fn count_to_plugin(&self, bytes: usize) {
        self.to_plugin.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts bytes that the plugin passed to the host.
    pub(crate) fn count_from_plugin(&self, bytes: usize) {
        self.from_plugin.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the sums so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            cpu_ms: self.cpu_ns.load(Ordering::Relaxed) / 1_000_000,
            busy_ns: self.busy_ns.load(Ordering::Relaxed),
            memory_peak: self.memory_peak.load(Ordering::Relaxed),
            boundary: BoundaryBytes {
                to_plugins: self.to_plugin.load(Ordering::Relaxed),
                from_plugins: self.from_plugin.load(Ordering::Relaxed),
            },
        }
    }
}
