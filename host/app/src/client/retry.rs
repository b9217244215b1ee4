//! Retries: a short network failure should not end a command, and must not do anything twice.

use std::time::Duration;

use super::failure::Failure;

/// The most attempts of one request.
const MAX_ATTEMPTS: u32 = 4;

/// The first pause between attempts; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that the server may ask for; for longer ones the command ends.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Repeats a call while its failure is transient. Only for requests that change nothing, or that
/// have an idempotency key.
pub(crate) async fn retry<T>(mut call: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut attempt = 1;
    loop {
        let failure = match call().await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let Some(pause) = pause(&failure, attempt) else { return Err(failure) };
        tokio::time::sleep(pause).await;
        attempt += 1;
    }
}

fn pause(failure: &Failure, attempt: u32) -> Option<Duration> {
    if attempt >= MAX_ATTEMPTS {
        return None;
    }
    let backoff = PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(8));
    match failure {
        Failure::Unreachable { .. } => Some(backoff),
        Failure::Problem(problem) if problem.status == 503 || problem.code == "idempotency_in_progress" => {
            let wait = problem.retry_after_s.map_or(backoff, Duration::from_secs);
            // An agent or a storage that is away does not come back in seconds.
            (!matches!(problem.code.as_str(), "hypervisor_offline" | "storage_unavailable")
                && wait <= MAX_PAUSE)
                .then_some(wait.max(backoff))
        }
        Failure::Problem(_)
        | Failure::Storage { .. }
        | Failure::Answer { .. }
        | Failure::Task(_)
        | Failure::Usage(_)
        | Failure::NotFound(_)
        | Failure::Declined
        | Failure::NotSignedIn(_)
        | Failure::Checks
        | Failure::Plugin { .. }
        | Failure::Local { .. }
        | Failure::OutputClosed => None,
    }
}
