//! Accounts and their browser sessions.

crate::dialect::migration!(
    "m20261120_000001_create_access",
    &[
        "create table accounts (
            id {id} not null constraint pk_accounts primary key,
            name {text} not null constraint uq_accounts_name unique,
            role text not null constraint ck_accounts_role check (role in ('admin', 'customer')),
            password_hash text not null,
            image_limit bigint constraint ck_accounts_image_limit check (image_limit >= 0),
            event_sequence bigint not null default 0,
            created_at {time} not null
        )",
        "create table sessions (
            id {id} not null constraint pk_sessions primary key,
            account_id {id} not null constraint fk_sessions_account references accounts (id) on delete cascade,
            secret_hash {bytes} not null constraint uq_sessions_secret_hash unique,
            created_at {time} not null,
            last_seen_at {time} not null,
            expires_at {time} not null
        )",
        "create index ix_sessions_account on sessions (account_id)",
        "create index ix_sessions_expires_at on sessions (expires_at)",
    ]
);
