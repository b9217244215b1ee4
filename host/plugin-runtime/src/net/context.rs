//! What all instances of one storage share: where they may connect to, secrets, sessions, clients.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use imprint_http_client::{
    Authority, CertificateProblem, Client, ClientOptions, HttpError, PrivateNetworks, SourcePort, http::Uri,
};
use imprint_ports::{Props, SecretText, Secrets};
use tokio::time::Instant;

use super::{error::NetError, grant::Target};
use crate::{
    bindings::host::imprint::types::http_types::Response,
    manifest::{Manifest, NetCapability, SecretCapability},
    sync,
};

/// The sessions of one storage that are kept at the same time.
const MAX_SESSIONS: usize = 16;
/// The names of sessions that are remembered.
const MAX_NAMES: usize = 64;

/// The servers of one capability, with the client that reaches them.
struct Grant {
    id: String,
    targets: Vec<Target>,
    options: Result<ClientOptions, NetError>,
    source_port: SourcePort,
    /// The settings with the address, with the permission of private networks, with further
    /// authorities, and by which connections come from a port below 1024.
    address_setting: Option<String>,
    private_setting: Option<String>,
    authorities_setting: Option<String>,
    reserved_port_setting: Option<String>,
    client: OnceLock<Result<Arc<Client>, NetError>>,
}

/// A credential that a server answered to a sign-in, and the rest of that answer.
#[derive(Clone)]
struct KeptSession {
    credential: SecretText,
    answer: Response,
    until: Instant,
}

/// What all instances of one storage share.
pub(crate) struct NetContext {
    http: Vec<Grant>,
    tcp: Vec<Grant>,
    capabilities: Vec<SecretCapability>,
    secrets: Secrets,
    sessions: Mutex<BTreeMap<String, KeptSession>>,
    /// The names of all sessions that there have been.
    session_names: Mutex<BTreeSet<String>>,
}

impl NetContext {
    /// Returns what a manifest asks for, filled with the operator's settings. A pattern whose
    /// setting is not set permits nothing.
    pub(crate) fn new(manifest: &Manifest, settings: &Props, secrets: &Secrets) -> Result<Self, NetError> {
        let http = manifest.http.iter().map(|capability| grant(capability, settings));
        let tcp = manifest.tcp.iter().map(|capability| grant(capability, settings));
        let granted = |name: &str| manifest.secrets.iter().any(|secret| secret.name == name);
        let secrets = secrets.iter().filter(|(name, _)| granted(name));
        Ok(Self {
            http: http.collect::<Result<_, _>>()?,
            tcp: tcp.collect::<Result<_, _>>()?,
            capabilities: manifest.secrets.clone(),
            secrets: secrets.map(|(name, secret)| (name.clone(), secret.clone())).collect(),
            sessions: Mutex::default(),
            session_names: Mutex::default(),
        })
    }

    fn http_grant(&self, uri: &Uri) -> Result<&Grant, NetError> {
        let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let permits = |grant: &&Grant| grant.targets.iter().any(|own| own.permits(Some(scheme), host, port));
        self.http.iter().find(permits).ok_or_else(|| NetError::NotGranted {
            address: format!("{scheme}://{host}:{port}"),
            permitted: permitted(&self.http),
        })
    }

    /// Checks that the manifest permits a URL.
    pub(super) fn check(&self, uri: &Uri) -> Result<(), NetError> {
        self.http_grant(uri).map(drop)
    }

    /// Returns the client for a URL that the manifest permits.
    pub(crate) fn client(&self, uri: &Uri) -> Result<Arc<Client>, NetError> {
        let grant = self.http_grant(uri)?;
        let made = grant.client.get_or_init(|| {
            let options = grant.options.clone()?;
            Ok(Arc::new(Client::new(&options)?))
        });
        made.clone()
    }

    /// Returns the failure of a request, with the setting that it is about.
    pub(crate) fn about(&self, uri: &Uri, error: HttpError) -> NetError {
        match self.http_grant(uri) {
            Ok(grant) => grant.about(error),
            Err(_) => error.into(),
        }
    }

    /// Connects to a server that a capability permits. Blocks.
    pub(crate) fn connect(
        &self,
        grant: &str,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<std::net::TcpStream, NetError> {
        let found = self.tcp.iter().find(|own| own.id == grant);
        let granted = found.filter(|own| own.targets.iter().any(|own| own.permits(None, host, port)));
        let Some(granted) = granted else {
            return Err(NetError::NotGranted {
                address: format!("{host}:{port}"),
                permitted: permitted(found),
            });
        };
        let private = granted.options.clone()?.private_networks;
        imprint_http_client::connect(host, port, granted.source_port, &private, limit)
            .map_err(|error| granted.about(error))
    }

    /// Returns a secret or a session's credential, if a scheme may use it.
    pub(crate) fn secret(&self, name: &str, scheme: &str) -> Result<SecretText, NetError> {
        if let Some(kept) = self.session(name) {
            return Ok(kept.credential);
        }
        let capability = self.capabilities.iter().find(|secret| secret.name == name);
        if capability.is_none() && self.had_session(name) {
            return Err(NetError::SessionOver(name.to_owned()));
        }
        if !capability.is_some_and(|secret| secret.uses.iter().any(|own| own == scheme)) {
            return Err(NetError::SecretNotGranted(name.to_owned(), scheme.to_owned()));
        }
        self.secrets.get(name).cloned().ok_or_else(|| NetError::SecretMissing(name.to_owned()))
    }

    /// Returns whether the operator has set a secret that the manifest asks for.
    pub(crate) fn has_secret(&self, name: &str) -> bool {
        self.secrets.contains_key(name)
    }

    fn session(&self, name: &str) -> Option<KeptSession> {
        let sessions = sync::lock(&self.sessions);
        sessions.get(name).filter(|kept| kept.until > Instant::now()).cloned()
    }

    /// Returns whether there has been a session of that name, which may be over.
    fn had_session(&self, name: &str) -> bool {
        sync::lock(&self.session_names).contains(name)
    }

    /// Returns the answer to a sign-in that is still valid.
    pub(crate) fn session_answer(&self, name: &str) -> Option<Response> {
        self.session(name).map(|kept| kept.answer)
    }

    /// Keeps the credential of a sign-in. The name must not be that of a secret.
    pub(crate) fn keep_session(
        &self,
        name: &str,
        credential: String,
        answer: Response,
        valid_for: Duration,
    ) -> Result<(), NetError> {
        let mut sessions = sync::lock(&self.sessions);
        sessions.retain(|_, kept| kept.until > Instant::now());
        let taken = self.capabilities.iter().any(|secret| secret.name == name);
        if taken || (sessions.len() >= MAX_SESSIONS && !sessions.contains_key(name)) {
            let why = format!("there is a secret of the name {name:?}, or there are {MAX_SESSIONS} sessions");
            return Err(NetError::Request(why));
        }
        let mut names = sync::lock(&self.session_names);
        if names.len() < MAX_NAMES {
            names.insert(name.to_owned());
        }
        let until = Instant::now() + valid_for;
        sessions
            .insert(name.to_owned(), KeptSession { credential: SecretText::new(credential), answer, until });
        Ok(())
    }

    /// Forgets the credential of a session.
    pub(crate) fn end_session(&self, name: &str) {
        sync::lock(&self.sessions).remove(name);
    }

    /// Forgets a credential that a server refused, unless another one was kept meanwhile.
    pub(crate) fn drop_session(&self, name: &str, refused: &SecretText) {
        let mut sessions = sync::lock(&self.sessions);
        if sessions.get(name).is_some_and(|kept| kept.credential.expose() == refused.expose()) {
            sessions.remove(name);
        }
    }
}

fn permitted<'a>(grants: impl IntoIterator<Item = &'a Grant>) -> String {
    let all = grants.into_iter().flat_map(|grant| &grant.targets).map(ToString::to_string);
    all.collect::<Vec<_>>().join(", ")
}

impl Grant {
    /// Returns a failure with the setting that it is about.
    fn about(&self, error: HttpError) -> NetError {
        let setting = match &error {
            HttpError::PrivateNetwork { .. } => &self.private_setting,
            HttpError::Certificate { problem: CertificateProblem::UnknownAuthority, .. }
            | HttpError::NoAuthorities
            | HttpError::Authority { .. } => &self.authorities_setting,
            HttpError::ReservedPort { .. } => &self.reserved_port_setting,
            HttpError::Certificate { .. }
            | HttpError::Connect { .. }
            | HttpError::Tls { .. }
            | HttpError::Url { .. } => &self.address_setting,
            HttpError::Status { .. }
            | HttpError::Redirect { .. }
            | HttpError::Page
            | HttpError::Stalled { .. }
            | HttpError::Authorise { .. }
            | HttpError::NoRanges
            | HttpError::Changed
            | HttpError::Protocol { .. } => &None,
        };
        match setting {
            Some(setting) => NetError::About { error, setting: setting.clone() },
            None => error.into(),
        }
    }
}

fn grant(capability: &NetCapability, settings: &Props) -> Result<Grant, NetError> {
    let targets = capability.to.iter().map(|pattern| Target::fill(pattern, settings));
    let targets: Vec<_> = targets.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let tls = targets.iter().any(Target::may_use_tls);
    let value = |name: &str| settings.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let private = capability.private_networks_setting.as_deref().and_then(value);
    let reserved = capability.reserved_port_setting.as_deref().and_then(value);
    let added = capability.authorities_setting.as_deref().and_then(|name| Some((name, value(name)?)));
    let added = added.map_or(Ok(Vec::new()), |(name, pem)| Authority::of_pem(pem.as_bytes(), name));
    let address = capability.to.iter().find_map(|pattern| Some(pattern.split_once("{config.")?.1));
    let address = address.and_then(|rest| Some(rest.split_once('}')?.0));
    let mut grant = Grant {
        id: capability.id.clone(),
        targets,
        options: Ok(ClientOptions::default()),
        source_port: if reserved == Some("true") { SourcePort::Reserved } else { SourcePort::Any },
        address_setting: address.map(str::to_owned),
        private_setting: capability.private_networks_setting.clone(),
        authorities_setting: capability.authorities_setting.clone(),
        reserved_port_setting: capability.reserved_port_setting.clone(),
        client: OnceLock::new(),
    };
    let private_networks = PrivateNetworks::from(private == Some("true"));
    grant.options = match added {
        Ok(authorities) => Ok(ClientOptions { private_networks, tls, authorities, pinned: None }),
        Err(error) => Err(grant.about(error)),
    };
    Ok(grant)
}
