//! Network cards of instances: how the hypervisor connects one, and where its guest is reached.

use serde::{Deserialize, Serialize};

use crate::{checked_text::checked_text, id::InstanceId, string_enum::string_enum};

/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;

string_enum! {
    /// How a hypervisor connects the network card of an instance.
    pub enum NetworkKind {
        /// The hypervisor's own process speaks for the guest (QEMU's user mode): nothing has to be
        /// set up on the machine, and nobody reaches the guest but through a forwarded port.
        User = "user",
        /// The card is plugged into a bridge of the machine.
        Bridge = "bridge",
    }
}

/// The text is no MAC address or no host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkTextError {
    /// Not six pairs of hexadecimal digits, or an address of a group.
    #[error(
        "a MAC address is six pairs of lower-case hexadecimal digits of one card, such as 02:1f:00:00:00:01"
    )]
    Mac,
    /// A character that neither names nor addresses have, or too many of them.
    #[error(
        "a host is a name or an address: 1 to {MAX_HOST} letters, digits, dots, hyphens and colons, which does not \
         begin with a hyphen"
    )]
    Host,
}

checked_text! {
    check_mac, NetworkTextError;
    /// A MAC address of one card, such as `02:1f:00:00:00:01`, in lower case.
    MacAddress;
}

checked_text! {
    check_host, NetworkTextError;
    /// The name or the address of a machine, without a port.
    HostName;
}

fn check_mac(text: &str) -> Result<(), NetworkTextError> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(is_digit);
    let pairs: Vec<&str> = text.split(':').collect();
    // The lowest bit of the first byte marks the address of a group (IEEE 802).
    let first = pairs.first().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let is_one = first.is_some_and(|byte| byte & 1 == 0);
    if pairs.len() == 6 && pairs.into_iter().all(is_pair) && is_one {
        Ok(())
    } else {
        Err(NetworkTextError::Mac)
    }
}

fn check_host(text: &str) -> Result<(), NetworkTextError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
    // A program would take a leading hyphen for an option.
    if (1..=MAX_HOST).contains(&text.len()) && text.bytes().all(is_plain) && !text.starts_with('-') {
        Ok(())
    } else {
        Err(NetworkTextError::Host)
    }
}

impl MacAddress {
    /// Returns the address of the instance's card: the same at every start, and with 40 bits of the
    /// instance's id different from that of every other instance. It is one of those that belong to
    /// no manufacturer (`02`, locally administered).
    pub fn of(instance: InstanceId) -> Self {
        let bytes = instance.uuid().into_bytes();
        let [.., a, b, c, d, e] = bytes;
        Self(format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}"))
    }
}

/// Where the SSH server of a guest is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshAddress {
    /// The machine.
    pub host: HostName,
    /// The TCP port, which is forwarded to port 22 of the guest.
    pub port: u16,
}

/// The network card of an instance, as its agent made it ready at the last start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// How it is connected.
    pub kind: NetworkKind,
    /// Its address.
    pub mac: MacAddress,
    /// Where its guest is reached by SSH; `None` for a card on a bridge, whose address the network
    /// gives out.
    pub ssh: Option<SshAddress>,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_card_of_an_instance_has_an_address_of_its_own() {
        let of = |id: u128| MacAddress::of(InstanceId::new(Uuid::from_u128(id)));
        assert_eq!(of(0x1f).as_str(), "02:00:00:00:00:1f");
        assert_eq!(of(0x0199_ffff_ffff_7fff_bfff_01ab_23cd_45ef).as_str(), "02:ab:23:cd:45:ef");
        assert_ne!(of(1), of(2));
        let again: MacAddress = of(7).as_str().parse().unwrap();
        assert_eq!(again, of(7));
    }

    #[test]
    fn an_address_that_would_reach_an_option_list_is_refused() {
        let bad_macs = ["", "02:00:00:00:00", "02:00:00:00:00:0g", "02:00:00:00:00:1F", "01:00:5e:00:00:01"];
        for text in bad_macs.into_iter().chain(["02:00:00:00:00:01:02", "02:00:00:00:00:0,"]) {
            assert_eq!(text.parse::<MacAddress>(), Err(NetworkTextError::Mac), "{text}");
        }
        for text in ["", "-oProxyCommand=x", "a b", "a,b", "a/b", &"a".repeat(254)] {
            assert_eq!(text.parse::<HostName>(), Err(NetworkTextError::Host), "{text}");
        }
        for text in ["hv1.example", "127.0.0.1", "2001:db8::1", "xn--bcher-kva.example"] {
            assert!(text.parse::<HostName>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_row_or_a_report_with_a_bad_address_does_not_become_a_network() {
        let text = |mac: &str| format!(r#"{{"kind":"user","mac":"{mac}","ssh":null}}"#);
        assert!(serde_json::from_str::<Network>(&text("02:00:00:00:00:01")).is_ok());
        assert!(serde_json::from_str::<Network>(&text("02:00:00:00:00:01,x")).is_err());
    }
}
