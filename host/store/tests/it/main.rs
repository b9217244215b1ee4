//! The rows on real databases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod schema;
mod upgrade;
