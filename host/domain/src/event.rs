//! Events: every change of state, numbered without gaps per account.

use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, ImageId, InstanceId, TaskId},
    time::Timestamp,
};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// An image came to be or changed.
    #[serde(rename = "image.changed")]
    ImageChanged,
    /// An image is gone.
    #[serde(rename = "image.deleted")]
    ImageDeleted,
    /// An instance came to be or changed.
    #[serde(rename = "instance.changed")]
    InstanceChanged,
    /// An instance is gone.
    #[serde(rename = "instance.deleted")]
    InstanceDeleted,
    /// A task came to be, moved on, or ended.
    #[serde(rename = "task.changed")]
    TaskChanged,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose it is.
    pub account_id: AccountId,
    /// 1, 2, 3, ... within the account.
    pub sequence: u64,
    /// What changed.
    pub kind: EventKind,
    /// The image concerned.
    pub image_id: Option<ImageId>,
    /// The instance concerned.
    pub instance_id: Option<InstanceId>,
    /// The task concerned.
    pub task_id: Option<TaskId>,
    /// When.
    pub at: Timestamp,
}

impl EventKind {
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImageChanged => "image.changed",
            Self::ImageDeleted => "image.deleted",
            Self::InstanceChanged => "instance.changed",
            Self::InstanceDeleted => "instance.deleted",
            Self::TaskChanged => "task.changed",
        }
    }
}
