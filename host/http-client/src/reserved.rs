//! Connections from ports below 1024. Only privileged processes have these, and some servers
//! believe a client for that alone.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    ops::RangeInclusive,
    time::Duration,
};

use rand::RngExt as _;
use socket2::{Domain, Protocol, Socket, Type};

/// The ports that are tried: those of Linux's own client of NFS. Services have the lower ones more
/// often.
const PORTS: RangeInclusive<u16> = 665..=1023;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourcePort {
    /// Any port.
    #[default]
    Any,
    /// A port below 1024.
    Reserved,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This process has no such port.
    NoPort(io::Error),
    /// The server was not reached.
    Connect(io::Error),
}

/// Connects from a port below 1024. Blocks, for at most `limit`.
pub(crate) fn connect(address: &SocketAddr, limit: Duration) -> Result<TcpStream, Failure> {
    connect_from(PORTS, address, limit)
}

#[expect(
    clippy::disallowed_methods,
    reason = "which of the ports is tried first is nothing that tests compare"
)]
fn connect_from(
    ports: RangeInclusive<u16>,
    address: &SocketAddr,
    limit: Duration,
) -> Result<TcpStream, Failure> {
    let (low, high) = (*ports.start(), *ports.end());
    let first = rand::rng().random_range(low..=high);
    for port in (first..=high).chain(low..first) {
        let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))
            .map_err(Failure::Connect)?;
        // There are few of these ports: without this, one could not be used for a minute after its
        // connection. What is sent on one has been answered before it is closed.
        socket.set_linger(Some(Duration::ZERO)).map_err(Failure::Connect)?;
        let own: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        match socket.bind(&SocketAddr::new(own, port).into()) {
            Ok(()) => {}
            Err(error) if is_taken(&error) => continue,
            Err(error) => return Err(Failure::NoPort(error)),
        }
        match socket.connect_timeout(&(*address).into(), limit) {
            Ok(()) => return Ok(socket.into()),
            Err(error) if is_taken(&error) => {}
            Err(error) => return Err(Failure::Connect(error)),
        }
    }
    Err(Failure::NoPort(io::Error::new(io::ErrorKind::AddrInUse, "all of them are in use")))
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Returns two ports that are free, one behind the other, above 1024.
    fn free_ports() -> RangeInclusive<u16> {
        loop {
            let low = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if low < u16::MAX && TcpListener::bind(("127.0.0.1", low + 1)).is_ok() {
                return low..=low + 1;
            }
        }
    }

    #[test]
    fn a_connection_comes_from_one_of_the_ports() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let ports = free_ports();
        let mut open = Vec::new();
        for _ in 0..2 {
            let stream = connect_from(ports.clone(), &address, LIMIT).unwrap();
            assert!(ports.contains(&stream.local_addr().unwrap().port()));
            open.push((stream, server.accept().unwrap()));
        }
        let none = connect_from(ports.clone(), &address, LIMIT);
        assert!(matches!(none, Err(Failure::NoPort(_))), "{none:?}");
        // A port can be used again as soon as its connection is closed.
        for _ in 0..20 {
            open.pop();
            let stream = connect_from(ports.clone(), &address, LIMIT).unwrap();
            open.push((stream, server.accept().unwrap()));
        }
    }

    #[test]
    fn a_server_that_does_not_listen_is_not_a_lack_of_ports() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let none = connect_from(free_ports(), &address, LIMIT);
        assert!(matches!(none, Err(Failure::Connect(_))), "{none:?}");
    }
}
