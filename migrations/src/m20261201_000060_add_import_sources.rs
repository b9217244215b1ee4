//! Imports from storages of customers' own and from another Imprint, beside uploads and addresses.

crate::dialect::migration!(
    "m20261201_000060_add_import_sources",
    &[
        "{postgres}alter table image_imports drop constraint ck_image_imports_source",
        "{postgres}alter table image_imports add constraint ck_image_imports_source
            check (source in ('upload', 'url', 'storage_object', 'imprint'))",
        // SQLite changes no constraint of a table: it gets another table.
        "{sqlite}alter table image_imports rename to image_imports_before",
        "{sqlite}create table image_imports (
            image_id {id} not null primary key references images (id) on delete cascade,
            source text not null
                constraint ck_image_imports_source
                    check (source in ('upload', 'url', 'storage_object', 'imprint')),
            origin text not null,
            announced_bytes bigint,
            file_bytes bigint,
            format text,
            packing text
        )",
        "{sqlite}insert into image_imports (image_id, source, origin, announced_bytes, file_bytes, format, packing)
            select image_id, source, origin, announced_bytes, file_bytes, format, packing
            from image_imports_before",
        "{sqlite}drop table image_imports_before",
    ]
);
