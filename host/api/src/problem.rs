//! Converts errors of use cases to answers.
//!
//! A handler returns [`ApiError`]. Its response has the error as an extension; the outermost
//! middleware ([`finish`]) converts it to `application/problem+json`, because only there the
//! request's id and path are known. Internal causes are logged there, once, and never sent.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use imprint_agent_protocol::ProtocolError;
use imprint_domain::{Code, Error, id::RequestId};
use tracing::Instrument;
use uuid::Uuid;

use crate::dto::problem::{FieldProblem, Problem};

/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The path of the page that describes every code.
pub(crate) const CATALOGUE_PATH: &str = "/docs/problems";

/// The header with the id of the request, in every answer. The log has the same id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the HTTP status of a code.
pub const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::InvalidRequest | Code::UnknownField | Code::PageTokenInvalid | Code::DigestMismatch => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated | Code::SignInFailed => StatusCode::UNAUTHORIZED,
        Code::Forbidden
        | Code::ImageFeatureDisabled
        | Code::ImportDisabled
        | Code::IsoDisabled
        | Code::ExportDisabled
        | Code::SharingDisabled => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::NameTaken
        | Code::SavedLimitReached
        | Code::UploadOffset
        | Code::ImageLimitReached
        | Code::ImageBytesLimitReached
        | Code::BudgetReached
        | Code::RateInPast
        | Code::BootFromVolumeNotSupported
        | Code::WindowsDiskTooLarge
        | Code::DomainControllerNotSupported
        | Code::NoImageStorageBound
        | Code::ImageNotReachable
        | Code::ObjectsNotServed
        | Code::InstanceBusy
        | Code::ImageNotAvailable
        | Code::ImageInUse
        | Code::ImageProtected
        | Code::AlreadyShared
        | Code::ShareLimitReached
        | Code::ResourceInUse
        | Code::IsoNotAvailable
        | Code::ExportLimitReached
        | Code::ExportNotAvailable
        | Code::DevicesNotSupported
        | Code::DiskLimitReached
        | Code::StorageNotShared
        | Code::OtherLocation
        | Code::InvalidTransition
        | Code::LeaseLost
        | Code::IdempotencyInProgress => StatusCode::CONFLICT,
        Code::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Code::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidName | Code::DiskTooSmall | Code::CloudInitNotSupported | Code::IdempotencyKeyReused => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::HypervisorOffline | Code::StorageUnavailable | Code::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        // An error of tasks only: no request waits for a merge.
        Code::CoalesceTimeout => StatusCode::GATEWAY_TIMEOUT,
        Code::InsufficientStorage => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// Returns how long a client should wait before it repeats the request, in seconds; `None` where
/// waiting does not help.
const fn retry_after_s(code: Code) -> Option<u64> {
    if !code.retryable() {
        return None;
    }
    match status_of(code) {
        // The first request with the key, or the task of the instance, is about to end.
        StatusCode::CONFLICT => Some(2),
        StatusCode::TOO_MANY_REQUESTS => Some(60),
        _ => Some(10),
    }
}

/// The error of a refused or failed request.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    error: Error,
    retry_after_s: Option<u64>,
    protocol: Option<ProtocolError>,
}

impl ApiError {
    pub(crate) fn new(code: Code, detail: impl std::fmt::Display) -> Self {
        Error::new(code, detail).into()
    }

    /// Sets the time to wait, where it is known exactly, in seconds.
    pub(crate) const fn after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let known = error.context.get("retry_after_s").and_then(|seconds| seconds.parse().ok());
        Self { retry_after_s: known.or(retry_after_s(error.code)), error, protocol: None }
    }
}

impl From<ProtocolError> for ApiError {
    fn from(refusal: ProtocolError) -> Self {
        let code = match &refusal {
            ProtocolError::LeaseLost => Code::LeaseLost,
            ProtocolError::Unauthenticated => Code::Unauthenticated,
            ProtocolError::Version { .. } | ProtocolError::Refused { .. } => Code::InvalidRequest,
            ProtocolError::NotRegistered => Code::InvalidTransition,
            ProtocolError::Unavailable { .. } => Code::Unavailable,
        };
        Self { protocol: Some(refusal.clone()), ..Error::new(code, refusal).into() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = status_of(self.error.code).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns the problem that a client gets for an error.
fn describe(failure: &ApiError, request_id: RequestId, path: &str) -> Problem {
    let ApiError { error, retry_after_s, protocol } = failure;
    let code = error.code;
    let errors = error.pointer.iter().map(|pointer| FieldProblem {
        pointer: pointer.clone(),
        code: code.as_str().to_owned(),
        detail: error.detail.clone(),
    });
    let context: BTreeMap<_, _> =
        error.context.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Problem {
        kind: format!("{CATALOGUE_PATH}#{}", code.as_str()),
        title: code.title().to_owned(),
        status: status_of(code).as_u16(),
        detail: error.detail.clone(),
        instance: path.to_owned(),
        code: code.as_str().to_owned(),
        request_id: request_id.to_string(),
        retryable: code.retryable(),
        retry_after_s: *retry_after_s,
        errors: errors.collect(),
        context,
        protocol_error: protocol.clone(),
    }
}

/// The outermost middleware: assigns the request id, and converts an [`ApiError`] to its problem.
#[expect(clippy::disallowed_methods, reason = "a request has an id before any use case runs")]
pub(crate) async fn finish(mut request: Request, next: Next) -> Response {
    let request_id = RequestId::new(Uuid::now_v7());
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(request_id);
    let method = request.method().clone();
    let span = tracing::info_span!("request", %request_id, %method, path);
    let mut response = next.run(request).instrument(span).await;
    tracing::debug!(%request_id, %method, path, status = response.status().as_u16(), "request answered");
    if let Some(failure) = response.extensions_mut().remove::<ApiError>() {
        if let Some(cause) = &failure.error.internal {
            tracing::error!(%request_id, %method, path, cause, "request failed");
        }
        response = problem_response(&describe(&failure, request_id, &path), response);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn problem_response(problem: &Problem, mut response: Response) -> Response {
    let body = serde_json::to_vec(problem).unwrap_or_else(|_| b"{}".to_vec());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(header::CONTENT_LENGTH);
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == StatusCode::UNAUTHORIZED.as_u16() {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    *response.body_mut() = Body::from(body);
    response
}
