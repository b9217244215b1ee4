//! `imprint media-group ...`.

use imprint_api::dto::media_group::{MediaGroup, MediaGroupCreate, MediaGroupPatch, MediaGroups};
use reqwest::{Method, header};

use super::{
    api::Api,
    args::{MediaGroupArgs, MediaGroupCommand, MediaGroupUpdateArgs},
    confirm::confirm_deletion,
    failure::Failure,
    find,
    output::{Output, time},
    table::Table,
};
use crate::terminal::note;

pub(crate) async fn run(args: MediaGroupArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        MediaGroupCommand::List => list(&api, output).await,
        MediaGroupCommand::Show { group } => {
            let id = find::media_group(&api, &group).await?;
            let group: MediaGroup = api.get(&format!("/media-groups/{id}"), &[]).await?;
            output.print(&group, || details(&group))
        }
        MediaGroupCommand::Create { label, description, position, hidden } => {
            let request = MediaGroupCreate { label, description, position, hidden };
            let group: MediaGroup = api.create("/admin/media-groups", &request).await?;
            output.print(&group, || details(&group))
        }
        MediaGroupCommand::Update(args) => {
            let patch = changes(&args)?;
            update(&api, output, &args.group, &patch).await
        }
        MediaGroupCommand::Move { group, position } => {
            let patch = MediaGroupPatch { position: Some(position), ..MediaGroupPatch::default() };
            update(&api, output, &group, &patch).await
        }
        MediaGroupCommand::Hide { group } => hide(&api, output, &group, true).await,
        MediaGroupCommand::Unhide { group } => hide(&api, output, &group, false).await,
        MediaGroupCommand::Delete { group, confirm } => {
            let id = find::media_group(&api, &group).await?;
            confirm_deletion(confirm, "media group", &group)?;
            api.send(api.request(Method::DELETE, &format!("/admin/media-groups/{id}"))).await?;
            note("the media group is deleted");
            Ok(())
        }
    }
}

async fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let groups: MediaGroups = api.get("/media-groups", &[]).await?;
    output.print(&groups, || {
        let rows = groups.items.iter().map(|group| {
            [
                group.position.to_string(),
                group.label.clone(),
                offered(group).to_owned(),
                group.description.clone(),
                group.id.to_string(),
            ]
        });
        Table::list(["POSITION", "LABEL", "OFFERED", "DESCRIPTION", "ID"], rows, "no media groups")
    })
}

const fn offered(group: &MediaGroup) -> &'static str {
    if group.hidden { "hidden" } else { "yes" }
}

fn details(group: &MediaGroup) -> Table {
    Table::details([
        ("id", group.id.to_string()),
        ("label", group.label.clone()),
        ("description", group.description.clone()),
        ("position", group.position.to_string()),
        ("offered", offered(group).to_owned()),
        ("created", time(Some(group.created_at))),
    ])
}

/// Returns what a command changes; it has to be something.
fn changes(args: &MediaGroupUpdateArgs) -> Result<MediaGroupPatch, Failure> {
    let patch = MediaGroupPatch {
        label: args.label.clone(),
        description: args.description.clone().map(Some),
        ..MediaGroupPatch::default()
    };
    if patch == MediaGroupPatch::default() {
        return Err(Failure::Usage("nothing to change: give --label or --description".to_owned()));
    }
    Ok(patch)
}

async fn hide(api: &Api, output: Output, typed: &str, hidden: bool) -> Result<(), Failure> {
    let patch = MediaGroupPatch { hidden: Some(hidden), ..MediaGroupPatch::default() };
    update(api, output, typed, &patch).await
}

async fn update(api: &Api, output: Output, typed: &str, patch: &MediaGroupPatch) -> Result<(), Failure> {
    let id = find::media_group(api, typed).await?;
    let seen = api.get_tagged::<MediaGroup>(&format!("/media-groups/{id}"), &[]).await?;
    let mut request = api.request(Method::PATCH, &format!("/admin/media-groups/{id}")).json(patch);
    if let Some(etag) = seen.etag {
        request = request.header(header::IF_MATCH, etag);
    }
    let group: MediaGroup = api.once(request).await?;
    output.print(&group, || details(&group))
}
