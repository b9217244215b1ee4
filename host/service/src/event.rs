//! Following events: a stream for each account, numbered without gaps.

use std::{collections::VecDeque, time::Duration};

use imprint_domain::{
    Error,
    event::{Event, EventKind},
    id::{AccountId, ExportId, ImageId, InstanceId, IsoId, MediaGroupId, ShareId, StorageId, TaskId},
    share::Share,
    time::Timestamp,
};
use imprint_store::{event, export, image, instance, iso, media_group, share, storage, task};
use tokio::sync::broadcast;

use crate::{
    ExportView, ImageView, InstanceView, IsoView, MediaGroupView, Op, Service, ShareView, StorageView,
    TaskView,
    auth::account,
    catalogue::media_group::view as media_group_view,
    db_result::DbResult,
    images::view,
    sharing::view::view as share_view,
    tasks::{
        hub::wait_for_change,
        task::{Audience, view_for},
    },
};

/// A group of kinds of events: `task.*`, `image.*`, `instance.*`, `media_group.*`, `share.*`,
/// `storage.*`, `iso.*`, `export.*`, `billing.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventTopic {
    /// `task.*`.
    Task,
    /// `image.*`.
    Image,
    /// `instance.*`.
    Instance,
    /// `media_group.*`.
    MediaGroup,
    /// `share.*`.
    Share,
    /// `storage.*`.
    Storage,
    /// `iso.*`.
    Iso,
    /// `export.*`.
    Export,
    /// `billing.*`.
    Billing,
}

/// The events to follow.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// The accepted topics; empty accepts all.
    pub topics: Vec<EventTopic>,
    /// The task, if only its events are followed.
    pub task_id: Option<TaskId>,
}

/// Where a follower starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventStart {
    /// Now; `sequence` is the number of the last event so far (0 for none).
    Snapshot {
        /// The number of the last event.
        sequence: u64,
    },
    /// After the event that the client saw last.
    Resumed {
        /// The number of that event.
        sequence: u64,
    },
    /// The events after the client's last one are not kept any more: it must read everything again,
    /// then follow from here.
    Reset {
        /// The number of the last event.
        sequence: u64,
    },
}

/// The current state of what an event is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// An image.
    Image(Box<ImageView>),
    /// An image that was removed.
    ImageRemoved(ImageId),
    /// An instance.
    Instance(Box<InstanceView>),
    /// An instance that was removed.
    InstanceRemoved(InstanceId),
    /// A media group.
    MediaGroup(MediaGroupView),
    /// A media group that was removed.
    MediaGroupRemoved(MediaGroupId),
    /// A share.
    Share(Box<ShareView>),
    /// A share that is over, or was removed.
    ShareRemoved(ShareId),
    /// An ISO.
    Iso(Box<IsoView>),
    /// An ISO that was removed.
    IsoRemoved(IsoId),
    /// An export.
    Export(Box<ExportView>),
    /// An export that was removed.
    ExportRemoved(ExportId),
    /// An image storage.
    Storage(Box<StorageView>),
    /// An image storage that was removed.
    StorageRemoved(StorageId),
    /// What is charged; its kind says what to read again.
    Billing,
    /// A task.
    Task(Box<TaskView>),
    /// A task that was removed.
    TaskRemoved(TaskId),
}

/// An event with the current state of what it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct EventView {
    /// The number of the event within the account.
    pub sequence: u64,
    /// What changed.
    pub kind: EventKind,
    /// When it was recorded.
    pub at: Timestamp,
    /// What changed, in its current state.
    pub subject: Subject,
}

/// The number of events that are read at once.
const BATCH: u32 = 100;
/// The longest wait; the follower polls much more often than that.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Reads what an account's events are about, as the account sees it.
pub(crate) struct EventViewer {
    service: Service,
    account_id: AccountId,
    audience: Audience,
}

/// Follows an account's events.
pub struct EventFollower {
    viewer: EventViewer,
    filter: EventFilter,
    start: EventStart,
    /// The number of the last event that was returned or skipped.
    last: u64,
    /// Events that were read and not returned yet, in order; at most [`BATCH`].
    ahead: VecDeque<Event>,
    receiver: broadcast::Receiver<AccountId>,
}

impl EventFilter {
    fn takes(&self, event: &Event) -> bool {
        let topic = match event.kind {
            EventKind::ImageChanged | EventKind::ImageDeleted => EventTopic::Image,
            EventKind::InstanceChanged | EventKind::InstanceDeleted => EventTopic::Instance,
            EventKind::MediaGroupChanged | EventKind::MediaGroupDeleted => EventTopic::MediaGroup,
            EventKind::ShareChanged | EventKind::ShareDeleted => EventTopic::Share,
            EventKind::StorageChanged | EventKind::StorageDeleted => EventTopic::Storage,
            EventKind::IsoChanged | EventKind::IsoDeleted => EventTopic::Iso,
            EventKind::ExportChanged | EventKind::ExportDeleted => EventTopic::Export,
            EventKind::BillingHoursMetered
            | EventKind::BillingBudgetReached
            | EventKind::BillingMonthClosed
            | EventKind::BillingRateChanged => EventTopic::Billing,
            EventKind::TaskChanged | EventKind::TaskAlert => EventTopic::Task,
        };
        let of_topic = self.topics.is_empty() || self.topics.contains(&topic);
        of_topic && self.task_id.is_none_or(|id| event.task_id == Some(id))
    }
}

impl EventFollower {
    /// Returns where the follower starts: the first thing to send.
    pub const fn start(&self) -> EventStart {
        self.start
    }

    /// The next event; waits for it. Cancel-safe: an event counts as sent only once its value was
    /// returned.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn next(&mut self) -> Result<EventView, Error> {
        loop {
            while let Some(event) = self.ahead.front().cloned() {
                let view = if self.filter.takes(&event) { self.viewer.view(&event).await? } else { None };
                self.last = event.sequence;
                self.ahead.pop_front();
                if let Some(view) = view {
                    return Ok(view);
                }
            }
            let EventViewer { service, account_id, .. } = &self.viewer;
            let events = event::after(&service.read(), *account_id, self.last, BATCH).await.db()?;
            if events.is_empty() {
                wait_for_change(&mut self.receiver, *account_id, LONGEST_WAIT).await;
            }
            self.ahead.extend(events);
        }
    }
}

impl EventViewer {
    pub(crate) const fn new(service: Service, account_id: AccountId, audience: Audience) -> Self {
        Self { service, account_id, audience }
    }

    /// Returns an event with the current state of what it is about; `None` for one that the account
    /// does not see any more.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub(crate) async fn view(&self, event: &Event) -> Result<Option<EventView>, Error> {
        let subject = match event.kind {
            EventKind::ImageChanged => match event.image_id {
                Some(id) => self.image(id).await?,
                None => return Ok(None),
            },
            EventKind::ImageDeleted => match event.image_id {
                Some(id) => Subject::ImageRemoved(id),
                None => return Ok(None),
            },
            EventKind::ShareChanged => match event.share_id {
                Some(id) => self.share(id).await?,
                None => return Ok(None),
            },
            EventKind::ShareDeleted => match event.share_id {
                Some(id) => Subject::ShareRemoved(id),
                None => return Ok(None),
            },
            EventKind::InstanceChanged | EventKind::InstanceDeleted => match event.instance_id {
                Some(id) => self.instance(id).await?,
                None => return Ok(None),
            },
            EventKind::MediaGroupChanged | EventKind::MediaGroupDeleted => match event.media_group_id {
                // The account may have been that of an admin when the event was written.
                Some(id) if self.audience == Audience::Operator => self.media_group(id).await?,
                _ => return Ok(None),
            },
            EventKind::StorageChanged | EventKind::StorageDeleted => match event.storage_id {
                // The account may have been that of an admin when the event was written.
                Some(id) if self.audience == Audience::Operator => self.storage(id).await?,
                _ => return Ok(None),
            },
            EventKind::IsoChanged | EventKind::IsoDeleted => match event.iso_id {
                Some(id) if self.audience == Audience::Operator => self.iso(id).await?,
                _ => return Ok(None),
            },
            EventKind::ExportChanged | EventKind::ExportDeleted => match event.export_id {
                Some(id) => self.export(id).await?,
                None => return Ok(None),
            },
            EventKind::BillingBudgetReached => Subject::Billing,
            // The account may have been that of an admin when the event was written.
            EventKind::BillingHoursMetered
            | EventKind::BillingMonthClosed
            | EventKind::BillingRateChanged => match self.audience {
                Audience::Operator => Subject::Billing,
                Audience::Customer => return Ok(None),
            },
            EventKind::TaskChanged => match event.task_id {
                Some(id) => self.task(id).await?,
                None => return Ok(None),
            },
            EventKind::TaskAlert => match event.task_id {
                // The account may have been that of an admin when the event was written.
                Some(id) if self.audience == Audience::Operator => self.task(id).await?,
                Some(_) | None => return Ok(None),
            },
        };
        Ok(Some(EventView { sequence: event.sequence, kind: event.kind, at: event.at, subject }))
    }

    async fn image(&self, id: ImageId) -> Result<Subject, Error> {
        let conn = self.service.read();
        let Some(record) = image::get(&conn, id).await.db()? else { return Ok(Subject::ImageRemoved(id)) };
        let now = self.service.now();
        let seen = view::of_account(&conn, &record, self.account_id, self.audience, now).await?;
        Ok(seen.map_or(Subject::ImageRemoved(id), |image| Subject::Image(Box::new(image))))
    }

    async fn share(&self, id: ShareId) -> Result<Subject, Error> {
        let (conn, now) = (self.service.read(), self.service.now());
        let found = share::get(&conn, id).await.db()?;
        // The recipient does not see a share that is over.
        let sees = |share: &Share| share.owner_id == self.account_id || share.state(now).is_open();
        let Some(share) = found.filter(sees) else { return Ok(Subject::ShareRemoved(id)) };
        let view = share_view(&conn, &share, now).await?;
        Ok(view.map_or(Subject::ShareRemoved(id), |share| Subject::Share(Box::new(share))))
    }

    async fn instance(&self, id: InstanceId) -> Result<Subject, Error> {
        let conn = self.service.read();
        let Some(record) = instance::get(&conn, id).await.db()? else {
            return Ok(Subject::InstanceRemoved(id));
        };
        let view = crate::instances::instance::view(&conn, &record, self.service.now()).await?;
        Ok(Subject::Instance(Box::new(view)))
    }

    async fn media_group(&self, id: MediaGroupId) -> Result<Subject, Error> {
        let found = media_group::get(&self.service.read(), id).await.db()?;
        Ok(found
            .map_or(Subject::MediaGroupRemoved(id), |group| Subject::MediaGroup(media_group_view(&group))))
    }

    async fn storage(&self, id: StorageId) -> Result<Subject, Error> {
        let conn = self.service.read();
        let Some(record) = storage::get(&conn, id).await.db()? else {
            return Ok(Subject::StorageRemoved(id));
        };
        let view = crate::storages::view::view(&conn, record, self.service.now()).await?;
        Ok(Subject::Storage(Box::new(view)))
    }

    async fn iso(&self, id: IsoId) -> Result<Subject, Error> {
        let found = iso::get(&self.service.read(), id).await.db()?;
        Ok(found.map_or(Subject::IsoRemoved(id), |iso| Subject::Iso(Box::new(crate::isos::view(iso)))))
    }

    async fn export(&self, id: ExportId) -> Result<Subject, Error> {
        let conn = self.service.read();
        let Some(found) = export::get(&conn, id).await.db()? else { return Ok(Subject::ExportRemoved(id)) };
        // One of an image that is gone is about to be removed.
        let image = image::get(&conn, found.image_id).await.db()?;
        Ok(image.map_or(Subject::ExportRemoved(id), |record| {
            Subject::Export(Box::new(crate::exports::view::view(&found, &record.image)))
        }))
    }

    async fn task(&self, id: TaskId) -> Result<Subject, Error> {
        let conn = self.service.read();
        let Some(record) = task::get(&conn, id).await.db()? else { return Ok(Subject::TaskRemoved(id)) };
        let view = view_for(&conn, &record, self.service.now(), self.audience).await?;
        Ok(Subject::Task(Box::new(view)))
    }
}

impl Service {
    /// Follows the actor's own account. `after` is the last event that the client saw
    /// (`Last-Event-ID`).
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; [`imprint_domain::Code::NotFound`]
    /// for what does not exist or is not visible; an error of the database.
    pub async fn event_follow(
        &self,
        op: &Op,
        filter: EventFilter,
        after: Option<u64>,
    ) -> Result<EventFollower, Error> {
        op.require_read()?;
        // Subscribed before the last event is read, so that none is missed in between.
        let receiver = self.hub().follow();
        let conn = self.read();
        let mut account_id = op.account_id();
        if let Some(id) = filter.task_id {
            account_id = self.task_show(op, id).await?.account_id;
        }
        let sequence = account::get(&conn, account_id).await?.event_sequence;
        let start = match after {
            None => EventStart::Snapshot { sequence },
            Some(after) if after == sequence => EventStart::Resumed { sequence },
            Some(after) => {
                let next = event::after(&conn, account_id, after, 1).await.db()?;
                match next.first() {
                    Some(next) if next.sequence == after + 1 => EventStart::Resumed { sequence: after },
                    // Removed meanwhile, or never ours.
                    Some(_) | None => EventStart::Reset { sequence },
                }
            }
        };
        let (EventStart::Snapshot { sequence: last }
        | EventStart::Resumed { sequence: last }
        | EventStart::Reset { sequence: last }) = start;
        let viewer = EventViewer::new(self.clone(), account_id, Audience::of(op));
        Ok(EventFollower { viewer, filter, start, last, ahead: VecDeque::new(), receiver })
    }
}
