//! `imprint storage test`, `kinds` and `secrets`: what a storage needs, and whether it works.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::Path,
};

use imprint_api::dto::{
    storage::ImageStorage,
    storage_kind::{StorageKind, StorageKinds},
    storage_test::{StorageTest, StorageTestCreate, StoredStorageTest},
    task::Task,
};
use imprint_domain::{
    secret::{SecretText, Secrets},
    storage_test::TestStatus,
};
use reqwest::Method;
use serde_json::json;

use super::{
    api::Api,
    args::{StorageSecretsArgs, StorageTestArgs},
    failure::Failure,
    find,
    output::{Output, text},
    table::Table,
    watch::watch,
};

/// Reads secrets from their files; `-` is standard input. A file's last line feed is not part of
/// the secret.
pub(crate) fn secrets(files: &[(String, String)]) -> Result<Secrets, Failure> {
    files.iter().map(|(name, path)| Ok((name.clone(), secret(Path::new(path))?))).collect()
}

fn secret(path: &Path) -> Result<SecretText, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = read.map_err(|error| Failure::local(format!("cannot read {}", path.display()), error))?;
    let secret = SecretText::new(text);
    let line = secret.expose().strip_suffix('\n').unwrap_or(secret.expose());
    Ok(SecretText::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

/// Lists the kinds of storages with their settings.
pub(crate) async fn kinds(api: &Api, output: Output) -> Result<(), Failure> {
    let kinds: StorageKinds = api.get("/admin/storage-kinds", &[]).await?;
    output.print(&kinds, || {
        let rows = kinds.items.iter().map(|kind| {
            [
                kind.kind.clone(),
                format!("{} {}", kind.plugin, kind.version),
                settings_of(kind),
                kind.hypervisors.len().to_string(),
                text(kind.conflict.as_ref()),
                kind.summary.clone(),
            ]
        });
        Table::list(
            ["KIND", "PLUGIN", "SETTINGS", "HYPERVISORS", "CONFLICT", "SUMMARY"],
            rows,
            "no kinds; no agent has registered yet",
        )
    })
}

/// Returns the names of the settings; a required one has a star, a secret is in parentheses.
fn settings_of(kind: &StorageKind) -> String {
    let Some(schema) = &kind.schema else { return text(None::<String>) };
    let required = schema["required"].as_array();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let name = |(name, property): (&String, &serde_json::Value)| {
        let is_required = required.is_some_and(|names| names.iter().any(|other| other == name));
        let star = if is_required { "*" } else { "" };
        if property["writeOnly"] == true { format!("({name}){star}") } else { format!("{name}{star}") }
    };
    properties.map(name).collect::<Vec<_>>().join(" ")
}

/// Tests a stored storage, or settings that are not stored yet, and shows each step.
pub(crate) async fn test(api: &Api, output: Output, args: StorageTestArgs) -> Result<(), Failure> {
    let hypervisor_id = find::hypervisor(api, &args.hypervisor).await?;
    let secrets = secrets(&args.secrets)?;
    let settings: BTreeMap<_, _> = args.settings.into_iter().collect();
    let request = match (args.storage, args.kind) {
        (Some(storage), None) => {
            let id = find::storage(api, &storage).await?;
            let settings = if settings.is_empty() {
                None
            } else {
                let stored: ImageStorage = api.get(&format!("/admin/image-storages/{id}"), &[]).await?;
                Some(stored.settings.into_iter().chain(settings).collect())
            };
            let body = StoredStorageTest { hypervisor_id, settings, secrets };
            api.request(Method::POST, &format!("/admin/image-storages/{id}/actions/test")).json(&body)
        }
        (None, Some(kind)) => {
            let body = StorageTestCreate { hypervisor_id, kind, role: args.role, settings, secrets };
            api.request(Method::POST, "/admin/image-storages/actions/test").json(&body)
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Failure::Usage("name a storage, or a kind with --kind".to_owned()));
        }
    };
    let task: Task = watch(api, api.once(request).await?).await?;
    let found = task.storage_test.clone().unwrap_or(StorageTest { passed: false, steps: Vec::new() });
    output.print(&task, || steps(&found))?;
    if found.passed { Ok(()) } else { Err(Failure::Checks) }
}

fn steps(test: &StorageTest) -> Table {
    let rows = test.steps.iter().map(|step| {
        let duration = match step.status {
            TestStatus::Skipped => text(None::<String>),
            TestStatus::Passed | TestStatus::Failed => format!("{} ms", step.duration_ms),
        };
        [
            step.step.to_string(),
            step.status.to_string(),
            duration,
            text(step.setting.as_ref()),
            text(step.code.as_ref()),
            text(step.detail.as_ref()),
        ]
    });
    Table::list(["STEP", "RESULT", "TIME", "SETTING", "CODE", "DETAIL"], rows, "nothing was tested")
}

/// Sets and removes secrets of a storage, and returns it as it is afterwards.
pub(crate) async fn change_secrets(api: &Api, args: StorageSecretsArgs) -> Result<ImageStorage, Failure> {
    let id = find::storage(api, &args.storage).await?;
    let given = secrets(&args.secrets)?;
    let set = given.iter().map(|(name, secret)| (name.clone(), json!(secret.expose())));
    let unset = args.unset.into_iter().map(|name| (name, json!(null)));
    let changes: serde_json::Map<_, _> = set.chain(unset).collect();
    let path = format!("/admin/image-storages/{id}/secrets");
    api.once(api.request(Method::PATCH, &path).json(&json!({ "secrets": changes }))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_file_without_its_last_line_feed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (content, expected) in
            [("abc\n", "abc"), ("abc\r\n", "abc"), ("abc", "abc"), ("a\nb\n\n", "a\nb\n")]
        {
            std::fs::write(&path, content).unwrap();
            let files = [("key".to_owned(), path.display().to_string())];
            assert_eq!(secrets(&files).unwrap()["key"].expose(), expected);
        }
        let files = [("key".to_owned(), folder.path().join("missing").display().to_string())];
        assert!(secrets(&files).unwrap_err().to_string().contains("missing"));
    }
}
