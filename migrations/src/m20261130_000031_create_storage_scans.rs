//! Scans of image storages, and what the last one of each found there.

crate::dialect::migration!(
    "m20261130_000031_create_storage_scans",
    &[
        "create table storage_scans (
            id {id} not null constraint pk_storage_scans primary key,
            storage_id {id} not null constraint fk_storage_scans_storage references image_storages (id) on delete cascade,
            hypervisor_id {id} not null constraint fk_storage_scans_hypervisor references hypervisors (id) on delete cascade,
            deep boolean not null,
            state text not null constraint ck_storage_scans_state check (state in ('active', 'complete', 'failed')),
            fence bigint not null,
            objects bigint not null constraint ck_storage_scans_objects check (objects >= 0),
            bytes bigint not null constraint ck_storage_scans_bytes check (bytes >= 0),
            classes text not null,
            started_at {time} not null,
            finished_at {time}
        )",
        "create index ix_storage_scans_storage on storage_scans (storage_id, started_at)",
        "create table storage_objects (
            storage_id {id} not null constraint fk_storage_objects_storage references image_storages (id) on delete cascade,
            key {text} not null,
            scan_id {id} not null,
            fence bigint not null,
            size_bytes bigint constraint ck_storage_objects_size check (size_bytes >= 0),
            modified_at {time},
            first_seen_at {time} not null,
            class text not null,
            image_id {id},
            digest text,
            digest_at {time},
            quarantined_at {time},
            constraint pk_storage_objects primary key (storage_id, key)
        )",
        "create index ix_storage_objects_class on storage_objects (storage_id, class, key)",
    ]
);
