//! Limits of the bytes of images, and counters of what images take of the limits.

crate::dialect::migration!(
    "m20261130_000035_count_image_usage",
    &[
        "alter table accounts add column image_bytes_limit bigint",
        "alter table locations add column default_image_bytes_limit bigint",
        "alter table images add column reserved_bytes bigint not null default 0",
        "create table image_usage (
            account_id {id} not null constraint fk_image_usage_account references accounts (id) on delete cascade,
            location_id {id} not null constraint fk_image_usage_location references locations (id) on delete cascade,
            images bigint not null constraint ck_image_usage_images check (images >= 0),
            bytes bigint not null constraint ck_image_usage_bytes check (bytes >= 0),
            constraint pk_image_usage primary key (account_id, location_id)
        )",
        "insert into image_usage (account_id, location_id, images, bytes)
            select account_id, location_id, count(*),
                cast(coalesce(sum(case when status = 'available' then size_bytes else 0 end), 0) as bigint)
            from images where kind = 'custom' and status in ('creating', 'available')
            group by account_id, location_id",
    ]
);
