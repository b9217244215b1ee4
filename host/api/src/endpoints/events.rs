//! Streams of events (`text/event-stream`).

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt, stream};
use imprint_domain::{Code, Error, id::TaskId};
use imprint_service::{EventFilter, EventFollower, EventStart, EventTopic, Op};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    dto::{
        event::{Event, EventsQuery, StreamStart},
        task::Task,
    },
    extract::{Caller, Id, Query, Read},
    problem::ApiError,
    state::ApiState,
};

/// The interval of comments, which keep proxies from closing an idle stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a client waits before it reconnects.
const RETRY: Duration = Duration::from_secs(2);

/// The longest duration of a stream. Its client resumes it, unless its credentials have been
/// revoked.
const MAX_DURATION: Duration = Duration::from_secs(15 * 60);

/// The most patterns of a request.
const MAX_PATTERNS: usize = 16;

/// Stream the account's events
///
/// The first event is `snapshot` with the number of the last event (`StreamStart`): read the lists
/// after it. Then each change is an event named by its kind, with its number as `id` and an `Event`
/// as data. `Last-Event-ID` resumes a stream. If that event is not stored any more, the stream
/// starts with `reset`: read the lists again.
#[utoipa::path(
    get, path = "/events", tag = "events",
    params(EventsQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The number of the last event that was received")),
    responses((status = 200, description = "A stream of events; each `data` is an `Event` or a `StreamStart`",
        body = String, content_type = "text/event-stream")),
)]
pub(crate) async fn event_stream(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let patterns = Patterns::parse(query.types.as_deref())?;
    let permit = permit(&state)?;
    let filter = EventFilter { topics: patterns.topics(), task_id: None };
    let follower = state.service().event_follow(&op, filter, last_event_id(&headers)?).await?;
    let start = match follower.start() {
        EventStart::Snapshot { sequence } => Some(("snapshot", sequence)),
        EventStart::Reset { sequence } => Some(("reset", sequence)),
        EventStart::Resumed { .. } => None,
    };
    let start = start.map(|(name, sequence)| start_event(name, &StreamStart { sequence, task: None }));
    let following = Following { follower, patterns, until_task_ends: false, ended: false, _permit: permit };
    Ok(answer(&state, stream::iter(start).chain(following.events())))
}

/// Stream the events of a task
///
/// The same as the account's stream, for one task. The `snapshot` has the current state of the
/// task. The stream ends when the task has ended.
#[utoipa::path(
    get, path = "/tasks/{id}/events", tag = "events",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The number of the last event that was received"),
    ),
    responses((status = 200, description = "A stream of events; each `data` is an `Event` or a `StreamStart`",
        body = String, content_type = "text/event-stream")),
)]
pub(crate) async fn task_event_stream(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<TaskId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let permit = permit(&state)?;
    let after = last_event_id(&headers)?;
    let (follower, task) = follow_task(&state, &op, id, after).await?;
    let (name, sequence) = match follower.start() {
        EventStart::Snapshot { sequence } | EventStart::Resumed { sequence } => ("snapshot", sequence),
        EventStart::Reset { sequence } => ("reset", sequence),
    };
    let ended = has_ended(&task);
    let start = start_event(name, &StreamStart { sequence, task: Some(task) });
    let following =
        Following { follower, patterns: Patterns::default(), until_task_ends: true, ended, _permit: permit };
    Ok(answer(&state, stream::iter([start]).chain(following.events())))
}

/// Subscribes first and reads the task then, so that no change between the two is missed.
async fn follow_task(
    state: &ApiState,
    op: &Op,
    id: TaskId,
    after: Option<u64>,
) -> Result<(EventFollower, Task), Error> {
    state.service().task_show(op, id).await?;
    let filter = EventFilter { topics: vec![EventTopic::Task], task_id: Some(id) };
    let follower = state.service().event_follow(op, filter, after).await?;
    let task = state.service().task_show(op, id).await?;
    Ok((follower, task.into()))
}

fn has_ended(task: &Task) -> bool {
    task.state.is_final()
}

fn permit(state: &ApiState) -> Result<OwnedSemaphorePermit, Error> {
    state.streams().clone().try_acquire_owned().map_err(|_| {
        Error::new(Code::Unavailable, "too many streams are open; try again later, or poll with `?wait=`")
    })
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or("").trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Error::new(
            Code::InvalidRequest,
            "`Last-Event-ID` must be the number of an event; omit it to start a new stream",
        )
    })
}

/// An open stream: the events of the service, and which of them the client wants.
struct Following {
    follower: EventFollower,
    patterns: Patterns,
    until_task_ends: bool,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Following {
    fn events(self) -> impl Stream<Item = SseEvent> {
        stream::unfold(self, |mut following| async move {
            let event = following.next().await?;
            Some((event, following))
        })
    }

    async fn next(&mut self) -> Option<SseEvent> {
        while !self.ended {
            let view = match self.follower.next().await {
                Ok(view) => view,
                Err(error) => {
                    tracing::warn!(%error, cause = error.internal, "a stream of events ended early");
                    return None;
                }
            };
            let event = Event::from(view);
            if self.until_task_ends {
                self.ended = event.task_present().is_some_and(has_ended);
            }
            if self.patterns.matches(event.kind.as_str()) {
                let data = serde_json::to_string(&event).unwrap_or_default();
                return Some(
                    SseEvent::default().id(event.sequence.to_string()).event(event.kind.as_str()).data(data),
                );
            }
        }
        None
    }
}

fn start_event(name: &str, start: &StreamStart) -> SseEvent {
    let data = serde_json::to_string(start).unwrap_or_default();
    SseEvent::default().id(start.sequence.to_string()).event(name).retry(RETRY).data(data)
}

fn answer(state: &ApiState, events: impl Stream<Item = SseEvent> + Send + 'static) -> Response {
    let shutdown = state.options().shutdown.clone();
    let end = async move {
        tokio::select! {
            () = shutdown.cancelled_owned() => {}
            () = tokio::time::sleep(MAX_DURATION) => {}
        }
    };
    let events = events.map(Ok::<_, Infallible>).take_until(Box::pin(end));
    let mut response =
        Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("alive")).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx and its relatives must not buffer events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Patterns of event names; `*` at the end matches any rest. Without patterns every event matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Patterns(Vec<String>);

impl Patterns {
    fn parse(text: Option<&str>) -> Result<Self, Error> {
        let refuse = |detail: String| Err(Error::new(Code::InvalidRequest, detail).at("?types"));
        let patterns: Vec<_> = text
            .unwrap_or("")
            .split(',')
            .map(str::trim)
            .filter(|pattern| !pattern.is_empty())
            .map(str::to_owned)
            .collect();
        if patterns.len() > MAX_PATTERNS {
            return refuse(format!("send at most {MAX_PATTERNS} types"));
        }
        for pattern in &patterns {
            if topic(pattern).is_none() {
                return refuse(format!(
                    "a type starts with `task.`, `image.`, `instance.`, `media_group.`, `share.`, \
                     `storage.`, `iso.`, `export.` or `billing.`, not `{pattern}`"
                ));
            }
        }
        Ok(Self(patterns))
    }

    fn topics(&self) -> Vec<EventTopic> {
        let mut topics = Vec::new();
        for topic in self.0.iter().filter_map(|pattern| topic(pattern)) {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        topics
    }

    fn matches(&self, kind: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => kind.starts_with(prefix),
                None => kind == pattern,
            })
    }
}

fn topic(pattern: &str) -> Option<EventTopic> {
    match pattern.split_once('.')?.0 {
        "task" => Some(EventTopic::Task),
        "image" => Some(EventTopic::Image),
        "instance" => Some(EventTopic::Instance),
        "media_group" => Some(EventTopic::MediaGroup),
        "share" => Some(EventTopic::Share),
        "storage" => Some(EventTopic::Storage),
        "iso" => Some(EventTopic::Iso),
        "export" => Some(EventTopic::Export),
        "billing" => Some(EventTopic::Billing),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use imprint_service::EventTopic;

    use super::Patterns;

    #[test]
    fn patterns_choose_events() {
        let some = Patterns::parse(Some("task.*, image.deleted")).expect("both are types");
        assert_eq!(some.topics(), [EventTopic::Task, EventTopic::Image]);
        for (kind, wanted) in [("task.changed", true), ("image.changed", false), ("image.deleted", true)] {
            assert_eq!(some.matches(kind), wanted, "{kind}");
        }
        assert!(Patterns::parse(None).is_ok_and(|all| all.matches("instance.changed")));
        let storages = Patterns::parse(Some("storage.*")).expect("storages have events");
        assert_eq!(storages.topics(), [EventTopic::Storage]);
        let error = Patterns::parse(Some("task.*,usage.*")).expect_err("there is no such topic");
        assert_eq!(error.pointer.as_deref(), Some("?types"));
    }
}
