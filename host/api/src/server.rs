//! Accepts a bounded number of connections until the server is stopped, then lets them finish.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

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
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// The most connections that are open at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;

/// The longest time until the header of a request is complete.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

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
                let connection = connection(stream, address, router.clone(), &graceful);
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
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let client = Client { address: address.ip().to_canonical() };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot disable delays of a connection");
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(client));
        router.clone().oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(error, "a connection ended early");
        }
    }
}
