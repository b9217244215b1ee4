//! Drivers that let running guests give back space.

use std::marker::PhantomData;

use super::host::HypervisorSide;
use crate::{
    bindings::{
        host::imprint::types::types as shapes, reclaim::exports::imprint::hypervisor::reclaim as wit,
    },
    hypervisor::{Reclaim, Reclaiming},
};

/// What `export_reclaim!` exports besides the driver itself.
pub struct SpaceReclaim<H>(PhantomData<H>);

const fn to_host(reclaiming: Reclaiming) -> wit::Reclaiming {
    match reclaiming {
        Reclaiming::Running => wit::Reclaiming::Running,
        Reclaiming::Ended => wit::Reclaiming::Ended,
        Reclaiming::Unavailable => wit::Reclaiming::Unavailable,
    }
}

impl<H: Reclaim> wit::Guest for SpaceReclaim<H> {
    fn start_reclaim(vm_id: String) -> Result<wit::Reclaiming, shapes::Error> {
        Ok(H::start_reclaim(&HypervisorSide, &vm_id).map(to_host)?)
    }

    fn reclaim_status(vm_id: String) -> Result<wit::Reclaiming, shapes::Error> {
        Ok(H::reclaim_status(&HypervisorSide, &vm_id).map(to_host)?)
    }
}
