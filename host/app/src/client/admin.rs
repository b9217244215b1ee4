//! `imprint admin ...`: commands for operators.

use imprint_api::dto::{
    account::Token,
    location::{AdminLocation, LocationPatch},
    secret::SecretsRotated,
};
use imprint_domain::size::ByteSize;
use reqwest::Method;

use super::{
    api::Api,
    args::{
        AdminArgs, AdminCommand, AdminHypervisorCommand, Limit, LocationCommand, LocationSetArgs,
        SecretsCommand,
    },
    confirm::confirm_deletion,
    failure::Failure,
    find, instance_details,
    output::{Output, size, text, time},
    table::Table,
};
use crate::terminal::note;

pub(crate) async fn run(args: AdminArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        AdminCommand::Coalesce { instance, wait } => {
            let id = find::instance(&api, &instance).await?;
            let path = format!("/admin/instances/{id}/actions/coalesce");
            let made = api.once(api.request(Method::POST, &path)).await?;
            instance_details::finish(&api, output, made, wait).await
        }
        AdminCommand::Account(command) => super::account::run(&api, output, command).await,
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
        AdminCommand::Location(LocationCommand::Delete { location, confirm }) => {
            let id = find::location(&api, &location).await?;
            confirm_deletion(confirm, "location", &location)?;
            delete(&api, &format!("/admin/locations/{id}"), "the location is deleted").await
        }
        AdminCommand::Hypervisor(command) => hypervisor(&api, output, command).await,
    }
}

async fn delete(api: &Api, path: &str, done: &str) -> Result<(), Failure> {
    api.send(api.request(Method::DELETE, path)).await?;
    note(done);
    Ok(())
}

async fn hypervisor(api: &Api, output: Output, command: AdminHypervisorCommand) -> Result<(), Failure> {
    match command {
        AdminHypervisorCommand::Delete { hypervisor, confirm } => {
            let id = find::hypervisor(api, &hypervisor).await?;
            confirm_deletion(confirm, "hypervisor", &hypervisor)?;
            delete(api, &format!("/admin/hypervisors/{id}"), "the hypervisor is deleted").await
        }
        AdminHypervisorCommand::Tokens { hypervisor } => {
            let id = find::hypervisor(api, &hypervisor).await?;
            let tokens = api.list::<Token>(&format!("/admin/hypervisors/{id}/tokens"), &[]).await?;
            output.print(&tokens, || {
                let rows = tokens
                    .items
                    .iter()
                    .map(|token| [token.name.clone(), time(Some(token.created_at)), token.id.to_string()]);
                Table::list(["NAME", "CREATED", "ID"], rows, "no tokens")
            })
        }
        AdminHypervisorCommand::RevokeToken { hypervisor, token } => {
            let id = find::hypervisor(api, &hypervisor).await?;
            let path = format!("/admin/hypervisors/{id}/tokens/{token}");
            delete(api, &path, "the token is revoked; its agent is refused at its next call").await
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
                location.sharing_enabled.to_string(),
                location.iso_enabled.to_string(),
                location.export_enabled.to_string(),
                text(location.default_image_limit),
                size(location.default_image_bytes_limit),
                location.coalesce_before_capture.to_string(),
                format!("{} s", location.coalesce_timeout_s),
                format!("{} ms", location.freeze_limit_ms),
                location.id.to_string(),
            ]
        });
        let headings = [
            "NAME",
            "IMAGES",
            "SHARING",
            "ISOS",
            "EXPORT",
            "IMAGE LIMIT",
            "SIZE LIMIT",
            "COALESCE",
            "COALESCE TIMEOUT",
            "FREEZE LIMIT",
            "ID",
        ];
        Table::list(headings, rows, "no locations")
    })
}

async fn set(api: &Api, output: Output, args: LocationSetArgs) -> Result<(), Failure> {
    let id = find::location(api, &args.location).await?;
    let patch = LocationPatch {
        images_enabled: args.images_enabled,
        sharing_enabled: args.sharing_enabled,
        iso_enabled: args.iso_enabled,
        export_enabled: args.export_enabled,
        default_image_limit: args.image_limit.map(|Limit(limit)| limit),
        default_image_bytes_limit: args.image_bytes_limit.map(|Limit(limit)| limit.map(ByteSize::bytes)),
        coalesce_before_capture: args.coalesce_before_capture,
        coalesce_timeout_s: args.coalesce_timeout,
        freeze_limit_ms: args.freeze_limit_ms,
        import_enabled: args.import_enabled,
        import_profile: args.import_profile,
        import_limit_bytes: args.import_limit.map(ByteSize::bytes),
        import_windows: args.import_windows,
        reclaim_limit_s: args.reclaim_limit,
        capture_format: args.capture_format,
        windows_limit_bytes: args.windows_limit.map(ByteSize::bytes),
        windows_warning_bytes: args.windows_warning.map(ByteSize::bytes),
        support_text: args.support_text.map(unless_none),
        support_url: args.support_url.map(unless_none),
        status_url: args.status_url.map(unless_none),
    };
    let request = api.request(Method::PATCH, &format!("/admin/locations/{id}")).json(&patch);
    let location: AdminLocation = api.once(request).await?;
    output.print(&location, || details(&location))
}

/// Returns a text that is typed; `none` stands for no text.
fn unless_none(typed: String) -> Option<String> {
    (typed != "none").then_some(typed)
}

fn details(location: &AdminLocation) -> Table {
    Table::details([
        ("id", location.id.to_string()),
        ("name", location.name.clone()),
        ("images enabled", location.images_enabled.to_string()),
        ("sharing enabled", location.sharing_enabled.to_string()),
        ("ISOs enabled", location.iso_enabled.to_string()),
        ("export enabled", location.export_enabled.to_string()),
        ("image limit of each account", text(location.default_image_limit)),
        ("size limit of each account's images", size(location.default_image_bytes_limit)),
        ("coalesce before capture", location.coalesce_before_capture.to_string()),
        ("coalesce timeout", format!("{} s", location.coalesce_timeout_s)),
        ("freeze limit", format!("{} ms", location.freeze_limit_ms)),
        ("imports enabled", location.import_enabled.to_string()),
        ("imported files", location.import_profile.to_string()),
        ("largest imported disk", size(Some(location.import_limit_bytes))),
        ("imports of Windows", location.import_windows.to_string()),
        ("wait for reclaimed space", format!("{} s", location.reclaim_limit_s)),
        ("format of captures", location.capture_format.to_string()),
        ("largest Windows disk", size(Some(location.windows_limit_bytes))),
        ("Windows disk with a notice", size(Some(location.windows_warning_bytes))),
        ("support", text(location.support_text.as_ref())),
        ("page of the support", text(location.support_url.as_ref())),
        ("page of the system's status", text(location.status_url.as_ref())),
    ])
}
