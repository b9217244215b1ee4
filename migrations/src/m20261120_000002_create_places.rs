//! Locations, hypervisors, image storages and their bindings, and the tokens of accounts and
//! agents.

crate::dialect::migration!(
    "m20261120_000002_create_places",
    &[
        "create table locations (
            id {id} not null constraint pk_locations primary key,
            name {text} not null constraint uq_locations_name unique,
            images_enabled boolean not null,
            default_image_limit bigint constraint ck_locations_image_limit check (default_image_limit >= 0),
            created_at {time} not null
        )",
        "create table hypervisors (
            id {id} not null constraint pk_hypervisors primary key,
            name {text} not null constraint uq_hypervisors_name unique,
            location_id {id} not null constraint fk_hypervisors_location references locations (id),
            driver text not null,
            driver_settings text not null,
            max_work bigint not null constraint ck_hypervisors_max_work check (max_work > 0),
            max_captures bigint not null constraint ck_hypervisors_max_captures check (max_captures >= 0),
            agent_id {id},
            agent_version text,
            plugins text not null,
            findings text not null,
            last_seen_at {time},
            created_at {time} not null
        )",
        "create table image_storages (
            id {id} not null constraint pk_image_storages primary key,
            name {text} not null constraint uq_image_storages_name unique,
            role text not null constraint ck_image_storages_role check (role in ('customer', 'stock', 'iso')),
            kind text not null,
            settings text not null,
            available_bytes bigint,
            total_bytes bigint,
            seen_at {time},
            problem text,
            created_at {time} not null
        )",
        "create table storage_bindings (
            storage_id {id} not null constraint fk_storage_bindings_storage references image_storages (id) on delete cascade,
            hypervisor_id {id} not null constraint fk_storage_bindings_hypervisor references hypervisors (id) on delete cascade,
            constraint pk_storage_bindings primary key (storage_id, hypervisor_id)
        )",
        "create index ix_storage_bindings_hypervisor on storage_bindings (hypervisor_id)",
        "create table api_tokens (
            id {id} not null constraint pk_api_tokens primary key,
            account_id {id} constraint fk_api_tokens_account references accounts (id) on delete cascade,
            hypervisor_id {id} constraint fk_api_tokens_hypervisor references hypervisors (id) on delete cascade,
            name text not null,
            scopes text not null,
            secret_hash {bytes} not null,
            created_at {time} not null,
            expires_at {time},
            constraint ck_api_tokens_owner check ((account_id is null) <> (hypervisor_id is null))
        )",
        "create index ix_api_tokens_account on api_tokens (account_id)",
    ]
);
