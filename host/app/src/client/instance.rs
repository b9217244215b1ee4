//! `imprint instance ...`.

use std::{fs, io, path::Path};

use imprint_api::dto::instance::{Instance, InstanceCreate, InstanceReinstall};
use imprint_domain::{
    id::{SshKeyId, UserScriptId},
    size::ByteSize,
};
use reqwest::Method;

use super::{
    api::Api,
    args::{
        AccessArgs, BusyArgs, InstanceArgs, InstanceCommand, InstanceCreateArgs, ReinstallArgs, WaitArgs,
    },
    confirm::{confirm, confirm_deletion},
    failure::Failure,
    find,
    instance_details::{details, disk_size, finish},
    iso,
    output::{Output, text, time},
    table::Table,
};
use crate::terminal;

/// The size of the largest file of keys or user data, in bytes.
const MAX_FILE: u64 = 64 << 10;

pub(crate) async fn run(args: InstanceArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        InstanceCommand::List => list(&api, output).await,
        InstanceCommand::Show { instance } => {
            let id = find::instance(&api, &instance).await?;
            let instance: Instance = api.get(&format!("/instances/{id}"), &[]).await?;
            output.print(&instance, || details(&instance))
        }
        InstanceCommand::Create(args) => create(&api, output, *args).await,
        InstanceCommand::Start { instance, busy, wait } => {
            change(&api, output, &instance, (Method::POST, "/actions/start"), busy, wait).await
        }
        InstanceCommand::Stop { instance, busy, wait } => {
            change(&api, output, &instance, (Method::POST, "/actions/stop"), busy, wait).await
        }
        InstanceCommand::Reinstall(args) => reinstall(&api, output, args).await,
        InstanceCommand::MountIso(args) => iso::mount(&api, output, args).await,
        InstanceCommand::EjectIso(args) => iso::eject(&api, output, args).await,
        InstanceCommand::AttachDisk(args) => iso::attach(&api, output, args).await,
        InstanceCommand::DetachDisk(args) => iso::detach(&api, output, args).await,
        InstanceCommand::Delete { instance, busy, confirm, wait } => {
            confirm_deletion(confirm, "instance", &instance)?;
            change(&api, output, &instance, (Method::DELETE, ""), busy, wait).await
        }
    }
}

async fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let instances = api.list::<Instance>("/instances", &[]).await?;
    output.print(&instances, || {
        let rows = instances.items.iter().map(|instance| {
            [
                instance.name.clone(),
                instance.status.to_string(),
                instance.power.to_string(),
                text(instance.image.as_ref().map(|image| &image.name)),
                disk_size(instance),
                time(Some(instance.created_at)),
                instance.id.to_string(),
            ]
        });
        let headings = ["NAME", "STATUS", "POWER", "IMAGE", "DISK", "CREATED", "ID"];
        Table::list(headings, rows, "no instances")
    })
}

/// What the access of a request is made of.
struct Access {
    ssh_keys: Vec<String>,
    ssh_key_ids: Vec<SshKeyId>,
    user_script_id: Option<UserScriptId>,
    user_data: Option<String>,
}

async fn access(api: &Api, args: &AccessArgs) -> Result<Access, Failure> {
    let mut ssh_keys = Vec::new();
    for path in &args.ssh_keys {
        let lines = read(path)?;
        let keys = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        ssh_keys.extend(keys.map(str::to_owned));
    }
    let mut ssh_key_ids = Vec::new();
    for typed in &args.saved_keys {
        ssh_key_ids.push(find::ssh_key(api, typed).await?);
    }
    let user_script_id = match &args.user_script {
        Some(typed) => Some(find::user_script(api, typed).await?),
        None => None,
    };
    let user_data = args.user_data.as_deref().map(read).transpose()?;
    Ok(Access { ssh_keys, ssh_key_ids, user_script_id, user_data })
}

async fn create(api: &Api, output: Output, args: InstanceCreateArgs) -> Result<(), Failure> {
    let Access { ssh_keys, ssh_key_ids, user_script_id, user_data } = access(api, &args.access).await?;
    let hypervisor_id = match &args.hypervisor {
        Some(typed) => Some(find::hypervisor(api, typed).await?),
        None => None,
    };
    let image_id = match &args.image {
        Some(typed) => Some(find::image(api, typed).await?),
        None => None,
    };
    let iso_id = match &args.iso {
        Some(typed) => Some(find::iso(api, typed).await?),
        None => None,
    };
    let location_id = match &args.location {
        Some(typed) => Some(find::location(api, typed).await?),
        None => None,
    };
    let request = InstanceCreate {
        image_id,
        iso_id,
        family: args.family,
        location_id,
        name: args.name,
        hypervisor_id,
        vcpus: args.vcpus,
        memory_bytes: args.memory.map(ByteSize::bytes),
        disk_size_bytes: args.disk_size.map(ByteSize::bytes),
        ssh_key_ids,
        user_script_id,
        ssh_keys,
        user_data,
        os_type: args.os_type,
        start: !args.no_start,
    };
    let made = api.create("/instances", &request).await?;
    finish(api, output, made, args.wait).await
}

async fn reinstall(api: &Api, output: Output, args: ReinstallArgs) -> Result<(), Failure> {
    let name = terminal::printable(&args.instance);
    confirm(args.confirm, &format!("Write the disk of `{name}` anew? Everything on it is lost."))?;
    let id = find::instance(api, &args.instance).await?;
    let Access { ssh_keys, ssh_key_ids, user_script_id, user_data } = access(api, &args.access).await?;
    let request = InstanceReinstall {
        image_id: find::image(api, &args.image).await?,
        disk_size_bytes: args.disk_size.map(ByteSize::bytes),
        ssh_key_ids,
        user_script_id,
        ssh_keys,
        user_data,
        os_type: args.os_type,
        start: !args.no_start,
    };
    let cancel = if args.busy.cancel_captures { "?cancel_captures=true" } else { "" };
    let made = api.create(&format!("/instances/{id}/actions/reinstall{cancel}"), &request).await?;
    finish(api, output, made, args.wait).await
}

async fn change(
    api: &Api,
    output: Output,
    typed: &str,
    (method, action): (Method, &str),
    busy: BusyArgs,
    wait: WaitArgs,
) -> Result<(), Failure> {
    let id = find::instance(api, typed).await?;
    let request = api.request(method, &format!("/instances/{id}{action}"));
    let made = api.once(request.query(&[("cancel_captures", busy.cancel_captures)])).await?;
    finish(api, output, made, wait).await
}

/// Reads a text file of keys or user data, which is small.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let wrong = |cause| Failure::local(format!("cannot read {}", path.display()), cause);
    if fs::metadata(path).map_err(wrong)?.len() > MAX_FILE {
        return Err(wrong(io::Error::other("the file is larger than 64 KiB")));
    }
    fs::read_to_string(path).map_err(wrong)
}
