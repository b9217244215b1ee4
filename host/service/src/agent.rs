//! The agents' side: the protocol that `service` implements.

use std::sync::Arc;

use imprint_agent_protocol::{ControlPlane, Peer};

use crate::Service;

pub(crate) fn handle(service: &Service, peer: Peer) -> Arc<dyn ControlPlane> {
    pending!(service, peer)
}
