//! The ports of the host over components. Every answer is checked before it is passed on.

mod bounds;
mod driver;
mod format;
mod http_object;
mod inspector;
mod objects;
mod parts;
mod storage;
mod storage_context;
mod stream;
mod upload;

pub(crate) use driver::ComponentDriver;
pub use driver::DriverGrants;
pub(crate) use format::ComponentFormat;
pub(crate) use inspector::ComponentInspector;
pub(crate) use storage::ComponentStorage;
pub use storage::StorageGrants;
