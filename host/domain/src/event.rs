//! Events: every change of state, numbered without gaps for each account.

use crate::{
    id::{AccountId, ExportId, ImageId, InstanceId, IsoId, MediaGroupId, ShareId, StorageId, TaskId},
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
        /// A media group was added or changed. The accounts of admins have these events.
        MediaGroupChanged = "media_group.changed",
        /// A media group was removed.
        MediaGroupDeleted = "media_group.deleted",
        /// A share was offered, or its state changed. Its owner and its recipient have these
        /// events.
        ShareChanged = "share.changed",
        /// A share is over for its recipient, or was removed with its image.
        ShareDeleted = "share.deleted",
        /// An export of an image was asked for or changed.
        ExportChanged = "export.changed",
        /// An export of an image was removed.
        ExportDeleted = "export.deleted",
        /// An ISO was registered or changed. The accounts of admins have these events.
        IsoChanged = "iso.changed",
        /// An ISO was removed.
        IsoDeleted = "iso.deleted",
        /// An image storage was added or changed: its properties, its bindings, its health, or what
        /// a scan found. The accounts of admins have these events.
        StorageChanged = "storage.changed",
        /// An image storage was removed.
        StorageDeleted = "storage.deleted",
        /// Hours of usage were metered: the feed of billing has more. The accounts of admins have
        /// these events.
        BillingHoursMetered = "billing.hours_metered",
        /// The cost of the month has reached an amount of the account's budget. Admins have these
        /// events too.
        BillingBudgetReached = "billing.budget_reached",
        /// A month was closed: what it cost does not change any more. The accounts of admins have
        /// these events.
        BillingMonthClosed = "billing.month_closed",
        /// A rate has a new version. The accounts of admins have these events.
        BillingRateChanged = "billing.rate_changed",
        /// A task was created, made progress, or ended.
        TaskChanged = "task.changed",
        /// A task ended in a way that its operator has to look into. The accounts of admins have
        /// these events.
        TaskAlert = "task.alert",
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The account whose events it is part of.
    pub account_id: AccountId,
    /// The number of the event within the account: 1, 2, 3, ...
    pub sequence: u64,
    /// What changed.
    pub kind: EventKind,
    /// The image that changed or that the task works on.
    pub image_id: Option<ImageId>,
    /// The instance that changed or that the task works on.
    pub instance_id: Option<InstanceId>,
    /// The media group that changed.
    pub media_group_id: Option<MediaGroupId>,
    /// The share that changed.
    pub share_id: Option<ShareId>,
    /// The image storage that changed.
    pub storage_id: Option<StorageId>,
    /// The ISO that changed.
    pub iso_id: Option<IsoId>,
    /// The export that changed.
    pub export_id: Option<ExportId>,
    /// The task that changed.
    pub task_id: Option<TaskId>,
    /// When it was recorded.
    pub at: Timestamp,
}
