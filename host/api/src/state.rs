//! The state that all handlers share.

use std::sync::Arc;

use axum::body::Bytes;
use imprint_service::Service;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    assets::Assets, metrics::Metrics, object_reader::ObjectReader, sign_in_limit::SignInLimit,
    upload_sender::UploadSender,
};

/// The most event streams that one process serves at once.
pub(crate) const MAX_STREAMS: usize = 1024;
/// The most downloads that one process serves at once.
pub(crate) const MAX_DOWNLOADS: usize = 16;

/// The options of the server.
#[derive(Clone)]
pub struct Options {
    /// The panel's files; without them paths outside the API answer 404.
    pub assets: Option<Arc<dyn Assets>>,
    /// Whether browsers reach the server through HTTPS. Cookies are then marked `Secure`.
    pub https: bool,
    /// The number of findings about this process that its operator should look into, such as
    /// plugins that are not used. The readiness check, which needs no sign-in, answers with the
    /// number alone.
    pub findings: usize,
    /// Reads objects from agents; without it nothing can be downloaded.
    pub objects: Option<Arc<dyn ObjectReader>>,
    /// Sends uploads to agents; without it nothing can be uploaded.
    pub uploads: Option<Arc<dyn UploadSender>>,
    /// Cancelled to stop the server. Streams and waiting requests then end, so that connections can
    /// close.
    pub shutdown: CancellationToken,
}

/// The state of the handlers; cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiState(Arc<Inner>);

struct Inner {
    service: Service,
    options: Options,
    metrics: Metrics,
    sign_ins: SignInLimit,
    streams: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    openapi: Bytes,
}

impl ApiState {
    /// `openapi` is the OpenAPI document as JSON.
    pub(crate) fn new(service: Service, options: Options, openapi: String) -> Self {
        Self(Arc::new(Inner {
            service,
            options,
            metrics: Metrics::default(),
            sign_ins: SignInLimit::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            downloads: Arc::new(Semaphore::new(MAX_DOWNLOADS)),
            openapi: openapi.into(),
        }))
    }

    pub(crate) fn service(&self) -> &Service {
        &self.0.service
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn sign_ins(&self) -> &SignInLimit {
        &self.0.sign_ins
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.0.streams
    }

    pub(crate) fn downloads(&self) -> &Arc<Semaphore> {
        &self.0.downloads
    }

    /// Returns the OpenAPI document as JSON. It is built once, with the router.
    pub(crate) fn openapi(&self) -> Bytes {
        self.0.openapi.clone()
    }

    pub(crate) fn open_streams(&self) -> usize {
        MAX_STREAMS.saturating_sub(self.0.streams.available_permits())
    }
}
