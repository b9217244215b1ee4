//! Following what happens: a gap-free numbered stream per account.

use imprint_domain::{
    Error,
    event::EventKind,
    id::{ImageId, InstanceId, TaskId},
    time::Timestamp,
};

use crate::{ImageView, InstanceView, Op, Service, TaskView};

/// A group of kinds of events: `task.*`, `image.*`, `instance.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventTopic {
    /// `task.*`.
    Task,
    /// `image.*`.
    Image,
    /// `instance.*`.
    Instance,
}

/// Which events to follow.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Any of these; empty takes all.
    pub topics: Vec<EventTopic>,
    /// Only those of this task.
    pub task_id: Option<TaskId>,
}

/// Where a follower begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventStart {
    /// Now; `sequence` is the last event that already happened (0 for none).
    Snapshot {
        /// The last event.
        sequence: u64,
    },
    /// Right after the event that the client saw last.
    Resumed {
        /// That event.
        sequence: u64,
    },
    /// The events after the client's last one are not kept any more: it must read everything again, then follow from here.
    Reset {
        /// The last event.
        sequence: u64,
    },
}

/// What an event is about, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// An image.
    Image(Box<ImageView>),
    /// An image that is gone.
    ImageGone(ImageId),
    /// An instance.
    Instance(Box<InstanceView>),
    /// An instance that is gone.
    InstanceGone(InstanceId),
    /// A task.
    Task(Box<TaskView>),
    /// A task that is gone.
    TaskGone(TaskId),
}

/// An event, as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct EventView {
    /// Its number within the account.
    pub sequence: u64,
    /// What changed.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub subject: Subject,
}

/// Follows an account's events.
pub struct EventFollower {
    start: EventStart,
}

impl EventFollower {
    /// Where it begins: the first thing to send.
    pub const fn start(&self) -> EventStart {
        self.start
    }

    /// The next event; waits for it. Cancel-safe: an event is lost only when its value was handed out.
    pub async fn next(&mut self) -> Result<EventView, Error> {
        pending!()
    }
}

impl Service {
    /// Follows the actor's own account. `after` is the last event that the client saw (`Last-Event-ID`).
    pub async fn event_follow(
        &self,
        op: &Op,
        filter: EventFilter,
        after: Option<u64>,
    ) -> Result<EventFollower, Error> {
        pending!(op, filter, after)
    }
}
