//! How objects behind HTTP are reached, and how long failures of their servers are borne.

use std::{fmt, sync::Arc, time::Duration};

use ureq::http::HeaderMap;

use crate::{client::PAUSE, private_networks::PrivateNetworks, tls::Authority, web_address::shown_url};

/// The number of attempts for a request: with the pauses between them, some 20 seconds.
const ATTEMPTS: u32 = 8;

/// How to reach an object.
#[derive(Clone, Default)]
pub struct HttpOptions {
    /// The address: `http://host[:port]/path`, or the same with `https`. A user and a password in
    /// it are sent to this server only.
    pub url: String,
    /// Fields of the head of each request, such as a token; like a password, sent to this server
    /// only.
    pub headers: HeaderMap,
    /// The private networks that may be connected to. A redirect leads to them only where the
    /// address itself is in one.
    pub private_networks: PrivateNetworks,
    /// The authorities that are trusted to certify servers with `https://`, in addition to those of
    /// the system.
    pub authorities: Vec<Authority>,
    /// How long failures are borne.
    pub retries: Retries,
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("url", &shown_url(&self.url))
            .field("private_networks", &self.private_networks)
            .finish_non_exhaustive()
    }
}

/// How long transient failures of a server are borne.
#[derive(Clone)]
pub struct Retries {
    /// The number of attempts for a request that does not get on.
    pub attempts: u32,
    /// The longest pause within a body; for a server that has been slow for so long, a pace counts.
    pub pause: Duration,
    /// Asked at least ten times a second while a request waits for its next attempt: whether to
    /// give up at once.
    pub is_over: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: ATTEMPTS, pause: PAUSE, is_over: Arc::new(|| false) }
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
