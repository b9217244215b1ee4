//! Between the author's traits and the generated bindings.

pub mod admin;
pub mod devices;
pub mod format;
mod host;
pub mod hypervisor;
pub mod inspector;
mod numbers;
pub mod reclaim;
mod shapes;
pub mod storage;
pub mod stream;

pub use host::HostSide;

/// Lets a native build see that the type is used.
pub const fn format_is_exported<T: crate::format::Format>() {}
/// Lets a native build see that the type is used.
pub const fn storage_is_exported<T: crate::storage::Storage>() {}
/// Lets a native build see that the type is used.
pub const fn streaming_is_exported<T: crate::storage::StreamStorage>() {}
/// Lets a native build see that the type is used.
pub const fn hypervisor_is_exported<T: crate::hypervisor::Hypervisor>() {}
/// Lets a native build see that the type is used.
pub const fn inspector_is_exported<T: crate::inspector::Inspector>() {}
/// Lets a native build see that the type is used.
pub const fn devices_are_exported<T: crate::hypervisor::Devices>() {}
/// Lets a native build see that the type is used.
pub const fn reclaim_is_exported<T: crate::hypervisor::Reclaim>() {}
/// Lets a native build see that the type is used.
pub const fn admin_is_exported<T: crate::admin::Administered>() {}
