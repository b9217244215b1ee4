//! SSH keys and user scripts that an account saves for its new instances.

crate::dialect::migration!(
    "m20261130_000042_create_saved_resources",
    &[
        "create table ssh_keys (
            id {id} not null constraint pk_ssh_keys primary key,
            account_id {id} not null constraint fk_ssh_keys_account references accounts (id) on delete cascade,
            name {text} not null,
            kind text not null,
            fingerprint text not null,
            public_key text not null,
            created_at {time} not null,
            version bigint not null,
            constraint uq_ssh_keys_name unique (account_id, name)
        )",
        "create table user_scripts (
            id {id} not null constraint pk_user_scripts primary key,
            account_id {id} not null constraint fk_user_scripts_account references accounts (id) on delete cascade,
            name {text} not null,
            content text not null,
            size_bytes bigint not null constraint ck_user_scripts_size check (size_bytes > 0),
            created_at {time} not null,
            changed_at {time} not null,
            version bigint not null,
            constraint uq_user_scripts_name unique (account_id, name)
        )",
    ]
);
