//! Peers that a test scripts or writes, such as a monitor or a guest agent.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use super::trace::{Clock, Event, Faults, Trace, take_fault};
use crate::{
    error::{Error, Result},
    host::Channel,
};

/// What a peer does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAction {
    /// Says something.
    Message(Vec<u8>),
    /// Says nothing until the next receive times out.
    Silence,
    /// Closes the connection.
    Close,
}

impl PeerAction {
    /// Says a line.
    pub fn line(text: &str) -> Self {
        Self::Message(text.as_bytes().to_vec())
    }
}

/// The other end of a channel.
pub trait Peer {
    /// Upon connection.
    fn greet(&mut self) -> Vec<PeerAction> {
        Vec::new()
    }
    /// Upon a message.
    fn answer(&mut self, message: &[u8]) -> Vec<PeerAction>;
}

impl<F: FnMut(&[u8]) -> Vec<PeerAction>> Peer for F {
    fn answer(&mut self, message: &[u8]) -> Vec<PeerAction> {
        self(message)
    }
}

/// A transcript: each message must hold an expected text, and has its answers. A message that the
/// transcript does not have panics, which fails the test at the place where the conversation went
/// wrong.
#[derive(Debug, Default)]
pub struct Script {
    greeting: Vec<PeerAction>,
    exchanges: VecDeque<(String, Vec<PeerAction>)>,
}

impl Script {
    /// A peer that says nothing and expects nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says this upon connection.
    #[must_use]
    pub fn greets(mut self, line: &str) -> Self {
        self.greeting.push(PeerAction::line(line));
        self
    }

    /// Expects a message that contains `part`, and answers with these lines.
    #[must_use]
    pub fn expects(self, part: &str, lines: &[&str]) -> Self {
        let answers = lines.iter().map(|line| PeerAction::line(line)).collect();
        self.expects_then(part, answers)
    }

    /// Expects a message that contains `part`, and then does this.
    #[must_use]
    pub fn expects_then(mut self, part: &str, answers: Vec<PeerAction>) -> Self {
        self.exchanges.push_back((part.to_owned(), answers));
        self
    }
}

impl Peer for Script {
    fn greet(&mut self) -> Vec<PeerAction> {
        std::mem::take(&mut self.greeting)
    }

    fn answer(&mut self, message: &[u8]) -> Vec<PeerAction> {
        let text = String::from_utf8_lossy(message);
        let Some((part, answers)) = self.exchanges.pop_front() else {
            panic!("the transcript is over, but the plugin sent {text}");
        };
        assert!(
            text.contains(&part),
            "the transcript expects a message with {part}, but the plugin sent {text}"
        );
        answers
    }
}

pub(super) struct MockChannel {
    grant: String,
    peer: RefCell<Box<dyn Peer>>,
    queue: RefCell<VecDeque<PeerAction>>,
    closed: Cell<bool>,
    trace: Trace,
    faults: Faults,
    clock: Clock,
}

impl MockChannel {
    pub(super) fn new(
        grant: &str,
        mut peer: Box<dyn Peer>,
        trace: Trace,
        faults: Faults,
        clock: Clock,
    ) -> Self {
        let queue = RefCell::new(peer.greet().into());
        let closed = Cell::new(false);
        Self { grant: grant.to_owned(), peer: RefCell::new(peer), queue, closed, trace, faults, clock }
    }

    fn gone(&self) -> Error {
        Error::transient("channel.closed", format!("the peer of channel {} closed it", self.grant))
    }
}

impl Channel for MockChannel {
    fn send(&self, message: &[u8]) -> Result<()> {
        take_fault(&self.faults, "send")?;
        if self.closed.get() {
            return Err(self.gone());
        }
        self.trace.borrow_mut().push(Event::Sent { grant: self.grant.clone(), message: message.to_vec() });
        let answers = self.peer.borrow_mut().answer(message);
        self.queue.borrow_mut().extend(answers);
        Ok(())
    }

    fn receive(&self, timeout_ms: u32) -> Result<Option<Vec<u8>>> {
        take_fault(&self.faults, "receive")?;
        if self.closed.get() {
            return Err(self.gone());
        }
        match self.queue.borrow_mut().pop_front() {
            Some(PeerAction::Message(message)) => Ok(Some(message)),
            Some(PeerAction::Close) => {
                self.closed.set(true);
                Err(self.gone())
            }
            Some(PeerAction::Silence) | None => {
                self.clock.set(self.clock.get() + u64::from(timeout_ms));
                Ok(None)
            }
        }
    }
}

impl Drop for MockChannel {
    fn drop(&mut self) {
        self.trace.borrow_mut().push(Event::Closed(self.grant.clone()));
    }
}
