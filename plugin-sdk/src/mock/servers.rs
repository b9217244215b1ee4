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

type HttpServer = Box<dyn FnMut(&Request) -> Result<Response>>;
pub(super) type TcpServer = Rc<RefCell<dyn FnMut(&[u8]) -> Vec<u8>>>;

/// What the host's HTTP and TCP reach.
#[derive(Default)]
pub(super) struct Net {
    pub(super) http: Option<HttpServer>,
    pub(super) tcp: BTreeMap<String, TcpServer>,
    pub(super) secrets: BTreeSet<String>,
    pub(super) sessions: BTreeMap<String, Response>,
}
