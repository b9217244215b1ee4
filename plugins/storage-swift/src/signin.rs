//! Signing in. The host sends the password and keeps the token; the answer says where the object
//! store is.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::HttpStorageHost,
    http::{Auth, Body, Request, Response, Session},
};
use serde_json::{Value, json};

use crate::{
    catalogue,
    settings::{Settings, SignIn},
};

/// The name by which requests refer to the token.
pub(crate) const TOKEN: &str = "token";
/// For how long the host keeps a token, in seconds, unless the server refuses it earlier. Tokens of
/// Keystone are valid for an hour, by default.
const VALID: u32 = 3000;
/// The most bytes of an answer: catalogues of large clouds are long.
const ANSWER: u32 = 1 << 20;
/// Status codes after which a sign-in is repeated by the host.
const RETRY: [u16; 5] = [429, 500, 502, 503, 504];

/// Signs in, unless there is a token, and returns the address of the account, without a slash at
/// its end.
pub(crate) fn storage_url(host: &dyn HttpStorageHost, settings: &Settings) -> Result<String> {
    let request = request(settings, true);
    let header = if v1(settings) { "x-auth-token" } else { "x-subject-token" };
    let session = Session { name: TOKEN.to_owned(), header: header.to_owned(), valid_for_s: VALID };
    let answer = match host.sign_in(&session, &request) {
        Err(error) if error.code == "http.credential" => return Err(no_sign_in(settings, "no token")),
        answer => answer?,
    };
    if !request.expects(answer.status) {
        return Err(refused(host, settings, &answer));
    }
    let found = if v1(settings) {
        let url = answer.headers.get("x-storage-url").map(|url| url.trim_end_matches('/').to_owned());
        url.filter(|url| url.contains("://")).ok_or_else(|| no_sign_in(settings, "no X-Storage-Url"))?
    } else {
        let token: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| no_sign_in(settings, "an answer that is not JSON"))?;
        match whole_endpoint(settings) {
            Some(url) => url,
            None => catalogue::find(&token, settings)?,
        }
    };
    Ok(at_endpoint(settings, &found))
}

fn v1(settings: &Settings) -> bool {
    matches!(settings.sign_in, SignIn::V1 { .. })
}

/// Returns the address of the account where the operator has set all of it.
fn whole_endpoint(settings: &Settings) -> Option<String> {
    let endpoint = settings.endpoint.as_ref()?;
    path(endpoint).is_some().then(|| endpoint.clone())
}

/// Returns the path of a URL with its slash; `None` where it has none.
pub(crate) fn path(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').map(|at| &rest[at..])
}

/// Puts the operator's server in the place of the one that was found.
fn at_endpoint(settings: &Settings, found: &str) -> String {
    match &settings.endpoint {
        Some(endpoint) if path(endpoint).is_some() => endpoint.clone(),
        Some(endpoint) => format!("{endpoint}{}", path(found).unwrap_or_default()),
        None => found.to_owned(),
    }
}

/// Returns the request that signs in; for Keystone with or without the project.
fn request(settings: &Settings, scoped: bool) -> Request {
    let (identity, secret) = match &settings.sign_in {
        SignIn::V1 { user } => {
            return Request::new("GET", settings.auth_url.clone())
                .header("x-auth-user", user)
                .auth(Auth::new("headers").secret("x-auth-key", "password"))
                .retry_on(&RETRY)
                .capture(&["x-storage-url"])
                .max_response(ANSWER);
        }
        SignIn::Password { user, user_domain, .. } => {
            let user = json!({"name": user, "domain": {"name": user_domain}, "password": ""});
            let identity = json!({"methods": ["password"], "password": {"user": user}});
            (identity, ("/auth/identity/password/user/password", "password"))
        }
        SignIn::ApplicationCredential { id } => {
            let credential = json!({"id": id, "secret": ""});
            let identity =
                json!({"methods": ["application_credential"], "application_credential": credential});
            let place = "/auth/identity/application_credential/secret";
            (identity, (place, "application-credential-secret"))
        }
    };
    let mut auth = json!({ "identity": identity });
    match &settings.sign_in {
        SignIn::Password { project, project_domain, .. } if scoped => {
            let is_id = project.len() == 32 && project.bytes().all(|byte| byte.is_ascii_hexdigit());
            let project = if is_id {
                json!({ "id": project })
            } else {
                json!({"name": project, "domain": {"name": project_domain}})
            };
            auth["scope"] = json!({ "project": project });
        }
        SignIn::Password { .. } => auth["scope"] = json!("unscoped"),
        SignIn::ApplicationCredential { .. } | SignIn::V1 { .. } => {}
    }
    let base = settings.auth_url.trim_end_matches("/auth/tokens").trim_end_matches('/');
    let base = if base.ends_with("/v3") { base.to_owned() } else { format!("{base}/v3") };
    Request::new("POST", format!("{base}/auth/tokens"))
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(Body::Inline(json!({ "auth": auth }).to_string().into_bytes()))
        .auth(Auth::new("json-body").secret(secret.0, secret.1))
        .expect(&[200, 201])
        .retry_on(&RETRY)
        .max_response(ANSWER)
}

fn no_sign_in(settings: &Settings, what: &str) -> Error {
    let service = if v1(settings) { "a sign-in of version 1 (tempauth)" } else { "Keystone v3" };
    let message = format!(
        "{} does not answer like {service} ({what}); correct the setting \"auth-url\", or how the storage signs in",
        settings.auth_url
    );
    Error::invalid_input("swift.sign-in", message).about_setting("auth-url")
}

fn denied(code: &str, setting: &str, message: String) -> Error {
    Error::new(ErrorClass::Denied, code, message).about_setting(setting)
}

/// Returns what the refusal of a sign-in means.
fn refused(host: &dyn HttpStorageHost, settings: &Settings, answer: &Response) -> Error {
    match answer.status {
        401 | 403 => {}
        408 | 429 | 500..=599 => {
            let message = format!("the sign-in answers with status {}; it is tried again", answer.status);
            return Error::transient("swift.busy", message);
        }
        status => return no_sign_in(settings, &format!("status {status}")),
    }
    match &settings.sign_in {
        SignIn::Password { project, project_domain, .. } => {
            // Keystone does not say what is wrong. Without the project it says whether it is that.
            let alone = host.send(&request(settings, false));
            if alone.is_ok_and(|answer| matches!(answer.status, 200 | 201)) {
                let message = format!(
                    "the user has no role in a project {project:?} of the domain {project_domain:?}; correct the project, or \
                     give the user a role in it"
                );
                return denied("swift.project", "project", message);
            }
            let message =
                "the sign-in refuses user and password; correct the user, its domain or the password";
            denied("swift.credentials", "password", message.to_owned())
        }
        SignIn::ApplicationCredential { .. } => denied(
            "swift.credentials",
            "application-credential-secret",
            "the sign-in refuses the application credential; correct its id or its secret, or make a new one"
                .to_owned(),
        ),
        SignIn::V1 { .. } => denied(
            "swift.credentials",
            "password",
            "the sign-in refuses user and key; correct the user (ACCOUNT:USER) or the key".to_owned(),
        ),
    }
}
