//! Live captures, launches, power and devices of instances under plain QEMU, through its monitor
//! (QMP) and the guest agent.
//!
//! Not here: reading disks (the host does, over NBD), files, sockets, watchdogs and the journal's
//! storage.

mod agent;
mod block;
mod capture;
mod card;
mod devices;
mod driver;
mod error;
mod launch;
mod monitor;
mod names;
mod option;
mod quiesce;
mod reclaim;
mod survey;
mod teardown;

#[cfg(test)]
mod tests;

pub use driver::Qemu;

imprint_plugin_sdk::export_hypervisor_with_devices!(Qemu);
imprint_plugin_sdk::export_reclaim!(Qemu);
