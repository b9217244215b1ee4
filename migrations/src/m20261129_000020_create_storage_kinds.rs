//! The kinds of image storages that the plugins of each hypervisor's agent provide.

crate::dialect::migration!(
    "m20261129_000020_create_storage_kinds",
    &[
        "create table storage_kinds (
            hypervisor_id {id} not null constraint fk_storage_kinds_hypervisor references hypervisors (id) on delete cascade,
            kind {text} not null,
            plugin text not null,
            version text not null,
            summary text not null,
            schema text,
            constraint pk_storage_kinds primary key (hypervisor_id, kind)
        )",
        "create index ix_storage_kinds_kind on storage_kinds (kind)",
    ]
);
