//! Conversions between columns and domain types.

use std::str::FromStr;

use imprint_domain::{
    coalesce::CoalesceTimeout,
    location::{FreezeLimit, ReclaimLimit},
    name::Name,
    size::ByteSize,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::StoreError;

pub(crate) fn corrupt(column: &'static str, value: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { column, value: value.to_string().chars().take(80).collect() }
}

/// Parses text: an enumeration, a digest, the name of a plugin.
pub(crate) fn parse<T: FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column, text))
}

/// Reads a number of 32 bits.
pub(crate) fn to_u32(column: &'static str, value: i64) -> Result<u32, StoreError> {
    u32::try_from(value).map_err(|_| corrupt(column, value))
}

/// Reads a number of 64 bits.
pub(crate) fn to_u64(column: &'static str, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| corrupt(column, value))
}

/// Returns a number as a column stores it. What does not fit is capped, as no counter gets there.
pub(crate) fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads the time limit of a merge.
pub(crate) fn coalesce_timeout(seconds: i64) -> Result<CoalesceTimeout, StoreError> {
    const COLUMN: &str = "coalesce_timeout_s";
    CoalesceTimeout::new(to_u64(COLUMN, seconds)?).map_err(|error| corrupt(COLUMN, error))
}

/// Reads a freeze limit.
pub(crate) fn freeze_limit(milliseconds: i64) -> Result<FreezeLimit, StoreError> {
    const COLUMN: &str = "freeze_limit_ms";
    FreezeLimit::new(to_u64(COLUMN, milliseconds)?).map_err(|error| corrupt(COLUMN, error))
}

/// Reads a reclaim limit.
pub(crate) fn reclaim_limit(seconds: i64) -> Result<ReclaimLimit, StoreError> {
    const COLUMN: &str = "reclaim_limit_s";
    ReclaimLimit::new(to_u64(COLUMN, seconds)?).map_err(|error| corrupt(COLUMN, error))
}

/// Reads a size in bytes.
pub(crate) fn size(column: &'static str, value: i64) -> Result<ByteSize, StoreError> {
    to_u64(column, value).and_then(|bytes| ByteSize::new(bytes).map_err(|error| corrupt(column, error)))
}

/// Reads a size in bytes that may be unknown.
pub(crate) fn opt_size(column: &'static str, value: Option<i64>) -> Result<Option<ByteSize>, StoreError> {
    value.map(|value| size(column, value)).transpose()
}

/// Reads a name.
pub(crate) fn name(value: &str) -> Result<Name, StoreError> {
    Name::parse(value).map_err(|error| corrupt("name", error))
}

/// Reads a value that is stored as JSON.
pub(crate) fn json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(column, error))
}

/// Returns a value as JSON.
pub(crate) fn to_json<T: Serialize>(column: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| corrupt(column, error))
}
