//! Which addresses may be connected to.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use ureq::{
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use crate::{
    error::HttpError,
    private_networks::PrivateNetworks,
    reserved::{self, Failure, SourcePort},
};

/// Resolves names, and refuses those that lead where nothing may be connected to.
#[derive(Debug)]
pub(crate) struct CheckedResolver {
    private_networks: PrivateNetworks,
    system: DefaultResolver,
}

impl CheckedResolver {
    pub(crate) fn new(private_networks: PrivateNetworks) -> Self {
        Self { private_networks, system: DefaultResolver::default() }
    }
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.system.resolve(uri, config, timeout)?;
        let host = uri.host().unwrap_or_default();
        // One forbidden address refuses the name: which of them would be connected to is not
        // decided here.
        for address in found.iter() {
            check_address(host, address.ip(), &self.private_networks)
                .map_err(|error| ureq::Error::Other(Box::new(error)))?;
        }
        Ok(found)
    }
}

/// Checks an address that `host` resolved to.
///
/// # Errors
///
/// [`HttpError::PrivateNetwork`] for an address of a private network, unless it is permitted.
pub fn check_address(
    host: &str,
    address: IpAddr,
    private_networks: &PrivateNetworks,
) -> Result<(), HttpError> {
    if !is_private(address) || private_networks.permit(address) {
        return Ok(());
    }
    Err(HttpError::PrivateNetwork { host: host.to_owned(), address })
}

/// Returns whether a name leads to an address that is none of the public internet. Blocks while it
/// is resolved; a name that cannot be resolved leads nowhere.
pub(crate) fn leads_to_private(host: &str, port: u16) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    (name, port).to_socket_addrs().is_ok_and(|mut found| found.any(|address| is_private(address.ip())))
}

/// Connects to one of the addresses of a name, after all of them were checked as for requests.
/// Blocks, for at most `limit` for each address.
///
/// # Errors
///
/// [`HttpError::PrivateNetwork`], [`HttpError::Connect`] when no address answers, or
/// [`HttpError::ReservedPort`] when this process cannot have a port as it is wanted.
pub fn connect(
    host: &str,
    port: u16,
    from: SourcePort,
    private_networks: &PrivateNetworks,
    limit: Duration,
) -> Result<TcpStream, HttpError> {
    let failed = |why: String| HttpError::Connect { host: format!("{host}:{port}"), why };
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> =
        (name, port).to_socket_addrs().map_err(|error| failed(error.to_string()))?.collect();
    found.iter().try_for_each(|address| check_address(host, address.ip(), private_networks))?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in found {
        let connected = match from {
            SourcePort::Any => TcpStream::connect_timeout(&address, limit).map_err(Failure::Connect),
            SourcePort::Reserved => reserved::connect(&address, limit),
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(Failure::Connect(error)) => last = error,
            Err(Failure::NoPort(error)) => return Err(HttpError::ReservedPort { why: error.to_string() }),
        }
    }
    Err(failed(last.to_string()))
}

/// Returns whether an address is anything but one of the public internet (RFC 6890).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                // Shared address space (RFC 6598), benchmarks (RFC 2544), reserved.
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || a >= 240
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(IpAddr::V4(v4)),
            None => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    // NAT64 leads to IPv4 addresses that were not checked.
                    || v6.segments()[..2] == [0x64, 0xff9b]
            }
        },
    }
}
