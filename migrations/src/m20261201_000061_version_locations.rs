//! A version of each location, so that two administrators do not overwrite each other's changes.

crate::dialect::migration!(
    "m20261201_000061_version_locations",
    &["alter table locations add column version bigint not null default 1"]
);
