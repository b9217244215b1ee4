//! Billing: for how long who stored how much, what it costs, and what was charged.

crate::dialect::migration!(
    "m20261201_000053_create_billing",
    &[
        // Locations and subjects may be removed; what they cost stays.
        "create table usage_intervals (
            id {id} not null constraint pk_usage_intervals primary key,
            account_id {id} not null constraint fk_usage_intervals_account references accounts (id),
            location_id {id} not null,
            subject_kind text not null constraint ck_usage_intervals_subject_kind
                check (subject_kind in ('image', 'instance')),
            subject_id {id} not null,
            name text not null,
            bytes bigint,
            vcpus bigint,
            memory_bytes bigint,
            disk_bytes bigint,
            started_at {time} not null,
            ended_at {time},
            ended_by text constraint ck_usage_intervals_ended_by check (ended_by in ('deleted', 'changed')),
            constraint ck_usage_intervals_end check ((ended_at is null) = (ended_by is null)),
            constraint ck_usage_intervals_measure check (
                (subject_kind = 'image') = (bytes is not null)
                and (subject_kind = 'instance') = (vcpus is not null)
                and (vcpus is null) = (memory_bytes is null)
                and (vcpus is null) = (disk_bytes is null))
        )",
        // The clock of a subject runs once at a time.
        "create unique index uq_usage_intervals_open on usage_intervals (subject_id) where ended_at is null",
        "create index ix_usage_intervals_subject on usage_intervals (subject_id, started_at)",
        // Of one account: what is open, and what ended since the start of a period.
        "create index ix_usage_intervals_account on usage_intervals (account_id, ended_at)",
        // Of all accounts, in pages of accounts.
        "create index ix_usage_intervals_open on usage_intervals (account_id) where ended_at is null",
        "create index ix_usage_intervals_ended_at on usage_intervals (ended_at)",
        // The first of all is where months start.
        "create index ix_usage_intervals_started_at on usage_intervals (started_at)",
        "create table billing_rates (
            id {id} not null constraint pk_billing_rates primary key,
            location_id {id} not null,
            account_id {id} constraint fk_billing_rates_account references accounts (id),
            kind text not null,
            effective_from {time} not null,
            terms text not null,
            ends boolean not null,
            created_at {time} not null,
            created_by {id}
        )",
        "create unique index uq_billing_rates_location on billing_rates (location_id, kind, effective_from)
            where account_id is null",
        "create unique index uq_billing_rates_account
            on billing_rates (location_id, account_id, kind, effective_from) where account_id is not null",
        // Hours since 1970.
        "create table usage_hours (
            hour bigint not null,
            subject_id {id} not null,
            location_id {id} not null,
            account_id {id} not null constraint fk_usage_hours_account references accounts (id),
            kind text not null constraint ck_usage_hours_kind check (kind in ('image', 'instance', 'allowance')),
            name text not null,
            quantity text not null,
            rate_id {id},
            amount text,
            currency text,
            constraint pk_usage_hours primary key (hour, subject_id, location_id),
            constraint ck_usage_hours_charge check
                ((rate_id is null) = (amount is null) and (rate_id is null) = (currency is null))
        )",
        "create index ix_usage_hours_account on usage_hours (account_id, hour)",
        "create table billing_state (
            id bigint not null constraint pk_billing_state primary key constraint ck_billing_state_id check (id = 1),
            sealed_until bigint not null,
            metered_until bigint not null,
            constraint ck_billing_state_order check (metered_until <= sealed_until)
        )",
        "create table billing_months (
            month text not null constraint pk_billing_months primary key,
            time_zone text not null,
            closed_at {time} not null,
            closed_by {id}
        )",
        "create table statement_lines (
            month text not null,
            account_id {id} not null constraint fk_statement_lines_account references accounts (id),
            position bigint not null,
            line text not null,
            constraint pk_statement_lines primary key (month, account_id, position)
        )",
        "create table billing_adjustments (
            id {id} not null constraint pk_billing_adjustments primary key,
            account_id {id} not null constraint fk_billing_adjustments_account references accounts (id),
            currency text not null,
            amount text not null,
            reason text not null,
            corrects text not null,
            charged_in text not null,
            created_at {time} not null,
            created_by {id} not null
        )",
        "create index ix_billing_adjustments_account on billing_adjustments (account_id, charged_in)",
        "create table billing_budgets (
            account_id {id} not null constraint pk_billing_budgets primary key
                constraint fk_billing_budgets_account references accounts (id) on delete cascade,
            currency text not null,
            notify_amount text,
            stop_amount text,
            spent_month text,
            spent text,
            notified_month text,
            constraint ck_billing_budgets_spent check ((spent_month is null) = (spent is null))
        )",
        // Nothing was metered before: the clock of what is there starts now. The id of the first
        // interval is free to be that of its subject.
        "{postgres}insert into usage_intervals (id, account_id, location_id, subject_kind, subject_id, name, bytes,
                started_at)
            select id, account_id, location_id, 'image', id, name, size_bytes, date_trunc('milliseconds', now())
            from images where kind = 'custom' and status = 'available'",
        "{sqlite}insert into usage_intervals (id, account_id, location_id, subject_kind, subject_id, name, bytes,
                started_at)
            select id, account_id, location_id, 'image', id, name, size_bytes,
                strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
            from images where kind = 'custom' and status = 'available'",
        "{postgres}insert into usage_intervals (id, account_id, location_id, subject_kind, subject_id, name, vcpus,
                memory_bytes, disk_bytes, started_at)
            select id, account_id, location_id, 'instance', id, name, vcpus, memory_bytes,
                cast(coalesce((select sum(virtual_size_bytes) from instance_disks
                    where instance_id = instances.id), 0) as bigint),
                date_trunc('milliseconds', now())
            from instances where status = 'ready'",
        "{sqlite}insert into usage_intervals (id, account_id, location_id, subject_kind, subject_id, name, vcpus,
                memory_bytes, disk_bytes, started_at)
            select id, account_id, location_id, 'instance', id, name, vcpus, memory_bytes,
                cast(coalesce((select sum(virtual_size_bytes) from instance_disks
                    where instance_id = instances.id), 0) as bigint),
                strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
            from instances where status = 'ready'",
    ]
);
