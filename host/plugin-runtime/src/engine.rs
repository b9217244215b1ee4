//! The engine: its settings, its clock and its pool.

use std::{thread, time::Duration};

use tracing::{info, warn};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::LoadError;

/// The time between two ticks of the epoch: how often a plugin yields, and how often its processor
/// time is read.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The stack of a component's code, in bytes.
const WASM_STACK: usize = 512 << 10;
/// The stack of the fiber that it runs on, in bytes; host functions run there, too.
const FIBER_STACK: usize = 2 << 20;
/// The largest memory of an instance, in bytes: larger than any memory limit (`Limits::caps`).
const MAX_MEMORY: usize = 256 << 20;
/// The slots of the pool: each reserves 4 GiB of address space, and no memory until it is used.
const SLOTS: u32 = 128;

/// The source of the memory of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// A pool that was reserved at the start.
    Pooling,
    /// A mapping for each instance: about twice as slow to start, the same speed afterwards.
    OnDemand,
}

/// Creates the engine and starts its clock.
pub(crate) fn start() -> Result<(Engine, Allocation), LoadError> {
    let (engine, allocation) = match build(Allocation::Pooling) {
        Ok(engine) => (engine, Allocation::Pooling),
        Err(error) => {
            warn!(%error, "no room for a pool of plugin instances; falling back to instances on demand");
            let engine =
                build(Allocation::OnDemand).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
            (engine, Allocation::OnDemand)
        }
    };
    info!(?allocation, "plugin engine started");
    start_ticker(&engine)?;
    Ok((engine, allocation))
}

fn build(allocation: Allocation) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.memory_init_cow(true);
    config.max_wasm_stack(WASM_STACK);
    config.async_stack_size(FIBER_STACK);
    match allocation {
        Allocation::OnDemand => {}
        Allocation::Pooling => {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_component_instances(SLOTS)
                .total_core_instances(SLOTS * 4)
                .total_memories(SLOTS)
                .total_tables(SLOTS * 2)
                .total_stacks(SLOTS)
                .max_memory_size(MAX_MEMORY)
                .max_memories_per_component(4)
                .linear_memory_keep_resident(64 << 10)
                .table_keep_resident(16 << 10);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
    }
    Engine::new(&config)
}

/// Starts the clock on a thread of its own: a runtime whose threads are all busy with plugins must
/// not stop the clock that limits them. It ends with the engine.
fn start_ticker(engine: &Engine) -> Result<(), LoadError> {
    let weak = engine.weak();
    let ticker = move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new()
        .name("plugin-epoch".to_owned())
        .spawn(ticker)
        .map(drop)
        .map_err(|error| LoadError::Engine(format!("the clock thread cannot be started: {error}")))
}
