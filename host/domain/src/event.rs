//! Events: every change of state, numbered without gaps per account.

use crate::{
    id::{AccountId, ImageId, InstanceId, TaskId},
    string_enum::string_enum,
    time::Timestamp,
};

string_enum! {
    /// What changed.
    pub enum EventKind {
        /// An image was created or changed.
        ImageChanged = "image.changed",
        /// An image was removed.
        ImageDeleted = "image.deleted",
        /// An instance was created or changed.
        InstanceChanged = "instance.changed",
        /// An instance was removed.
        InstanceDeleted = "instance.deleted",
        /// A task was created, made progress, or ended.
        TaskChanged = "task.changed",
    }
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
