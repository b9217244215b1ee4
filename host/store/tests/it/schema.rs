//! What the migrations add up to, on both databases, against the golden files.

use std::{env, fs, path::PathBuf};

use imprint_store::{
    Store, Target,
    testing::{PostgresServer, SqliteFolder},
};
use sea_orm::{ConnectionTrait, Database, Statement};

const POSTGRES: &str = "
    select 'table ' || c.table_name || ' column ' || c.column_name || ' ' || c.data_type
        || coalesce(' collate ' || c.collation_name, '')
        || case c.is_nullable when 'NO' then ' not null' else '' end
        || coalesce(' default ' || c.column_default, '') as line
    from information_schema.columns c
    where c.table_schema = 'public' and c.table_name <> 'seaql_migrations'
    union all
    select 'table ' || r.relname || ' constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
    from pg_constraint k join pg_class r on r.oid = k.conrelid join pg_namespace n on n.oid = r.relnamespace
    where n.nspname = 'public' and k.contype <> 'n' and r.relname <> 'seaql_migrations'
    union all
    select 'table ' || i.tablename || ' index ' || i.indexdef
    from pg_indexes i where i.schemaname = 'public' and i.tablename <> 'seaql_migrations'
    order by 1";

const SQLITE: &str = "
    select sql as line from sqlite_master
    where sql is not null and name <> 'seaql_migrations' and tbl_name <> 'seaql_migrations' order by name";

async fn lines(url: &str, query: &str) -> String {
    let connection = Database::connect(url).await.unwrap();
    let backend = connection.get_database_backend();
    let rows = connection.query_all_raw(Statement::from_string(backend, query)).await.unwrap();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let line: String = row.try_get("", "line").unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect();
    connection.close().await.unwrap();
    lines.join("\n") + "\n"
}

fn compare(file: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../migrations/golden").join(file);
    if env::var_os("IMPRINT_GENERATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert!(
        golden == found,
        "{file} is not what the migrations make; `cargo xtask generate` writes it:\n{found}"
    );
}

#[tokio::test]
async fn the_sqlite_schema_is_the_golden_one() {
    let mut folder = SqliteFolder::new().unwrap();
    let target = folder.fresh();
    drop(Store::open(&target).await.unwrap());
    // A second start finds nothing to do.
    drop(Store::open(&target).await.unwrap());
    let Target::SqliteFile(path) = target else { panic!("not a file") };
    compare("sqlite.sql", &lines(&format!("sqlite://{}", path.display()), SQLITE).await);
}

#[tokio::test]
async fn the_postgres_schema_is_the_golden_one() {
    let mut server = PostgresServer::start().await.unwrap();
    let target = server.fresh().await.unwrap();
    // Two control planes that start at once: one migrates, the other waits.
    let (first, second) = tokio::join!(Store::open(&target), Store::open(&target));
    drop((first.unwrap(), second.unwrap()));
    let Target::Postgres(url) = target else { panic!("not PostgreSQL") };
    compare("postgres.txt", &lines(&url, POSTGRES).await);
}
