//! The database schema, for SQLite and PostgreSQL, as a list of migrations that is only ever
//! appended to.
//!
//! Ground rules: one change a migration, in a transaction on both databases; every constraint has a
//! name; sizes are `bigint`; times are UTC in microseconds; enumerations are text with a check.
//! What the migrations add up to is kept in `golden/`, and a test in `store` compares it with both
//! databases.

mod dialect;
mod m20261120_000001_create_access;
mod m20261120_000002_create_places;
mod m20261120_000003_create_images;
mod m20261120_000004_create_tasks;
mod m20261120_000005_create_journal;
mod m20261120_000006_add_coalescing;
mod m20261129_000007_add_task_error_context;
mod m20261129_000008_rename_image_adopt;
mod m20261129_000009_add_freeze_limit;
mod m20261129_000020_create_storage_kinds;
mod m20261129_000021_create_secrets;
mod m20261129_000022_add_task_result;
mod m20261129_000023_manage_image_storages;
mod m20261129_000030_add_storage_marker;
mod m20261130_000031_create_storage_scans;
mod m20261130_000032_add_object_servers;
mod m20261130_000033_add_storage_events;
mod m20261130_000034_find_images;
mod m20261130_000035_count_image_usage;
mod m20261130_000036_share_images;
mod m20261130_000040_add_metadata;
mod m20261130_000041_add_capture_figures;
mod m20261130_000042_create_saved_resources;
mod m20261130_000043_create_catalogue;
mod m20261130_000044_create_isos;
mod m20261130_000045_add_device_support;
mod m20261130_000046_add_capture_rules;
mod m20261130_000047_add_windows_rules;
mod m20261130_000048_add_networks;
mod m20261130_000049_add_reclaim_limit;
mod m20261130_000050_create_exports;
mod m20261130_000051_create_imports;
mod m20261201_000052_create_image_findings;
mod m20261201_000053_create_billing;
mod m20261201_000060_add_import_sources;
mod m20261201_000061_version_locations;
mod m20261201_000062_create_webhooks;

use sea_orm_migration::{
    MigrationTrait, MigratorTrait,
    sea_orm::{DatabaseConnection, DbErr},
};

/// All migrations, oldest first.
struct Migrator;

/// Brings a database's schema up to date, and does nothing when it is.
///
/// # Errors
///
/// [`DbErr`] of the first statement that the database refuses.
pub async fn up(connection: &DatabaseConnection) -> Result<(), DbErr> {
    Migrator::up(connection, None).await
}

/// Applies the next `steps` migrations only, for tests of the following ones with the rows of an
/// older version.
///
/// # Errors
///
/// [`DbErr`] of the first statement that the database refuses.
pub async fn up_by(connection: &DatabaseConnection, steps: u32) -> Result<(), DbErr> {
    Migrator::up(connection, Some(steps)).await
}

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261120_000001_create_access::Migration),
            Box::new(m20261120_000002_create_places::Migration),
            Box::new(m20261120_000003_create_images::Migration),
            Box::new(m20261120_000004_create_tasks::Migration),
            Box::new(m20261120_000005_create_journal::Migration),
            Box::new(m20261120_000006_add_coalescing::Migration),
            Box::new(m20261129_000007_add_task_error_context::Migration),
            Box::new(m20261129_000008_rename_image_adopt::Migration),
            Box::new(m20261129_000009_add_freeze_limit::Migration),
            Box::new(m20261129_000020_create_storage_kinds::Migration),
            Box::new(m20261129_000021_create_secrets::Migration),
            Box::new(m20261129_000022_add_task_result::Migration),
            Box::new(m20261129_000023_manage_image_storages::Migration),
            Box::new(m20261129_000030_add_storage_marker::Migration),
            Box::new(m20261130_000031_create_storage_scans::Migration),
            Box::new(m20261130_000032_add_object_servers::Migration),
            Box::new(m20261130_000033_add_storage_events::Migration),
            Box::new(m20261130_000034_find_images::Migration),
            Box::new(m20261130_000035_count_image_usage::Migration),
            Box::new(m20261130_000036_share_images::Migration),
            Box::new(m20261130_000040_add_metadata::Migration),
            Box::new(m20261130_000041_add_capture_figures::Migration),
            Box::new(m20261130_000042_create_saved_resources::Migration),
            Box::new(m20261130_000043_create_catalogue::Migration),
            Box::new(m20261130_000044_create_isos::Migration),
            Box::new(m20261130_000045_add_device_support::Migration),
            Box::new(m20261130_000046_add_capture_rules::Migration),
            Box::new(m20261130_000047_add_windows_rules::Migration),
            Box::new(m20261130_000048_add_networks::Migration),
            Box::new(m20261130_000049_add_reclaim_limit::Migration),
            Box::new(m20261130_000050_create_exports::Migration),
            Box::new(m20261130_000051_create_imports::Migration),
            Box::new(m20261201_000052_create_image_findings::Migration),
            Box::new(m20261201_000053_create_billing::Migration),
            Box::new(m20261201_000060_add_import_sources::Migration),
            Box::new(m20261201_000061_version_locations::Migration),
            Box::new(m20261201_000062_create_webhooks::Migration),
        ]
    }
}
