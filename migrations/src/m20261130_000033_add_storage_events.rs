//! Events about image storages, which the accounts of admins have.

crate::dialect::migration!(
    "m20261130_000033_add_storage_events",
    &["alter table events add column storage_id {id}"]
);
