//! Network cards of instances: what the settings of the driver say about them, made ready before a
//! start.
//!
//! | setting | value |
//! |---|---|
//! | `network` | `none`, which is the default, `user` or `bridge` |
//! | `bridge` | the bridge of this machine that cards are plugged into |
//! | `ssh-address` | the IPv4 address at which ports for SSH are opened; 127.0.0.1 by default |
//! | `ssh-ports` | the first and the last of them; `22000-22999` by default |
//! | `ssh-host` | the name or address that is shown to customers; `ssh-address` by default |
//! | `outgoing` | `on` where guests reach this machine and what it reaches; `off` by default |
//!
//! The driver gets `network` (`none`, `user`, `tap`), `mac`, `forward-ssh` (`ADDRESS:PORT`) and
//! `tap` (the name of a device that is there) instead of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use imprint_domain::{
    id::InstanceId,
    network::{HostName, MacAddress, Network, NetworkKind, SshAddress},
    task_error::TaskErrorCode,
};
use imprint_ports::Props;
use rustix::process::getuid;
use tracing::warn;

use crate::{durable, error::JobError};

/// The name of the file with the card of an instance.
pub(crate) const NETWORK_FILE: &str = "network.json";

const DEFAULT_PORTS: RangeInclusive<u16> = 22_000..=22_999;
/// The longest name of a network device, in bytes (`IFNAMSIZ` without the zero at its end).
const MAX_DEVICE_NAME: usize = 15;
/// Where Debian and others have the program of iproute2.
const IP_PROGRAMS: [&str; 4] = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];

/// Two instances that start at once choose their ports one after the other.
static CHOICE: Mutex<()> = Mutex::new(());

/// A problem with a network card; it names the setting, or what is missing on the machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("the setting `{setting}` of the driver is `{value}`: {expected}")]
    Setting { setting: &'static str, value: String, expected: &'static str },
    #[error("the setting `network` of the driver is `bridge`, and `bridge` does not name one")]
    NoBridgeNamed,
    #[error(
        "`{0}` is not a bridge of this machine; create it, or correct the setting `bridge` of the driver"
    )]
    NoBridge(String),
    #[error(
        "no port of `ssh-ports`, {} to {}, is free at {address}; give the driver a larger range", ports.start(), ports.end()
    )]
    NoPort { address: Ipv4Addr, ports: RangeInclusive<u16> },
    #[error("the program `ip` is missing; install iproute2")]
    NoProgram,
    #[error("`ip {arguments}` failed: {problem}; the agent needs CAP_NET_ADMIN for cards on a bridge")]
    Program { arguments: String, problem: String },
    #[error("cannot keep the network card of the instance: {0}")]
    File(#[from] io::Error),
}

impl From<NetworkError> for JobError {
    fn from(error: NetworkError) -> Self {
        Self::failed(TaskErrorCode::NetworkNotReady, error.to_string())
    }
}

/// What the settings of a driver say.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    None,
    User { address: Ipv4Addr, ports: RangeInclusive<u16>, host: HostName },
    Bridge(String),
}

impl Wanted {
    fn parse(settings: &BTreeMap<String, String>) -> Result<Self, NetworkError> {
        let text = |setting: &str| settings.get(setting).map(String::as_str);
        match text("network").unwrap_or("none") {
            "none" => Ok(Self::None),
            "user" => Self::parse_user(text),
            "bridge" => {
                let bridge = text("bridge").ok_or(NetworkError::NoBridgeNamed)?;
                let expected = "give the name of a bridge, such as br0";
                // It becomes a path and an argument.
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                let is_name = (1..=MAX_DEVICE_NAME).contains(&bridge.len())
                    && bridge.bytes().all(plain)
                    && !bridge.starts_with('-');
                if is_name {
                    Ok(Self::Bridge(bridge.to_owned()))
                } else {
                    Err(bad("bridge", bridge, expected))
                }
            }
            other => Err(bad("network", other, "use none, user or bridge")),
        }
    }

    fn parse_user<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Result<Self, NetworkError> {
        let address = match text("ssh-address") {
            Some(value) => value.parse().map_err(|_| bad("ssh-address", value, "give an IPv4 address"))?,
            None => Ipv4Addr::LOCALHOST,
        };
        let ports = match text("ssh-ports") {
            Some(value) => parse_ports(value)
                .ok_or_else(|| bad("ssh-ports", value, "give two ports from 1024 on, such as 22000-22999"))?,
            None => DEFAULT_PORTS,
        };
        let host = match text("ssh-host") {
            Some(value) => value
                .parse()
                .map_err(|_| bad("ssh-host", value, "give a name or an address, without a port"))?,
            None if address.is_unspecified() => {
                let expected = "that is every address; name the one that customers use as `ssh-host`";
                return Err(bad("ssh-address", &address.to_string(), expected));
            }
            None => address
                .to_string()
                .parse()
                .map_err(|_| bad("ssh-address", &address.to_string(), "give an IPv4 address"))?,
        };
        Ok(Self::User { address, ports, host })
    }
}

fn bad(setting: &'static str, value: &str, expected: &'static str) -> NetworkError {
    NetworkError::Setting { setting, value: value.to_owned(), expected }
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (1024 <= first && first <= last).then_some(first..=last)
}

/// An instance on this machine: its id and its folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) id: InstanceId,
    pub(crate) folder: &'a Path,
}

impl Place<'_> {
    fn file(self) -> PathBuf {
        self.folder.join(NETWORK_FILE)
    }
}

/// A card that is ready, and what the driver is given for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) network: Option<Network>,
    pub(crate) options: Props,
}

/// Makes the card of an instance ready that is about to start: chooses a port, or creates the
/// device on the bridge. The same port is chosen again while it is free. Blocks.
pub(crate) fn make_ready(
    place: Place<'_>,
    others: &[Place<'_>],
    settings: &BTreeMap<String, String>,
) -> Result<Card, NetworkError> {
    let wanted = Wanted::parse(settings)?;
    let _one_at_a_time = CHOICE.lock().unwrap_or_else(PoisonError::into_inner);
    let mac = MacAddress::of(place.id);
    let mut options = Props::from([("mac".to_owned(), mac.to_string())]);
    let network = match wanted {
        Wanted::None => {
            let options = Props::from([("network".to_owned(), "none".to_owned())]);
            durable::remove_file(&place.file())?;
            return Ok(Card { network: None, options });
        }
        Wanted::User { address, ports, host } => {
            let port = choose_port(place, others, address, ports)?;
            options.insert("network".to_owned(), "user".to_owned());
            options.insert("forward-ssh".to_owned(), SocketAddrV4::new(address, port).to_string());
            Network { kind: NetworkKind::User, mac, ssh: Some(SshAddress { host, port }) }
        }
        Wanted::Bridge(bridge) => {
            let device = device_name(place.id);
            plug(&device, &bridge)?;
            options.insert("network".to_owned(), "tap".to_owned());
            options.insert("tap".to_owned(), device);
            Network { kind: NetworkKind::Bridge, mac, ssh: None }
        }
    };
    durable::write(&place.file(), &serde_json::to_vec(&network).map_err(io::Error::other)?)?;
    Ok(Card { network: Some(network), options })
}

/// Returns the card that was made ready for the last start; `None` if the instance has none.
/// Blocks.
pub(crate) fn last(place: Place<'_>) -> Option<Network> {
    let id = place.id;
    let bytes = match fs::read(place.file()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn!(instance = %id, %error, "cannot read the network card of an instance");
            return None;
        }
    };
    let read = serde_json::from_slice(&bytes);
    read.inspect_err(|error| warn!(instance = %id, %error, "the network card of an instance is damaged")).ok()
}

/// Removes the device of an instance that does not run any more, if it has one. Blocks.
pub(crate) fn unplug(id: InstanceId) {
    let device = device_name(id);
    if !device_path(&device).exists() {
        return;
    }
    if let Err(error) = ip(&["link", "delete", "dev", &device]) {
        warn!(instance = %id, %error, "cannot remove the network device of an instance");
    }
}

fn choose_port(
    place: Place<'_>,
    others: &[Place<'_>],
    address: Ipv4Addr,
    ports: RangeInclusive<u16>,
) -> Result<u16, NetworkError> {
    let port_of = |place: Place<'_>| last(place).and_then(|network| network.ssh).map(|ssh| ssh.port);
    // Also of those that are off: their owners know them by their ports.
    let taken: BTreeSet<u16> =
        others.iter().filter(|other| other.id != place.id).filter_map(|other| port_of(*other)).collect();
    let earlier = port_of(place).filter(|port| ports.contains(port));
    let is_free =
        |port: &u16| !taken.contains(port) && TcpListener::bind(SocketAddrV4::new(address, *port)).is_ok();
    // Each begins elsewhere: agents of one machine, which do not know of each other, would choose
    // the same one between this check and the start of the instance.
    let id = place.id.uuid().into_bytes();
    let offset =
        id.into_iter().fold(0_usize, |sum, byte| sum.wrapping_mul(7).wrapping_add(usize::from(byte)));
    let (before, from) = (ports.clone().take(offset % ports.len()), ports.clone().skip(offset % ports.len()));
    let found = earlier.into_iter().chain(from).chain(before).find(is_free);
    found.ok_or(NetworkError::NoPort { address, ports })
}

/// Returns the name of an instance's device: 15 bytes, the last twelve digits of its id among them.
fn device_name(id: InstanceId) -> String {
    let digits = id.uuid().simple().to_string();
    format!("imp{}", &digits[digits.len() - 12..])
}

fn device_path(device: &str) -> PathBuf {
    Path::new("/sys/class/net").join(device)
}

fn plug(device: &str, bridge: &str) -> Result<(), NetworkError> {
    if !device_path(bridge).join("bridge").is_dir() {
        return Err(NetworkError::NoBridge(bridge.to_owned()));
    }
    if !device_path(device).exists() {
        let user = getuid().as_raw().to_string();
        ip(&["tuntap", "add", "dev", device, "mode", "tap", "user", &user])?;
    }
    ip(&["link", "set", "dev", device, "master", bridge, "up"])
}

fn ip(arguments: &[&str]) -> Result<(), NetworkError> {
    let program = IP_PROGRAMS.iter().find(|path| Path::new(path).exists()).ok_or(NetworkError::NoProgram)?;
    let failed = |problem: String| NetworkError::Program { arguments: arguments.join(" "), problem };
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).env_clear().output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn settings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn instance(&self, id: u128) -> (InstanceId, PathBuf) {
            let id = InstanceId::new(Uuid::from_u128(id));
            let folder = self.0.path().join(id.to_string());
            fs::create_dir_all(&folder).unwrap();
            (id, folder)
        }
    }

    fn place((id, folder): &(InstanceId, PathBuf)) -> Place<'_> {
        Place { id: *id, folder }
    }

    /// Ports that were free a moment ago.
    fn free_ports(count: u16) -> RangeInclusive<u16> {
        let first = (23_000..60_000_u16).step_by(usize::from(count)).find(|first| {
            (*first..first + count).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        });
        let first = first.unwrap();
        first..=first + count - 1
    }

    #[test]
    fn an_instance_keeps_its_port_and_shares_it_with_no_other() {
        let machine = Machine::new();
        let ports = free_ports(2);
        let range = format!("{}-{}", ports.start(), ports.end());
        let wanted = settings([("network", "user"), ("ssh-ports", &range), ("ssh-host", "hv1.example")]);
        let (first, second, third) = (machine.instance(1), machine.instance(2), machine.instance(3));
        let all = [place(&first), place(&second), place(&third)];
        let port = |dir: &(InstanceId, PathBuf)| {
            let card = make_ready(place(dir), &all, &wanted).unwrap();
            let ssh = card.network.as_ref().unwrap().ssh.clone().unwrap();
            assert_eq!(ssh.host.as_str(), "hv1.example");
            assert_eq!(card.options["forward-ssh"], format!("127.0.0.1:{}", ssh.port));
            assert_eq!(card.options["mac"], MacAddress::of(dir.0).to_string());
            assert_eq!(last(place(dir)), card.network);
            ssh.port
        };
        let chosen = (port(&second), port(&first));
        assert_eq!(BTreeSet::from([chosen.0, chosen.1]), ports.collect());
        // Neither runs, and both keep what their owners know them by.
        assert_eq!((port(&second), port(&first)), chosen);
        let refused = make_ready(place(&third), &all, &wanted).unwrap_err();
        assert!(matches!(refused, NetworkError::NoPort { .. }), "{refused}");
    }

    #[test]
    fn a_port_that_another_program_has_is_not_chosen() {
        let machine = Machine::new();
        let ports = free_ports(2);
        let wanted =
            settings([("network", "user"), ("ssh-ports", &format!("{}-{}", ports.start(), ports.end()))]);
        let dir = machine.instance(1);
        let _holder = TcpListener::bind((Ipv4Addr::LOCALHOST, *ports.start())).unwrap();
        let card = make_ready(place(&dir), &[place(&dir)], &wanted).unwrap();
        assert_eq!(card.network.unwrap().ssh.unwrap().port, *ports.end());
    }

    #[test]
    fn without_the_setting_there_is_no_card() {
        let machine = Machine::new();
        let dir = machine.instance(1);
        fs::write(place(&dir).file(), "{").unwrap();
        assert_eq!(last(place(&dir)), None);
        let card = make_ready(place(&dir), &[], &BTreeMap::new()).unwrap();
        assert_eq!((card.network, card.options["network"].as_str()), (None, "none"));
        assert!(!place(&dir).file().exists());
        unplug(dir.0);
    }

    #[test]
    fn a_bad_setting_is_named() {
        let refused = [
            (settings([("network", "vlan")]), "`network`"),
            (settings([("network", "bridge")]), "`bridge`"),
            (settings([("network", "bridge"), ("bridge", "../br0")]), "`bridge`"),
            (settings([("network", "bridge"), ("bridge", "-x")]), "`bridge`"),
            (settings([("network", "user"), ("ssh-address", "localhost")]), "`ssh-address`"),
            (settings([("network", "user"), ("ssh-address", "0.0.0.0")]), "`ssh-host`"),
            (settings([("network", "user"), ("ssh-ports", "22-23")]), "`ssh-ports`"),
            (settings([("network", "user"), ("ssh-ports", "23000-22000")]), "`ssh-ports`"),
            (settings([("network", "user"), ("ssh-host", "-oX")]), "`ssh-host`"),
        ];
        for (settings, name) in refused {
            let error = Wanted::parse(&settings).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let missing = settings([("network", "bridge"), ("bridge", "no-such-bridge")]);
        let machine = Machine::new();
        let error = make_ready(place(&machine.instance(1)), &[], &missing).unwrap_err();
        assert!(matches!(error, NetworkError::NoBridge(_)), "{error}");
    }

    #[test]
    fn names_of_devices_are_as_long_as_the_system_permits() {
        let name = device_name(InstanceId::new(Uuid::from_u128(0xab)));
        assert_eq!((name.as_str(), name.len()), ("imp0000000000ab", MAX_DEVICE_NAME));
    }
}
