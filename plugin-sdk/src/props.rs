//! Extension bags.

use std::collections::BTreeMap;

/// Extension bag with lower-kebab keys.
pub type Props = BTreeMap<String, String>;

/// Makes [`Props`] of pairs.
pub fn props<const N: usize>(pairs: [(&str, &str); N]) -> Props {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
