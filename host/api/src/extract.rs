//! How requests are taken apart; each refusal says what to do.

mod auth;
mod body;
mod idempotency;
mod path;
mod precondition;
mod query;
mod text;

pub(crate) use auth::{Admin, Agent, Read, SESSION_COOKIE, SignedInOp, Write};
pub(crate) use body::JsonBody;
pub(crate) use idempotency::IdempotencyKey;
pub(crate) use path::{Id, Ids};
pub(crate) use precondition::{IfMatch, etag};
pub(crate) use query::{Query, page_request, words};
pub(crate) use text::{description, name, parse};
