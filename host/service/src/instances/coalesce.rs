//! Coalescing outside of an image creation (S50), and the error of one that took too long.

use imprint_domain::{Error, coalesce, id::InstanceId, rules, task::TaskKind};

use crate::{
    InstanceTask, Op, Service, catalogue::hypervisor, change::Change, idempotency, instances::instance,
    validate::require_idle,
};

impl Service {
    /// Merges the layers of a stopped instance's disk into one file. Admins only; the task belongs
    /// to the owner of the instance.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::NotFound`] for what does not exist or is not visible; the codes of
    /// [`imprint_domain::rules`]; an error of the database.
    pub async fn instance_coalesce(&self, op: &Op, id: InstanceId) -> Result<InstanceTask, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        let record = instance::visible(&change.conn(), op, id).await?;
        coalesce::require_mergeable(&record.instance)?;
        require_idle(&change.conn(), id).await?;
        let host = hypervisor::get(&change.conn(), record.instance.hypervisor_id).await?.hypervisor;
        rules::require_online(&host, change.now)?;
        let answer = instance::queue(&mut change, op, record, TaskKind::InstanceCoalesce).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }
}
