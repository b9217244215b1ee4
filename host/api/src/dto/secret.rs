//! Secrets. Answers name them and never have their values.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use imprint_domain::secret::SecretText;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A secret of an image storage, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageSecret {
    /// The name of the setting.
    pub name: String,
    /// The time when the value was set.
    pub changed_at: DateTime<Utc>,
}

/// A request to set or remove secrets of an image storage.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageSecretsPatch {
    /// The new values by the names of the settings; `null` removes a secret, and those that are not
    /// named stay.
    #[schema(value_type = BTreeMap<String, Option<String>>, write_only)]
    pub secrets: BTreeMap<String, Option<SecretText>>,
}

/// The result of sealing secrets again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretsRotated {
    /// The number of secrets that were sealed again; those under the current key stay as they are.
    pub resealed: u64,
    /// The id of the current key.
    #[schema(example = "3f9a0c51d2e47b86")]
    pub key_id: String,
}
