//! Sending one part.

use std::sync::Arc;

use imprint_ports::{ByteRange, PortError};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{describe::Descriptions, known::Known, plan::Plan, sink::SendPart};
use crate::{
    bindings::{host::imprint::types::http_types::Response, storage::exports::imprint::storage::backend},
    codes::Code,
    net::{Exchange, NetError, Payload, captured},
    ports::upload::OpenUpload,
    sync,
};

/// What the threads that send parts share.
pub(super) struct Sender {
    upload: Arc<OpenUpload>,
    plan: Plan,
    known: Known,
    runtime: Handle,
    cancel: CancellationToken,
    described: Descriptions,
}

impl Sender {
    pub(super) fn new(
        upload: Arc<OpenUpload>,
        plan: Plan,
        known: Known,
        runtime: Handle,
        cancel: CancellationToken,
    ) -> Self {
        Self { upload, plan, known, runtime, cancel, described: Descriptions::default() }
    }

    fn block_on<T>(&self, future: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(PortError::cancelled()),
                outcome = future => outcome,
            }
        })
    }

    /// Returns the answer to a part, and whether it is the expected one; `None` when the session is
    /// over.
    fn exchange(&self, number: u32, bytes: Payload<'_>) -> Result<Option<(bool, Response)>, PortError> {
        let (templates, at) = self.block_on(self.described.template(&self.upload, number, &self.plan))?;
        let template = &templates[at];
        let exchange = Exchange { context: &self.upload.context.net, template, body: bytes };
        let failed = |error: NetError| error.for_host();
        let answer = match exchange.send(&|| self.cancel.is_cancelled()) {
            Err(NetError::SessionOver(_)) => return Ok(None),
            answer => answer.map_err(failed)?,
        };
        let response = captured(template, answer).map_err(failed)?;
        if self.cancel.is_cancelled() {
            return Err(PortError::cancelled());
        }
        Ok(Some((template.expects(response.status), response)))
    }
}

impl SendPart for Sender {
    fn kept(&self) -> Vec<ByteRange> {
        self.known.ranges().collect()
    }

    fn keep(&self, number: u32, length: u64) -> bool {
        let kept = self.known.kept(number, length);
        kept.map(|result| sync::lock(&self.upload.results).insert(number, result)).is_some()
    }

    fn send(&self, number: u32, bytes: Payload<'_>) -> Result<(), PortError> {
        let compared = self.known.compare(number, &bytes);
        if let Some((_, Some(result))) = compared {
            sync::lock(&self.upload.results).insert(number, result);
            return Ok(());
        }
        let length = bytes.length();
        let (expected, response) = match self.exchange(number, bytes.clone())? {
            Some(answer) if answer.1.status != 401 => answer,
            Some(_) | None => {
                // The session has ended: the plugin signs in again when it describes parts.
                self.block_on(async {
                    self.described.clear().await;
                    Ok(())
                })?;
                let again = self.exchange(number, bytes)?;
                again.ok_or_else(|| Code::UploadStatus.error("the plugin did not sign in again"))?
            }
        };
        let result = backend::PartResult { number, response, digests: Vec::new() };
        if expected {
            self.known.sent(compared.map(|(digest, _)| digest), length, &result);
            sync::lock(&self.upload.results).insert(number, result);
            return Ok(());
        }
        let status = result.response.status;
        self.block_on(self.upload.completed(&[result]))?;
        let message = format!("the server answered to part {number} with status {status}");
        Err(Code::UploadStatus.error(message))
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}
