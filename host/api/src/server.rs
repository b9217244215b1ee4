//! Accepts a bounded number of connections until the server is stopped, then lets them finish.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// The most connections that are open at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;

/// The longest time until the header of a request is complete.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest time that a client may take no bytes of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long busy connections may finish after the stop, before they are closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after an accept that failed, for example because of too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The client of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
}

/// Serves until `shutdown` is cancelled. Then no new connections are accepted, and the function
/// returns when the open ones have finished, at the latest after 10 seconds. `shutdown` should be
/// the token in the router's [`crate::Options`], which ends streams and waiting requests.
///
/// # Errors
///
/// None at present: a failed accept is logged and retried.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            permit = room.clone().acquire_owned() => permit.map_err(io::Error::other)?,
            () = shutdown.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot disable delays of a connection");
                }
                let client = Client { address: address.ip().to_canonical() };
                let connection = connection(stream, client, router.clone(), &graceful, WRITE_TIMEOUT);
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("closing connections that are still busy");
    }
    connections.shutdown().await;
    Ok(())
}

fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    client: Client,
    router: Router,
    graceful: &GracefulShutdown,
    write_timeout: Duration,
) -> impl Future<Output = ()> + Send + 'static {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(client));
        router.clone().oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let mut limited = TimeoutStream::new(stream);
    limited.set_write_timeout(Some(write_timeout));
    let connection = builder.serve_connection(TokioIo::new(Box::pin(limited)), service).into_owned();
    let connection = graceful.watch(connection);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(error, "a connection ended early");
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use futures::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// The kind of client that keeps a connection and the memory of an answer as long as it can.
    #[tokio::test]
    async fn a_client_that_takes_no_bytes_is_disconnected() {
        let endless = || async {
            Body::from_stream(stream::repeat_with(|| {
                Ok::<_, io::Error>(axum::body::Bytes::from_static(&[7; 4096]))
            }))
        };
        let router = Router::new().route("/", get(endless));
        let (mut reader, server) = tokio::io::duplex(1 << 16);
        let client = Client { address: IpAddr::from([127, 0, 0, 1]) };
        let (limit, graceful) = (Duration::from_secs(1), GracefulShutdown::new());
        let mut connection =
            tokio::task::JoinSet::from_iter([connection(server, client, router, &graceful, limit)]);
        reader.write_all(b"GET / HTTP/1.1\r\nhost: imprint\r\n\r\n").await.unwrap();
        let mut some = [0; 1 << 10];
        for _ in 0..15 {
            tokio::time::sleep(limit / 10).await;
            reader.read_exact(&mut some).await.expect("a slow client is served");
        }
        let ended = tokio::time::timeout(limit * 20, connection.join_next()).await;
        assert!(ended.is_ok(), "the connection is kept though the client takes nothing");
    }
}
