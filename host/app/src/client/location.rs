//! `imprint location ...`: where the account may have images, and how many.

use imprint_api::dto::location::Location;
use imprint_domain::limits::LimitScope;

use super::{
    args::{LocationArgs, PlacesCommand},
    failure::Failure,
    output::{size, text},
    table::Table,
};

pub(crate) async fn run(args: LocationArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    let PlacesCommand::List = args.command;
    let locations = api.list::<Location>("/locations", &[]).await?;
    output.print(&locations, || {
        let rows = locations.items.iter().map(|location| {
            let limits = &location.limits;
            [
                location.name.clone(),
                switch(location.images_enabled),
                switch(location.sharing_enabled),
                limits.images_used.to_string(),
                limit(text(limits.image_limit), limits.image_limit_scope),
                size(Some(limits.image_bytes_used)),
                limit(size(limits.image_bytes_limit), limits.image_bytes_limit_scope),
                location.id.to_string(),
            ]
        });
        let headings = ["NAME", "IMAGES", "SHARING", "USED", "LIMIT", "SIZE", "SIZE LIMIT", "ID"];
        Table::list(headings, rows, "no locations")
    })
}

fn switch(is_enabled: bool) -> String {
    if is_enabled { "enabled" } else { "disabled" }.to_owned()
}

/// Says of a limit that counts the images of all locations that it does.
fn limit(value: String, scope: LimitScope) -> String {
    match scope {
        LimitScope::Account => format!("{value}, all locations"),
        LimitScope::Location => value,
    }
}
