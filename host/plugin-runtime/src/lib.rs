//! Plugins as WebAssembly components, behind the ports of the host.
//!
//! [`PluginHost`] loads components and returns what they provide as the port traits of
//! `imprint-ports`. Nothing outside of this crate sees an engine, a store or a binding.
//!
//! Ground rules:
//! - A component gets exactly the interfaces that its manifest asks for and that its kind may have
//!   ([`manifest`]).
//! - One store for one image, layout, upload or call of a driver, thrown away after it; every call
//!   has limits of memory, processor time, time and bytes.
//! - The form and the size of every answer are checked here; the meaning of extents is checked by
//!   the data path.
//! - A call ends in an answer or in a typed [`PortError`](imprint_ports::PortError), and never
//!   takes the host down. Its code is stable and documented ([`Code`]), its message is for the
//!   operator and never for a customer, and its causes are in the log.
//! - Locks are taken with `sync::lock`, which ignores poisoning: every critical section leaves its
//!   value consistent, and a watchdog has to thaw a guest even after a panic elsewhere.
//!
//! Not here: bytes of disks (`data-path`), what to do with an image (`agent`).

mod bindings;
mod blob_cache;
mod cache;
mod channel;
mod codes;
mod connection;
mod cpu;
mod engine;
mod error;
mod folder;
mod imports;
mod inspect;
mod instance;
mod linker;
mod log;
pub mod manifest;
mod net;
mod numbers;
mod paths;
mod plugin;
mod plugin_host;
mod ports;
mod quarantine;
mod state;
mod sync;
mod text;
mod usage;
mod wit_error;

pub use codes::Code;
pub use engine::Allocation;
pub use error::LoadError;
pub use inspect::Inspection;
pub use plugin::{PluginInfo, PluginSource};
pub use plugin_host::{EmbeddedPlugin, HostOptions, PluginHost};
pub use ports::{DriverGrants, StorageGrants};
pub use quarantine::Quarantined;
pub use usage::{BoundaryBytes, Usage};
