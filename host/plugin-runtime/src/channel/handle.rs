//! An open channel, as a plugin holds it.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{
    connection::{Connection, MessageHook},
    context::{ChannelContext, ChannelGrant},
    error::ChannelError,
    filter::check_line,
    guard::{GuardContext, Watchdogs},
    limits::MAX_LINE,
    resources::CallResources,
};
use crate::manifest::Framing;

/// An open channel in a plugin's hands.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct ChannelHandle {
    grant: ChannelGrant,
    plugin_id: String,
    /// `None` only while it is being dropped.
    connection: Option<Connection>,
    watchdogs: Arc<Watchdogs>,
    resources: Arc<CallResources>,
}

impl ChannelHandle {
    /// Opens a granted channel.
    pub(crate) async fn open(
        context: &ChannelContext,
        channel: &str,
        params: &[(String, String)],
        framing: Framing,
    ) -> Result<Self, ChannelError> {
        let grant = context.granted.get(channel);
        let grant = grant.ok_or_else(|| ChannelError::NotGranted(channel.to_owned()))?;
        if framing != grant.capability.framing {
            return Err(ChannelError::OtherFraming(channel.to_owned()));
        }
        let path = context.path(grant, params)?;
        if !context.resources.may_open_channel() {
            return Err(ChannelError::TooManyChannels);
        }
        let guard_context = GuardContext {
            plugin_id: context.plugin_id.clone(),
            resources: context.resources.clone(),
            journal: context.journal.clone(),
            undos: context.undos.clone(),
            all_undos: context.all_undos.clone(),
            runtime: Handle::current(),
        };
        let watchdogs = Watchdogs::new(&grant.capability, &path, guard_context);
        let observer = watchdogs.clone();
        let hook: MessageHook = Arc::new(move |message| match message {
            Some(message) => observer.on_message(message),
            None => {
                observer.on_close();
                false
            }
        });
        let connection = Connection::open(&path, framing, hook)
            .await
            .map_err(|source| ChannelError::Unreachable { channel: channel.to_owned(), path, source })?;
        context.resources.channel_opened();
        Ok(Self {
            grant: grant.clone(),
            plugin_id: context.plugin_id.clone(),
            connection: Some(connection),
            watchdogs,
            resources: context.resources.clone(),
        })
    }

    /// Sends one message, if the grant allows it. Its guards are armed first.
    pub(crate) async fn send(&self, message: &[u8]) -> Result<(), ChannelError> {
        let connection = self.connection.as_ref().expect("a handle in the table is open");
        if message.len() > MAX_LINE {
            return Err(ChannelError::MessageTooLong(message.len()));
        }
        if self.grant.capability.framing == Framing::Lines {
            if message.contains(&b'\n') {
                return Err(ChannelError::LineFeed);
            }
            let command = check_line(&self.grant.capability, &self.resources, message);
            let command = command.inspect_err(|refusal| {
                let channel = &self.grant.capability.id;
                tracing::warn!(plugin = self.plugin_id, channel, "command refused: {refusal}");
            })?;
            self.watchdogs.before_send(command, &connection.writer)?;
        }
        connection.writer.send(message).await.map_err(ChannelError::NotAccepted)
    }

    /// Receives the next message; `None` when there is none within `timeout`.
    pub(crate) async fn receive(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, ChannelError> {
        let connection = self.connection.as_mut().expect("a handle in the table is open");
        match tokio::time::timeout(timeout, connection.messages.recv()).await {
            Ok(Some(message)) => Ok(Some(message)),
            Ok(None) => Err(ChannelError::Closed),
            Err(_) => Ok(None),
        }
    }
}

impl Drop for ChannelHandle {
    fn drop(&mut self) {
        self.resources.channel_closed();
        if let Some(connection) = self.connection.take() {
            self.watchdogs.on_release(connection);
        }
    }
}
