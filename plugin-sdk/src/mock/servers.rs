//! What the host's HTTP and TCP reach.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use crate::{
    error::Result,
    http::{Request, Response},
};

/// A server of objects that keeps what it is sent, for whole uploads and reads.
pub trait MockServer {
    /// Answers a request with its body, which is that of the part for `Body::Payload`.
    ///
    /// # Errors
    ///
    /// What the host reports when there is no answer.
    fn answer(&mut self, request: &Request, body: &[u8]) -> Result<Response>;

    /// Returns the names of everything that is stored, temporary things as well.
    fn stored(&self) -> Vec<String>;

    /// Is full, or has room again: a full server refuses what needs room.
    fn set_full(&mut self, full_now: bool);

    /// Loses the second half of every object.
    fn halve_objects(&mut self);
}

/// What a server of a test keeps its files on.
pub trait Medium {
    /// Fills it, or makes room again.
    fn set_full(&self, full: bool);
    /// Cuts every file to half of its length.
    fn halve_files(&self);
    /// Returns the names of all files.
    fn files(&self) -> Vec<String>;
}

type HttpServer = Box<dyn FnMut(&Request) -> Result<Response>>;
pub(super) type TcpServer = Rc<RefCell<dyn FnMut(&[u8]) -> Vec<u8>>>;

/// What the host's HTTP and TCP reach.
#[derive(Default)]
pub(super) struct Net {
    pub(super) http: Option<HttpServer>,
    pub(super) server: Option<Rc<RefCell<dyn MockServer>>>,
    pub(super) tcp: BTreeMap<String, TcpServer>,
    pub(super) secrets: BTreeSet<String>,
    pub(super) sessions: BTreeMap<String, Response>,
    pub(super) medium: Option<Rc<dyn Medium>>,
}
