//! Images whose storage is not bound to this hypervisor: another agent serves their files.
//!
//! The connections are encrypted, and the other agent is recognised by its certificate. It may
//! restart meanwhile: a request is repeated for about a minute, and goes on where it was cut off.

use std::{fmt, io, sync::Arc};

use imprint_agent_protocol::{ImageRef, ObjectSource, StorageRef};
use imprint_domain::task_error::TaskErrorCode;
use imprint_http_client::{
    Client, ClientOptions, HttpError, HttpSource, Retries,
    http::{HeaderValue, Request, header::AUTHORIZATION},
};
use imprint_ports::{BlockSource, ErrorClass, PortError, ReadLocator, RemoteObject};
use tokio_util::sync::CancellationToken;

use crate::{error::JobError, jobs::job::Job, machine::storages::Storage};

/// The attempts of a request: with the pauses in between, 35 to 70 seconds.
const ATTEMPTS: u32 = 13;

/// An image's file, wherever it is read from.
pub(crate) struct ImageFile {
    pub(crate) locator: ReadLocator,
    /// The storage, where it is bound to this hypervisor.
    storage: Option<Storage>,
}

impl ImageFile {
    /// Returns when the storage's folder does not answer any more.
    pub(crate) async fn until_silent(&self) -> PortError {
        match &self.storage {
            Some(storage) => storage.until_silent().await,
            None => std::future::pending().await,
        }
    }
}

/// Locates an image's file: at its storage, or at the agent that serves it.
pub(crate) async fn locate(
    job: &Job,
    image: &ImageRef,
    source: Option<&ObjectSource>,
) -> Result<ImageFile, JobError> {
    locate_object(job, &image.storage, &image.key, source).await
}

/// Locates the file of an object: at its storage, or at the agent that serves it.
pub(crate) async fn locate_object(
    job: &Job,
    storage: &StorageRef,
    key: &str,
    source: Option<&ObjectSource>,
) -> Result<ImageFile, JobError> {
    let Some(source) = source else {
        let storage = job.machine.storage(storage).await?;
        let locator = storage.backend.open_read(key).await?;
        return Ok(ImageFile { locator, storage: Some(storage) });
    };
    let object = PeerObject { url: source.url(storage.id, key), source: source.clone() };
    Ok(ImageFile { locator: ReadLocator::Remote(Arc::new(object)), storage: None })
}

/// An object that another agent serves.
#[derive(Debug)]
struct PeerObject {
    url: String,
    source: ObjectSource,
}

#[async_trait::async_trait]
impl RemoteObject for PeerObject {
    async fn open(&self, cancel: CancellationToken) -> Result<Arc<dyn BlockSource>, PortError> {
        let failed = |error| peer_error(&self.source.server.address, &error);
        let mut bearer = HeaderValue::from_str(&self.source.authorization()).map_err(internal)?;
        bearer.set_sensitive(true);
        let request = Request::get(&self.url).header(AUTHORIZATION, bearer).body(()).map_err(internal)?;
        let options = ClientOptions::pinned(self.source.server.fingerprint.bytes());
        let client = Arc::new(Client::new(&options).map_err(failed)?);
        let over = cancel.clone();
        let retries = Retries {
            attempts: ATTEMPTS,
            is_over: Arc::new(move || over.is_cancelled()),
            ..Retries::default()
        };
        let opening = tokio::task::spawn_blocking(move || HttpSource::request(client, request, retries));
        let source = opening.await.map_err(internal)?.map_err(failed)?;
        tracing::info!(
            peer = self.source.server.address,
            size = source.size(),
            "an image is read from another agent"
        );
        Ok(Arc::new(PeerSource { source, address: self.source.server.address.clone(), cancel }))
    }
}

fn internal(error: impl fmt::Display) -> PortError {
    PortError::host(ErrorClass::Internal, TaskErrorCode::Internal.as_str(), error)
}

/// Returns the failure of another agent, as jobs report it.
fn peer_error(address: &str, error: &HttpError) -> PortError {
    // The next attempt gets another token, and the certificate that the agent has then.
    let (class, code) = match error {
        error if error.is_transient() => (ErrorClass::Transient, "peer.connect"),
        HttpError::Certificate { .. } => (ErrorClass::Transient, "peer.certificate"),
        HttpError::Status { status: 403, .. } => (ErrorClass::Transient, "peer.refused"),
        HttpError::Status { status: 404, .. } => (ErrorClass::Transient, "peer.not-found"),
        HttpError::Changed => (ErrorClass::Conflict, "peer.changed"),
        HttpError::Url { .. }
        | HttpError::Redirect { .. }
        | HttpError::Page
        | HttpError::Stalled { .. }
        | HttpError::PrivateNetwork { .. }
        | HttpError::ReservedPort { .. }
        | HttpError::Connect { .. }
        | HttpError::Tls { .. }
        | HttpError::NoAuthorities
        | HttpError::Authority { .. }
        | HttpError::Status { .. }
        | HttpError::Authorise { .. }
        | HttpError::NoRanges
        | HttpError::Protocol { .. } => (ErrorClass::Internal, "peer.protocol"),
    };
    let text = format!(
        "the image cannot be read from the agent at {address}: {error}; check that the agent runs with --object-listen, and \
         that this hypervisor reaches its port"
    );
    PortError::host(class, code, text)
}

/// An open object of another agent.
struct PeerSource {
    source: HttpSource,
    address: String,
    cancel: CancellationToken,
}

impl PeerSource {
    fn explained(&self, error: io::Error) -> io::Error {
        if self.cancel.is_cancelled() {
            return PortError::cancelled().into();
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(http) => peer_error(&self.address, http).into(),
            None => error,
        }
    }
}

impl BlockSource for PeerSource {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn preferred_read(&self) -> u64 {
        self.source.preferred_read()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            return Err(PortError::cancelled().into());
        }
        self.source.read_exact_at(buf, offset).map_err(|error| self.explained(error))
    }

    fn unchanged(&self) -> io::Result<bool> {
        self.source.unchanged().map_err(|error| self.explained(error))
    }
}
