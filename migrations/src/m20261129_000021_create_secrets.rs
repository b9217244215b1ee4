//! Secrets, sealed: of image storages, and of tasks that test one before it is stored.

crate::dialect::migration!(
    "m20261129_000021_create_secrets",
    &[
        "create table storage_secrets (
            storage_id {id} not null constraint fk_storage_secrets_storage references image_storages (id) on delete cascade,
            name {text} not null,
            sealed {bytes} not null,
            key_id text not null,
            changed_at {time} not null,
            constraint pk_storage_secrets primary key (storage_id, name)
        )",
        "create table task_secrets (
            task_id {id} not null constraint fk_task_secrets_task references tasks (id) on delete cascade,
            name {text} not null,
            sealed {bytes} not null,
            key_id text not null,
            changed_at {time} not null,
            constraint pk_task_secrets primary key (task_id, name)
        )",
        "alter table image_storages add column secrets_version bigint not null default 0
            constraint ck_image_storages_secrets_version check (secrets_version >= 0)",
    ]
);
