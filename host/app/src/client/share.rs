//! `imprint image share ...`: sharing of images with other accounts.

use chrono::Utc;
use imprint_api::dto::share::{Share, ShareCreate};
use imprint_domain::id::ShareId;
use reqwest::Method;

use super::{
    api::Api,
    args::{Expiry, ShareCommand, ShareOfferArgs},
    confirm::confirm,
    failure::Failure,
    find,
    output::{Output, time},
    table::Table,
};

pub(crate) async fn run(api: &Api, output: Output, command: ShareCommand) -> Result<(), Failure> {
    match command {
        ShareCommand::Offer(args) => offer(api, output, args).await,
        ShareCommand::List { image } => list(api, output, image).await,
        ShareCommand::Accept { share } => act(api, output, share, "accept").await,
        ShareCommand::Reject { share } => act(api, output, share, "reject").await,
        ShareCommand::Revoke { share, confirm: args } => {
            confirm(args, &format!("Revoke the share {share}? New deployments are refused from then on."))?;
            act(api, output, share, "revoke").await
        }
        ShareCommand::Leave { share, confirm: args } => {
            confirm(args, &format!("Give up the share {share}? Only the owner can offer the image again."))?;
            act(api, output, share, "leave").await
        }
    }
}

async fn offer(api: &Api, output: Output, args: ShareOfferArgs) -> Result<(), Failure> {
    let expires_at = args.expires.map(end).transpose()?;
    let id = find::image(api, &args.image).await?;
    let request = ShareCreate { account: args.account, expires_at };
    let share: Share = api.create(&format!("/images/{id}/shares"), &request).await?;
    output.print(&share, || details(&share))
}

#[expect(clippy::disallowed_methods, reason = "the while that was typed begins now")]
fn end(expiry: Expiry) -> Result<chrono::DateTime<Utc>, Failure> {
    expiry.from(Utc::now()).ok_or_else(|| Failure::Usage("--expires is too far away".to_owned()))
}

async fn list(api: &Api, output: Output, image: Option<String>) -> Result<(), Failure> {
    let path = match image {
        Some(typed) => format!("/images/{}/shares", find::image(api, &typed).await?),
        None => "/shares".to_owned(),
    };
    let shares = api.list::<Share>(&path, &[]).await?;
    output.print(&shares, || {
        let rows = shares.items.iter().map(|share| {
            [
                share.image.name.clone(),
                share.owner.clone(),
                share.recipient.clone(),
                share.state.to_string(),
                time(Some(share.offered_at)),
                time(share.expires_at),
                share.id.to_string(),
            ]
        });
        Table::list(["IMAGE", "OWNER", "RECIPIENT", "STATE", "OFFERED", "EXPIRES", "ID"], rows, "no shares")
    })
}

async fn act(api: &Api, output: Output, id: ShareId, action: &str) -> Result<(), Failure> {
    let request = api.request(Method::POST, &format!("/shares/{id}/actions/{action}"));
    let share: Share = api.once(request).await?;
    output.print(&share, || details(&share))
}

fn details(share: &Share) -> Table {
    Table::details([
        ("id", share.id.to_string()),
        ("image", share.image.name.clone()),
        ("image id", share.image.id.to_string()),
        ("owner", share.owner.clone()),
        ("recipient", share.recipient.clone()),
        ("state", share.state.to_string()),
        ("offered", time(Some(share.offered_at))),
        ("decided", time(share.decided_at)),
        ("ended", time(share.ended_at)),
        ("expires", time(share.expires_at)),
    ])
}
