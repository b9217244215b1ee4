//! The host.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
};

use super::{
    channel::{MockChannel, Peer},
    granted::Tree,
    servers::Net,
    trace::{Clock, Event, Fault, Faults, Trace, take_fault},
};
use crate::{
    error::{Error, Result},
    host::{Channel, Channels, Config, Endpoint, Framing, Journal, Note, Task},
    types::Props,
};

/// The longest note of the real host in bytes.
const MAX_NOTE: usize = 64 << 10;
/// The most notes of one journal.
const MAX_NOTES: usize = 1000;

type Peers = BTreeMap<String, VecDeque<Box<dyn Peer>>>;

/// A host in memory. It implements every host trait, so a `&MockHost` goes wherever a
/// `&dyn StorageHost` or a `&dyn HypervisorHost` is wanted.
#[derive(Default)]
pub struct MockHost {
    settings: RefCell<Props>,
    pub(super) clock: Clock,
    cancelled: Cell<bool>,
    remaining_ms: Cell<Option<u64>>,
    notes: RefCell<Vec<Note>>,
    peers: RefCell<Peers>,
    trace: Trace,
    faults: Faults,
    pub(super) dirs: RefCell<Tree>,
    pub(super) net: RefCell<Net>,
    endpoints: Cell<u32>,
    latency_ms: Cell<u64>,
}

impl MockHost {
    /// An empty host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a setting of the plugin.
    pub fn set_config(&self, key: &str, value: &str) {
        self.settings.borrow_mut().insert(key.to_owned(), value.to_owned());
    }

    /// Asks the plugin to stop.
    pub fn cancel(&self) {
        self.cancelled.set(true);
    }

    /// Moves the clock on.
    pub fn advance(&self, ms: u64) {
        self.clock.set(self.clock.get() + ms);
    }

    /// Sets what `remaining_ms` answers.
    pub fn set_remaining_ms(&self, ms: Option<u64>) {
        self.remaining_ms.set(ms);
    }

    /// Queues the peer of the next channel of `grant`; each open takes one. A grant without a peer
    /// is a socket without a listener.
    pub fn peer(&self, grant: &str, peer: impl Peer + 'static) {
        self.peers.borrow_mut().entry(grant.to_owned()).or_default().push_back(Box::new(peer));
    }

    /// Lets the next call of `operation` fail. Operations: `stat`, `list`, `create-directory`,
    /// `remove-file`, `remove-directory`, `publish`, `space`, `mount`, `read-at`, `write-at`,
    /// `set-size`, `sync`, `open`, `send`, `receive`, `record`, `reserve-endpoint`, `http`,
    /// `connect`.
    pub fn fail_next(&self, operation: &str, error: Error) {
        self.fail_nth(operation, 0, error);
    }

    /// Lets `operation` succeed `skip` times, and then fail once.
    pub fn fail_nth(&self, operation: &str, skip: usize, error: Error) {
        self.queue_fault(operation, skip, Fault::Refused(error));
    }

    /// Lets an operation of a granted directory, or `http`, succeed `skip` times; the next one is
    /// done as well, and answers with the error, as when a connection breaks after the request.
    pub fn lose_answer(&self, operation: &str, skip: usize, error: Error) {
        self.queue_fault(operation, skip, Fault::Lost(error));
    }

    /// Forgets the faults that were asked for and did not happen.
    pub fn clear_faults(&self) {
        self.faults.borrow_mut().clear();
    }

    fn queue_fault(&self, operation: &str, skip: usize, fault: Fault) {
        let mut faults = self.faults.borrow_mut();
        let queue = faults.entry(operation.to_owned()).or_default();
        queue.extend(std::iter::repeat_n(None, skip));
        queue.push_back(Some(fault));
    }

    /// Lets every operation of a granted directory take that long on the mock's clock.
    pub fn set_latency(&self, ms: u64) {
        self.latency_ms.set(ms);
    }

    /// What the plugin did so far.
    pub fn trace(&self) -> Vec<Event> {
        self.trace.borrow().clone()
    }

    /// The notes in the journal.
    pub fn journal(&self) -> Vec<Note> {
        self.notes.borrow().clone()
    }

    pub(super) fn fault(&self, operation: &str) -> Result<Option<Error>> {
        self.advance(self.latency_ms.get());
        take_fault(&self.faults, operation)
    }

    fn log(&self, event: Event) {
        self.trace.borrow_mut().push(event);
    }
}

impl Config for MockHost {
    fn config(&self, key: &str) -> Option<String> {
        self.settings.borrow().get(key).cloned()
    }
}

impl Task for MockHost {
    fn cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn remaining_ms(&self) -> Option<u64> {
        self.remaining_ms.get()
    }

    fn monotonic_ms(&self) -> u64 {
        self.clock.get()
    }

    fn sleep_ms(&self, ms: u32) {
        self.log(Event::Slept(ms));
        self.advance(u64::from(ms));
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _note: &str) {}
}

impl Journal for MockHost {
    fn record(&self, note: &Note) -> Result<()> {
        self.fault("record")?;
        let data: usize = note.data.iter().map(|(key, value)| key.len() + value.len()).sum();
        if note.step.len() + data > MAX_NOTE {
            return Err(Error::limit("journal.note", "a note is longer than 64 KiB"));
        }
        if self.notes.borrow().len() >= MAX_NOTES {
            return Err(Error::limit("journal.full", "the journal has its 1000 notes"));
        }
        self.log(Event::Recorded(note.step.clone()));
        self.notes.borrow_mut().push(note.clone());
        Ok(())
    }

    fn notes(&self) -> Vec<Note> {
        self.journal()
    }
}

impl Channels for MockHost {
    fn open(&self, grant: &str, _params: &[(&str, &str)], _framing: Framing) -> Result<Box<dyn Channel>> {
        self.fault("open")?;
        let peer = self.peers.borrow_mut().get_mut(grant).and_then(VecDeque::pop_front);
        let Some(peer) = peer else {
            return Err(Error::transient(
                "channel.unreachable",
                format!("nothing listens on channel {grant}"),
            ));
        };
        self.log(Event::Opened(grant.to_owned()));
        let (trace, faults, clock) = (self.trace.clone(), self.faults.clone(), self.clock.clone());
        Ok(Box::new(MockChannel::new(grant, peer, trace, faults, clock)))
    }

    fn reserve_endpoint(&self, _grant: &str, hint: &str) -> Result<Endpoint> {
        self.fault("reserve-endpoint")?;
        self.log(Event::Reserved(hint.to_owned()));
        let id = format!("endpoint-{}", self.endpoints.get());
        self.endpoints.set(self.endpoints.get() + 1);
        Ok(Endpoint { peer_path: format!("/run/mock/{id}.sock"), id })
    }
}
