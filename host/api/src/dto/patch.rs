//! Members of a merge patch (RFC 7396): an absent member keeps the value, `null` removes it.

use serde::{Deserialize, Deserializer};

/// Distinguishes `null` from an absent member. Used with
/// `#[serde(default, deserialize_with = "nullable")]`.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
