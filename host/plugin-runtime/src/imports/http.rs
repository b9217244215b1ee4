//! `http`: requests that plugins describe and the host sends.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::dirs::run_blocking;
use crate::{
    bindings::host::imprint::{
        host::http::{self, Session},
        types::{
            http_types::{Request, Response},
            types::Error,
        },
    },
    net::{Exchange, NetContext, NetError, Template, TemplateBody, captured},
    state::State,
    wit_error::denied,
};

/// The longest time for which a credential is kept.
const MAX_SESSION: Duration = Duration::from_secs(24 * 3600);
/// The longest credential, in bytes.
const MAX_CREDENTIAL: usize = 16 << 10;

impl State {
    pub(super) fn net(&self) -> Result<Arc<NetContext>, Error> {
        let id = &self.plugin.id;
        self.grants.net.clone().ok_or_else(|| denied(format!("plugin {id} has no network in this call")))
    }
}

/// Sends a small request. Blocks.
fn send(context: &Arc<NetContext>, request: Request, stop: &dyn Fn() -> bool) -> Result<Response, NetError> {
    let (template, body) = Template::parse(request)?;
    let TemplateBody::Inline(body) = body else {
        return Err(NetError::Request("only the parts of an upload have a payload".to_owned()));
    };
    let answer = Exchange { context, template: &template, body: body.as_slice().into() }.send(stop)?;
    captured(&template, answer)
}

/// Signs in, unless the session is valid. Blocks.
fn sign_in(
    context: &Arc<NetContext>,
    session: &Session,
    mut request: Request,
    stop: &dyn Fn() -> bool,
) -> Result<Response, NetError> {
    if let Some(kept) = context.session_answer(&session.name) {
        return Ok(kept);
    }
    let header = session.header.to_ascii_lowercase();
    request.capture.push(header.clone());
    let (template, _) = Template::parse(request.clone())?;
    let mut answer = send(context, request, stop)?;
    let credential = answer.headers.iter().position(|(name, _)| *name == header);
    let credential = credential.map(|at| answer.headers.swap_remove(at).1);
    if !template.expects(answer.status) {
        return Ok(answer);
    }
    let credential = credential
        .filter(|value| (1..=MAX_CREDENTIAL).contains(&value.len()))
        .ok_or_else(|| NetError::NoCredential(session.header.chars().take(100).collect()))?;
    let valid_for = Duration::from_secs(u64::from(session.valid_for_s)).min(MAX_SESSION);
    context.keep_session(&session.name, credential, answer.clone(), valid_for)?;
    Ok(answer)
}

/// Returns a test for the end of a call: no pause begins after it.
fn until(deadline: Option<Instant>) -> impl Fn() -> bool {
    move || deadline.is_some_and(|end| Instant::now() >= end)
}

impl http::Host for State {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        let context = match self.net() {
            Ok(context) => context,
            Err(error) => return Ok(Err(error)),
        };
        let stop = until(self.deadline);
        run_blocking(move || send(&context, request, &stop).map_err(|error| error.for_plugin())).await
    }

    async fn sign_in(
        &mut self,
        session: Session,
        request: Request,
    ) -> wasmtime::Result<Result<Response, Error>> {
        let context = match self.net() {
            Ok(context) => context,
            Err(error) => return Ok(Err(error)),
        };
        let stop = until(self.deadline);
        run_blocking(move || sign_in(&context, &session, request, &stop).map_err(|error| error.for_plugin()))
            .await
    }

    async fn has_secret(&mut self, name: String) -> wasmtime::Result<bool> {
        Ok(self.net().is_ok_and(|context| context.has_secret(&name)))
    }
}
