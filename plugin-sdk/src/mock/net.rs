//! Servers for the host's HTTP and TCP.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use super::{
    host::MockHost,
    servers::{Medium, MockServer, TcpServer},
    trace::Clock,
};
use crate::{
    error::{Error, Result},
    host::{Connection, Http, Tcp},
    http::{Body, HttpSource, Request, Response, Session},
};

/// The largest bodies of a request and of an answer, in bytes.
const MAX_BODY: usize = 4 << 20;
const MAX_ANSWER: usize = 1 << 20;
/// The most bytes of one send and one receive of a connection.
const MAX_PIECE: usize = 2 << 20;

impl MockHost {
    /// Answers the plugin's HTTP requests. Redirects, repetitions and signatures are the real
    /// host's; the handler sees a request as the plugin described it.
    pub fn serve_http(&self, handler: impl FnMut(&Request) -> Result<Response> + 'static) {
        self.net.borrow_mut().http = Some(Box::new(handler));
    }

    /// Answers the plugin's HTTP requests and those of the host by a server that keeps objects.
    pub fn serve(&self, server: Rc<RefCell<dyn MockServer>>) {
        self.net.borrow_mut().server = Some(server);
    }

    /// Returns the names of everything that the server of [`serve`](Self::serve) has stored.
    pub fn served(&self) -> Vec<String> {
        self.net.borrow().server.as_ref().map(|server| server.borrow().stored()).unwrap_or_default()
    }

    /// Sends a part of an upload as the real host does, and returns the answer.
    ///
    /// # Errors
    ///
    /// What [`Http::send`] answers.
    pub fn send_part(&self, request: &Request, bytes: &[u8]) -> Result<Response> {
        self.exchange(request, bytes)
    }

    /// Reads bytes of an object as the real host does: by a range, of one version of the object.
    ///
    /// # Errors
    ///
    /// `corrupt` when the answer is not exactly that range.
    pub fn read_range(&self, source: &HttpSource, offset: u64, length: u32) -> Result<Vec<u8>> {
        let end = offset.checked_add(u64::from(length)).filter(|end| *end <= source.size);
        let Some(end) = end else { return Err(Error::corrupt("http.range", "the object ends before")) };
        if length == 0 {
            return Ok(Vec::new());
        }
        let range = format!("bytes={offset}-{}", end - 1);
        let mut request = source.request.clone().header("range", range).max_response(length);
        if let Some(etag) = &source.etag {
            request = request.header("if-match", etag);
        }
        let answer = self.exchange(&request, &[])?;
        if answer.status != 206 || u32::try_from(answer.body.len()) != Ok(length) {
            let text = format!("status {} with {} of {length} bytes", answer.status, answer.body.len());
            return Err(Error::corrupt("http.range", text));
        }
        Ok(answer.body)
    }

    fn exchange(&self, request: &Request, body: &[u8]) -> Result<Response> {
        let lost = self.fault("http")?;
        self.check_secrets(request)?;
        let server = self.net.borrow().server.clone();
        let answer = match server {
            Some(server) => server.borrow_mut().answer(request, body),
            None => self.by_handler(request),
        };
        let mut answer = answer?;
        let wanted = usize::try_from(request.max_response).map_or(MAX_ANSWER, |most| most.min(MAX_ANSWER));
        if answer.body.len() > wanted {
            if request.expects(answer.status) && wanted > 0 {
                return Err(Error::limit("http.answer", format!("the answer is longer than {wanted} bytes")));
            }
            answer.body.truncate(wanted);
        }
        if answer.status == 401 {
            let mut net = self.net.borrow_mut();
            request.auth.secrets.values().for_each(|name| drop(net.sessions.remove(name)));
        }
        answer.headers.retain(|name, _| request.capture.contains(name));
        lost.map_or(Ok(answer), Err)
    }

    fn by_handler(&self, request: &Request) -> Result<Response> {
        let handler = self.net.borrow_mut().http.take();
        let Some(mut handler) = handler else {
            return Err(Error::transient("net.connect", format!("nothing answers at {}", request.url)));
        };
        let answer = handler(request);
        self.net.borrow_mut().http = Some(handler);
        answer
    }

    /// Answers the plugin's connections to a grant: what the handler returns for the bytes of each
    /// send is what the plugin receives.
    pub fn serve_tcp(&self, grant: &str, handler: impl FnMut(&[u8]) -> Vec<u8> + 'static) {
        self.net.borrow_mut().tcp.insert(grant.to_owned(), Rc::new(RefCell::new(handler)));
    }

    /// Names what a TCP server keeps its files on, so that these fail like those of granted
    /// directories: [`Self::set_full`], [`Self::halve_files`].
    pub fn set_medium(&self, medium: impl Medium + 'static) {
        self.net.borrow_mut().medium = Some(Rc::new(medium));
    }

    pub(super) fn medium(&self) -> Option<Rc<dyn Medium>> {
        self.net.borrow().medium.clone()
    }

    pub(crate) fn medium_files(&self) -> Vec<String> {
        self.medium().map(|medium| medium.files()).unwrap_or_default()
    }

    /// Sets a secret of the operator. Its value is nothing that a plugin could see.
    pub fn set_secret(&self, name: &str) {
        self.net.borrow_mut().secrets.insert(name.to_owned());
    }

    /// Forgets the credentials of all sign-ins, as the host does when a server refuses one.
    pub fn end_sessions(&self) {
        self.net.borrow_mut().sessions.clear();
    }

    fn check_secrets(&self, request: &Request) -> Result<()> {
        let net = self.net.borrow();
        let known = |name: &&String| net.secrets.contains(*name) || net.sessions.contains_key(*name);
        let optional = |parameter: &String| parameter == "session-token";
        let missing = request
            .auth
            .secrets
            .iter()
            .find(|(parameter, name)| !optional(parameter) && !known(name))
            .map(|(_, name)| name.clone());
        match missing {
            None => Ok(()),
            Some(name) => {
                let text = format!("the secret {name:?} is not set; set it in the storage's settings");
                Err(Error::invalid_input("secret.missing", text).about_setting(&name))
            }
        }
    }
}

impl Http for MockHost {
    fn send(&self, request: &Request) -> Result<Response> {
        let body: &[u8] = match &request.body {
            Body::Inline(bytes) if bytes.len() > MAX_BODY => {
                return Err(Error::invalid_input("http.request", "a request has a body of at most 4 MiB"));
            }
            Body::Payload => {
                let text = "only the parts of an upload have a payload";
                return Err(Error::invalid_input("http.request", text));
            }
            Body::Inline(bytes) => bytes,
            Body::Empty => &[],
        };
        self.exchange(request, body)
    }

    fn sign_in(&self, session: &Session, request: &Request) -> Result<Response> {
        if let Some(kept) = self.net.borrow().sessions.get(&session.name) {
            return Ok(kept.clone());
        }
        let mut request = request.clone();
        request.capture.push(session.header.clone());
        let mut answer = self.send(&request)?;
        if !request.expects(answer.status) {
            return Ok(answer);
        }
        if answer.headers.remove(&session.header).is_none() {
            let message = format!("the answer has no header {}", session.header);
            return Err(Error::invalid_input("http.credential", message));
        }
        self.net.borrow_mut().sessions.insert(session.name.clone(), answer.clone());
        Ok(answer)
    }

    fn has_secret(&self, name: &str) -> bool {
        self.net.borrow().secrets.contains(name)
    }
}

struct MockConnection {
    server: TcpServer,
    received: RefCell<VecDeque<u8>>,
    clock: Clock,
}

impl Connection for MockConnection {
    fn send(&self, bytes: &[u8]) -> Result<()> {
        if bytes.len() > MAX_PIECE {
            return Err(Error::limit("tcp.length", "one send has at most 2 MiB"));
        }
        let answer = (self.server.borrow_mut())(bytes);
        self.received.borrow_mut().extend(answer);
        Ok(())
    }

    fn receive(&self, max: u32, timeout_ms: u32) -> Result<Option<Vec<u8>>> {
        let mut received = self.received.borrow_mut();
        let most = usize::try_from(max).map_or(MAX_PIECE, |most| most.min(MAX_PIECE));
        let count = received.len().min(most);
        if count == 0 {
            // Nothing really waits: the clock moves on.
            self.clock.set(self.clock.get() + u64::from(timeout_ms));
            return Ok(None);
        }
        Ok(Some(received.drain(..count).collect()))
    }
}

impl Tcp for MockHost {
    fn connect(&self, grant: &str, host: &str, port: u16) -> Result<Box<dyn Connection>> {
        self.fault("connect")?;
        let server = self.net.borrow().tcp.get(grant).cloned();
        let Some(server) = server else {
            return Err(Error::transient("tcp.connect", format!("nothing listens at {host}:{port}")));
        };
        let clock = self.clock.clone();
        Ok(Box::new(MockConnection { server, received: RefCell::default(), clock }))
    }
}
