//! ISOs: the switch of a location, the ISOs, their events, and what is in the drive of an instance.

crate::dialect::migration!(
    "m20261130_000044_create_isos",
    &[
        "alter table locations add column iso_enabled boolean not null default false",
        "alter table events add column iso_id {id}",
        "create table isos (
            id {id} not null constraint pk_isos primary key,
            location_id {id} not null constraint fk_isos_location references locations (id),
            storage_id {id} not null constraint fk_isos_storage references image_storages (id),
            storage_key text not null,
            name {text} not null,
            description text not null,
            os_type text constraint ck_isos_os_type check (os_type in ('linux', 'windows', 'bsd', 'other')),
            hidden boolean not null,
            status text not null constraint ck_isos_status check (status in ('registering', 'available', 'error')),
            size_bytes bigint constraint ck_isos_size check (size_bytes > 0),
            digest text,
            label text,
            task_id {id} not null,
            created_at {time} not null,
            constraint uq_isos_name unique (location_id, name),
            constraint uq_isos_key unique (location_id, storage_id, storage_key),
            constraint ck_isos_stored check ((size_bytes is null) = (digest is null)),
            constraint ck_isos_available check (status <> 'available' or size_bytes is not null)
        )",
        "create index ix_isos_storage on isos (storage_id)",
        "alter table instances add column iso_id {id}
            constraint fk_instances_iso references isos (id)",
        "alter table instances add column iso_boot boolean not null default false",
        "create index ix_instances_iso on instances (iso_id)",
    ]
);
