//! Instances that a client knows the ids of, such as those that tasks refer to.

use imprint_domain::{Code, Error, id::InstanceId};
use imprint_store::instance;

use crate::{
    InstanceView, MAX_IDS, Op, Page, Service,
    db_result::DbResult,
    instances::{capture_facts::Shared, instance::view_one_of},
};

impl Service {
    /// Returns those of the instances that are visible to the actor, latest first.
    pub(super) async fn instances_of_ids(
        &self,
        op: &Op,
        ids: &[InstanceId],
    ) -> Result<Page<InstanceView>, Error> {
        if ids.len() > MAX_IDS {
            return Err(Error::new(Code::InvalidRequest, format!("at most {MAX_IDS} ids at once")).at("?ids"));
        }
        let conn = self.read();
        let (now, mut shared) = (self.now(), Shared::default());
        let mut items = Vec::new();
        for record in instance::of_ids(&conn, ids).await.db()? {
            if op.sees(record.instance.account_id) {
                items.push(view_one_of(&conn, &record, now, &mut shared).await?);
            }
        }
        Ok(Page { items, next_page_token: None })
    }
}
