//! Locations: whether and for how long chains of layers behind disks are merged.

crate::dialect::migration!(
    "m20261120_000006_add_coalescing",
    &[
        "alter table locations add column coalesce_before_capture boolean not null default true",
        "alter table locations add column coalesce_timeout_s bigint not null default 7200
            constraint ck_locations_coalesce_timeout check (coalesce_timeout_s > 0)",
    ]
);
