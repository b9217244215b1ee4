//! The grants of one call: the channels that it may open and the sockets that it may reserve.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use imprint_ports::SharedJournal;
use tokio_util::task::TaskTracker;

use super::{
    error::ChannelError,
    limits::{MAX_NAME, MAX_SOCKET_PATH},
    resources::CallResources,
};
use crate::manifest::ChannelCapability;

/// A channel as the operator granted it.
#[derive(Clone, Debug)]
pub(crate) struct ChannelGrant {
    pub(crate) capability: ChannelCapability,
    /// The path of the socket, with `{vm}` for the instance.
    pub(crate) template: String,
}

/// An endpoint that a call reserved: a socket that the peer listens on.
#[derive(Clone, Debug)]
pub(crate) struct ReservedEndpoint {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
}

/// The grants of one call of a driver.
#[derive(Clone)]
pub(crate) struct ChannelContext {
    pub(crate) plugin_id: String,
    pub(crate) granted: Arc<BTreeMap<String, ChannelGrant>>,
    pub(crate) endpoint_ids: Arc<BTreeSet<String>>,
    /// The instance that the call is about: only its channels can be opened.
    pub(crate) vm_id: String,
    /// The folder of the reserved sockets.
    pub(crate) endpoints: PathBuf,
    /// The start of the names of the reserved sockets.
    pub(crate) endpoint_prefix: String,
    pub(crate) resources: Arc<CallResources>,
    pub(crate) journal: Option<SharedJournal>,
    /// The undos of this call: its caller waits for them.
    pub(crate) undos: TaskTracker,
    /// The undos of all plugins: the process waits for them before it ends.
    pub(crate) all_undos: TaskTracker,
}

impl ChannelContext {
    /// Returns the path of a channel. Only the instance that the call is about can be reached.
    pub(super) fn path(
        &self,
        grant: &ChannelGrant,
        params: &[(String, String)],
    ) -> Result<PathBuf, ChannelError> {
        let mut path = grant.template.clone();
        for (key, value) in params {
            check_parameter(value)?;
            if key != "vm" {
                return Err(ChannelError::UnknownParameter(key.clone()));
            }
            if *value != self.vm_id {
                let (own, requested) = (self.vm_id.clone(), value.clone());
                return Err(ChannelError::OtherInstance { own, requested });
            }
            path = path.replace("{vm}", value);
        }
        if path.contains('{') {
            return Err(ChannelError::ParameterMissing(grant.capability.id.clone()));
        }
        Ok(PathBuf::from(path))
    }

    /// Reserves a socket for the peer to listen on. The same hint is the same socket.
    pub(crate) fn reserve_endpoint(&self, grant: &str, hint: &str) -> Result<ReservedEndpoint, ChannelError> {
        if !self.endpoint_ids.contains(grant) {
            return Err(ChannelError::EndpointNotGranted(grant.to_owned()));
        }
        check_parameter(hint)?;
        let id = format!("{}-{hint}", self.endpoint_prefix);
        let path = self.endpoints.join(format!("{id}.sock"));
        if path.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(ChannelError::EndpointPath(path));
        }
        if !self.resources.add_endpoint(&id, &path) {
            return Err(ChannelError::TooManyEndpoints);
        }
        Ok(ReservedEndpoint { id, path })
    }
}

/// Accepts letters, digits, `.`, `_` and `-`: no path, and nothing that means something to a shell.
fn check_parameter(text: &str) -> Result<(), ChannelError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(plain) && text != "." && text != ".." {
        return Ok(());
    }
    Err(ChannelError::InvalidParameter(text.to_owned()))
}
