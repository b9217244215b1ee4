//! Uploads: what their tokens permit, and how far they are.

use imprint_domain::{id::TaskId, time::Timestamp};
use serde::{Deserialize, Serialize};

/// What a token for an upload permits: to send the file of one import until a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadGrant {
    /// The task that imports it.
    pub upload: TaskId,
    /// The time after which the token is refused.
    pub until: Timestamp,
}

/// The state of an upload, as an agent tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadState {
    /// The size of the file in bytes.
    pub size: u64,
    /// The bytes that are there from the beginning on, without a gap.
    pub offset: u64,
    /// The bytes that are there in all.
    pub received: u64,
    /// The bytes of a part that is sent on its own; the last one may be shorter.
    pub part_size: u64,
    /// The numbers of the parts that are not whole yet, from 1, in ascending order; at most
    /// [`MAX_MISSING`] of them.
    pub missing: Vec<u32>,
}

/// The most parts that one state names as missing.
pub const MAX_MISSING: usize = 1000;

/// The start of the paths of uploads.
const PATH: &str = "/v1/uploads/";

/// Returns the path of an upload in the URL of its server.
pub fn upload_path(upload: TaskId) -> String {
    format!("{PATH}{upload}")
}

/// Returns the upload of such a path; `None` for any other path.
pub fn upload_of_path(path: &str) -> Option<TaskId> {
    path.strip_prefix(PATH)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_upload() {
        let id = TaskId::new(uuid::Uuid::from_u128(7));
        assert_eq!(upload_of_path(&upload_path(id)), Some(id));
        assert_eq!(upload_of_path("/v1/uploads/x"), None);
        assert_eq!(upload_of_path("/v1/objects/x"), None);
    }
}
