//! The HTTP client of the data path and of plugins.
//!
//! A name is resolved for each new connection, its addresses are checked, and exactly these are
//! connected to: nothing is resolved a second time. Addresses of private networks are refused
//! unless the caller permits them. [`Client`] follows no redirects; [`HttpSource::open`] follows a
//! few, each under the same rules. Connecting, the head of an answer, every pause within a body and
//! its slowest pace have limits. With `https://` the server has to present
//! a certificate for its name from an authority of the system, or from one that the caller adds.
//!
//! All calls block: threads make them, never an async task.

mod address;
mod backoff;
mod body;
mod client;
mod error;
mod follow;
mod object;
mod options;
mod pinned;
mod private_networks;
mod reserved;
mod tls;
mod web_address;
mod whole;

#[cfg(test)]
mod tests;

pub use address::{check_address, connect};
pub use backoff::Backoff;
pub use client::{Answer, Client, ClientOptions, MAX_IDLE};
pub use error::{CertificateProblem, HttpError};
pub use object::{Authorise, HttpObject, HttpSource};
pub use options::{HttpOptions, Retries};
pub use pinned::CertificateDigest;
pub use private_networks::PrivateNetworks;
pub use reserved::SourcePort;
pub use tls::Authority;
pub use ureq::{Body, http};
pub use web_address::shown_url;
pub use whole::WholeObject;
