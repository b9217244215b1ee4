//! Times in requests.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error};

/// Parses a time of RFC 3339, or `null`. Other texts are refused with a sentence for clients.
pub(crate) fn optional_time<'de, D>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error>
where
    D: Deserializer<'de>,
{
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    match DateTime::parse_from_rfc3339(&text) {
        Ok(time) => Ok(Some(time.with_timezone(&Utc))),
        Err(_) => Err(D::Error::custom("expected a time of RFC 3339, such as `2026-01-31T12:00:00Z`")),
    }
}
