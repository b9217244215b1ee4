//! `imprint hypervisor ...`.

use imprint_api::dto::hypervisor::{AdminHypervisor, Hypervisor, HypervisorPatch};
use reqwest::{Method, header};

use super::{
    api::Api,
    args::{HypervisorArgs, HypervisorCommand, HypervisorUpdateArgs},
    failure::Failure,
    find,
    output::Output,
    table::Table,
};

pub(crate) async fn run(args: HypervisorArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        HypervisorCommand::List => list(&api, output).await,
        HypervisorCommand::Update(args) => update(&api, output, args).await,
    }
}

async fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let hypervisors = api.list::<Hypervisor>("/hypervisors", &[]).await?;
    output.print(&hypervisors, || {
        let rows = hypervisors.items.iter().map(|hypervisor| {
            let state = if hypervisor.online { "online" } else { "offline" };
            [
                hypervisor.name.clone(),
                state.to_owned(),
                hypervisor.location_id.to_string(),
                hypervisor.id.to_string(),
            ]
        });
        Table::list(["NAME", "STATE", "LOCATION", "ID"], rows, "no hypervisors")
    })
}

async fn update(api: &Api, output: Output, args: HypervisorUpdateArgs) -> Result<(), Failure> {
    let patch = HypervisorPatch {
        max_captures: args.captures,
        limited_imaging_bandwidth: args.limited_imaging_bandwidth,
    };
    if patch == HypervisorPatch::default() {
        return Err(Failure::Usage(
            "nothing to change: give --captures or --limited-imaging-bandwidth".to_owned(),
        ));
    }
    let path = format!("/admin/hypervisors/{}", find::hypervisor(api, &args.hypervisor).await?);
    let seen = api.get_tagged::<AdminHypervisor>(&path, &[]).await?;
    let mut request = api.request(Method::PATCH, &path).json(&patch);
    if let Some(etag) = seen.etag {
        request = request.header(header::IF_MATCH, etag);
    }
    let hypervisor: AdminHypervisor = api.once(request).await?;
    output.print(&hypervisor, || details(&hypervisor))
}

fn details(hypervisor: &AdminHypervisor) -> Table {
    Table::details([
        ("id", hypervisor.id.to_string()),
        ("name", hypervisor.name.clone()),
        ("tasks at once", hypervisor.max_work.to_string()),
        ("captures at once", hypervisor.max_captures.to_string()),
        ("limited imaging bandwidth", hypervisor.limited_imaging_bandwidth.to_string()),
    ])
}
