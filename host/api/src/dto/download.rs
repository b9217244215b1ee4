//! Downloads of objects.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A request for a link to an object.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageDownloadCreate {
    /// The key of the object, as Browse lists it.
    #[schema(min_length = 1, max_length = 1024)]
    pub key: String,
    /// Whether all bytes come through this server. Otherwise a storage that clients reach
    /// themselves, as its settings say, sends them: the link redirects to it.
    #[serde(default)]
    pub through_server: bool,
}

/// A link to an object. Everybody who has it can download the object until it expires.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StorageDownload {
    /// The path of the link on this server. It takes `GET` and `HEAD`, with `Range` and conditions.
    pub url: String,
    /// The time after which the link is refused. A download that runs continues.
    pub expires_at: DateTime<Utc>,
}
