//! `channels`: what a plugin's imports do.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::runtime::Handle;
use wasmtime::component::Resource;

use super::{
    ChannelGrant, ChannelWork, MAX_CHANNELS, MAX_ENDPOINTS, MAX_LINE, MAX_SOCKET_PATH,
    connection::{Connection, Watch},
    filter::check_line,
    guard::{SendRefused, Surroundings, Watchdogs},
};
use crate::{
    bindings::host::imprint::{
        host::channels::{self, Endpoint},
        types::types::{Error, ErrorClass},
    },
    host::{denied, error},
    log::clip,
    manifest::Framing,
    state::State,
};

const MAX_NAME: usize = 64;

/// A channel in a plugin's hands.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct ChannelHandle {
    grant: ChannelGrant,
    /// `None` only while it is being dropped.
    connection: Option<Connection>,
    watchdogs: Arc<Watchdogs>,
    work: Arc<super::WorkShared>,
}

impl Drop for ChannelHandle {
    fn drop(&mut self) {
        self.work.lock().channels -= 1;
        if let Some(connection) = self.connection.take() {
            self.watchdogs.let_go(connection);
        }
    }
}

/// Letters, digits, `.`, `_` and `-`; no path, and nothing that means something to a shell.
fn check_param(text: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(plain) && text != "." && text != ".." {
        return Ok(());
    }
    let shown = clip(text, 100);
    Err(denied(format!("channel parameter {shown:?} must be 1 to {MAX_NAME} letters, digits, `.`, `_`, `-`")))
}

impl ChannelWork {
    /// The path of a channel. Only the instance that the call is about can be talked to.
    fn path(&self, grant: &ChannelGrant, params: &[(String, String)]) -> Result<PathBuf, Error> {
        let mut path = grant.template.clone();
        for (key, value) in params {
            check_param(value)?;
            if key != "vm" {
                return Err(denied(format!(
                    "channel parameter {:?} is unknown; there is `vm`",
                    clip(key, 100)
                )));
            }
            if *value != self.vm_id {
                return Err(denied(format!("this call is about instance {}, not about {value}", self.vm_id)));
            }
            path = path.replace("{vm}", value);
        }
        if path.contains('{') {
            return Err(denied(format!("channel {} needs the parameter `vm`", grant.capability.id)));
        }
        Ok(PathBuf::from(path))
    }
}

fn unavailable(state: &State) -> Error {
    denied(format!("plugin {} has no channels in this call", state.plugin.manifest.id))
}

impl State {
    async fn open(
        &mut self,
        grant: &str,
        params: &[(String, String)],
        framing: channels::Framing,
    ) -> wasmtime::Result<Result<Resource<ChannelHandle>, Error>> {
        let Some(work) = self.grants.channels.clone() else { return Ok(Err(unavailable(self))) };
        let Some(granted) = work.granted.get(grant) else {
            return Ok(Err(denied(format!("channel {:?} is not granted", clip(grant, 100)))));
        };
        let wanted = match framing {
            channels::Framing::Bytes => Framing::Bytes,
            channels::Framing::Lines => Framing::Lines,
        };
        if wanted != granted.capability.framing {
            return Ok(Err(denied(format!("channel {grant} is granted with another framing"))));
        }
        let path = match work.path(granted, params) {
            Ok(path) => path,
            Err(refused) => return Ok(Err(refused)),
        };
        if work.shared.lock().channels >= MAX_CHANNELS {
            let what = format!("this work has {MAX_CHANNELS} channels open");
            return Ok(Err(error(ErrorClass::LimitExceeded, "channel.limit", what)));
        }
        let around = Surroundings {
            plugin: self.plugin.manifest.id.clone(),
            work: work.shared.clone(),
            journal: work.journal.clone(),
            undos: work.undos.clone(),
            all_undos: self.plugin.undos.clone(),
            runtime: Handle::current(),
        };
        let watchdogs = Watchdogs::new(&granted.capability, &path, around);
        let seeing = watchdogs.clone();
        let watch: Watch = Arc::new(move |message| match message {
            Some(message) => seeing.received(message),
            None => {
                seeing.closed();
                false
            }
        });
        let connection = match Connection::open(&path, wanted, watch).await {
            Ok(connection) => connection,
            Err(failed) => {
                let what = format!("channel {grant} cannot be opened ({}): {failed}", path.display());
                return Ok(Err(error(ErrorClass::Transient, "channel.unreachable", what)));
            }
        };
        work.shared.lock().channels += 1;
        let handle = ChannelHandle {
            grant: granted.clone(),
            connection: Some(connection),
            watchdogs,
            work: work.shared.clone(),
        };
        Ok(Ok(self.table.push(handle)?))
    }

    fn reserve(&self, grant: &str, hint: &str) -> Result<Endpoint, Error> {
        let work = self.grants.channels.as_ref().ok_or_else(|| unavailable(self))?;
        if !work.endpoint_ids.contains(grant) {
            return Err(denied(format!("endpoint {:?} is not granted", clip(grant, 100))));
        }
        check_param(hint)?;
        let id = format!("{}-{hint}", work.endpoint_prefix);
        let path = work.endpoints.join(format!("{id}.sock"));
        let peer_path = path.to_string_lossy().into_owned();
        if peer_path.len() > MAX_SOCKET_PATH {
            let what = format!(
                "socket path {peer_path} is over {MAX_SOCKET_PATH} bytes; configure a shorter run folder"
            );
            return Err(error(ErrorClass::LimitExceeded, "channel.endpoint-path", what));
        }
        let mut handed = work.shared.lock();
        if !handed.endpoints.contains_key(&id) {
            if handed.endpoints.len() >= MAX_ENDPOINTS {
                let what = format!("this work has {MAX_ENDPOINTS} endpoints");
                return Err(error(ErrorClass::LimitExceeded, "channel.endpoints", what));
            }
            // A socket of a lost capture is in the way of the new one. That there is none is the
            // usual case.
            let _stale = std::fs::remove_file(&path);
            handed.paths.push(peer_path.clone());
            handed.endpoints.insert(id.clone(), path);
        }
        Ok(Endpoint { id, peer_path })
    }
}

impl channels::Host for State {
    async fn reserve_endpoint(
        &mut self,
        grant: String,
        hint: String,
    ) -> wasmtime::Result<Result<Endpoint, Error>> {
        Ok(self.reserve(&grant, &hint))
    }
}

impl channels::HostChannel for State {
    async fn open(
        &mut self,
        grant: String,
        params: Vec<(String, String)>,
        framing: channels::Framing,
    ) -> wasmtime::Result<Result<Resource<ChannelHandle>, Error>> {
        State::open(self, &grant, &params, framing).await
    }

    async fn send(
        &mut self,
        channel: Resource<ChannelHandle>,
        message: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.plugin.counters.received(message.len());
        let handle = self.table.get(&channel)?;
        let connection = handle.connection.as_ref().expect("a handle in the table is open");
        if message.len() > MAX_LINE {
            let what = format!("a message of {} bytes is over {MAX_LINE}", message.len());
            return Ok(Err(error(ErrorClass::LimitExceeded, "channel.message", what)));
        }
        if handle.grant.capability.framing == Framing::Lines {
            if message.contains(&b'\n') {
                return Ok(Err(denied("a message is one line: it must not hold a line feed")));
            }
            let command = match check_line(&handle.grant.capability, &handle.work, &message) {
                Ok(command) => command,
                Err(why) => {
                    tracing::warn!(
                        plugin = self.plugin.manifest.id,
                        channel = handle.grant.capability.id,
                        "denied: {why}"
                    );
                    return Ok(Err(denied(why)));
                }
            };
            match handle.watchdogs.sending(command, &connection.writer) {
                Ok(()) => {}
                Err(SendRefused::Fired(what)) => {
                    return Ok(Err(error(ErrorClass::Conflict, "channel.guard-fired", what)));
                }
                Err(SendRefused::TooManyPending) => {
                    let what = "too many commands wait for their answers";
                    return Ok(Err(error(ErrorClass::LimitExceeded, "channel.pending", what)));
                }
            }
        }
        let writer = connection.writer.clone();
        Ok(writer.send(&message).await.map_err(|failed| {
            error(ErrorClass::Transient, "channel.closed", format!("the peer takes no message: {failed}"))
        }))
    }

    async fn receive(
        &mut self,
        channel: Resource<ChannelHandle>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let handle = self.table.get_mut(&channel)?;
        let connection = handle.connection.as_mut().expect("a handle in the table is open");
        let wait = Duration::from_millis(u64::from(timeout_ms));
        Ok(match tokio::time::timeout(wait, connection.messages.recv()).await {
            Ok(Some(message)) => {
                self.plugin.counters.sent(message.len());
                Ok(Some(message))
            }
            Ok(None) => Err(error(ErrorClass::Transient, "channel.closed", "the peer closed the connection")),
            Err(_) => Ok(None),
        })
    }

    async fn drop(&mut self, channel: Resource<ChannelHandle>) -> wasmtime::Result<()> {
        self.table.delete(channel)?;
        Ok(())
    }
}
