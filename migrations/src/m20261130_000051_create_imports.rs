//! Imports of images: what each location takes, and what is known of the file of each import.

crate::dialect::migration!(
    "m20261130_000051_create_imports",
    &[
        "alter table locations add column import_enabled boolean not null default false",
        "alter table locations add column import_profile text not null default 'any'
            constraint ck_locations_import_profile check (import_profile in ('any', 'strict_vhd'))",
        // 160 GiB.
        "alter table locations add column import_limit_bytes bigint not null default 171798691840",
        "alter table locations add column import_windows boolean not null default false",
        "create table image_imports (
            image_id uuid not null primary key references images (id) on delete cascade,
            source text not null
                constraint ck_image_imports_source check (source in ('upload', 'url')),
            origin text not null,
            announced_bytes bigint,
            file_bytes bigint,
            format text,
            packing text
        )",
    ]
);
