//! What inspectors found inside of the disks of images.

crate::dialect::migration!(
    "m20261201_000052_create_image_findings",
    &["create table image_findings (
            image_id uuid not null primary key references images (id) on delete cascade,
            inspected_at {time} not null,
            findings text not null
        )"]
);
