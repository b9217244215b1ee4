//! Stock images.

use imprint_domain::id::{LocationId, StorageId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A request to register a file of a stock storage as a stock image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockImageCreate {
    /// The name of the image.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The description of the image.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: String,
    /// The image storage with the file; its role is `stock`.
    pub storage_id: StorageId,
    /// The key of the file in the image storage.
    #[schema(min_length = 1, max_length = 512)]
    pub key: String,
    /// The format of the file.
    #[schema(example = "qcow2", min_length = 1, max_length = 32)]
    pub format: String,
    /// The location where instances can be deployed from the image.
    pub location_id: LocationId,
}
