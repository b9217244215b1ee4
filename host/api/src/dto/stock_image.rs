//! Stock images.

use imprint_domain::id::{LocationId, StorageId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Registers a file of a stock storage as a stock image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockImageCreate {
    /// The image's name.
    #[schema(max_length = 128)]
    pub name: String,
    /// Human-readable text.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: String,
    /// The storage that holds the file; its role is `stock`.
    #[schema(value_type = String)]
    pub storage_id: StorageId,
    /// The file's key in that storage.
    #[schema(max_length = 512)]
    pub key: String,
    /// The file's format.
    #[schema(example = "qcow2", max_length = 32)]
    pub format: String,
    /// The location where it can be deployed.
    #[schema(value_type = String)]
    pub location_id: LocationId,
}
