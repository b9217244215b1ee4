//! What rules images of Windows instances: how large their disks were at their largest, and the
//! bounds of each location.

crate::dialect::migration!(
    "m20261130_000047_add_windows_rules",
    &[
        "alter table instances add column declared_os text
            constraint ck_instances_declared_os check (declared_os in ('linux', 'windows', 'other'))",
        "alter table instances add column largest_content_bytes bigint not null default 0",
        "alter table instances add column largest_size_bytes bigint not null default 0",
        // 160 GiB and 140 GiB.
        "alter table locations add column windows_limit_bytes bigint not null default 171798691840",
        "alter table locations add column windows_warning_bytes bigint not null default 150323855360",
    ]
);
