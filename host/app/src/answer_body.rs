//! The body of an answer of the data path's HTTP client, for code that waits without blocking.

use std::io::{self, Read as _};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use imprint_http_client::Answer;

/// The bytes that are read at once, and that are in memory.
const PIECE: u64 = 1 << 20;

/// Reads the body piece by piece, each when the one before was taken.
pub(crate) fn pieces(answer: Answer) -> BoxStream<'static, io::Result<bytes::Bytes>> {
    let reader = answer.into_body().into_reader();
    stream::try_unfold(reader, |mut reader| async move {
        let reading = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::new();
            let read = reader.by_ref().take(PIECE).read_to_end(&mut piece);
            read.map(|_| (piece, reader))
        });
        let (piece, reader) = reading.await.map_err(io::Error::other)??;
        Ok(if piece.is_empty() { None } else { Some((bytes::Bytes::from(piece), reader)) })
    })
    .boxed()
}
