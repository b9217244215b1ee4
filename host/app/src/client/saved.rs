//! `imprint ssh-key ...` and `imprint user-script ...`: what an account saves for new instances.

use imprint_api::dto::{
    ssh_key::{SshKey, SshKeyCreate, SshKeyPatch},
    user_script::{UserScript, UserScriptAndContent, UserScriptCreate, UserScriptPatch},
};
use reqwest::{Method, header};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    api::Api,
    args::{SshKeyArgs, SshKeyCommand, UserScriptArgs, UserScriptCommand},
    confirm::confirm_deletion,
    failure::Failure,
    find,
    instance::read,
    output::{Output, size, time},
    table::Table,
};
use crate::terminal::note;

pub(crate) async fn ssh_key(args: SshKeyArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        SshKeyCommand::List => list_keys(&api, output).await,
        SshKeyCommand::Show { key } => {
            let id = find::ssh_key(&api, &key).await?;
            let key: SshKey = api.get(&format!("/ssh-keys/{id}"), &[]).await?;
            output.print(&key, || key_details(&key))
        }
        SshKeyCommand::Create { name, file } => {
            let public_key = read(&file)?.trim().to_owned();
            let key: SshKey = api.create("/ssh-keys", &SshKeyCreate { name, public_key }).await?;
            output.print(&key, || key_details(&key))
        }
        SshKeyCommand::Rename { key, name } => {
            let path = format!("/ssh-keys/{}", find::ssh_key(&api, &key).await?);
            let key: SshKey = patch::<SshKey, _, _>(&api, &path, &SshKeyPatch { name }).await?;
            output.print(&key, || key_details(&key))
        }
        SshKeyCommand::Delete { key, confirm } => {
            let id = find::ssh_key(&api, &key).await?;
            confirm_deletion(confirm, "SSH key", &key)?;
            api.send(api.request(Method::DELETE, &format!("/ssh-keys/{id}"))).await?;
            note("the SSH key is deleted; instances that have it keep it");
            Ok(())
        }
    }
}

async fn list_keys(api: &Api, output: Output) -> Result<(), Failure> {
    let keys = api.list::<SshKey>("/ssh-keys", &[]).await?;
    output.print(&keys, || {
        let rows = keys.items.iter().map(|key| {
            [
                key.name.clone(),
                key.kind.clone(),
                key.fingerprint.clone(),
                time(Some(key.created_at)),
                key.id.to_string(),
            ]
        });
        Table::list(["NAME", "TYPE", "FINGERPRINT", "CREATED", "ID"], rows, "no SSH keys")
    })
}

fn key_details(key: &SshKey) -> Table {
    Table::details([
        ("id", key.id.to_string()),
        ("name", key.name.clone()),
        ("type", key.kind.clone()),
        ("fingerprint", key.fingerprint.clone()),
        ("public key", key.public_key.clone()),
        ("created", time(Some(key.created_at))),
    ])
}

pub(crate) async fn user_script(args: UserScriptArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        UserScriptCommand::List => list_scripts(&api, output).await,
        UserScriptCommand::Show { script } => {
            let id = find::user_script(&api, &script).await?;
            let shown: UserScriptAndContent = api.get(&format!("/user-scripts/{id}"), &[]).await?;
            output.print_lines(&shown, &shown.content)
        }
        UserScriptCommand::Create { name, file } => {
            let request = UserScriptCreate { name, content: read(&file)? };
            let script: UserScript = api.create("/user-scripts", &request).await?;
            output.print(&script, || script_details(&script))
        }
        UserScriptCommand::Update { script, name, file } => {
            let content = file.as_deref().map(read).transpose()?;
            if name.is_none() && content.is_none() {
                return Err(Failure::Usage("nothing to change: give --name or --file".to_owned()));
            }
            let path = format!("/user-scripts/{}", find::user_script(&api, &script).await?);
            let body = UserScriptPatch { name, content };
            let script: UserScript = patch::<UserScriptAndContent, _, _>(&api, &path, &body).await?;
            output.print(&script, || script_details(&script))
        }
        UserScriptCommand::Delete { script, confirm } => {
            let id = find::user_script(&api, &script).await?;
            confirm_deletion(confirm, "user script", &script)?;
            api.send(api.request(Method::DELETE, &format!("/user-scripts/{id}"))).await?;
            note("the user script is deleted");
            Ok(())
        }
    }
}

async fn list_scripts(api: &Api, output: Output) -> Result<(), Failure> {
    let scripts = api.list::<UserScript>("/user-scripts", &[]).await?;
    output.print(&scripts, || {
        let rows = scripts.items.iter().map(|script| {
            [
                script.name.clone(),
                size(Some(u64::from(script.size_bytes))),
                time(Some(script.changed_at)),
                script.id.to_string(),
            ]
        });
        Table::list(["NAME", "SIZE", "CHANGED", "ID"], rows, "no user scripts")
    })
}

fn script_details(script: &UserScript) -> Table {
    Table::details([
        ("id", script.id.to_string()),
        ("name", script.name.clone()),
        ("size", size(Some(u64::from(script.size_bytes)))),
        ("created", time(Some(script.created_at))),
        ("changed", time(Some(script.changed_at))),
    ])
}

/// Changes the version of a resource that is there now. `Seen` is what reading it answers.
pub(super) async fn patch<Seen, Body, Changed>(api: &Api, path: &str, body: &Body) -> Result<Changed, Failure>
where
    Seen: DeserializeOwned,
    Body: Serialize,
    Changed: DeserializeOwned,
{
    let seen = api.get_tagged::<Seen>(path, &[]).await?;
    let mut request = api.request(Method::PATCH, path).json(body);
    if let Some(etag) = seen.etag {
        request = request.header(header::IF_MATCH, etag);
    }
    api.once(request).await
}
