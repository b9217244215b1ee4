//! HTTP in: parses requests, calls the service, shapes answers.
//!
//! Ground rules: no rule of the product lives here; an error of a use case becomes a problem in one
//! place ([`status_of`] and its module); requests refuse what they do not know; every body, page,
//! wait and stream has a bound.
//!
//! Terms: a *problem* is an error on the wire (RFC 9457); a *page token* says where a list goes on;
//! an *op* is who asks and under which request.
//!
//! Not here: rows (`store`), rules (`domain`, `service`), the panel's files (handed in by `app`).

mod assets;
pub mod dto;
mod endpoints;
mod extract;
mod metrics;
mod openapi;
mod problem;
mod router;
mod server;
mod sign_in_limit;
mod state;

pub use assets::{Asset, Assets};
pub use openapi::openapi_json;
pub use problem::{PROBLEM_JSON, status_of};
pub use router::router;
pub use server::serve;
pub use state::Options;
