//! Instances: create, list, show, start, stop, delete.

use axum::{Json, extract::State, response::Response};
use imprint_domain::{
    Code, Error,
    id::{ImageId, InstanceId},
};
use imprint_service::{self as service, Busy};

use super::accepted::{Created, accepted};
use crate::{
    dto::{
        byte_size,
        instance::{
            BusyQuery, Instance, InstanceAndTask, InstanceCreate, InstanceListQuery, InstanceReinstall,
        },
        page::Page,
    },
    extract::{Caller, Id, IdempotencyKey, JsonBody, Query, Read, Write, ids, name, page_request, parse},
    problem::ApiError,
    state::ApiState,
};

/// List instances
#[utoipa::path(
    get, path = "/instances", tag = "instances",
    params(InstanceListQuery),
    responses((status = 200, description = "A page of instances, newest first", body = Page<Instance>)),
)]
pub(crate) async fn instance_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<InstanceListQuery>,
) -> Result<Json<Page<Instance>>, ApiError> {
    let list = service::InstanceList {
        ids: query.ids.as_deref().map(|text| ids(text, "?ids")).transpose()?,
        page: page_request(query.limit, query.page_token)?,
    };
    Ok(Json(state.service().instance_list(&op, &list).await?.into()))
}

/// Create an instance from an image, or with an empty disk
#[utoipa::path(
    post, path = "/instances", tag = "instances",
    params(IdempotencyKey),
    request_body = InstanceCreate,
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Location" = String, description = "The instance"), ("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    key: IdempotencyKey,
    body: JsonBody<InstanceCreate>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let made = match chosen(&body.value)? {
        Chosen::Image(id) => state.service().instance_create(&op, deployment(body.value)?(id)).await?,
        Chosen::Family(family) => {
            let request = deployment(body.value)?;
            state.service().instance_create_of_family(&op, &family, request).await?
        }
        Chosen::Nothing => state.service().instance_install(&op, installation(body.value)?).await?,
    };
    Ok(answer(made))
}

/// Refuses what only another kind of request has.
fn without(has: bool, pointer: &str, detail: &str) -> Result<(), Error> {
    if has { Err(Error::new(Code::InvalidRequest, detail).at(pointer)) } else { Ok(()) }
}

/// What a request names to deploy.
enum Chosen {
    Image(ImageId),
    Family(service::FamilyChoice),
    /// An empty disk.
    Nothing,
}

fn chosen(body: &InstanceCreate) -> Result<Chosen, Error> {
    let is_empty = body.image_id.is_none() && body.family.is_none();
    without(!is_empty && body.iso_id.is_some(), "/iso_id", "mount the ISO once the instance is there")?;
    match (body.image_id, body.family.as_deref()) {
        (Some(id), family) => {
            without(family.is_some(), "/family", "give either an image or a family, not both")?;
            let detail = "the image decides about the location; leave it out";
            without(body.location_id.is_some(), "/location_id", detail)?;
            Ok(Chosen::Image(id))
        }
        (None, Some(family)) => Ok(Chosen::Family(service::FamilyChoice {
            family: parse(family, "/family")?,
            location_id: body.location_id,
            hypervisor_id: body.hypervisor_id,
        })),
        (None, None) => Ok(Chosen::Nothing),
    }
}

fn installation(body: InstanceCreate) -> Result<service::InstanceInstall, Error> {
    let detail = "an instance without an image reads no such data at its first boot; leave it out";
    without(!body.ssh_keys.is_empty(), "/ssh_keys", detail)?;
    without(!body.ssh_key_ids.is_empty(), "/ssh_key_ids", detail)?;
    without(body.user_data.is_some(), "/user_data", detail)?;
    without(body.user_script_id.is_some(), "/user_script_id", detail)?;
    let size = body.disk_size_bytes.ok_or_else(|| {
        Error::new(Code::InvalidRequest, "give the size of the empty disk, or an image or a family")
            .at("/disk_size_bytes")
    })?;
    Ok(service::InstanceInstall {
        name: name(&body.name, "/name")?,
        location_id: body.location_id,
        hypervisor_id: body.hypervisor_id,
        iso_id: body.iso_id,
        vcpus: body.vcpus,
        memory: body.memory_bytes.map(|bytes| byte_size(bytes, "/memory_bytes")).transpose()?,
        declared_os: body.os_type,
        disk_size: byte_size(size, "/disk_size_bytes")?,
        start: body.start,
    })
}

/// Returns what makes the request for an image.
fn deployment(body: InstanceCreate) -> Result<impl FnOnce(ImageId) -> service::InstanceCreate + Send, Error> {
    let name = name(&body.name, "/name")?;
    let memory = body.memory_bytes.map(|bytes| byte_size(bytes, "/memory_bytes")).transpose()?;
    let disk_size = body.disk_size_bytes.map(|bytes| byte_size(bytes, "/disk_size_bytes")).transpose()?;
    Ok(move |image_id| service::InstanceCreate {
        image_id,
        name,
        hypervisor_id: body.hypervisor_id,
        vcpus: body.vcpus,
        memory,
        disk_size,
        ssh_key_ids: body.ssh_key_ids,
        user_script_id: body.user_script_id,
        ssh_keys: body.ssh_keys,
        user_data: body.user_data,
        declared_os: body.os_type,
        start: body.start,
    })
}

pub(crate) fn answer(made: service::InstanceTask) -> Response {
    let created = Created {
        location: Some(format!("/api/v1/instances/{}", made.instance.id)),
        task: made.task.id,
        replayed: made.replayed,
    };
    accepted(created, InstanceAndTask::from(made))
}

/// Show an instance
#[utoipa::path(
    get, path = "/instances/{id}", tag = "instances",
    params(("id" = InstanceId, Path, description = "The instance")),
    responses((status = 200, description = "The instance", body = Instance)),
)]
pub(crate) async fn instance_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<InstanceId>,
) -> Result<Json<Instance>, ApiError> {
    Ok(Json(state.service().instance_show(&op, id).await?.into()))
}

/// Start an instance
#[utoipa::path(
    post, path = "/instances/{id}/actions/start", tag = "instances",
    params(
        ("id" = InstanceId, Path, description = "The instance"),
        BusyQuery,
        IdempotencyKey,
    ),
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_start(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<InstanceId>,
    Query(query): Query<BusyQuery>,
    key: IdempotencyKey,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind_empty());
    Ok(answer(state.service().instance_start(&op, id, busy(&query)).await?))
}

/// Stop an instance
///
/// The guest is asked to shut down, and powered off if it does not in time.
#[utoipa::path(
    post, path = "/instances/{id}/actions/stop", tag = "instances",
    params(
        ("id" = InstanceId, Path, description = "The instance"),
        BusyQuery,
        IdempotencyKey,
    ),
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_stop(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<InstanceId>,
    Query(query): Query<BusyQuery>,
    key: IdempotencyKey,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind_empty());
    Ok(answer(state.service().instance_stop(&op, id, busy(&query)).await?))
}

/// Write the primary disk of an instance anew from an image
///
/// Everything on the disk is lost. The instance runs with its present disk until the new one is
/// complete, and is then powered off without a shut-down. It keeps its id, name, size and network
/// card.
#[utoipa::path(
    post, path = "/instances/{id}/actions/reinstall", tag = "instances",
    params(
        ("id" = InstanceId, Path, description = "The instance"),
        BusyQuery,
        IdempotencyKey,
    ),
    request_body = InstanceReinstall,
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_reinstall(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<InstanceId>,
    Query(query): Query<BusyQuery>,
    key: IdempotencyKey,
    body: JsonBody<InstanceReinstall>,
) -> Result<Response, ApiError> {
    let request = body.value;
    let reinstall = service::InstanceReinstall {
        image_id: request.image_id,
        disk_size: request.disk_size_bytes.map(|bytes| byte_size(bytes, "/disk_size_bytes")).transpose()?,
        ssh_key_ids: request.ssh_key_ids,
        user_script_id: request.user_script_id,
        ssh_keys: request.ssh_keys,
        user_data: request.user_data,
        declared_os: request.os_type,
        start: request.start,
    };
    let op = op.with_idempotency(key.bind(body.digest));
    Ok(answer(state.service().instance_reinstall(&op, id, reinstall, busy(&query)).await?))
}

/// Delete an instance with its disks
///
/// Images that were created from it are kept.
#[utoipa::path(
    delete, path = "/instances/{id}", tag = "instances",
    params(("id" = InstanceId, Path, description = "The instance"), BusyQuery),
    responses((status = 202, description = "The instance, now `deleting`, and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<InstanceId>,
    Query(query): Query<BusyQuery>,
) -> Result<Response, ApiError> {
    let made = state.service().instance_delete(&op, id, busy(&query)).await?;
    let created = Created { location: None, task: made.task.id, replayed: false };
    Ok(accepted(created, InstanceAndTask::from(made)))
}

const fn busy(query: &BusyQuery) -> Busy {
    if query.cancel_captures { Busy::Cancel } else { Busy::Refuse }
}
