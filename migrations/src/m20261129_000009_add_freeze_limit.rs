//! Locations: how long a capture may freeze a guest's file systems.

crate::dialect::migration!(
    "m20261129_000009_add_freeze_limit",
    &[
        "alter table locations add column freeze_limit_ms bigint not null default 2000
            constraint ck_locations_freeze_limit check (freeze_limit_ms >= 100 and freeze_limit_ms <= 10000)"
    ]
);
