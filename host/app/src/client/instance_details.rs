//! An instance as the command line shows it.

use imprint_api::dto::instance::{Instance, InstanceAndTask};
use imprint_domain::metadata::KnownKey;

use super::{
    api::Api,
    args::WaitArgs,
    failure::Failure,
    output::{Output, pairs, size, text, time},
    table::Table,
    watch::watch,
};
use crate::terminal::note;

pub(super) fn disk_size(instance: &Instance) -> String {
    size(instance.disks.iter().find(|disk| disk.primary).map(|disk| disk.virtual_size_bytes))
}

pub(super) fn details(instance: &Instance) -> Table {
    let capture = match (&instance.capture.reason, instance.capture.allowed) {
        (Some(reason), false) => format!("not now: {reason}"),
        (_, allowed) => if allowed { "allowed" } else { "not now" }.to_owned(),
    };
    Table::details([
        ("id", instance.id.to_string()),
        ("name", instance.name.clone()),
        ("status", instance.status.to_string()),
        ("power", instance.power.to_string()),
        ("image", text(instance.image.as_ref().map(|image| &image.name))),
        ("boots from", instance.boot_source.to_string()),
        ("processors", instance.vcpus.to_string()),
        ("memory", size(Some(instance.memory_bytes))),
        ("disk", disk_size(instance)),
        ("largest disk so far", size(Some(instance.largest_disk_bytes))),
        ("most content so far", size(Some(instance.largest_content_bytes))),
        ("operating system", text(instance.declared_os_type)),
        ("further disks", further_disks(instance)),
        ("ISO", mounted(instance)),
        ("metadata", pairs(&instance.metadata)),
        ("SSH user", text(instance.metadata.get(KnownKey::SshUser.as_str()))),
        ("network card", network(instance)),
        ("SSH", ssh(instance)),
        ("creating an image", capture),
        ("hypervisor", instance.hypervisor_id.to_string()),
        ("location", instance.location_id.to_string()),
        ("task", text(instance.task_id)),
        ("created", time(Some(instance.created_at))),
    ])
}

fn network(instance: &Instance) -> String {
    text(instance.network.as_ref().map(|network| format!("{}, {}", network.kind, network.mac)))
}

/// Returns the command that reaches the guest from another machine.
fn ssh(instance: &Instance) -> String {
    let address = instance.network.as_ref().and_then(|network| network.ssh.as_ref());
    text(address.map(|ssh| {
        let user = ssh.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("ssh -p {} {user}{}", ssh.port, ssh.host)
    }))
}

fn further_disks(instance: &Instance) -> String {
    let further = instance.disks.iter().filter(|disk| !disk.primary);
    let each: Vec<_> =
        further.map(|disk| format!("{} ({})", disk.id, size(Some(disk.virtual_size_bytes)))).collect();
    text((!each.is_empty()).then(|| each.join(", ")))
}

fn mounted(instance: &Instance) -> String {
    text(instance.iso.as_ref().map(|iso| match iso.boot_from_cd {
        true => format!("{} (boots from it)", iso.name),
        false => iso.name.clone(),
    }))
}

/// Waits for the end of the task where that is asked for, and shows the instance.
pub(super) async fn finish(
    api: &Api,
    output: Output,
    mut made: InstanceAndTask,
    wait: WaitArgs,
) -> Result<(), Failure> {
    if wait.wait {
        made.task = watch(api, made.task).await?;
        match api.get(&format!("/instances/{}", made.instance.id), &[]).await {
            Ok(instance) => made.instance = instance,
            // It was deleted: its state before that is shown.
            Err(Failure::Problem(problem)) if problem.status == 404 => {}
            Err(failure) => return Err(failure),
        }
    } else {
        note(&format!("watch its progress with `imprint task watch {}`", made.task.id));
    }
    output.print(&made, || details(&made.instance))
}
