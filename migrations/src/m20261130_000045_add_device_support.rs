//! Hypervisors: whether their driver changes the devices of running instances.

crate::dialect::migration!(
    "m20261130_000045_add_device_support",
    &["alter table hypervisors add column changes_devices boolean not null default false"]
);
