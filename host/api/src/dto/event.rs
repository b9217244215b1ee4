//! Events as they are sent in streams.

use chrono::{DateTime, Utc};
use imprint_domain::event::EventKind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    export::ImageExport, image::Image, instance::Instance, iso::AdminIso, media_group::MediaGroup,
    share::Share, storage::ImageStorage, task::Task,
};

/// The `data` of an event in a stream.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The number of the event, without gaps within the account; also its `id` in the stream.
    pub sequence: u64,
    /// The kind of change; also the name of the event in the stream.
    pub kind: EventKind,
    /// The time of the change.
    pub at: DateTime<Utc>,
    /// The current state of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Subject<Task>>,
    /// The current state of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Subject<Image>>,
    /// The current state of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Subject<Instance>>,
    /// The current state of the media group; for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_group: Option<Subject<MediaGroup>>,
    /// The current state of the share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Subject<Share>>,
    /// The current state of the image storage; for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Subject<ImageStorage>>,
    /// The current state of the ISO; for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iso: Option<Subject<AdminIso>>,
    /// The current state of the export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Subject<ImageExport>>,
}

/// The subject of an event: its current state, or its id once it is deleted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Subject<T: ToSchema> {
    /// The current state.
    Present(Box<T>),
    /// It is deleted.
    Gone(Gone),
}

impl Event {
    /// Returns the current state of the task, if the event has one.
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

/// A subject that is deleted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Gone {
    /// The id of the subject.
    pub id: String,
}

/// The `data` of the first event of a stream, and of `reset`. Resources that are read after it are
/// at least as new as this number.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StreamStart {
    /// The number of the last event of the account.
    pub sequence: u64,
    /// The current state of the task, in the stream of a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// The events to send.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Event names, separated by commas; `*` at the end of a name matches any rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "task.*,image.*")]
    pub types: Option<String>,
}
