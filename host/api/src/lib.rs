//! The HTTP server: parses requests, calls the service, converts results.
//!
//! Ground rules: this crate has no rules of the product; errors of use cases are converted to
//! problems in one place ([`status_of`] and its module); unknown members of requests are refused;
//! every body, page, wait and stream is bounded.
//!
//! Terms: a *problem* is an error on the wire (RFC 9457); a *page token* is the position where a
//! list continues; an *op* is the caller of a request and its id.
//!
//! Poisoned locks: the guarded values (counters) stay consistent when a holder panics, so a
//! poisoned lock is used as it is (`PoisonError::into_inner`).
//!
//! Not here: rows (`store`), rules (`domain`, `service`), the panel's files (passed in by `app`).

mod assets;
mod bounded_body;
pub mod dto;
mod endpoints;
mod extract;
mod metrics;
mod object_reader;
mod openapi;
mod problem;
mod router;
mod server;
mod sign_in_limit;
mod state;
mod upload_sender;

pub use assets::{Asset, Assets};
pub use object_reader::{ObjectAnswer, ObjectFuture, ObjectReader, ObjectRequest};
pub use problem::{PROBLEM_JSON, status_of};
pub use router::{openapi_json, router};
pub use server::serve;
pub use state::Options;
pub use upload_sender::{UploadAnswer, UploadFuture, UploadRequest, UploadSender};
