//! `imprint storage scan`, `scans`, `browse`, `reconcile` and `adopt`: what is really on a storage.

use imprint_api::dto::{
    image::ImageAndTask,
    storage_scan::{
        StorageObject, StorageObjectAdopt, StorageObjectChange, StorageReconcile, StorageReconcileReport,
        StorageScan, StorageScanCreate, StorageScans,
    },
    task::Task,
};
use imprint_domain::{id::StorageId, storage_scan::ScanState};
use reqwest::Method;

use super::{
    api::Api,
    args::{StorageAdoptArgs, StorageBrowseArgs, StorageReconcileArgs, StorageScanArgs},
    failure::Failure,
    find,
    output::{Output, size, text, time},
    table::Table,
    watch::watch,
};
use crate::terminal::note;

fn path(id: StorageId, rest: &str) -> String {
    format!("/admin/image-storages/{id}/{rest}")
}

/// Starts a scan, and shows what it found when it is over.
pub(crate) async fn scan(api: &Api, output: Output, args: StorageScanArgs) -> Result<(), Failure> {
    let id = find::storage(api, &args.storage).await?;
    let hypervisor_id = match args.hypervisor {
        Some(hypervisor) => Some(find::hypervisor(api, &hypervisor).await?),
        None => None,
    };
    let body = StorageScanCreate { deep: args.deep, hypervisor_id };
    let task: Task = api.create(&path(id, "scans"), &body).await?;
    if !args.wait.wait {
        note(&format!("`imprint task show {}` has the progress of the scan", task.id));
        return output.print(&task, || super::task::details(&task));
    }
    let task = watch(api, task).await?;
    let scans: StorageScans = api.get(&path(id, "scans"), &[]).await?;
    let found = scans.items.into_iter().find(|scan| scan.id == task.id);
    let Some(found) = found else { return Ok(()) };
    output.print(&found, || classes(&found))
}

fn classes(scan: &StorageScan) -> Table {
    let rows = scan.classes.iter().map(|count| {
        let fault = if count.fault { "yes" } else { "no" };
        [count.class.to_string(), count.count.to_string(), size(Some(count.bytes)), fault.to_owned()]
    });
    Table::list(["CLASS", "OBJECTS", "SIZE", "FAULT"], rows, "the image storage is empty")
}

/// Lists the latest scans.
pub(crate) async fn scans(api: &Api, output: Output, storage: &str) -> Result<(), Failure> {
    let id = find::storage(api, storage).await?;
    let scans: StorageScans = api.get(&path(id, "scans"), &[]).await?;
    output.print(&scans, || {
        let rows = scans.items.iter().map(|scan| {
            let faults: u64 = scan.classes.iter().filter(|count| count.fault).map(|count| count.count).sum();
            [
                time(Some(scan.started_at)),
                scan.state.to_string(),
                if scan.deep { "yes" } else { "no" }.to_owned(),
                scan.objects.to_string(),
                size(Some(scan.bytes)),
                faults.to_string(),
                scan.id.to_string(),
            ]
        });
        Table::list(["STARTED", "STATE", "DEEP", "OBJECTS", "SIZE", "FAULTS", "ID"], rows, "no scans")
    })
}

/// Lists the objects as the last scan found them.
pub(crate) async fn browse(api: &Api, output: Output, args: StorageBrowseArgs) -> Result<(), Failure> {
    let id = find::storage(api, &args.storage).await?;
    let mut query = Vec::new();
    if !args.class.is_empty() {
        let names: Vec<&str> = args.class.iter().map(|class| class.as_str()).collect();
        query.push(("class", names.join(",")));
    }
    query.extend(args.prefix.map(|prefix| ("prefix", prefix)));
    let objects = api.list::<StorageObject>(&path(id, "objects"), &query).await?;
    output.print(&objects, || {
        let rows = objects.items.iter().map(|object| {
            [
                object.class.to_string(),
                size(object.size_bytes),
                time(object.modified_at),
                text(object.image.as_ref().map(|image| image.name.as_str())),
                object.key.clone(),
            ]
        });
        let empty = "no such objects; `imprint storage scan` looks what is there";
        Table::list(["CLASS", "SIZE", "CHANGED", "IMAGE", "KEY"], rows, empty)
    })
}

/// Shows what would be done about what the last scan found, or does it.
pub(crate) async fn reconcile(api: &Api, output: Output, args: StorageReconcileArgs) -> Result<(), Failure> {
    let id = find::storage(api, &args.storage).await?;
    let scans: StorageScans = api.get(&path(id, "scans"), &[]).await?;
    let last = scans.items.iter().find(|scan| scan.state == ScanState::Complete);
    let last = last.ok_or_else(|| {
        Failure::Usage(format!("scan it first: `imprint storage scan {} --wait`", args.storage))
    })?;
    let mut changes: Vec<StorageObjectChange> = args
        .classes
        .into_iter()
        .map(|(class, action)| StorageObjectChange { action, class: Some(class), keys: None })
        .collect();
    for (action, key) in args.keys {
        match changes.iter_mut().find(|change| change.action == action && change.keys.is_some()) {
            Some(StorageObjectChange { keys: Some(keys), .. }) => keys.push(key),
            Some(_) | None => {
                changes.push(StorageObjectChange { action, class: None, keys: Some(vec![key]) });
            }
        }
    }
    let body = StorageReconcile { scan_id: last.id, changes, dry_run: !args.apply };
    let request = api.request(Method::POST, &path(id, "actions/reconcile")).json(&body);
    let report: StorageReconcileReport = api.once(request).await?;
    output.print(&report, || plan(&report))?;
    for refused in &report.refused {
        note(&format!("left alone: {}: {}", refused.key, refused.reason));
    }
    if report.more {
        note("there are more; run the command again for the next ones");
    }
    if report.dry_run && !report.entries.is_empty() {
        note("this is a plan, and nothing was changed; do it with --apply");
    }
    Ok(())
}

fn plan(report: &StorageReconcileReport) -> Table {
    let rows = report.entries.iter().map(|entry| {
        [
            entry.action.to_string(),
            entry.class.to_string(),
            entry.count.to_string(),
            size(Some(entry.bytes)),
            text(entry.keys.first()),
        ]
    });
    Table::list(["ACTION", "CLASS", "OBJECTS", "SIZE", "FIRST"], rows, "there is nothing to do")
}

/// Makes an image of an object.
pub(crate) async fn adopt(api: &Api, output: Output, args: StorageAdoptArgs) -> Result<(), Failure> {
    let id = find::storage(api, &args.storage).await?;
    let account_id = match args.account {
        Some(account) => Some(find::account(api, &account).await?),
        None => None,
    };
    let body = StorageObjectAdopt {
        key: args.key,
        name: args.name,
        description: String::new(),
        format: args.format,
        location_id: find::location(api, &args.location).await?,
        account_id,
    };
    let made: ImageAndTask = api.create(&path(id, "actions/adopt"), &body).await?;
    if args.wait.wait {
        watch(api, made.task.clone()).await?;
    }
    note(&format!("`imprint image show {}` shows the image", made.image.id));
    output.print(&made, || super::task::details(&made.task))
}
