//! The whole of an object, in one answer: of a server that sends no ranges.

use std::{io, sync::Arc, time::Duration};

use ureq::http::{Request, header};

use crate::{
    body,
    client::Answer,
    error::HttpError,
    follow::{Follower, Target},
    object::{is_page, refuse_encoded, refused},
    options::HttpOptions,
};

/// An object that is read once, from its first byte to its last one.
#[derive(Debug)]
pub struct WholeObject {
    answer: Answer,
    target: Arc<Target>,
    pause: Duration,
}

impl WholeObject {
    /// Requests the object. Redirects are followed. Blocks until the head of the answer is here.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`].
    pub fn open(options: &HttpOptions) -> Result<Self, HttpError> {
        let follower = Follower::new(options)?;
        let ask = |target: &Target| {
            let (head, ()) = target.request.clone().into_parts();
            target.client.send(Request::from_parts(head, &[]))
        };
        let start = Arc::new(follower.start()?);
        let answer = ask(&start)?;
        let (answer, target) = follower.follow(start, answer, ask)?;
        if answer.status().as_u16() != 200 {
            return Err(refused(&target, answer));
        }
        if is_page(answer.headers()) {
            return Err(HttpError::Page);
        }
        refuse_encoded(answer.headers())?;
        Ok(Self { answer, target, pause: options.retries.pause })
    }

    /// Returns the size in bytes, where the server says it.
    pub fn size(&self) -> Option<u64> {
        self.answer.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Gives all bytes to `take`, in pieces of at most 64 KiB. Blocks.
    ///
    /// # Errors
    ///
    /// An [`HttpError`] inside for what the server does, and the errors of `take` as they are.
    pub fn read(mut self, take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        body::drain(self.answer.body_mut(), (self.target.host(), self.pause), take)
    }
}
