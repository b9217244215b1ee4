//! The rows on real databases.

mod schema;
