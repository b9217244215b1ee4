//! One connection to the object server: its limits, and what it keeps between two requests.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::{
    answer::{Body, answer},
    client::{Client, CloseOnDrop},
    context::Context,
};

/// The longest times of a connection.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Until it is encrypted.
    handshake: Duration,
    /// Until the head of a request is complete, and between two requests.
    head: Duration,
    /// That a reader takes no bytes.
    write: Duration,
}

const TIMES: Times = Times {
    handshake: Duration::from_secs(10),
    head: Duration::from_secs(20),
    write: Duration::from_secs(30),
};
/// The longest head of a request in bytes: room for the longest token.
const MAX_HEAD: usize = 16 << 10;
/// The most fields of a head.
const MAX_FIELDS: usize = 32;

/// Answers the requests of a connection until it ends.
pub(super) async fn serve(context: Arc<Context>, acceptor: TlsAcceptor, stream: TcpStream, peer: IpAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot disable delays of a connection");
    }
    let open = CloseOnDrop(Arc::new(Client::new(context, peer)));
    let of = open.0.clone();
    let answered = within_limits(TIMES, acceptor, stream, move |request| answer(of.clone(), request)).await;
    if let Err(why) = answered {
        debug!(%peer, why, "a connection to the object server ended early");
    }
}

/// Encrypts a connection and answers its requests.
///
/// # Errors
///
/// Fails when the peer exceeds a limit, or goes away in the middle of something.
async fn within_limits<S, A>(
    times: Times,
    acceptor: TlsAcceptor,
    stream: S,
    answer: impl Fn(Request<Incoming>) -> A,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Response<Body>>,
{
    let encrypted = match timeout(times.handshake, acceptor.accept(stream)).await {
        Ok(encrypted) => encrypted.map_err(|error| error.to_string())?,
        Err(_) => return Err("it was not encrypted in time".to_owned()),
    };
    let service = service_fn(|request: Request<Incoming>| {
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS);
    let mut limited = TimeoutStream::new(encrypted);
    limited.set_write_timeout(Some(times.write));
    server.serve_connection(TokioIo::new(Box::pin(limited)), service).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
        time::{Instant, sleep},
    };
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::objects::certificate::load_or_make;

    const SHORT: Times = Times {
        handshake: Duration::from_secs(1),
        head: Duration::from_millis(500),
        write: Duration::from_secs(1),
    };

    fn acceptor() -> TlsAcceptor {
        let folder = tempfile::tempdir().unwrap();
        load_or_make(&folder.path().join("objects.pem")).unwrap().acceptor
    }

    async fn serve_duplex(stream: DuplexStream) -> (Result<(), String>, Duration) {
        let started = Instant::now();
        let served =
            within_limits(SHORT, acceptor(), stream, |_| async { panic!("no request is complete") }).await;
        (served, started.elapsed())
    }

    #[tokio::test]
    async fn one_that_says_nothing_is_left() {
        let (server, _client) = tokio::io::duplex(1 << 16);
        let (served, took) = serve_duplex(server).await;
        assert!(served.is_err());
        assert!(took >= SHORT.handshake, "{took:?}");
    }

    /// A head that arrives byte by byte is never complete.
    #[tokio::test]
    async fn one_that_sends_its_head_slowly_is_left() {
        let (server, client) = tokio::io::duplex(1 << 16);
        let slow = async {
            let config = rustls::ClientConfig::builder_with_provider(Arc::new(
                rustls::crypto::ring::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer))
            .with_no_client_auth();
            let name = ServerName::try_from("localhost").unwrap();
            let mut client = TlsConnector::from(Arc::new(config)).connect(name, client).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nx-slow: ").await.unwrap();
            while client.write_all(b"a").await.is_ok() && client.flush().await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
            // Whatever the server says, it says it before it closes.
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest).await;
        };
        let ((_, took), ()) = tokio::join!(serve_duplex(server), slow);
        assert!(took >= SHORT.head, "{took:?}");
    }

    #[derive(Debug)]
    struct AnyServer;

    impl rustls::client::danger::ServerCertVerifier for AnyServer {
        fn verify_server_cert(
            &self,
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &[rustls::pki_types::CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
}
