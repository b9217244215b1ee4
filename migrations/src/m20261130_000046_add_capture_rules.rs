//! What rules captures: versions of hypervisors for changes of their limits, the format of captured
//! files, what failed captures say, and how often they failed.

crate::dialect::migration!(
    "m20261130_000046_add_capture_rules",
    &[
        "alter table hypervisors add column version bigint not null default 1",
        "alter table hypervisors add column limited_bandwidth boolean not null default false",
        "alter table instances add column capture_failures bigint not null default 0
            constraint ck_instances_capture_failures check (capture_failures >= 0)",
        "alter table locations add column capture_format text not null default 'qcow2'
            constraint ck_locations_capture_format check (capture_format in ('qcow2', 'raw', 'vhd'))",
        "alter table locations add column support_text text",
        "alter table locations add column support_url text",
        "alter table locations add column status_url text",
    ]
);
