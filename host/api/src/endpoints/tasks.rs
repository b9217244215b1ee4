//! Tasks: list, show, wait, cancel, retry.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use imprint_domain::{Code, Error, id::TaskId};
use imprint_service as service;

use crate::{
    dto::{
        page::Page,
        task::{MAX_WAIT_S, Task, TaskListQuery, TaskShowQuery},
    },
    extract::{Caller, Id, Query, Read, Write, page_request, values},
    problem::ApiError,
    state::ApiState,
};

/// List tasks
#[utoipa::path(
    get, path = "/tasks", tag = "tasks",
    params(TaskListQuery),
    responses((status = 200, description = "A page of tasks, newest first", body = Page<Task>)),
)]
pub(crate) async fn task_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<TaskListQuery>,
) -> Result<Json<Page<Task>>, ApiError> {
    let list = service::TaskList {
        state: values(query.state.as_deref(), "?state")?,
        image_id: query.image_id,
        instance_id: query.instance_id,
        page: page_request(query.limit, query.page_token)?,
    };
    Ok(Json(state.service().task_list(&op, &list).await?.into()))
}

/// Show a task, or wait for it to change
#[utoipa::path(
    get, path = "/tasks/{id}", tag = "tasks",
    params(("id" = TaskId, Path, description = "The task"), TaskShowQuery),
    responses((status = 200, description = "The task", body = Task)),
)]
pub(crate) async fn task_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<TaskId>,
    Query(query): Query<TaskShowQuery>,
) -> Result<Json<Task>, ApiError> {
    let service = state.service();
    let task = match query.wait {
        None | Some(0) => service.task_show(&op, id).await?,
        Some(wait) if wait > MAX_WAIT_S => {
            let detail =
                format!("the number must be at most {MAX_WAIT_S}; repeat the request to wait longer");
            return Err(Error::new(Code::InvalidRequest, detail).at("?wait").into());
        }
        Some(wait) => tokio::select! {
            task = service.task_wait(&op, id, Duration::from_secs(u64::from(wait))) => task?,
            () = state.options().shutdown.cancelled() => service.task_show(&op, id).await?,
        },
    };
    Ok(Json(task.into()))
}

/// Cancel a task
///
/// What the task did is undone. A task that has ended is refused with `invalid_transition`.
#[utoipa::path(
    post, path = "/tasks/{id}/actions/cancel", tag = "tasks",
    params(("id" = TaskId, Path, description = "The task")),
    responses((status = 202, description = "The task", body = Task)),
)]
pub(crate) async fn task_cancel(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<TaskId>,
) -> Result<Response, ApiError> {
    let task = state.service().task_cancel(&op, id).await?;
    Ok((StatusCode::ACCEPTED, Json(Task::from(task))).into_response())
}

/// Retry a failed task
#[utoipa::path(
    post, path = "/tasks/{id}/actions/retry", tag = "tasks",
    params(("id" = TaskId, Path, description = "The task")),
    responses((status = 202, description = "The task", body = Task)),
)]
pub(crate) async fn task_retry(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<TaskId>,
) -> Result<Response, ApiError> {
    let task = state.service().task_retry(&op, id).await?;
    Ok((StatusCode::ACCEPTED, Json(Task::from(task))).into_response())
}
