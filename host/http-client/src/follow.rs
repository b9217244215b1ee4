//! Following redirects (RFC 9110, 15.4) from the address that the user gave.
//!
//! A redirect leads where the server wants: into a private network only where the given address is
//! in one itself, never from an encrypted connection to one that is not, and credentials go to no
//! other origin than the one that they were given for.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ureq::http::{self, header};

use crate::{
    address::leads_to_private,
    client::{Answer, Client, ClientOptions},
    error::HttpError,
    options::HttpOptions,
    private_networks::PrivateNetworks,
    web_address::{Address, shown_url},
};

/// The most redirects one behind the other.
const MAX_REDIRECTS: u32 = 5;

/// Where an object is read.
pub(crate) struct Target {
    pub(crate) client: Arc<Client>,
    /// The head of a request for all of it.
    pub(crate) request: http::Request<()>,
    /// The address, where a user gave it or a redirect led to it.
    pub(crate) address: Option<Address>,
    /// Whether a redirect led to it.
    pub(crate) is_redirected: bool,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.host())
    }
}

impl Target {
    /// Returns the host, for messages.
    pub(crate) fn host(&self) -> &str {
        self.request.uri().host().unwrap_or_default()
    }
}

/// The address that a user gave, and how others are reached from there.
#[derive(Debug)]
pub(crate) struct Follower {
    origin: Origin,
    options: HttpOptions,
    /// Whether the address is in a private network; asked when a redirect is followed.
    is_private: OnceLock<bool>,
    clients: Mutex<Vec<Known>>,
}

/// A client that was made, and what it may do.
#[derive(Debug)]
struct Known {
    tls: bool,
    private_networks: PrivateNetworks,
    client: Arc<Client>,
}

struct Origin(Address);

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.shown())
    }
}

impl Follower {
    /// Parses the address.
    ///
    /// # Errors
    ///
    /// [`HttpError::Url`].
    pub(crate) fn new(options: &HttpOptions) -> Result<Self, HttpError> {
        Ok(Self {
            origin: Origin(Address::parse(&options.url)?),
            options: options.clone(),
            is_private: OnceLock::new(),
            clients: Mutex::default(),
        })
    }

    /// Returns the address itself as a target.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub(crate) fn start(&self) -> Result<Target, HttpError> {
        self.target(self.origin.0.clone(), self.options.private_networks.clone(), false)
    }

    /// Returns where an answer of `from` redirects to; `None` where it does not.
    ///
    /// # Errors
    ///
    /// [`HttpError::Redirect`] for what is not followed.
    pub(crate) fn next(&self, from: &Target, answer: &Answer) -> Result<Option<Target>, HttpError> {
        let Some(location) = location(answer) else { return Ok(None) };
        let address = from.address.as_ref().unwrap_or(&self.origin.0).redirected(&location)?;
        let (host, port) = self.origin.0.host();
        let permitted = self.options.private_networks.clone();
        let is_inside = permitted != PrivateNetworks::None
            && *self.is_private.get_or_init(|| leads_to_private(host, port));
        let private = if is_inside { permitted } else { PrivateNetworks::None };
        self.target(address, private, true).map(Some)
    }

    /// Follows an answer of `target` to where it redirects to; `ask` sends a request for the object
    /// there. Returns the last answer, and where it came from.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`].
    pub(crate) fn follow(
        &self,
        mut target: Arc<Target>,
        mut answer: Answer,
        ask: impl Fn(&Target) -> Result<Answer, HttpError>,
    ) -> Result<(Answer, Arc<Target>), HttpError> {
        let mut followed = 0;
        while let Some(next) = self.next(&target, &answer)? {
            if followed == MAX_REDIRECTS {
                let to = location(&answer).map_or_else(String::new, |to| shown_url(&to));
                return Err(HttpError::Redirect { to, why: "after more redirects than are followed" });
            }
            followed += 1;
            target = Arc::new(next);
            answer = ask(&target)?;
        }
        Ok((answer, target))
    }

    fn target(
        &self,
        address: Address,
        private: PrivateNetworks,
        is_redirected: bool,
    ) -> Result<Target, HttpError> {
        let client = self.client(address.is_encrypted(), private)?;
        let mut request = http::Request::get(address.uri()?)
            .body(())
            .map_err(|_| HttpError::Url { url: address.shown() })?;
        if address.has_origin_of(&self.origin.0) {
            request.headers_mut().extend(self.options.headers.clone());
        }
        let credentials = self.origin.0.authorization().filter(|_| address.has_origin_of(&self.origin.0));
        if let Some(credentials) = credentials {
            request.headers_mut().insert(header::AUTHORIZATION, credentials.clone());
        }
        Ok(Target { client, request, address: Some(address), is_redirected })
    }

    fn client(&self, tls: bool, private_networks: PrivateNetworks) -> Result<Arc<Client>, HttpError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |known: &&Known| known.tls == tls && known.private_networks == private_networks;
        if let Some(known) = clients.iter().find(fits) {
            return Ok(known.client.clone());
        }
        let authorities = self.options.authorities.clone();
        let options =
            ClientOptions { private_networks: private_networks.clone(), tls, authorities, pinned: None };
        let client = Arc::new(Client::with_pause(&options, self.options.retries.pause)?);
        clients.push(Known { tls, private_networks, client: client.clone() });
        Ok(client)
    }
}

/// Returns where an answer redirects to, as its server says it; `None` where it does not.
pub(crate) fn location(answer: &Answer) -> Option<String> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let value = answer.headers().get(header::LOCATION)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
