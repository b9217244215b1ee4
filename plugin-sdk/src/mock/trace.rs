//! What a plugin did, the clock that it reads, and the faults that a test asked for.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use crate::error::{Error, Result};

/// What a plugin did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Opened a channel of this grant.
    Opened(String),
    /// Sent a message on a channel of this grant.
    Sent {
        /// The grant.
        grant: String,
        /// The message.
        message: Vec<u8>,
    },
    /// Closed a channel of this grant.
    Closed(String),
    /// Wrote a note with this step.
    Recorded(String),
    /// Slept this many milliseconds.
    Slept(u32),
    /// Reserved an endpoint with this hint.
    Reserved(String),
}

pub(super) type Trace = Rc<RefCell<Vec<Event>>>;
pub(super) type Faults = Rc<RefCell<BTreeMap<String, VecDeque<Option<Fault>>>>>;

/// How an operation fails.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing is done.
    Refused(Error),
    /// It is done, and the answer is lost.
    Lost(Error),
}
pub(super) type Clock = Rc<Cell<u64>>;

/// Fails when the test asked for it. Returns the error to answer with when the operation is done,
/// where the answer is to be lost.
pub(super) fn take_fault(faults: &Faults, operation: &str) -> Result<Option<Error>> {
    match faults.borrow_mut().get_mut(operation).and_then(VecDeque::pop_front).flatten() {
        Some(Fault::Refused(error)) => Err(error),
        Some(Fault::Lost(error)) => Ok(Some(error)),
        None => Ok(None),
    }
}
