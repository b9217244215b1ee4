//! `imprint storage ...`.

use std::collections::BTreeMap;

use imprint_api::dto::storage::{ImageStorage, ImageStorageCreate, ImageStoragePatch, StorageBinding};
use imprint_domain::{id::StorageId, size::ByteSize, storage::StorageState};
use reqwest::{Method, header};

use super::{
    api::Api,
    args::{StorageArgs, StorageCommand, StorageCreateArgs, StorageEditArgs, StorageListArgs},
    confirm::confirm_deletion,
    failure::Failure,
    find,
    output::{Output, size, text, time},
    storage_download, storage_scan, storage_test,
    table::Table,
};
use crate::terminal::note;

pub(crate) async fn run(args: StorageArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        StorageCommand::List(args) => list(&api, output, args).await,
        StorageCommand::Show { storage } => {
            let id = find::storage(&api, &storage).await?;
            let storage: ImageStorage = api.get(&path(id), &[]).await?;
            output.print(&storage, || details(&storage))
        }
        StorageCommand::Test(args) => storage_test::test(&api, output, args).await,
        StorageCommand::Scan(args) => storage_scan::scan(&api, output, args).await,
        StorageCommand::Scans { storage } => storage_scan::scans(&api, output, &storage).await,
        StorageCommand::Download(args) => storage_download::run(&api, output, &args).await,
        StorageCommand::Browse(args) => storage_scan::browse(&api, output, args).await,
        StorageCommand::Reconcile(args) => storage_scan::reconcile(&api, output, args).await,
        StorageCommand::Adopt(args) => storage_scan::adopt(&api, output, args).await,
        StorageCommand::Kinds => storage_test::kinds(&api, output).await,
        StorageCommand::Secrets(args) => {
            let storage = storage_test::change_secrets(&api, args).await?;
            output.print(&storage, || details(&storage))
        }
        StorageCommand::Create(args) => create(&api, output, args).await,
        StorageCommand::Edit(args) => edit(&api, output, args).await,
        StorageCommand::Bind { storage, hypervisor } => {
            let path = binding(&api, &storage, &hypervisor).await?;
            let storage: ImageStorage = api.once(api.request(Method::PUT, &path)).await?;
            output.print(&storage, || details(&storage))
        }
        StorageCommand::Unbind { storage, hypervisor, force } => {
            let path = binding(&api, &storage, &hypervisor).await?;
            let request = api.request(Method::DELETE, &path).query(&[("force", force)]);
            let storage: ImageStorage = api.once(request).await?;
            output.print(&storage, || details(&storage))
        }
        StorageCommand::Drain { storage, to } => {
            let target = match to {
                Some(to) => Some(find::storage(&api, &to).await?),
                None => None,
            };
            let change = ImageStoragePatch {
                state: Some(StorageState::Draining),
                drain_to: Some(target),
                ..ImageStoragePatch::default()
            };
            let id = find::storage(&api, &storage).await?;
            patch(&api, output, id, |_| change).await
        }
        StorageCommand::Delete { storage, confirm } => {
            let id = find::storage(&api, &storage).await?;
            confirm_deletion(confirm, "image storage", &storage)?;
            api.send(api.request(Method::DELETE, &path(id))).await?;
            note(&format!("the image storage `{storage}` is deleted; its files are still there"));
            Ok(())
        }
    }
}

fn path(id: StorageId) -> String {
    format!("/admin/image-storages/{id}")
}

async fn binding(api: &Api, storage: &str, hypervisor: &str) -> Result<String, Failure> {
    let id = find::storage(api, storage).await?;
    let hypervisor = find::hypervisor(api, hypervisor).await?;
    Ok(format!("{}/hypervisors/{hypervisor}", path(id)))
}

async fn list(api: &Api, output: Output, args: StorageListArgs) -> Result<(), Failure> {
    let mut query = Vec::new();
    query.extend(args.role.map(|role| ("role", role.to_string())));
    query.extend(args.state.map(|state| ("state", state.to_string())));
    query.extend(args.kind.map(|kind| ("kind", kind)));
    if let Some(hypervisor) = args.hypervisor {
        query.push(("hypervisor_id", find::hypervisor(api, &hypervisor).await?.to_string()));
    }
    let storages = api.list::<ImageStorage>("/admin/image-storages", &query).await?;
    output.print(&storages, || {
        let rows = storages.items.iter().map(|storage| {
            [
                storage.name.clone(),
                storage.role.to_string(),
                storage.kind.clone(),
                storage.state.to_string(),
                storage.health.to_string(),
                size(storage.available_bytes),
                size(storage.total_bytes),
                images(storage),
                storage.hypervisor_ids.len().to_string(),
                storage.weight.to_string(),
                storage.id.to_string(),
            ]
        });
        let headings =
            ["NAME", "ROLE", "KIND", "STATE", "HEALTH", "FREE", "SIZE", "IMAGES", "BOUND", "WEIGHT", "ID"];
        Table::list(headings, rows, "no image storages")
    })
}

fn images(storage: &ImageStorage) -> String {
    storage.images.iter().map(|images| images.count).sum::<u64>().to_string()
}

fn details(storage: &ImageStorage) -> Table {
    let mut lines = vec![
        ("id", storage.id.to_string()),
        ("name", storage.name.clone()),
        ("role", storage.role.to_string()),
        ("kind", storage.kind.clone()),
    ];
    lines.extend(storage.settings.iter().map(|(key, value)| ("setting", format!("{key}={value}"))));
    lines.extend(storage.secrets.iter().map(|secret| ("secret", secret.name.clone())));
    lines.extend([
        ("state", storage.state.to_string()),
        ("drains to", text(storage.drain_to)),
        ("weight", storage.weight.to_string()),
        ("shared path", storage.shared_path.to_string()),
        ("nearly full below", size(storage.min_free_bytes)),
        ("health", storage.health.to_string()),
        ("problem", text(storage.problem.as_ref())),
        ("free", size(storage.available_bytes)),
        ("size", size(storage.total_bytes)),
        ("reserved", size(Some(storage.reserved_bytes))),
    ]);
    lines.extend(storage.images.iter().map(|images| {
        ("images", format!("{} {}, {}", images.count, images.status, size(Some(images.bytes))))
    }));
    lines.extend(storage.bindings.iter().map(|binding| ("hypervisor", reported(binding))));
    Table::details(lines)
}

fn reported(binding: &StorageBinding) -> String {
    let problem = binding.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    let free = size(binding.available_bytes);
    format!("{} {}, {free} free at {}{problem}", binding.hypervisor_id, binding.health, time(binding.seen_at))
}

async fn create(api: &Api, output: Output, args: StorageCreateArgs) -> Result<(), Failure> {
    let request = ImageStorageCreate {
        name: args.name,
        role: args.role,
        kind: args.kind,
        settings: args.settings.into_iter().collect(),
        secrets: storage_test::secrets(&args.secrets)?,
        weight: args.weight,
        shared_path: args.shared_path,
        min_free_bytes: args.min_free.map(ByteSize::bytes),
    };
    let storage: ImageStorage = api.create("/admin/image-storages", &request).await?;
    note(&format!("bind it with `imprint storage bind {} HYPERVISOR`", storage.id));
    output.print(&storage, || details(&storage))
}

async fn edit(api: &Api, output: Output, args: StorageEditArgs) -> Result<(), Failure> {
    let id = find::storage(api, &args.storage).await?;
    let changes_settings = !args.settings.is_empty() || !args.unset.is_empty();
    patch(api, output, id, |seen| {
        let mut settings: BTreeMap<String, String> = seen.settings.clone();
        settings.retain(|key, _| !args.unset.contains(key));
        settings.extend(args.settings);
        ImageStoragePatch {
            name: args.name,
            settings: changes_settings.then_some(settings),
            state: args.state,
            drain_to: None,
            weight: args.weight,
            shared_path: args.shared_path,
            min_free_bytes: args.min_free.map(|size| Some(size.bytes())),
        }
    })
    .await
}

/// Sends a change that is made of what was read, and only if that is still so.
async fn patch(
    api: &Api,
    output: Output,
    id: StorageId,
    change: impl FnOnce(&ImageStorage) -> ImageStoragePatch,
) -> Result<(), Failure> {
    let seen = api.get_tagged::<ImageStorage>(&path(id), &[]).await?;
    let mut request = api.request(Method::PATCH, &path(id)).json(&change(&seen.value));
    if let Some(etag) = seen.etag {
        request = request.header(header::IF_MATCH, etag);
    }
    let storage: ImageStorage = api.once(request).await?;
    output.print(&storage, || details(&storage))
}
