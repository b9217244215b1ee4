//! `channels`: conversations with a hypervisor.

use std::time::Duration;

use imprint_ports::error_chain;
use wasmtime::component::Resource;

use crate::{
    bindings::host::imprint::{
        host::channels::{self, Endpoint},
        types::types::Error,
    },
    channel::{ChannelContext, ChannelError, ChannelHandle},
    codes::Code,
    manifest::Framing,
    state::State,
    wit_error,
};

/// Returns a channel's failure for the plugin.
fn channel_error(error: &ChannelError) -> Error {
    let code = match error {
        ChannelError::NotGranted(_)
        | ChannelError::OtherFraming(_)
        | ChannelError::InvalidParameter(_)
        | ChannelError::UnknownParameter(_)
        | ChannelError::OtherInstance { .. }
        | ChannelError::ParameterMissing(_)
        | ChannelError::EndpointNotGranted(_)
        | ChannelError::LineFeed
        | ChannelError::Command(_) => Code::Denied,
        ChannelError::TooManyChannels => Code::ChannelLimit,
        ChannelError::TooManyEndpoints => Code::ChannelEndpoints,
        ChannelError::EndpointPath(_) => Code::ChannelEndpointPath,
        ChannelError::MessageTooLong(_) => Code::ChannelMessage,
        ChannelError::TooManyPending => Code::ChannelPending,
        ChannelError::GuardFired(_) => Code::ChannelGuardFired,
        ChannelError::Unreachable { .. } => Code::ChannelUnreachable,
        ChannelError::NotAccepted(_) | ChannelError::Closed => Code::ChannelClosed,
    };
    wit_error::new(code, error_chain(error))
}

impl State {
    fn channels(&self) -> Result<ChannelContext, Error> {
        let id = &self.plugin.id;
        let refusal = || wit_error::denied(format!("plugin {id} has no channels in this call"));
        self.grants.channels.clone().ok_or_else(refusal)
    }
}

impl channels::Host for State {
    async fn reserve_endpoint(
        &mut self,
        grant: String,
        hint: String,
    ) -> wasmtime::Result<Result<Endpoint, Error>> {
        Ok(self.channels().and_then(|context| {
            let endpoint = context.reserve_endpoint(&grant, &hint).map_err(|error| channel_error(&error))?;
            Ok(Endpoint { id: endpoint.id, peer_path: endpoint.path.to_string_lossy().into_owned() })
        }))
    }
}

impl channels::HostChannel for State {
    async fn open(
        &mut self,
        grant: String,
        params: Vec<(String, String)>,
        framing: channels::Framing,
    ) -> wasmtime::Result<Result<Resource<ChannelHandle>, Error>> {
        let context = match self.channels() {
            Ok(context) => context,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let framing = match framing {
            channels::Framing::Bytes => Framing::Bytes,
            channels::Framing::Lines => Framing::Lines,
        };
        match ChannelHandle::open(&context, &grant, &params, framing).await {
            Ok(handle) => Ok(Ok(self.table.push(handle)?)),
            Err(error) => Ok(Err(channel_error(&error))),
        }
    }

    async fn send(
        &mut self,
        channel: Resource<ChannelHandle>,
        message: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.plugin.counters.count_from_plugin(message.len());
        let handle = self.table.get(&channel)?;
        Ok(handle.send(&message).await.map_err(|error| channel_error(&error)))
    }

    async fn receive(
        &mut self,
        channel: Resource<ChannelHandle>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let handle = self.table.get_mut(&channel)?;
        let received = handle.receive(Duration::from_millis(timeout_ms.into())).await;
        if let Ok(Some(message)) = &received {
            self.plugin.counters.count_to_plugin(message.len());
        }
        Ok(received.map_err(|error| channel_error(&error)))
    }

    async fn drop(&mut self, channel: Resource<ChannelHandle>) -> wasmtime::Result<()> {
        self.table.delete(channel)?;
        Ok(())
    }
}
