//! Network cards of instances, as their agents report them.

crate::dialect::migration!(
    "m20261130_000048_add_networks",
    &["alter table instances add column network text"]
);
