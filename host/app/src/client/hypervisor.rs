//! `imprint hypervisor ...`.

use imprint_api::dto::hypervisor::Hypervisor;

use super::{
    args::{HypervisorArgs, HypervisorCommand},
    failure::Failure,
    table::Table,
};

pub(crate) async fn run(args: HypervisorArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    let HypervisorCommand::List = args.command;
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
