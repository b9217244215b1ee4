//! The answer to a request whose work goes on: 202, the resource and its task.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::id::TaskId;
use serde::Serialize;

/// What the headers say.
pub(crate) struct Created {
    /// The path of the resource.
    pub(crate) location: Option<String>,
    /// The task.
    pub(crate) task: TaskId,
    /// Whether the answer is a stored one (`Idempotency-Key`).
    pub(crate) replayed: bool,
}

/// 202 with `Location`, `Task-Location` and, for a stored answer, `Idempotency-Replayed`.
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
