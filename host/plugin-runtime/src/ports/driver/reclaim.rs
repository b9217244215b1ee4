//! Space that running guests give back, for drivers that export it.

use imprint_ports::{PortError, Reclaiming};

use super::{ComponentDriver, Opened, Subject};
use crate::{
    bindings::reclaim::{
        Reclaiming as Bindings, ReclaimingPre, exports::imprint::hypervisor::reclaim as wit,
    },
    instance::{call, port_error},
    state::State,
};

const fn from_plugin(answer: wit::Reclaiming) -> Reclaiming {
    match answer {
        wit::Reclaiming::Running => Reclaiming::Running,
        wit::Reclaiming::Ended => Reclaiming::Ended,
        wit::Reclaiming::Unavailable => Reclaiming::Unavailable,
    }
}

impl ComponentDriver {
    async fn instantiate(
        &self,
        reclaim: &ReclaimingPre<State>,
        vm_id: &str,
    ) -> Result<(Opened, Bindings), PortError> {
        let mut opened = self.open(Subject::vm(vm_id)).await?;
        let bindings = call!(opened.instance, "start", |store| reclaim.instantiate_async(store))?;
        Ok((opened, bindings))
    }

    pub(super) async fn start_reclaim_of(&self, vm_id: &str) -> Result<Reclaiming, PortError> {
        let Some(reclaim) = &self.reclaim else { return Ok(Reclaiming::Unavailable) };
        let (mut opened, bindings) = self.instantiate(reclaim, vm_id).await?;
        let reclaim = bindings.imprint_hypervisor_reclaim();
        let answer =
            call!(opened.instance, "start-reclaim", |store| reclaim.call_start_reclaim(store, vm_id));
        self.reclaimed(opened, answer).await
    }

    pub(super) async fn reclaim_status_of(&self, vm_id: &str) -> Result<Reclaiming, PortError> {
        let Some(reclaim) = &self.reclaim else { return Ok(Reclaiming::Unavailable) };
        let (mut opened, bindings) = self.instantiate(reclaim, vm_id).await?;
        let reclaim = bindings.imprint_hypervisor_reclaim();
        let answer =
            call!(opened.instance, "reclaim-status", |store| reclaim.call_reclaim_status(store, vm_id));
        self.reclaimed(opened, answer).await
    }

    /// Ends a call, and returns its answer.
    async fn reclaimed(
        &self,
        opened: Opened,
        answer: Result<Result<wit::Reclaiming, wit::Error>, PortError>,
    ) -> Result<Reclaiming, PortError> {
        opened.end().await;
        answer?.map(from_plugin).map_err(|error| port_error(&self.plugin.context, &error))
    }
}
