//! The network card of an instance, from the options of its launch.

use std::net::SocketAddrV4;

use imprint_plugin_sdk::types::Props;

use crate::{
    error::Fault,
    option::{choice, switch},
};

/// The port of SSH servers (RFC 4251, section 4).
const SSH_PORT: u16 = 22;
/// The longest name of a network device, in bytes (`IFNAMSIZ` without the zero at its end).
const MAX_DEVICE_NAME: usize = 15;

/// The other end of the card.
enum Wire {
    None,
    /// QEMU's user mode: a network of its own that QEMU speaks for.
    User,
    /// A device of the machine.
    Tap,
}

/// A network card.
pub(crate) struct Card {
    wire: Wire,
    /// The address of the card; `None` leaves it to QEMU, which gives every guest the same.
    pub(crate) mac: Option<String>,
    /// The address and port at which the guest's SSH server is reached.
    forward_ssh: Option<SocketAddrV4>,
    /// The name of the device, for [`Wire::Tap`].
    tap: Option<String>,
    /// Whether the guest reaches the machine, and what the machine reaches.
    outgoing: bool,
}

impl Card {
    pub(crate) fn parse(props: &Props) -> Result<Self, Fault> {
        let mut card = Self { wire: Wire::None, mac: None, forward_ssh: None, tap: None, outgoing: false };
        for (key, value) in props {
            match key.as_str() {
                "network" => {
                    card.wire = match choice(key, value, &["none", "user", "tap"])? {
                        "user" => Wire::User,
                        "tap" => Wire::Tap,
                        _ => Wire::None,
                    };
                }
                "mac" => card.mac = Some(mac(value)?),
                "forward-ssh" => {
                    let address = value.parse().map_err(|_| {
                        invalid(format!("`{key}` is an IPv4 address and a port, such as 127.0.0.1:22000"))
                    })?;
                    card.forward_ssh = Some(address);
                }
                "tap" => card.tap = Some(device(value)?),
                "outgoing" => card.outgoing = switch(key, value)?,
                _ => {}
            }
        }
        if matches!(card.wire, Wire::Tap) && card.tap.is_none() {
            return Err(invalid("`network` is `tap`, and `tap` does not name the device".to_owned()));
        }
        Ok(card)
    }

    /// Returns the value of `-netdev`; `None` for no card.
    pub(crate) fn host_end(&self) -> Option<String> {
        match &self.wire {
            Wire::None => None,
            Wire::User => {
                // Without the restriction a guest reaches every server that listens on the
                // machine's loopback: QEMU connects for it.
                let restrict = if self.outgoing { "off" } else { "on" };
                let mut end = format!("user,id=net0,restrict={restrict}");
                if let Some(address) = self.forward_ssh {
                    end.push_str(&format!(",hostfwd=tcp:{}:{}-:{SSH_PORT}", address.ip(), address.port()));
                }
                Some(end)
            }
            // No scripts: the device is ready, and the sandbox lets QEMU start nothing.
            Wire::Tap => {
                self.tap.as_ref().map(|device| format!("tap,id=net0,ifname={device},script=no,downscript=no"))
            }
        }
    }
}

fn invalid(problem: String) -> Fault {
    Fault::Invalid { what: "option", problem }
}

fn mac(value: &str) -> Result<String, Fault> {
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    if value.split(':').count() == 6 && value.split(':').all(is_pair) {
        Ok(value.to_owned())
    } else {
        Err(invalid("`mac` is six pairs of hexadecimal digits, such as 02:00:00:00:00:01".to_owned()))
    }
}

fn device(value: &str) -> Result<String, Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=MAX_DEVICE_NAME).contains(&value.len()) && value.bytes().all(plain) {
        Ok(value.to_owned())
    } else {
        let problem = format!("`tap` is the name of a device, 1 to {MAX_DEVICE_NAME} letters and digits");
        Err(invalid(problem))
    }
}
