//! Capturing a stopped instance: its file is read through its format, while a lock keeps others
//! from starting it. A chain of layers is merged into one file first, where the operator wants
//! that, or else is read as one disk.

use std::{sync::Arc, time::Duration};

use imprint_agent_protocol::{CaptureResult, CaptureWork};
use imprint_domain::consistency::Consistency;
use imprint_ports::StorageBackend;
use tracing::info;

use crate::{
    coalesce::{self, PASSES},
    error::Halt,
    image,
    job::Job,
    layers::Chain,
};

pub(super) async fn run(
    job: &Job,
    work: &CaptureWork,
    storage: Arc<dyn StorageBackend>,
) -> Result<CaptureResult, Halt> {
    let mut chain = Chain::open(job, &work.instance).await?;
    if chain.is_chain() {
        let bytes = chain.disk.map().stored_bytes();
        image::require_room(storage.as_ref(), bytes.saturating_add(super::RESERVE)).await?;
        if let Some(timeout_s) = merge_within(work, &chain) {
            job.control.expect(bytes.saturating_mul(PASSES + 1));
            coalesce::merge(job, &work.instance, chain, Duration::from_secs(timeout_s.into())).await?;
            chain = Chain::open(job, &work.instance).await?;
        }
    }
    let written = super::store(job, work, storage.as_ref(), &chain.disk, job.control.child_token()).await?;
    let method = if chain.is_chain() { "stopped-chain" } else { "stopped-file" };
    drop(chain);
    Ok(CaptureResult {
        image: super::stored_image(work, &written, Consistency::Stopped)?,
        consistency: Consistency::Stopped,
        downgraded_because: None,
        method: method.to_owned(),
        frozen_ms: 0,
        stopped_ms: 0,
    })
}

fn merge_within(work: &CaptureWork, chain: &Chain) -> Option<u32> {
    if chain.has_snapshots {
        info!(instance = %work.instance.id, "a layer holds snapshots, which a merge would lose; the chain is read as it is");
        return None;
    }
    work.coalesce_timeout_s
}
