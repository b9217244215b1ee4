//! HTTP and TCP for plugins: what the host sends for them, to where and signed with what.
//!
//! A plugin describes; the host checks each address against the manifest and the operator's
//! settings, adds the secrets, sends, and repeats what failed. Everything that all instances of one
//! storage share is in [`NetContext`].

mod client_url;
mod context;
mod error;
mod exchange;
mod grant;
mod payload;
mod scheme;
mod sign;
mod template;

#[cfg(test)]
mod tests;

pub(crate) use client_url::client_url;
pub(crate) use context::NetContext;
pub(crate) use error::NetError;
pub(crate) use exchange::{Exchange, captured};
pub(crate) use payload::Payload;
pub(crate) use sign::complete;
pub(crate) use template::{Template, TemplateBody};
