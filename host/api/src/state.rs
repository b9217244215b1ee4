//! What every handler needs.

use std::sync::Arc;

use imprint_service::Service;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{assets::Assets, metrics::Metrics, sign_in_limit::SignInLimit};

/// Streams of events that one process serves at once.
pub(crate) const MAX_STREAMS: usize = 1024;

/// How the server is set up.
#[derive(Clone)]
pub struct Options {
    /// The panel's files; without them, paths outside the API answer 404.
    pub assets: Option<Arc<dyn Assets>>,
    /// Whether browsers reach the server through HTTPS: cookies are then marked `Secure`.
    pub https: bool,
    /// Cancelled when the server is to stop: ends streams and waits, so that open connections can
    /// close.
    pub shutdown: CancellationToken,
}

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiState(Arc<Inner>);

struct Inner {
    service: Service,
    options: Options,
    metrics: Metrics,
    sign_ins: SignInLimit,
    streams: Arc<Semaphore>,
}

impl ApiState {
    pub(crate) fn new(service: Service, options: Options) -> Self {
        Self(Arc::new(Inner {
            service,
            options,
            metrics: Metrics::default(),
            sign_ins: SignInLimit::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
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

    pub(crate) fn open_streams(&self) -> usize {
        MAX_STREAMS.saturating_sub(self.0.streams.available_permits())
    }
}
