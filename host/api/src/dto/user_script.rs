//! Saved user scripts.

use std::fmt;

use chrono::{DateTime, Utc};
use imprint_domain::id::UserScriptId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A user script that the account has saved for new instances, without its content.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UserScript {
    /// The id of the script.
    pub id: UserScriptId,
    /// The name of the script, which is unique in the account.
    pub name: String,
    /// The size of the content in bytes.
    pub size_bytes: u32,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
    /// The time of the last change.
    pub changed_at: DateTime<Utc>,
    /// The version of the script, which increases with every change; also its `ETag`.
    pub version: u32,
}

/// A user script with its content.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UserScriptAndContent {
    /// The script.
    pub script: UserScript,
    /// The content: a script or cloud-config.
    pub content: String,
}

/// A request to save a user script.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserScriptCreate {
    /// The name of the script, which is unique in the account.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// A script or cloud-config, at most 64 KiB.
    #[schema(min_length = 1, max_length = 65536)]
    pub content: String,
}

/// A request to change a user script (merge patch).
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserScriptPatch {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// The new content, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 65536)]
    pub content: Option<String>,
}

// Scripts may hold passwords, so that their contents are not printed by accident.
impl fmt::Debug for UserScriptCreate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserScriptCreate").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for UserScriptPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserScriptPatch").field("name", &self.name).finish_non_exhaustive()
    }
}
