//! Tasks: what they do, how far they are, who holds them.

crate::dialect::migration!(
    "m20261120_000004_create_tasks",
    &[
        "create table tasks (
            id {id} not null constraint pk_tasks primary key,
            account_id {id} not null constraint fk_tasks_account references accounts (id),
            kind text not null,
            state text not null constraint ck_tasks_state
                check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
            phase text not null,
            bytes_done bigint not null constraint ck_tasks_bytes_done check (bytes_done >= 0),
            bytes_total bigint,
            image_id {id},
            instance_id {id},
            hypervisor_id {id} not null constraint fk_tasks_hypervisor references hypervisors (id),
            payload text not null,
            attempts bigint not null,
            attempts_allowed bigint not null,
            cancel_requested boolean not null,
            run_after {time} not null,
            deadline {time} not null,
            agent_id {id},
            fence bigint not null,
            finished_fence bigint not null,
            lease_until {time},
            error_code text,
            error_detail text,
            error_retryable boolean,
            request_id {id} not null,
            created_at {time} not null,
            started_at {time},
            finished_at {time},
            sampled_at {time},
            sampled_bytes bigint not null,
            rate_bps bigint,
            change bigint not null,
            constraint ck_tasks_lease
                check ((state = 'running') = (lease_until is not null) and (state = 'running') = (agent_id is not null)),
            constraint ck_tasks_finished
                check ((state in ('queued', 'running')) = (finished_at is null))
        )",
        "create index ix_tasks_account on tasks (account_id)",
        "create index ix_tasks_hypervisor on tasks (hypervisor_id, state)",
        "create index ix_tasks_image on tasks (image_id)",
        "create index ix_tasks_instance on tasks (instance_id)",
        "create index ix_tasks_state on tasks (state, deadline)",
    ]
);
