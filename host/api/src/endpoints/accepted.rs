//! The answer to a request that starts a task: 202 with the resource and the task.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::id::TaskId;
use serde::Serialize;

/// The values of the headers.
pub(crate) struct Created {
    /// The path of the resource, if it is new.
    pub(crate) location: Option<String>,
    /// The id of the task.
    pub(crate) task: TaskId,
    /// Whether the answer was stored for an earlier request (`Idempotency-Key`).
    pub(crate) replayed: bool,
}

/// Returns 202 with `Location`, `Task-Location` and, for a stored answer, `Idempotency-Replayed`.
pub(crate) fn accepted(created: Created, body: impl Serialize) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let headers = response.headers_mut();
    let mut insert = |name: HeaderName, value: String| {
        headers.insert(name, HeaderValue::from_str(&value).expect("ids and paths are visible ASCII"));
    };
    if let Some(location) = created.location {
        insert(header::LOCATION, location);
    }
    insert(HeaderName::from_static("task-location"), format!("/api/v1/tasks/{}", created.task));
    if created.replayed {
        insert(HeaderName::from_static("idempotency-replayed"), "true".to_owned());
    }
    response
}
