//! Images, and instances with their disks.

crate::dialect::migration!(
    "m20261120_000003_create_images",
    &[
        "create table images (
            id {id} not null constraint pk_images primary key,
            account_id {id} not null constraint fk_images_account references accounts (id),
            location_id {id} not null constraint fk_images_location references locations (id),
            kind text not null constraint ck_images_kind check (kind in ('custom', 'stock')),
            name {text} not null,
            description text not null,
            status text not null
                constraint ck_images_status check (status in ('creating', 'available', 'error', 'deleting')),
            source_instance_id {id},
            source_instance_name text,
            storage_id {id} not null constraint fk_images_storage references image_storages (id),
            storage_key text not null,
            format text not null,
            size_bytes bigint constraint ck_images_size check (size_bytes >= 0),
            virtual_size_bytes bigint constraint ck_images_virtual_size check (virtual_size_bytes >= 0),
            logical_digest text,
            stored_digest text,
            consistency text,
            downgraded_because text,
            capture_method text,
            frozen_ms bigint,
            stopped_ms bigint,
            task_id {id},
            created_at {time} not null,
            available_at {time},
            version bigint not null,
            constraint uq_images_storage_key unique (storage_id, storage_key),
            constraint ck_images_available check (status <> 'available' or size_bytes is not null)
        )",
        "create index ix_images_account on images (account_id, location_id)",
        "create index ix_images_kind on images (kind)",
        "create table instances (
            id {id} not null constraint pk_instances primary key,
            account_id {id} not null constraint fk_instances_account references accounts (id),
            name {text} not null,
            hypervisor_id {id} not null constraint fk_instances_hypervisor references hypervisors (id),
            location_id {id} not null constraint fk_instances_location references locations (id),
            status text not null
                constraint ck_instances_status check (status in ('deploying', 'ready', 'error', 'deleting')),
            power text not null
                constraint ck_instances_power check (power in ('running', 'paused', 'off', 'unknown')),
            boot_source text not null constraint ck_instances_boot_source check (boot_source in ('disk', 'volume')),
            image_id {id} constraint fk_instances_image references images (id) on delete set null,
            vcpus bigint not null constraint ck_instances_vcpus check (vcpus > 0),
            memory_bytes bigint not null constraint ck_instances_memory check (memory_bytes > 0),
            task_id {id},
            created_at {time} not null
        )",
        "create index ix_instances_account on instances (account_id)",
        "create index ix_instances_hypervisor on instances (hypervisor_id)",
        "create index ix_instances_image on instances (image_id)",
        "create table instance_disks (
            id {id} not null constraint pk_instance_disks primary key,
            instance_id {id} not null constraint fk_instance_disks_instance references instances (id) on delete cascade,
            is_primary boolean not null,
            virtual_size_bytes bigint not null constraint ck_instance_disks_size check (virtual_size_bytes >= 0),
            format text not null,
            allocated_bytes bigint
        )",
        "create index ix_instance_disks_instance on instance_disks (instance_id)",
        "create unique index uq_instance_disks_primary on instance_disks (instance_id) where is_primary",
    ]
);
