//! Plugins as WebAssembly components, behind the engine's ports.
//!
//! [`PluginHost`] loads components and hands out what they provide as the port traits of
//! `imprint-data-path`. Nothing outside of this crate sees an engine, a store or a binding.
//!
//! Ground rules:
//! - A component gets exactly the interfaces that its manifest asks for and that its kind may have
//!   ([`manifest`]).
//! - One store for one piece of work, thrown away after it; every call has limits of memory, CPU,
//!   time and bytes.
//! - Whatever a plugin says is checked for form and size here; what extents mean is checked by the
//!   data path.
//! - A call ends in an answer or in a typed [`PortError`](imprint_ports::PortError): the
//!   host goes on.
//!
//! Not here: bytes of disks (`data-path`), what to do with an image (`agent`).

mod bindings;
mod cache;
mod channel;
mod cpu;
mod engine;
mod error;
mod host;
mod linker;
mod log;
pub mod manifest;
mod numbers;
mod plugin;
mod plugin_host;
mod ports;
mod state;
mod work;

pub use engine::Allocation;
pub use error::LoadError;
pub use plugin::{BoundaryBytes, PluginInfo, PluginSource, Usage};
pub use plugin_host::{EmbeddedPlugin, HostOptions, PluginHost};
pub use ports::{DriverGrants, StorageGrants};
