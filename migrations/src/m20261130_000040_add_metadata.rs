//! Metadata of images, and of the instances that took it over.

crate::dialect::migration!(
    "m20261130_000040_add_metadata",
    &[
        "alter table images add column metadata text not null default '{}'",
        "alter table instances add column metadata text not null default '{}'",
    ]
);
