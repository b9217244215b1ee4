//! Connection tests of image storages.

use std::collections::BTreeMap;

use imprint_domain::{
    id::HypervisorId,
    secret::Secrets,
    storage::StorageRole,
    storage_test::{TestStatus, TestStep},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A request to test settings before an image storage is made of them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageTestCreate {
    /// The hypervisor that tries the image storage.
    pub hypervisor_id: HypervisorId,
    /// The kind of plugin that accesses the image storage.
    #[schema(example = "local", min_length = 1, max_length = 64)]
    pub kind: String,
    /// The use of the image storage. Only those of customers are written to.
    pub role: StorageRole,
    /// The settings of the plugin.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The secrets of the plugin, which are removed when the test ends.
    #[serde(default, with = "imprint_domain::secret::exposed", skip_serializing_if = "Secrets::is_empty")]
    #[schema(required = false, value_type = BTreeMap<String, String>, write_only)]
    pub secrets: Secrets,
}

/// A request to test a stored image storage, perhaps with changes that are not stored.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredStorageTest {
    /// The hypervisor that tries the image storage.
    pub hypervisor_id: HypervisorId,
    /// The settings to test instead of the stored ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<BTreeMap<String, String>>,
    /// The secrets to test instead of the stored ones of the same names.
    #[serde(default, with = "imprint_domain::secret::exposed", skip_serializing_if = "Secrets::is_empty")]
    #[schema(required = false, value_type = BTreeMap<String, String>, write_only)]
    pub secrets: Secrets,
}

/// The result of a connection test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageTest {
    /// Whether no step failed.
    pub passed: bool,
    /// The steps in their order.
    pub steps: Vec<StorageTestStep>,
}

/// The result of one step of a connection test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageTestStep {
    /// What was tried.
    pub step: TestStep,
    /// How it ended.
    pub status: TestStatus,
    /// The duration in milliseconds.
    pub duration_ms: u64,
    /// What went wrong and what to do, why it was skipped, or what was found.
    #[schema(required)]
    pub detail: Option<String>,
    /// The code of the failure.
    #[schema(required, example = "s3.no-such-bucket")]
    pub code: Option<String>,
    /// The setting or secret that the failure is about, where it is known.
    #[schema(required, example = "bucket")]
    pub setting: Option<String>,
}
