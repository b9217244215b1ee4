//! Bodies of answers that hold something scarce: a client that stops taking bytes gives it back.

use std::{io, time::Duration};

use axum::body::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// Passes a stream on, and drops `held` when it has ended, when the answer is dropped, or when the
/// client has taken no piece for `limit`. In the last case the answer ends with an error of the
/// kind `TimedOut`.
///
/// The time limit of a connection does not reach this far: over HTTP/2 a client can take bytes of
/// the connection and leave those of one answer where they are.
pub(crate) fn bounded_body<H: Send + 'static>(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    held: H,
    limit: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(1);
    let passing = async move {
        let _held = held;
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            match timeout(limit, sender.send(piece)).await {
                Ok(Ok(())) => {}
                // The answer was dropped.
                Ok(Err(_)) => break,
                Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes")),
            }
        }
        Ok(())
    };
    #[expect(clippy::disallowed_methods, reason = "ends with the answer, which aborts it when dropped")]
    let passing = AbortOnDropHandle::new(tokio::spawn(passing));
    stream::unfold((receiver, Some(passing)), |(mut receiver, mut passing)| async move {
        if let Some(piece) = receiver.recv().await {
            return Some((piece, (receiver, passing)));
        }
        let error = match passing.take()?.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(error) => io::Error::other(error),
        };
        Some((Err(error), (receiver, None)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn endless() -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::repeat_with(|| Ok(Bytes::from_static(b"piece")))
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_gives_its_place_back() {
        let places = Arc::new(Semaphore::new(1));
        let held = Arc::clone(&places).acquire_owned().await.unwrap();
        let body = bounded_body(endless(), held, LIMIT);
        let mut body = std::pin::pin!(body);
        assert!(body.next().await.unwrap().is_ok());
        assert!(places.try_acquire().is_err(), "the client has time left");
        let place = timeout(LIMIT * 10, places.acquire()).await.expect("the place is free again").unwrap();
        drop(place);
        // One piece was under way; then the answer says why it ends.
        assert!(body.next().await.unwrap().is_ok());
        let error = body.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(body.next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_client_gets_everything() {
        let body = bounded_body(endless().take(25), (), LIMIT);
        let mut body = std::pin::pin!(body);
        for _ in 0..25 {
            tokio::time::sleep(LIMIT / 20).await;
            assert!(body.next().await.unwrap().is_ok());
        }
        assert!(body.next().await.is_none());
    }

    #[tokio::test]
    async fn an_answer_that_is_dropped_gives_its_place_back() {
        let places = Arc::new(Semaphore::new(1));
        let held = Arc::clone(&places).acquire_owned().await.unwrap();
        let body = bounded_body(endless(), held, LIMIT);
        drop(body);
        let _place = places.acquire().await.unwrap();
    }
}
