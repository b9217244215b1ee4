//! Channels: the conversations that drivers hold through the host, with a filter on every command
//! and watchdogs behind the risky ones.

mod connection;
mod context;
mod error;
mod filter;
mod fired;
mod guard;
mod handle;
mod limits;
mod resources;

#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub use self::handle::ChannelHandle;
pub(crate) use self::{
    context::{ChannelContext, ChannelGrant},
    error::ChannelError,
    resources::CallResources,
};
