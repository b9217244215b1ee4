//! The catalogue of stock images: media groups, families with versions, notices, hidden images; and
//! what the systems of images and instances are. What is there already is of no known system and
//! takes what deployments give it, as before.

crate::dialect::migration!(
    "m20261130_000043_create_catalogue",
    &[
        "create table media_groups (
            id {id} not null constraint pk_media_groups primary key,
            label {text} not null constraint uq_media_groups_label unique,
            description text not null,
            position bigint not null constraint ck_media_groups_position check (position >= 0),
            hidden boolean not null,
            created_at {time} not null,
            version bigint not null
        )",
        "alter table images add column os_type text not null default 'other'
            constraint ck_images_os_type check (os_type in ('linux', 'windows', 'bsd', 'other'))",
        "alter table images add column cloud_init boolean not null default true",
        "alter table images add column media_group_id {id}
            constraint fk_images_media_group references media_groups (id)",
        "alter table images add column family {text}",
        "alter table images add column family_version {text}",
        "alter table images add column deprecation text",
        "alter table images add column replacement_id {id}
            constraint fk_images_replacement references images (id) on delete set null",
        "alter table images add column hidden boolean not null default false",
        "create unique index uq_images_family on images (family, location_id, family_version)",
        "create index ix_images_media_group on images (media_group_id) where media_group_id is not null",
        "create index ix_images_replacement on images (replacement_id) where replacement_id is not null",
        "alter table instances add column os_type text not null default 'other'
            constraint ck_instances_os_type check (os_type in ('linux', 'windows', 'bsd', 'other'))",
        "alter table instances add column cloud_init boolean not null default true",
        "alter table events add column media_group_id {id}",
    ]
);
