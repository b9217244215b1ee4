//! Rows of an earlier version, after the migrations that change them.

use imprint_domain::{
    id::{ImageId, LocationId, StorageId, TaskId},
    image::catalogue::{CatalogueEntry, GuestSystem},
    storage::StorageState,
    task::TaskKind,
};
use imprint_store::{
    Store, Target, image, location, storage, task,
    testing::{PostgresServer, SqliteFolder},
};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use uuid::Uuid;

/// The number of migrations of the version whose rows are inserted.
const EARLIER: u32 = 6;

const ROWS: [&str; 9] = [
    "insert into accounts (id, name, role, password_hash, created_at) values ({1}, 'a', 'admin', 'x', {now})",
    "insert into locations (id, name, images_enabled, created_at) values ({2}, 'l', true, {now})",
    "insert into hypervisors (id, name, location_id, driver, driver_settings, max_work, max_captures, plugins,
        findings, created_at) values ({3}, 'h', {2}, 'qemu', '{}', 4, 2, '{}', '[]', {now})",
    "insert into tasks (id, account_id, kind, state, phase, bytes_done, hypervisor_id, payload, attempts,
        attempts_allowed, cancel_requested, run_after, deadline, fence, finished_fence, request_id, created_at,
        sampled_bytes, change) values ({4}, {1}, 'image.adopt', 'queued', 'queued', 0, {3}, '{}', 0, 3, false,
        {now}, {now}, 0, 0, {5}, {now}, 0, 0)",
    "insert into idempotency_keys (account_id, method, path, key, body_hash, answer, created_at)
        values ({1}, 'POST', '/', 'k', {1}, '{\"task\":{\"kind\":\"image.adopt\"}}', {now})",
    "insert into hypervisors (id, name, location_id, driver, driver_settings, max_work, max_captures, plugins,
        findings, created_at) values ({6}, 'i', {2}, 'qemu', '{}', 4, 2, '{}', '[]', {now})",
    "insert into image_storages (id, name, role, kind, settings, created_at)
        values ({7}, 'shared', 'customer', 'local', '{}', {now}), ({8}, 'own', 'customer', 'local', '{}', {now})",
    "insert into storage_bindings (storage_id, hypervisor_id) values ({7}, {3}), ({7}, {6}), ({8}, {3})",
    "insert into images (id, account_id, location_id, kind, name, description, status, storage_id, storage_key,
        format, created_at, version)
        values ({9}, {1}, {2}, 'stock', 'Debian', '', 'creating', {7}, 'debian.qcow2', 'qcow2', {now}, 1)",
];

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

async fn insert_rows(connection: &DatabaseConnection, postgres: bool) {
    imprint_migrations::up_by(connection, EARLIER).await.unwrap();
    for row in ROWS {
        let mut sql = row.replace("{now}", "'2026-11-20T10:00:00.000000+00:00'");
        for number in 1..=9 {
            let (uuid, place) = (id(number), format!("{{{number}}}"));
            let literal = if postgres { format!("'{uuid}'") } else { format!("x'{}'", uuid.simple()) };
            // The digest of a request's body is bytes on both databases.
            let bytes = format!("'k', {place}");
            sql = sql.replace(&bytes, if postgres { "'k', '\\x00'" } else { "'k', x'00'" });
            sql = sql.replace(&place, &literal);
        }
        connection.execute_unprepared(&sql).await.unwrap();
    }
}

async fn assert_upgraded(target: &Target, url: &str) {
    let store = Store::open(target).await.unwrap();
    let conn = store.read();
    let found = task::get(&conn, TaskId::new(id(4))).await.unwrap().unwrap();
    assert_eq!(found.task.kind, TaskKind::ImageRegister);
    let found = location::get(&conn, LocationId::new(id(2))).await.unwrap().unwrap();
    assert_eq!(found.location.freeze_limit.milliseconds(), 2000);
    // A stock image is offered as before, and its instances get keys and scripts.
    let found = image::get(&conn, ImageId::new(id(9))).await.unwrap().unwrap().image;
    assert_eq!((found.guest, &found.catalogue), (GuestSystem::default(), &CatalogueEntry::default()));
    assert!(found.is_offered(false) && found.guest.cloud_init);
    // What was bound to several hypervisors stays so.
    for (number, shared) in [(7, true), (8, false)] {
        let found = storage::get(&conn, StorageId::new(id(number))).await.unwrap().unwrap().storage;
        assert_eq!((found.shared_path, found.state, found.version), (shared, StorageState::Active, 1));
    }
    let connection = Database::connect(url).await.unwrap();
    let done = connection.execute_unprepared(
        "delete from idempotency_keys where answer = '{\"task\":{\"kind\":\"image.register\"}}'",
    );
    assert_eq!(done.await.unwrap().rows_affected(), 1);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn sqlite_rows_of_an_earlier_version_are_upgraded() {
    let mut folder = SqliteFolder::new().unwrap();
    let target = folder.fresh();
    let Target::SqliteFile(path) = &target else { panic!("not a file") };
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let connection =
        Database::connect(ConnectOptions::new(&url).max_connections(1).to_owned()).await.unwrap();
    insert_rows(&connection, false).await;
    connection.close().await.unwrap();
    assert_upgraded(&target, &url).await;
}

#[tokio::test]
async fn postgres_rows_of_an_earlier_version_are_upgraded() {
    let mut server = PostgresServer::start().await.unwrap();
    let target = server.fresh().await.unwrap();
    let Target::Postgres(url) = &target else { panic!("not PostgreSQL") };
    let connection = Database::connect(url).await.unwrap();
    insert_rows(&connection, true).await;
    connection.close().await.unwrap();
    assert_upgraded(&target, url).await;
}
