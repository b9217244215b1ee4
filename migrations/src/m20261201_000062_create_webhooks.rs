//! Webhooks, and what became of their messages.

crate::dialect::migration!(
    "m20261201_000062_create_webhooks",
    &[
        "create table webhooks (
            id {id} not null constraint pk_webhooks primary key,
            account_id {id} not null constraint fk_webhooks_account references accounts (id) on delete cascade,
            name text not null,
            url text not null,
            events text not null,
            enabled boolean not null,
            given_up boolean not null,
            delivered bigint not null,
            test_requested boolean not null,
            failures bigint not null,
            failing_since {time},
            next_at {time} not null,
            created_at {time} not null,
            version bigint not null,
            constraint uq_webhooks_name unique (account_id, name)
        )",
        "create index ix_webhooks_next_at on webhooks (next_at) where enabled",
        "create table webhook_secrets (
            webhook_id {id} not null constraint fk_webhook_secrets_webhook references webhooks (id) on delete cascade,
            name text not null,
            sealed {bytes} not null,
            key_id text not null,
            changed_at {time} not null,
            constraint pk_webhook_secrets primary key (webhook_id, name)
        )",
        "create table webhook_deliveries (
            id {id} not null constraint pk_webhook_deliveries primary key,
            webhook_id {id} not null
                constraint fk_webhook_deliveries_webhook references webhooks (id) on delete cascade,
            message_id text not null,
            kind text not null,
            sequence bigint,
            attempt bigint not null,
            status bigint,
            problem text,
            took_ms bigint not null,
            at {time} not null
        )",
        "create index ix_webhook_deliveries_webhook on webhook_deliveries (webhook_id, id)",
    ]
);
