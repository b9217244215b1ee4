//! Saved SSH keys.

use chrono::{DateTime, Utc};
use imprint_domain::id::SshKeyId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An SSH key that the account has saved for new instances.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SshKey {
    /// The id of the key.
    pub id: SshKeyId,
    /// The name of the key, which is unique in the account.
    pub name: String,
    /// The type of the key.
    #[serde(rename = "type")]
    #[schema(example = "ssh-ed25519")]
    pub kind: String,
    /// The fingerprint of the key, as `ssh-keygen -l` shows it.
    #[schema(example = "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA")]
    pub fingerprint: String,
    /// The public key as a line of `authorized_keys`.
    pub public_key: String,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
    /// The version of the key, which increases with every change; also its `ETag`.
    pub version: u32,
}

/// A request to save an SSH key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SshKeyCreate {
    /// The name of the key, which is unique in the account.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The public key as a line of `authorized_keys`.
    #[schema(max_length = 16384)]
    pub public_key: String,
}

/// A request to change an SSH key (merge patch). A key with other content is another key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SshKeyPatch {
    /// The new name.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
}
