//! Events, as the streams send them.

use chrono::{DateTime, Utc};
use imprint_domain::event::EventKind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{image::Image, instance::Instance, task::Task};

/// The `data` of an event in a stream.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Without gaps within the account; also the `id` of the event in the stream.
    pub sequence: u64,
    /// What it is about; also the name of the event in the stream.
    pub kind: EventKind,
    /// When.
    pub at: DateTime<Utc>,
    /// The task, as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Subject<Task>>,
    /// The image, as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Subject<Image>>,
    /// The instance, as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Subject<Instance>>,
}

/// What an event is about: the whole, or what is left of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Subject<T: ToSchema> {
    /// As it is now.
    Present(Box<T>),
    /// It is gone.
    Gone(Gone),
}

impl Event {
    /// The task that it is about, as it is now.
    pub fn task_present(&self) -> Option<&Task> {
        match &self.task {
            Some(Subject::Present(task)) => Some(task),
            Some(Subject::Gone(_)) | None => None,
        }
    }
}

impl<T: ToSchema> Subject<T> {
    pub(crate) fn gone(id: impl std::fmt::Display) -> Self {
        Self::Gone(Gone { id: id.to_string() })
    }
}

/// Something that is gone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Gone {
    /// Its id.
    pub id: String,
}

/// The `data` of the first event of a stream, and of `reset`: what is read from the other endpoints
/// after it is at least as new as this number.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StreamStart {
    /// The number of the account's last event.
    pub sequence: u64,
    /// In the stream of a task: the task, as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// Which events to send.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Names separated by commas; `*` at the end stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "task.*,image.*")]
    pub types: Option<String>,
}
