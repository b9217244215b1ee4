//! Live captures, launches and power of instances that run under plain QEMU, through its monitor
//! (QMP) and the guest agent.
//!
//! Not here: reading disks (the host does, over NBD), files, sockets, watchdogs and the journal's
//! storage.

mod names;

mod error;

mod agent;
mod monitor;

mod survey;

mod quiesce;

mod capture;
mod teardown;

mod launch;

mod driver;

#[cfg(test)]
mod tests;

pub use driver::Qemu;

imprint_plugin_sdk::export_hypervisor!(Qemu);
