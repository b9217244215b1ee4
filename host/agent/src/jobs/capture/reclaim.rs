//! The guest gives back the space that its file systems do not use any more, before its disk is
//! captured (S31): the image is smaller, and fits where it would not have.
//!
//! A guest's agent answers nothing while it trims, so that it could not freeze either: the capture
//! waits for it, up to a limit. What has begun goes on in the guest, also when the capture is
//! cancelled or refused meanwhile.

use std::time::Duration;

use imprint_agent_protocol::CaptureAssignment;
use imprint_ports::{Driver, Reclaiming};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::{error::JobError, jobs::job::Job};

/// The time between two questions.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// How the guest has got on when the capture begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reclaimed {
    /// Nothing goes on in the guest.
    Settled,
    /// The guest still gives back space.
    Unfinished,
}

/// Asks the guest, and waits for it. A failure is no failure of the capture.
pub(super) async fn reclaim(
    job: &Job,
    assignment: &CaptureAssignment,
    driver: &dyn Driver,
) -> Result<Reclaimed, JobError> {
    let limit = Duration::from_secs(assignment.reclaim_limit_s.into());
    if limit.is_zero() {
        return Ok(Reclaimed::Settled);
    }
    let vm = assignment.instance.id.to_string();
    let until = Instant::now() + limit;
    let mut answer = job.control.unless_stopped(driver.start_reclaim(&vm)).await?;
    loop {
        match answer {
            Ok(Reclaiming::Running) if Instant::now() < until => {}
            Ok(Reclaiming::Running) => {
                info!(
                    vm,
                    limit_s = limit.as_secs(),
                    "the guest still gives back space; the capture continues"
                );
                return Ok(Reclaimed::Unfinished);
            }
            Ok(Reclaiming::Ended | Reclaiming::Unavailable) => return Ok(Reclaimed::Settled),
            Err(error) => {
                warn!(vm, %error, "the guest cannot give back space; the capture continues");
                return Ok(Reclaimed::Settled);
            }
        }
        job.control.unless_stopped(sleep(ASK_INTERVAL)).await?;
        answer = job.control.unless_stopped(driver.reclaim_status(&vm)).await?;
    }
}

impl Reclaimed {
    /// Adds to the reason for a lower consistency that the guest was still busy.
    pub(super) fn explain(self, reason: Option<String>) -> Option<String> {
        match self {
            Self::Settled => reason,
            Self::Unfinished => reason.map(|reason| {
                format!("the guest was still giving back unused space, and its agent answers nothing meanwhile ({reason}); wait until it has ended, or let captures wait longer with the location's reclaim limit")
            }),
        }
    }
}
