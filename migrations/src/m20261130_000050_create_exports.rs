//! Exports: the switch of a location, the exports of images, and their events.

crate::dialect::migration!(
    "m20261130_000050_create_exports",
    &[
        "alter table locations add column export_enabled boolean not null default false",
        "alter table events add column export_id {id}",
        "create table image_exports (
            id {id} not null constraint pk_image_exports primary key,
            account_id {id} not null constraint fk_image_exports_account references accounts (id),
            image_id {id} not null,
            location_id {id} not null constraint fk_image_exports_location references locations (id),
            storage_id {id} constraint fk_image_exports_storage references image_storages (id),
            storage_key text not null,
            format text not null,
            variant text,
            compression text,
            destination_kind text,
            status text not null constraint ck_image_exports_status
                check (status in ('creating', 'available', 'error', 'deleting')),
            size_bytes bigint constraint ck_image_exports_size check (size_bytes > 0),
            stored_digest text,
            sha256 text,
            virtual_size_bytes bigint not null,
            logical_digest text not null,
            task_id {id} not null,
            created_at {time} not null,
            available_at {time},
            expires_at {time} not null,
            constraint ck_image_exports_place check ((storage_id is null) = (destination_kind is not null)),
            constraint ck_image_exports_stored check
                ((size_bytes is null) = (sha256 is null) and (size_bytes is null) = (stored_digest is null)),
            constraint ck_image_exports_available check (status <> 'available' or size_bytes is not null)
        )",
        "create index ix_image_exports_image on image_exports (image_id)",
        "create index ix_image_exports_storage on image_exports (storage_id)",
        "create index ix_image_exports_task on image_exports (task_id)",
        "create index ix_image_exports_expires_at on image_exports (expires_at)",
        // Made once: what is asked for again is what there is.
        "create unique index uq_image_exports_made
            on image_exports (image_id, format, coalesce(variant, ''), coalesce(compression, ''))
            where status in ('creating', 'available') and storage_id is not null",
    ]
);
