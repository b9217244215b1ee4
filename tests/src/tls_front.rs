//! A front that speaks TLS before a server that does not, as reverse proxies do.

use std::sync::Arc;

use anyhow::Result;
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Issued};

/// A front that ends when it is dropped.
pub struct TlsFront {
    /// The address, `https://localhost:PORT`.
    pub url: String,
    _connections: JoinSet<()>,
}

impl TlsFront {
    /// Starts a front of the server at `http://HOST:PORT`, with a certificate for `localhost`.
    pub async fn start(authority: &Authority, server: &str) -> Result<Self> {
        let Issued { certificate, key } = authority.issue("localhost", 2999)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}", listener.local_addr()?.port());
        let server = server.trim_start_matches("http://").to_owned();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                // A client that does not trust the certificate hangs up.
                open.spawn(async move {
                    let mut outer = acceptor.accept(stream).await.ok()?;
                    let mut inner = TcpStream::connect(server).await.ok()?;
                    copy_bidirectional(&mut outer, &mut inner).await.ok()
                });
            }
        });
        Ok(Self { url, _connections: connections })
    }
}
