//! The data of a store: the limits, the grants and the handles of one plugin instance.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cap_std::fs::Dir;
use imprint_ports::{Props, SharedJournal};
use tokio::time::Instant;
use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::{
    channel::ChannelContext,
    cpu::CpuMeter,
    log::{OutputTail, PluginLog, PluginOutput},
    manifest::{Access, Limits},
    net::NetContext,
    usage::Counters,
};

/// Elements of all tables of a store: function pointers, mostly.
const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Resources of the host side (blobs, channels, streams) in one store.
const MAX_RESOURCES: usize = 4096;

/// The reason why the host stopped a plugin in the middle of a call.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Abort {
    #[error("it needs more than its memory limit of {limit} bytes")]
    Memory { limit: u64 },
    #[error("it needs more than {MAX_TABLE_ELEMENTS} table elements")]
    Tables,
    #[error("it used more than its {limit_ms} ms of CPU time in one call")]
    Cpu { limit_ms: u128 },
}

/// A granted directory.
#[derive(Clone, Debug)]
pub(crate) struct DirGrant {
    pub(crate) dir: Arc<Dir>,
    pub(crate) access: Access,
}

/// The granted directories by the ids of the manifest.
pub(crate) type DirGrantMap = BTreeMap<String, DirGrant>;

/// What the operator and the caller grant to one instance.
#[derive(Default)]
pub(crate) struct Grants {
    pub(crate) settings: Arc<Props>,
    pub(crate) dirs: Arc<DirGrantMap>,
    pub(crate) net: Option<Arc<NetContext>>,
    pub(crate) channels: Option<ChannelContext>,
    pub(crate) journal: Option<SharedJournal>,
}

/// What all instances of a plugin share.
pub(crate) struct PluginContext {
    pub(crate) id: String,
    /// The limits of one instance, after the host's caps.
    pub(crate) limits: Limits,
    pub(crate) log: Arc<PluginLog>,
    pub(crate) counters: Counters,
}

/// The data of a store.
pub(crate) struct State {
    pub(crate) plugin: Arc<PluginContext>,
    pub(crate) grants: Grants,
    pub(crate) table: ResourceTable,
    pub(crate) memory: Memory,
    pub(crate) cpu: CpuMeter,
    /// The time at which the host gives up on the running call.
    pub(crate) deadline: Option<Instant>,
    /// The bytes read through blobs.
    pub(crate) metadata_read: u64,
    /// The connections that are open.
    pub(crate) connections: usize,
    /// The time that the host's reads of files took in the current call.
    pub(crate) reading: Duration,
    /// What the plugin last reported as done in the current call.
    pub(crate) progress: Option<u64>,
    /// The end of what the plugin printed, such as the message of a panic.
    pub(crate) output: OutputTail,
    wasi: WasiCtx,
}

impl State {
    pub(crate) fn new(plugin: Arc<PluginContext>, grants: Grants) -> Self {
        let output = OutputTail::default();
        let sink = PluginOutput::new(plugin.log.clone(), output.clone());
        let wasi = WasiCtx::builder().stdout(sink.clone()).stderr(sink).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let memory = Memory { used: 0, peak: 0, elements: 0, limit: plugin.limits.memory };
        Self {
            plugin,
            grants,
            table,
            memory,
            cpu: CpuMeter::default(),
            deadline: None,
            metadata_read: 0,
            connections: 0,
            reading: Duration::ZERO,
            progress: None,
            output,
            wasi,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The sum over all memories and tables of a store: wasmtime's own limits apply to each of them
/// separately.
pub(crate) struct Memory {
    used: u64,
    pub(crate) peak: u64,
    elements: usize,
    limit: u64,
}

impl Memory {
    /// Lowers the limit for this instance.
    pub(crate) fn lower_limit(&mut self, limit: u64) {
        self.limit = self.limit.min(limit);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let used = self.used.saturating_add(grown);
        if used > self.limit {
            return Err(Abort::Memory { limit: self.limit }.into());
        }
        self.used = used;
        self.peak = self.peak.max(used);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > MAX_TABLE_ELEMENTS {
            return Err(Abort::Tables.into());
        }
        self.elements = elements;
        Ok(true)
    }
}
