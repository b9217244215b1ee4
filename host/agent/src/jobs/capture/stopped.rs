//! Capturing a stopped instance: its file is read through its format, while a lock prevents a
//! start. A chain of layers is merged into one file first, where the location's settings say so,
//! and is read as one disk otherwise.

use std::time::Duration;

use imprint_agent_protocol::{CaptureAssignment, CaptureResult};
use imprint_domain::consistency::Consistency;
use tracing::info;

use super::upload;
use crate::{
    error::JobError,
    jobs::{
        coalesce::{self, MERGE_PASSES},
        image,
        job::Job,
        layers::chain::Chain,
    },
    machine::storages::Storage,
};

pub(super) async fn run(
    job: &Job,
    assignment: &CaptureAssignment,
    storage: Storage,
) -> Result<CaptureResult, JobError> {
    let mut chain = Chain::open(&job.machine, &assignment.instance).await?;
    if chain.is_chain() {
        let bytes = chain.disk.map().stored_bytes();
        image::require_room(storage.backend.as_ref(), bytes.saturating_add(upload::RESERVED_BYTES)).await?;
        if let Some(timeout_s) = merge_timeout(assignment, &chain) {
            job.control.expect(bytes.saturating_mul(MERGE_PASSES + 1));
            coalesce::merge(job, &assignment.instance, chain, Duration::from_secs(timeout_s.into())).await?;
            chain = Chain::open(&job.machine, &assignment.instance).await?;
        }
    }
    let captured = upload::capture(job, assignment, &storage, &chain.disk, job.control.child_token()).await?;
    let method = if chain.is_chain() { "stopped-chain" } else { "stopped-file" };
    drop(chain);
    Ok(CaptureResult {
        image: upload::stored_image(assignment, &captured.written, Consistency::Stopped)?,
        consistency: Consistency::Stopped,
        downgraded_because: None,
        method: method.to_owned(),
        frozen_ms: 0,
        stopped_ms: 0,
        findings: captured.findings,
    })
}

fn merge_timeout(assignment: &CaptureAssignment, chain: &Chain) -> Option<u32> {
    if chain.has_snapshots {
        info!(instance = %assignment.instance.id, "a layer holds snapshots, which a merge would lose; the chain is not merged");
        return None;
    }
    assignment.coalesce_timeout_s
}
