//! Which addresses beyond those of the public internet may be connected to.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

/// The private networks that may be connected to: this machine's addresses, those of its networks,
/// and whatever else is no part of the public internet (RFC 6890).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PrivateNetworks {
    /// None of them.
    #[default]
    None,
    /// Those that are listed.
    Listed(Arc<[IpNet]>),
    /// All of them.
    All,
}

impl PrivateNetworks {
    /// Returns whether an address that is no part of the public internet may be connected to. An
    /// IPv4 address within IPv6 is the IPv4 address.
    pub fn permit(&self, address: IpAddr) -> bool {
        match self {
            Self::None => false,
            Self::Listed(networks) => {
                let address = address.to_canonical();
                networks.iter().any(|network| network.contains(&address))
            }
            Self::All => true,
        }
    }
}

impl From<bool> for PrivateNetworks {
    /// Returns all for `true` and none for `false`.
    fn from(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_permits_what_is_in_it() {
        let listed = ["10.20.0.0/16", "fd00::/8", "127.0.0.1/32"].map(|text| text.parse().unwrap());
        let listed = PrivateNetworks::Listed(listed.into());
        for (address, is_permitted) in [
            ("10.20.255.1", true),
            ("10.21.0.1", false),
            ("::ffff:10.20.0.1", true),
            ("::ffff:10.21.0.1", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("169.254.169.254", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(listed.permit(address), is_permitted, "{address}");
            assert!(PrivateNetworks::All.permit(address) && !PrivateNetworks::None.permit(address));
        }
    }
}
