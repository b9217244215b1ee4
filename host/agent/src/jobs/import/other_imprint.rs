//! Reading an image of another Imprint (S73): it is asked to export the image, and the export is
//! read as any file on a server. What is written has to be the disk that was exported.

use std::time::Duration;

use imprint_agent_protocol::{ImportAssignment, SecretsRequest};
use imprint_domain::{
    id::ImageId,
    task::Phase,
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_http_client::{Client, ClientOptions, HttpError, HttpOptions, http};
use serde::Deserialize;

use super::{
    Source,
    fetch::{from_server, options, source_error},
};
use crate::{
    error::JobError,
    jobs::job::{Job, lease},
    sync::blocking,
};

/// The most bytes of an answer of its API.
const MOST: usize = 1 << 20;
/// The pause before it is asked again whether the export is there.
const POLL: Duration = Duration::from_secs(2);
/// How often a request is repeated that the server did not answer, or not now.
const ATTEMPTS: u32 = 15;
/// What it is asked for: a format that has holes and is read in any order.
const REQUEST: &[u8] = br#"{"format":"qcow2"}"#;

/// The image, of which only this counts.
#[derive(Deserialize)]
struct ThatImage {
    logical_digest: Option<String>,
}

/// The answer to a request for an export.
#[derive(Deserialize)]
struct Asked {
    export: ThatExport,
}

#[derive(Deserialize)]
struct ThatExport {
    id: String,
    status: String,
}

/// The API of the other Imprint.
struct Api {
    options: HttpOptions,
    image: ImageId,
}

/// Has the image exported, and opens the export.
pub(super) async fn read(
    job: &Job,
    assignment: &ImportAssignment,
    image: ImageId,
) -> Result<Source, JobError> {
    job.control.phase(Phase::Receiving);
    let secrets = job.machine.secrets(SecretsRequest::Task { lease: lease(&job.journal) }).await?;
    let api = Api { options: options(job, &secrets)?, image };
    let found: ThatImage = api.ask(job, "", None).await?;
    let Asked { mut export } = api.ask(job, "/exports", Some(REQUEST)).await?;
    require_id(&export.id)?;
    let at = format!("/exports/{}", export.id);
    while export.status == "creating" {
        job.control.unless_stopped(tokio::time::sleep(POLL)).await?;
        export = api.ask(job, &at, None).await?;
    }
    if export.status != "available" {
        let detail = "the other Imprint could not export the image; its tasks say why";
        return Err(JobError::failed(TaskErrorCode::ImportSource, detail));
    }
    let content = HttpOptions { url: api.url(&format!("{at}/content")), ..api.options };
    let source = from_server(job, assignment, content).await?;
    Ok(Source { logical: found.logical_digest, ..source })
}

/// What is put into an address has the form of an id.
fn require_id(id: &str) -> Result<(), JobError> {
    let is_id = id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if is_id { Ok(()) } else { Err(no_imprint("the id of its export")) }
}

fn no_imprint(what: &str) -> JobError {
    let detail = format!("the server does not answer as an Imprint does: {what}");
    JobError::failed(TaskErrorCode::ImportSource, detail)
}

impl Api {
    fn url(&self, path: &str) -> String {
        let server = self.options.url.trim_end_matches('/');
        format!("{server}/api/v1/images/{}{path}", self.image)
    }

    /// Asks about the image, again where that may help: each request can be repeated.
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        job: &Job,
        path: &str,
        body: Option<&'static [u8]>,
    ) -> Result<T, JobError> {
        let mut left = ATTEMPTS;
        loop {
            let (status, text) = match self.send(job, path, body).await? {
                Err(error) if error.is_transient() && left > 0 => {
                    left -= 1;
                    job.control.unless_stopped(tokio::time::sleep(POLL)).await?;
                    continue;
                }
                answered => answered.map_err(|error| source_error(&error))?,
            };
            match status {
                200..=299 => {
                    return serde_json::from_slice(&text).map_err(|error| no_imprint(&error.to_string()));
                }
                429 | 500..=599 if left > 0 => {
                    left -= 1;
                    job.control.unless_stopped(tokio::time::sleep(POLL)).await?;
                }
                _ => return Err(refused(status, &text)),
            }
        }
    }

    async fn send(
        &self,
        job: &Job,
        path: &str,
        body: Option<&'static [u8]>,
    ) -> Result<Result<(u16, Vec<u8>), HttpError>, JobError> {
        let method = if body.is_some() { http::Method::POST } else { http::Method::GET };
        let mut request = http::Request::builder().method(method).uri(self.url(path));
        if body.is_some() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(body.unwrap_or_default());
        let mut request = request.map_err(|error| JobError::failed(TaskErrorCode::ImportAddress, error))?;
        request.headers_mut().extend(self.options.headers.clone());
        let private_networks = self.options.private_networks.clone();
        let options = ClientOptions { private_networks, tls: true, ..ClientOptions::default() };
        let sending = blocking(move || Client::new(&options)?.send_for_text(request, MOST));
        job.control.unless_stopped(sending).await?
    }
}

/// A problem of the other Imprint, in its words.
#[derive(Deserialize)]
struct Problem {
    title: String,
    #[serde(default)]
    detail: String,
}

fn refused(status: u16, text: &[u8]) -> JobError {
    let context = TaskErrorContext { status: Some(status), ..TaskErrorContext::default() };
    let detail = match serde_json::from_slice(text) {
        Ok(Problem { title, detail }) => format!("the other Imprint says: {title} ({detail})"),
        Err(_) => format!("the server answers {status}"),
    };
    JobError::Failed(TaskError::new(TaskErrorCode::ImportSource, detail).with(context))
}
