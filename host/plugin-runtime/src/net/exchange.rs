//! Sending a request, and repeating it: pauses with jitter, redirects, the answer within bounds.

use std::{io::Read as _, sync::Arc, time::Duration};

use imprint_http_client::{
    Answer, Backoff, HttpError,
    http::{
        HeaderMap, HeaderName, Request, Uri,
        header::{LOCATION, RETRY_AFTER},
    },
};

use super::{context::NetContext, error::NetError, payload::Payload, sign::complete, template::Template};
use crate::bindings::host::imprint::types::http_types::Response;

/// How often a request is sent.
const MAX_ATTEMPTS: u32 = 5;
/// How many redirects are followed.
const MAX_REDIRECTS: u32 = 3;

/// One request with the body that belongs to it.
pub(crate) struct Exchange<'a> {
    pub(crate) context: &'a Arc<NetContext>,
    pub(crate) template: &'a Template,
    pub(crate) body: Payload<'a>,
}

impl Exchange<'_> {
    /// Sends the request until there is an answer that is not to be repeated, or the last attempt
    /// has failed. `stop` is asked before each pause. Blocks.
    pub(crate) fn send(&self, stop: &dyn Fn() -> bool) -> Result<Answer, NetError> {
        let mut backoff = Backoff::new(MAX_ATTEMPTS);
        loop {
            let outcome = self.send_once();
            let asked = match &outcome {
                Ok(answer) if self.template.repeats(answer.status().as_u16()) => {
                    retry_after(answer.headers())
                }
                Err(error) if error.is_transient() => None,
                Ok(_) | Err(_) => return outcome,
            };
            let pause = if stop() { None } else { backoff.pause(asked) };
            let Some(pause) = pause else { return outcome };
            tracing::debug!(uri = %self.template.uri, "a plugin's request is repeated");
            std::thread::sleep(pause);
        }
    }

    /// Sends the request once, and where the answer redirects it to.
    fn send_once(&self) -> Result<Answer, NetError> {
        let mut uri = self.template.uri.clone();
        for _ in 0..=MAX_REDIRECTS {
            let client = self.context.client(&uri)?;
            let (mut head, ()) = self.template.head()?.into_parts();
            head.uri = uri.clone();
            let used = self.used_sessions();
            let body = complete(self.template, self.context, &mut head, self.body.clone())?;
            let sent = match &body {
                Payload::Bytes(bytes) => client.send(Request::from_parts(head, bytes.as_ref())),
                Payload::File(file, length) => client.send_file(Request::from_parts(head, ()), file, *length),
            };
            let answer = sent.map_err(|error| self.context.about(&uri, error))?;
            match answer.status().as_u16() {
                401 => {
                    for (name, secret) in used {
                        self.context.drop_session(&name, &secret);
                    }
                    return Ok(answer);
                }
                307 | 308 => match target(&uri, &answer) {
                    Some(next) => uri = next,
                    None => return Ok(answer),
                },
                _ => return Ok(answer),
            }
        }
        Err(HttpError::Protocol { what: "it redirects in a circle" }.into())
    }

    fn used_sessions(&self) -> Vec<(String, imprint_ports::SecretText)> {
        let scheme = self.template.scheme();
        let names = self.template.secret_names();
        names.filter_map(|name| Some((name.to_owned(), self.context.secret(name, scheme).ok()?))).collect()
    }
}

/// Returns where an answer redirects to.
fn target(from: &Uri, answer: &Answer) -> Option<Uri> {
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    let absolute = match location.strip_prefix('/') {
        Some(path) => format!("{}://{}/{path}", from.scheme_str()?, from.authority()?),
        None => location.to_owned(),
    };
    absolute.parse().ok()
}

/// Returns the pause that a server asks for, in seconds (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// Returns the part of an answer that the plugin asked for. Blocks.
pub(crate) fn captured(template: &Template, mut answer: Answer) -> Result<Response, NetError> {
    let status = answer.status().as_u16();
    let text =
        |name: &HeaderName| Some((name.to_string(), answer.headers().get(name)?.to_str().ok()?.to_owned()));
    let headers = template.capture.iter().filter_map(text).collect();
    let mut body = Vec::new();
    let most = u64::try_from(template.max_response).unwrap_or(u64::MAX);
    let mut reader = answer.body_mut().as_reader();
    let read = reader.by_ref().take(most).read_to_end(&mut body);
    let unreadable = |error: std::io::Error| HttpError::Connect {
        host: template.uri.host().unwrap_or_default().to_owned(),
        why: error.to_string(),
    };
    read.map_err(unreadable)?;
    // The rest of a body that was not asked for is thrown away; a little of it is read, so that the
    // connection can be used again.
    let rest = reader.take(64 << 10).read(&mut [0]).map_err(unreadable)?;
    if rest > 0 && template.max_response > 0 && template.expects(status) {
        return Err(NetError::AnswerTooLong(most));
    }
    Ok(Response { status, headers, body })
}
