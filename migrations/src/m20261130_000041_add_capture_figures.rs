//! What captures took, and what was estimated before.

crate::dialect::migration!(
    "m20261130_000041_add_capture_figures",
    &[
        "alter table images add column estimated_bytes bigint",
        "alter table images add column estimated_s bigint",
        "alter table images add column took_ms bigint",
        // Without references: figures outlive the instance and the image that they are about.
        "create table capture_figures (
            task_id {id} not null constraint pk_capture_figures primary key,
            instance_id {id} not null,
            hypervisor_id {id} not null,
            is_compressed boolean not null,
            content_bytes bigint not null,
            stored_bytes bigint not null,
            took_ms bigint not null,
            finished_at {time} not null
        )",
        "create index ix_capture_figures_instance on capture_figures (instance_id, is_compressed, finished_at)",
        "create index ix_capture_figures_hypervisor on capture_figures (hypervisor_id, is_compressed, finished_at)",
    ]
);
