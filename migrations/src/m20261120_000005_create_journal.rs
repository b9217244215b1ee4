//! Events, audit rows, and the answers kept for idempotency keys.

crate::dialect::migration!(
    "m20261120_000005_create_journal",
    &[
        "create table events (
            account_id {id} not null constraint fk_events_account references accounts (id) on delete cascade,
            sequence bigint not null,
            kind text not null,
            image_id {id},
            instance_id {id},
            task_id {id},
            at {time} not null,
            constraint pk_events primary key (account_id, sequence)
        )",
        "create index ix_events_at on events (at)",
        "create table audit (
            id {id} not null constraint pk_audit primary key,
            at {time} not null,
            account_id {id},
            actor text not null,
            action text not null,
            resource text not null,
            request_id {id} not null
        )",
        "create index ix_audit_at on audit (at)",
        "create table idempotency_keys (
            account_id {id} not null constraint fk_idempotency_keys_account references accounts (id) on delete cascade,
            method text not null,
            path text not null,
            key text not null,
            body_hash {bytes} not null,
            answer text not null,
            created_at {time} not null,
            constraint pk_idempotency_keys primary key (account_id, method, path, key)
        )",
        "create index ix_idempotency_keys_created_at on idempotency_keys (created_at)",
    ]
);
