//! `imprint iso ...`, and the drive and the disks of an instance.

use imprint_api::dto::iso::{AdminIso, DiskAttach, Iso, IsoAndTask, IsoCreate, IsoMountRequest, IsoPatch};
use reqwest::Method;

use super::{
    api::Api,
    args::{
        AttachDiskArgs, DetachDiskArgs, EjectIsoArgs, IsoArgs, IsoCommand, IsoRegisterArgs, IsoUpdateArgs,
        MountIsoArgs,
    },
    confirm::confirm_deletion,
    failure::Failure,
    find, instance_details,
    output::{Output, size, text, time},
    table::Table,
    watch::watch,
};
use crate::terminal::note;

pub(crate) async fn run(args: IsoArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        IsoCommand::List { location: _, all: true } => list_all(&api, output).await,
        IsoCommand::List { location, all: false } => list(&api, output, location.as_deref()).await,
        IsoCommand::Register(args) => register(&api, output, args).await,
        IsoCommand::Update(args) => update(&api, output, args).await,
        IsoCommand::Delete { iso, confirm } => {
            let id = find::admin_iso(&api, &iso).await?;
            confirm_deletion(confirm, "ISO", &iso)?;
            api.send(api.request(Method::DELETE, &format!("/admin/isos/{id}"))).await?;
            note("the ISO is removed; its file stays on its storage");
            Ok(())
        }
    }
}

async fn list(api: &Api, output: Output, location: Option<&str>) -> Result<(), Failure> {
    let mut query = Vec::new();
    if let Some(typed) = location {
        query.push(("location_id", find::location(api, typed).await?.to_string()));
    }
    let isos = api.list::<Iso>("/isos", &query).await?;
    output.print(&isos, || {
        let rows = isos.items.iter().map(|iso| {
            [
                iso.name.clone(),
                text(iso.os_type),
                size(iso.size_bytes),
                time(Some(iso.created_at)),
                iso.id.to_string(),
            ]
        });
        Table::list(["NAME", "SYSTEM", "SIZE", "CREATED", "ID"], rows, "no ISOs")
    })
}

async fn list_all(api: &Api, output: Output) -> Result<(), Failure> {
    let isos = api.list::<AdminIso>("/admin/isos", &[]).await?;
    output.print(&isos, || {
        let rows = isos.items.iter().map(|iso| {
            [
                iso.name.clone(),
                iso.status.to_string(),
                if iso.hidden { "hidden" } else { "visible" }.to_owned(),
                text(iso.os_type),
                size(iso.size_bytes),
                iso.key.clone(),
                iso.id.to_string(),
            ]
        });
        Table::list(["NAME", "STATUS", "CUSTOMERS", "SYSTEM", "SIZE", "FILE", "ID"], rows, "no ISOs")
    })
}

fn details(iso: &AdminIso) -> Table {
    Table::details([
        ("id", iso.id.to_string()),
        ("name", iso.name.clone()),
        ("description", iso.description.clone()),
        ("system", text(iso.os_type)),
        ("status", iso.status.to_string()),
        ("customers", if iso.hidden { "hidden" } else { "visible" }.to_owned()),
        ("size", size(iso.size_bytes)),
        ("label", text(iso.label.as_ref())),
        ("digest", text(iso.digest.as_ref())),
        ("storage", iso.storage_id.to_string()),
        ("file", iso.key.clone()),
        ("location", iso.location_id.to_string()),
        ("task", iso.task_id.to_string()),
        ("created", time(Some(iso.created_at))),
    ])
}

async fn register(api: &Api, output: Output, args: IsoRegisterArgs) -> Result<(), Failure> {
    let request = IsoCreate {
        name: args.name,
        description: args.description,
        os_type: args.os_type,
        hidden: args.hidden,
        storage_id: find::storage(api, &args.storage).await?,
        key: args.key,
        location_id: find::location(api, &args.location).await?,
    };
    let mut made: IsoAndTask = api.create("/admin/isos", &request).await?;
    if args.wait.wait {
        made.task = watch(api, made.task).await?;
        let all = api.list::<AdminIso>("/admin/isos", &[]).await?;
        if let Some(iso) = all.items.into_iter().find(|iso| iso.id == made.iso.id) {
            made.iso = iso;
        }
    } else {
        note(&format!("watch its progress with `imprint task watch {}`", made.task.id));
    }
    output.print(&made, || details(&made.iso))
}

async fn update(api: &Api, output: Output, args: IsoUpdateArgs) -> Result<(), Failure> {
    let patch = IsoPatch {
        name: args.name,
        description: args.description,
        os_type: args.os_type.map(Some),
        hidden: args.hidden,
    };
    let nothing = patch.name.is_none()
        && patch.description.is_none()
        && patch.os_type.is_none()
        && patch.hidden.is_none();
    if nothing {
        return Err(Failure::Usage("nothing to change: give an option".to_owned()));
    }
    let id = find::admin_iso(api, &args.iso).await?;
    let iso: AdminIso =
        api.once(api.request(Method::PATCH, &format!("/admin/isos/{id}")).json(&patch)).await?;
    output.print(&iso, || details(&iso))
}

pub(crate) async fn mount(api: &Api, output: Output, args: MountIsoArgs) -> Result<(), Failure> {
    let id = find::instance(api, &args.instance).await?;
    let request = IsoMountRequest { iso_id: find::iso(api, &args.iso).await?, boot_from_cd: args.boot };
    let made = api.create(&format!("/instances/{id}/actions/mount-iso"), &request).await?;
    instance_details::finish(api, output, made, args.wait).await
}

pub(crate) async fn eject(api: &Api, output: Output, args: EjectIsoArgs) -> Result<(), Failure> {
    let id = find::instance(api, &args.instance).await?;
    let request = api.request(Method::POST, &format!("/instances/{id}/actions/eject-iso"));
    let made = api.once(request).await?;
    instance_details::finish(api, output, made, args.wait).await
}

pub(crate) async fn attach(api: &Api, output: Output, args: AttachDiskArgs) -> Result<(), Failure> {
    let id = find::instance(api, &args.instance).await?;
    let request = DiskAttach { size_bytes: args.size.bytes() };
    let made = api.create(&format!("/instances/{id}/disks"), &request).await?;
    instance_details::finish(api, output, made, args.wait).await
}

pub(crate) async fn detach(api: &Api, output: Output, args: DetachDiskArgs) -> Result<(), Failure> {
    let id = find::instance(api, &args.instance).await?;
    confirm_deletion(args.confirm, "disk", &args.disk.to_string())?;
    let request = api.request(Method::DELETE, &format!("/instances/{id}/disks/{}", args.disk));
    let made = api.once(request).await?;
    instance_details::finish(api, output, made, args.wait).await
}
