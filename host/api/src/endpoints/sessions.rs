//! Sign-in and sign-out.

use axum::{
    Extension, Json,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use imprint_domain::{Code, Error, id::RequestId};
use imprint_service::{RetryAfter, SignIn};

use crate::{
    dto::account::{Session, SessionCreate},
    extract::{Caller, JsonBody, SESSION_COOKIE, SignedIn},
    problem::ApiError,
    server::Client,
    state::ApiState,
};

/// Sign in
///
/// Sets the cookie `imprint_session`. Requests with that cookie that change something need the
/// header `X-Imprint-Csrf: 1`.
#[utoipa::path(
    post, path = "/sessions", tag = "sessions", security(()),
    request_body = SessionCreate,
    responses((status = 201, description = "Signed in", body = Session)),
)]
pub(crate) async fn session_create(
    State(state): State<ApiState>,
    ConnectInfo(client): ConnectInfo<Client>,
    Extension(request_id): Extension<RequestId>,
    body: JsonBody<SessionCreate>,
) -> Result<Response, ApiError> {
    let SessionCreate { account, password } = body.value;
    let now = state.service().now();
    state.sign_ins().attempt(client.address, &account, now).map_err(|RetryAfter(seconds)| {
        ApiError::new(Code::RateLimited, format!("there were too many attempts to sign in; wait {seconds} s"))
            .after(seconds)
    })?;
    let signed_in =
        state.service().session_create(SignIn { account: account.clone(), password, request_id }).await?;
    state.sign_ins().succeeded(client.address, &account);
    let cookie = cookie(&signed_in.token, Some(signed_in.expires_at), state.options().https)?;
    let session = Session { account: signed_in.account.into(), expires_at: signed_in.expires_at };
    let mut response = (StatusCode::CREATED, Json(session)).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Returns the session's cookie. Without an expiry it is removed from the browser.
fn cookie(token: &str, expires_at: Option<DateTime<Utc>>, https: bool) -> Result<HeaderValue, Error> {
    let lifetime = match expires_at {
        Some(end) => format!("Expires={}", end.format("%a, %d %b %Y %H:%M:%S GMT")),
        None => "Max-Age=0".to_owned(),
    };
    let secure = if https { "; Secure" } else { "" };
    HeaderValue::from_str(&format!(
        "{SESSION_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; {lifetime}{secure}"
    ))
    .map_err(Error::internal)
}

/// Sign out
#[utoipa::path(
    delete, path = "/sessions/current", tag = "sessions",
    responses((status = 204, description = "Signed out")),
)]
pub(crate) async fn session_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<SignedIn>,
) -> Result<Response, ApiError> {
    state.service().session_delete(&op).await?;
    let mut headers = HeaderMap::new();
    headers.insert(header::SET_COOKIE, cookie("", None, state.options().https)?);
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}
