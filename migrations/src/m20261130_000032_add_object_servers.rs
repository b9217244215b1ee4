//! Hypervisors: where their agents serve the objects of their storages.

crate::dialect::migration!(
    "m20261130_000032_add_object_servers",
    &[
        "alter table hypervisors add column object_address text",
        "alter table hypervisors add column object_fingerprint text",
        "alter table hypervisors add column object_internal boolean not null default false",
        "alter table hypervisors add column object_key_id text",
    ]
);
