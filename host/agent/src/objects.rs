//! The object server: other agents and the control plane read the objects of this agent's storages
//! over HTTPS.
//!
//! `GET` and `HEAD` of `/v1/objects/STORAGE/KEY`, with single ranges and conditions, for those who
//! have a token of the control plane for just that object. There is nothing to list. All that can
//! be written are the files of imports that this agent receives at the moment: `/v1/uploads/TASK`,
//! for those who have a token for that one. The certificate is the agent's own; who connects knows
//! its fingerprint from the control plane.
//!
//! Everything is bounded: the connections, the head of a request, the time that anything may take,
//! and one piece of an object in memory for each connection. A reader that goes away ends the read.

mod answer;
mod certificate;
mod client;
mod connection;
mod context;
mod range;
mod refusal;
mod upload;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

pub(crate) use context::{Context, Permitted};
use imprint_agent_protocol::ObjectServer;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::settings::ObjectSettings;

/// The most connections at once. Further ones are closed at once; their clients try again.
const MAX_CONNECTIONS: usize = 64;
/// The pause after an accept that failed, for example because of too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The reason why the object server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ObjectServerError {
    /// The address cannot be listened on.
    #[error("cannot serve objects on {address}: {source}; choose another with --object-listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// Others do not know where to connect to.
    #[error(
        "--object-listen {0} is every address of this machine; say with --object-address HOST:PORT which one others reach"
    )]
    Unspecified(SocketAddr),
    /// The certificate can be neither read nor made.
    #[error("the certificate of the object server in {} cannot be used: {why}; remove the file to have a new one made", path.display())]
    Certificate {
        /// The path of its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// A server that listens; [`Listening::serve`] answers.
pub(crate) struct Listening {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    announced: ObjectServer,
}

impl Listening {
    /// Listens, with the certificate of this machine, which is made at the first time.
    pub(crate) async fn start(
        settings: &ObjectSettings,
        certificate_file: PathBuf,
    ) -> Result<Self, ObjectServerError> {
        let address = settings.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ObjectServerError::Listen { address, source })?;
        let local = listener.local_addr().map_err(|source| ObjectServerError::Listen { address, source })?;
        let reached = match &settings.address {
            Some(address) => address.clone(),
            None if is_unspecified(local.ip()) => return Err(ObjectServerError::Unspecified(address)),
            None => local.to_string(),
        };
        let identity = certificate::load_or_make(&certificate_file)
            .map_err(|why| ObjectServerError::Certificate { path: certificate_file, why })?;
        let announced =
            ObjectServer { address: reached, fingerprint: identity.fingerprint, internal: settings.internal };
        info!(listen = %local, address = announced.address, fingerprint = %announced.fingerprint, "objects are served");
        Ok(Self { listener, acceptor: identity.acceptor, announced })
    }

    /// Returns what the control plane has to know.
    pub(crate) fn announced(&self) -> ObjectServer {
        self.announced.clone()
    }

    /// Answers until `end`, and then closes what is open.
    pub(crate) async fn serve(self, context: Arc<Context>, end: CancellationToken) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        while let Some(accepted) = end.run_until_cancelled(self.listener.accept()).await {
            while connections.try_join_next().is_some() {}
            match (accepted, room.clone().try_acquire_owned()) {
                (Ok((stream, peer)), Ok(permit)) => {
                    let serving =
                        connection::serve(context.clone(), self.acceptor.clone(), stream, peer.ip());
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                (Ok((_, peer)), Err(_)) => {
                    warn!(%peer, "too many connections read objects; this one is closed");
                }
                (Err(error), _) => {
                    warn!(%error, "cannot accept a connection to the object server");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.shutdown().await;
    }
}

fn is_unspecified(ip: IpAddr) -> bool {
    ip.to_canonical().is_unspecified()
}
