//! The checks of a server by `imprint doctor`.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use imprint_api::dto::{account::Account, hypervisor::AdminHypervisor, storage::ImageStorage};
use imprint_domain::{
    account::Role,
    storage::{HealthClass, StorageRole, StorageState},
};
use serde::Serialize;

use super::{
    api::Api,
    args::Connection,
    failure::Failure,
    output::{Output, size},
    table::Table,
};

/// The largest difference of clocks that keeps expiry times and leases reliable.
const MAX_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(30);

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckResult {
    /// No problem was found.
    Ok,
    /// It works, but the operator should look into it.
    Warning,
    /// It does not work.
    Failed,
}

/// A check and its result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// What was checked.
    pub(crate) name: String,
    /// The result.
    pub(crate) result: CheckResult,
    /// What was found, and what to do about it.
    pub(crate) detail: String,
}

impl Check {
    /// Returns a check without a problem.
    pub(crate) fn ok(name: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self { name: name.to_string(), result: CheckResult::Ok, detail: detail.to_string() }
    }

    /// Returns a check with a warning.
    pub(crate) fn warning(name: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self { name: name.to_string(), result: CheckResult::Warning, detail: detail.to_string() }
    }

    /// Returns a check that failed.
    pub(crate) fn failed(name: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self { name: name.to_string(), result: CheckResult::Failed, detail: detail.to_string() }
    }
}

/// Prints the checks.
///
/// # Errors
///
/// A check failed, or standard output cannot be written.
pub(crate) fn report(checks: &[Check], output: Output) -> Result<(), Failure> {
    output.print(&checks, || {
        let rows = checks.iter().map(|check| {
            let mark = match check.result {
                CheckResult::Ok => "ok",
                CheckResult::Warning => "warning",
                CheckResult::Failed => "FAILED",
            };
            [mark.to_owned(), check.name.clone(), check.detail.clone()]
        });
        Table::list(["RESULT", "CHECK", "FOUND"], rows, "nothing to check")
    })?;
    if checks.iter().any(|check| check.result == CheckResult::Failed) {
        return Err(Failure::Checks);
    }
    Ok(())
}

/// Checks the server that the connection names, with the permissions of its account. Without a
/// server or a token the result is one check that says so.
pub(crate) async fn remote(connection: &Connection) -> Vec<Check> {
    let api = match connection.api() {
        Ok(api) => api,
        Err(failure) => return vec![Check::warning("server", failure)],
    };
    let mut checks = Vec::new();
    match api.send(api.plain("/healthz")).await {
        Ok(response) => {
            checks.push(Check::ok("server", format!("{} answers", api.server())));
            checks.extend(clock(response.headers()));
        }
        Err(failure) => {
            checks.push(Check::failed("server", failure));
            return checks;
        }
    }
    checks.push(match api.send(api.plain("/readyz")).await {
        Ok(_) => Check::ok("database", "the server can use it"),
        Err(failure) => {
            Check::failed("database", format!("the server cannot use it; see the server's log: {failure}"))
        }
    });
    match api.get::<Account>("/account", &[]).await {
        Ok(account) => {
            checks.push(Check::ok("token", format!("signed in as {}", account.name)));
            match account.role {
                Role::Admin => operator(&api, &mut checks).await,
                Role::Customer => {}
            }
        }
        Err(failure) => checks.push(Check::failed("token", failure)),
    }
    checks
}

#[expect(clippy::disallowed_methods, reason = "it compares this machine's clock with the server's")]
fn clock(headers: &reqwest::header::HeaderMap) -> Option<Check> {
    let date = headers.get(reqwest::header::DATE)?.to_str().ok()?;
    let theirs = DateTime::parse_from_rfc2822(date).ok()?.with_timezone(&Utc);
    let difference = (Utc::now() - theirs).abs();
    Some(if difference > MAX_CLOCK_DIFFERENCE {
        let detail = format!(
            "it differs from the server's by {} s; synchronise both with NTP",
            difference.num_seconds()
        );
        Check::warning("clock", detail)
    } else {
        Check::ok("clock", "it agrees with the server's")
    })
}

async fn operator(api: &Api, checks: &mut Vec<Check>) {
    let hypervisors = api.list::<AdminHypervisor>("/admin/hypervisors", &[]).await;
    let storages = api.list::<ImageStorage>("/admin/image-storages", &[]).await;
    let (hypervisors, storages) = match (hypervisors, storages) {
        (Ok(hypervisors), Ok(storages)) => (hypervisors.items, storages.items),
        (Err(failure), _) | (_, Err(failure)) => {
            checks.push(Check::warning("hypervisors and storages", failure));
            return;
        }
    };
    if hypervisors.is_empty() {
        checks.push(Check::warning("hypervisors", "there are none: nothing can be captured or deployed"));
    }
    checks.extend(hypervisors.iter().map(|hypervisor| check_hypervisor(hypervisor, &storages)));
    checks.extend(storages.iter().map(check_storage));
}

fn check_hypervisor(hypervisor: &AdminHypervisor, storages: &[ImageStorage]) -> Check {
    let name = format!("hypervisor {}", hypervisor.name);
    if !hypervisor.online {
        return Check::failed(name, "its agent is offline; see the log of `imprint agent` there");
    }
    if !hypervisor.findings.is_empty() {
        return Check::warning(name, hypervisor.findings.join("; "));
    }
    let keeps_images = |storage: &&ImageStorage| {
        hypervisor.storage_ids.contains(&storage.id) && storage.role == StorageRole::Customer
    };
    if storages.iter().find(keeps_images).is_none() {
        return Check::warning(
            name,
            "no image storage for customers is bound to it; nothing can be captured",
        );
    }
    let version = hypervisor.agent_version.as_deref().unwrap_or("of unknown version");
    Check::ok(name, format!("agent {version}, {} plugins", hypervisor.plugins.len()))
}

fn check_storage(storage: &ImageStorage) -> Check {
    let name = format!("image storage {}", storage.name);
    if storage.hypervisor_ids.is_empty() {
        return Check::warning(name, "it is bound to no hypervisor and cannot be used");
    }
    let room = match (storage.available_bytes, storage.total_bytes) {
        (Some(available), Some(total)) => {
            format!("{} of {} available", size(Some(available)), size(Some(total)))
        }
        (Some(available), None) => format!("{} available", size(Some(available))),
        (None, Some(_) | None) => "it reports no free space".to_owned(),
    };
    let problem = storage.problem.clone().unwrap_or_else(|| room.clone());
    match storage.health {
        HealthClass::Healthy => Check::ok(name, room),
        HealthClass::Unknown => Check::warning(name, "no agent has reported it lately"),
        HealthClass::NearlyFull => Check::warning(name, problem),
        HealthClass::ReadOnly if storage.state == StorageState::Active => Check::failed(name, problem),
        HealthClass::ReadOnly => Check::ok(name, "it is read-only, as its state says"),
        HealthClass::Unreachable => Check::failed(name, problem),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use imprint_domain::id::{HypervisorId, LocationId, StorageId};
    use uuid::Uuid;

    use super::*;

    fn storage() -> ImageStorage {
        ImageStorage {
            id: StorageId::new(Uuid::from_u128(1)),
            name: "images".to_owned(),
            role: StorageRole::Customer,
            kind: "local".to_owned(),
            settings: BTreeMap::new(),
            state: StorageState::Active,
            weight: 100,
            shared_path: false,
            min_free_bytes: None,
            drain_to: None,
            health: HealthClass::Healthy,
            problem: None,
            available_bytes: Some(100),
            total_bytes: Some(1000),
            reserved_bytes: 0,
            seen_at: None,
            hypervisor_ids: vec![HypervisorId::new(Uuid::from_u128(2))],
            secrets: Vec::new(),
            bindings: Vec::new(),
            images: Vec::new(),
            created_at: DateTime::UNIX_EPOCH,
            version: 1,
        }
    }

    fn hypervisor() -> AdminHypervisor {
        AdminHypervisor {
            id: HypervisorId::new(Uuid::from_u128(2)),
            name: "host".to_owned(),
            location_id: LocationId::new(Uuid::from_u128(3)),
            driver: "qemu".to_owned(),
            driver_settings: BTreeMap::new(),
            max_work: 4,
            max_captures: 2,
            limited_imaging_bandwidth: false,
            online: true,
            last_seen_at: None,
            agent_version: Some("0.1.0".to_owned()),
            plugins: BTreeMap::new(),
            findings: Vec::new(),
            object_address: None,
            storage_ids: vec![StorageId::new(Uuid::from_u128(1))],
            version: 1,
        }
    }

    #[test]
    fn problems_of_hypervisors_and_storages_are_found() {
        assert_eq!(check_storage(&storage()).result, CheckResult::Ok);
        for (health, result) in [
            (HealthClass::Unknown, CheckResult::Warning),
            (HealthClass::NearlyFull, CheckResult::Warning),
            (HealthClass::ReadOnly, CheckResult::Failed),
            (HealthClass::Unreachable, CheckResult::Failed),
        ] {
            let found = ImageStorage { health, ..storage() };
            assert_eq!(check_storage(&found).result, result, "{health}");
        }
        let frozen =
            ImageStorage { health: HealthClass::ReadOnly, state: StorageState::ReadOnly, ..storage() };
        assert_eq!(check_storage(&frozen).result, CheckResult::Ok);
        let unbound = ImageStorage { hypervisor_ids: Vec::new(), ..storage() };
        assert_eq!(check_storage(&unbound).result, CheckResult::Warning);

        assert_eq!(check_hypervisor(&hypervisor(), &[storage()]).result, CheckResult::Ok);
        assert_eq!(check_hypervisor(&hypervisor(), &[]).result, CheckResult::Warning);
        let silent = AdminHypervisor { online: false, ..hypervisor() };
        assert_eq!(check_hypervisor(&silent, &[storage()]).result, CheckResult::Failed);
        let lacking = AdminHypervisor { findings: vec!["no KVM".to_owned()], ..hypervisor() };
        assert_eq!(check_hypervisor(&lacking, &[storage()]).result, CheckResult::Warning);
    }
}
