//! `imprint webhook ...`.

use imprint_api::dto::webhook::{
    Webhook, WebhookAndSecret, WebhookCreate, WebhookDelivery, WebhookPatch, WebhookRedeliver,
};
use reqwest::Method;

use super::{
    api::Api,
    args::{WebhookArgs, WebhookCommand},
    confirm::confirm_deletion,
    failure::Failure,
    find,
    output::{Output, text, time},
    saved::patch,
    table::Table,
};
use crate::terminal::note;

pub(crate) async fn webhook(args: WebhookArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        WebhookCommand::List => list(&api, output).await,
        WebhookCommand::Show { webhook } => {
            let shown: Webhook = api.get(&path(&api, &webhook).await?, &[]).await?;
            output.print(&shown, || details(&shown))
        }
        WebhookCommand::Create { name, events, url } => {
            let request = WebhookCreate { name, url, events };
            let made: WebhookAndSecret =
                api.once(api.request(Method::POST, "/webhooks").json(&request)).await?;
            print_secret(output, &made)
        }
        WebhookCommand::Update { webhook, name, url, events, enabled } => {
            if name.is_none() && url.is_none() && events.is_none() && enabled.is_none() {
                let detail = "nothing to change: give --name, --url, --events or --enabled";
                return Err(Failure::Usage(detail.to_owned()));
            }
            let events = events.map(|events| if events == ["all"] { Vec::new() } else { events });
            let body = WebhookPatch { name, url, events, enabled };
            let changed: Webhook = patch::<Webhook, _, _>(&api, &path(&api, &webhook).await?, &body).await?;
            output.print(&changed, || details(&changed))
        }
        WebhookCommand::RotateSecret { webhook } => {
            let path = format!("{}/actions/rotate-secret", path(&api, &webhook).await?);
            let made: WebhookAndSecret = api.once(api.request(Method::POST, &path)).await?;
            print_secret(output, &made)
        }
        WebhookCommand::Test { webhook } => {
            let path = format!("{}/actions/test", path(&api, &webhook).await?);
            let shown: Webhook = api.once(api.request(Method::POST, &path)).await?;
            note("the message is about to be sent; see `imprint webhook deliveries`");
            output.print(&shown, || details(&shown))
        }
        WebhookCommand::Deliveries { webhook } => deliveries(&api, output, &webhook).await,
        WebhookCommand::Redeliver { webhook, sequence } => {
            let path = format!("{}/actions/redeliver", path(&api, &webhook).await?);
            let request = api.request(Method::POST, &path).json(&WebhookRedeliver { sequence });
            let shown: Webhook = api.once(request).await?;
            output.print(&shown, || details(&shown))
        }
        WebhookCommand::Delete { webhook, confirm } => {
            let path = path(&api, &webhook).await?;
            confirm_deletion(confirm, "webhook", &webhook)?;
            api.send(api.request(Method::DELETE, &path)).await?;
            note("the webhook is deleted");
            Ok(())
        }
    }
}

async fn path(api: &Api, typed: &str) -> Result<String, Failure> {
    Ok(format!("/webhooks/{}", find::webhook(api, typed).await?))
}

fn print_secret(output: Output, made: &WebhookAndSecret) -> Result<(), Failure> {
    let shown = || {
        let lines = lines(&made.webhook).into_iter();
        Table::details(lines.chain([("secret", made.secret.clone())]))
    };
    output.print(made, shown)?;
    note("the secret is not shown again");
    Ok(())
}

async fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let webhooks = api.list::<Webhook>("/webhooks", &[]).await?;
    output.print(&webhooks, || {
        let rows = webhooks.items.iter().map(|webhook| {
            let events = events(webhook);
            [
                webhook.name.clone(),
                webhook.url.clone(),
                events,
                state(webhook).to_owned(),
                webhook.id.to_string(),
            ]
        });
        Table::list(["NAME", "ADDRESS", "EVENTS", "STATE", "ID"], rows, "no webhooks")
    })
}

async fn deliveries(api: &Api, output: Output, typed: &str) -> Result<(), Failure> {
    let path = format!("{}/deliveries", path(api, typed).await?);
    let found = api.list::<WebhookDelivery>(&path, &[]).await?;
    output.print(&found, || {
        let rows = found.items.iter().map(|delivery| {
            let answer = delivery.problem.clone().or(delivery.status.map(|status| status.to_string()));
            [
                time(Some(delivery.at)),
                text(delivery.sequence),
                delivery.kind.clone(),
                delivery.attempt.to_string(),
                text(answer),
            ]
        });
        Table::list(["AT", "EVENT", "TYPE", "ATTEMPT", "ANSWER"], rows, "nothing was sent")
    })
}

fn events(webhook: &Webhook) -> String {
    if webhook.events.is_empty() { "all".to_owned() } else { webhook.events.join(",") }
}

fn state(webhook: &Webhook) -> &'static str {
    match (webhook.enabled, webhook.given_up, webhook.failures) {
        (false, true, _) => "given up",
        (false, false, _) => "off",
        (true, _, 0) => "on",
        (true, ..) => "failing",
    }
}

fn details(webhook: &Webhook) -> Table {
    Table::details(lines(webhook))
}

fn lines(webhook: &Webhook) -> [(&'static str, String); 8] {
    [
        ("id", webhook.id.to_string()),
        ("name", webhook.name.clone()),
        ("address", webhook.url.clone()),
        ("events", events(webhook)),
        ("state", state(webhook).to_owned()),
        ("failing since", time(webhook.failing_since)),
        ("next attempt", time(webhook.next_attempt_at)),
        ("created", time(Some(webhook.created_at))),
    ]
}
