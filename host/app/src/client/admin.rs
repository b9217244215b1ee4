//! `imprint admin ...`: commands for operators.

use imprint_api::dto::{
    location::{AdminLocation, LocationPatch},
    secret::SecretsRotated,
};
use reqwest::Method;

use super::{
    api::Api,
    args::{AdminArgs, AdminCommand, LocationCommand, LocationSetArgs, SecretsCommand},
    failure::Failure,
    find, instance,
    output::{Output, text},
    table::Table,
};

pub(crate) async fn run(args: AdminArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        AdminCommand::Coalesce { instance, wait } => {
            let id = find::instance(&api, &instance).await?;
            let path = format!("/admin/instances/{id}/actions/coalesce");
            let made = api.once(api.request(Method::POST, &path)).await?;
            instance::finish(&api, output, made, wait).await
        }
        AdminCommand::Location(LocationCommand::List) => list(&api, output).await,
        AdminCommand::Location(LocationCommand::Set(args)) => set(&api, output, args).await,
        AdminCommand::Secrets(SecretsCommand::Rotate) => {
            let request = api.request(Method::POST, "/admin/secrets/actions/rotate");
            let done: SecretsRotated = api.once(request).await?;
            output.print(&done, || {
                Table::details([
                    ("sealed again", done.resealed.to_string()),
                    ("current key", done.key_id.clone()),
                ])
            })
        }
    }
}

async fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let locations = api.list::<AdminLocation>("/admin/locations", &[]).await?;
    output.print(&locations, || {
        let rows = locations.items.iter().map(|location| {
            [
                location.name.clone(),
                location.images_enabled.to_string(),
                text(location.default_image_limit),
                location.coalesce_before_capture.to_string(),
                format!("{} s", location.coalesce_timeout_s),
                format!("{} ms", location.freeze_limit_ms),
                location.id.to_string(),
            ]
        });
        let headings = ["NAME", "IMAGES", "LIMIT", "COALESCE", "COALESCE TIMEOUT", "FREEZE LIMIT", "ID"];
        Table::list(headings, rows, "no locations")
    })
}

async fn set(api: &Api, output: Output, args: LocationSetArgs) -> Result<(), Failure> {
    let id = find::location(api, &args.location).await?;
    let patch = LocationPatch {
        images_enabled: args.images_enabled,
        default_image_limit: None,
        coalesce_before_capture: args.coalesce_before_capture,
        coalesce_timeout_s: args.coalesce_timeout,
        freeze_limit_ms: args.freeze_limit_ms,
    };
    let request = api.request(Method::PATCH, &format!("/admin/locations/{id}")).json(&patch);
    let location: AdminLocation = api.once(request).await?;
    output.print(&location, || details(&location))
}

fn details(location: &AdminLocation) -> Table {
    Table::details([
        ("id", location.id.to_string()),
        ("name", location.name.clone()),
        ("images enabled", location.images_enabled.to_string()),
        ("image limit", text(location.default_image_limit)),
        ("coalesce before capture", location.coalesce_before_capture.to_string()),
        ("coalesce timeout", format!("{} s", location.coalesce_timeout_s)),
        ("freeze limit", format!("{} ms", location.freeze_limit_ms)),
    ])
}
