//! How long captures wait for guests that give back unused space.

crate::dialect::migration!(
    "m20261130_000049_add_reclaim_limit",
    &["alter table locations add column reclaim_limit_s bigint not null default 60"]
);
