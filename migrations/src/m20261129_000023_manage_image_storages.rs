//! Image storages: what they take and how much they are preferred, their health for each hypervisor
//! that they are bound to, and what tasks use of them.
//!
//! `available_bytes`, `total_bytes`, `seen_at` and `problem` of `image_storages` are not read any
//! more; a later release removes them.

crate::dialect::migration!(
    "m20261129_000023_manage_image_storages",
    &[
        "alter table image_storages add column state text not null default 'active'
            constraint ck_image_storages_state check (state in ('active', 'read_only', 'draining'))",
        "alter table image_storages add column weight bigint not null default 100
            constraint ck_image_storages_weight check (weight >= 0 and weight <= 1000)",
        "alter table image_storages add column shared_path boolean not null default false",
        "alter table image_storages add column min_free_bytes bigint
            constraint ck_image_storages_min_free check (min_free_bytes >= 0)",
        "alter table image_storages add column drain_to {id}
            constraint fk_image_storages_drain_to references image_storages (id)",
        "alter table image_storages add column version bigint not null default 1",
        // Until now nothing refused it, so whoever did it knows that the path is shared.
        "update image_storages set shared_path = true where kind = 'local' and id in
            (select storage_id from storage_bindings group by storage_id having count(*) > 1)",
        "create table storage_health (
            storage_id {id} not null,
            hypervisor_id {id} not null,
            available_bytes bigint constraint ck_storage_health_available check (available_bytes >= 0),
            total_bytes bigint constraint ck_storage_health_total check (total_bytes >= 0),
            read_only boolean not null,
            problem text,
            seen_at {time} not null,
            constraint pk_storage_health primary key (storage_id, hypervisor_id),
            constraint fk_storage_health_binding foreign key (storage_id, hypervisor_id)
                references storage_bindings (storage_id, hypervisor_id) on delete cascade
        )",
        "create table storage_uses (
            task_id {id} not null constraint fk_storage_uses_task references tasks (id) on delete cascade,
            storage_id {id} not null constraint fk_storage_uses_storage references image_storages (id),
            bytes bigint not null constraint ck_storage_uses_bytes check (bytes >= 0),
            settles_at {time},
            constraint pk_storage_uses primary key (task_id, storage_id)
        )",
        "create index ix_storage_uses_storage on storage_uses (storage_id)",
        "create index ix_images_storage on images (storage_id, status)",
    ]
);
