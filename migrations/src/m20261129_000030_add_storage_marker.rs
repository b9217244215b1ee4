//! Image storages: when an agent first opened the storage. Its folder has its marker since then,
//! and one without a marker is refused.

crate::dialect::migration!(
    "m20261129_000030_add_storage_marker",
    &["alter table image_storages add column marked_at {time}"]
);
