//! The few words in which the two databases differ.

use sea_orm_migration::{
    SchemaManager,
    sea_orm::{ConnectionTrait, DatabaseBackend, DbErr},
};

/// Word in the SQL of a migration, on PostgreSQL, on SQLite.
const WORDS: [(&str, &str, &str); 5] = [
    ("{id}", "uuid", "blob"),
    ("{bytes}", "bytea", "blob"),
    ("{time}", "timestamptz", "text"),
    // Sorted by bytes on both, so that pages by name agree.
    ("{text}", "text collate \"C\"", "text"),
    // SQLite compares the text of an index entry without reading its row; PostgreSQL refuses
    // entries that are as long.
    ("{covered_text}", "", ", search_text"),
];

/// Marks of statements for one of the databases only.
const POSTGRES_ONLY: &str = "{postgres}";
const SQLITE_ONLY: &str = "{sqlite}";

/// Runs statements after putting in the database's own words.
pub(crate) async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let postgres = manager.get_database_backend() == DatabaseBackend::Postgres;
    for statement in statements {
        let (mine, other) =
            if postgres { (POSTGRES_ONLY, SQLITE_ONLY) } else { (SQLITE_ONLY, POSTGRES_ONLY) };
        if statement.starts_with(other) {
            continue;
        }
        let mut sql = statement.strip_prefix(mine).unwrap_or(statement).to_owned();
        for (word, on_postgres, on_sqlite) in WORDS {
            sql = sql.replace(word, if postgres { on_postgres } else { on_sqlite });
        }
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// A migration that runs a list of statements.
macro_rules! migration {
    ($name:literal, $statements:expr) => {
        /// See the module.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Migration;

        impl sea_orm_migration::MigrationName for Migration {
            fn name(&self) -> &str {
                $name
            }
        }

        #[async_trait::async_trait]
        impl sea_orm_migration::MigrationTrait for Migration {
            async fn up(
                &self,
                manager: &sea_orm_migration::SchemaManager,
            ) -> Result<(), sea_orm_migration::DbErr> {
                crate::dialect::run(manager, $statements).await
            }

            fn use_transaction(&self) -> Option<bool> {
                Some(true)
            }
        }
    };
}

pub(crate) use migration;
