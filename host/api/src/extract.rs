//! Extractors of requests. Each refusal says what to do.

mod auth;
mod body;
mod idempotency;
mod path;
mod precondition;
mod query;
mod refusal;
mod text;

pub(crate) use auth::{Admin, Agent, Caller, Read, SESSION_COOKIE, SignedIn, Write};
pub(crate) use body::JsonBody;
pub(crate) use idempotency::IdempotencyKey;
pub(crate) use path::{Id, Ids};
pub(crate) use precondition::{IfMatch, etag};
pub(crate) use query::{Query, ids, page_request, values};
pub(crate) use text::{bytes, changed, description, int32, name, parse, tags};
