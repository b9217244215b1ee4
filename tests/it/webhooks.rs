//! Webhooks through the binary: signed messages to a real receiver, across refusals and a killed
//! server.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use imprint_tests::{
    client::{Client, id},
    eventually,
    receiver::{Received, Receiver},
    server::{CONFIG, Server},
    tools::arg,
};
use serde_json::{Value, json};

/// What OpenSSL says the signature of a message is.
fn signature(message: &Received, secret: &str, dir: &std::path::Path) -> Result<String> {
    let key = BASE64.decode(secret.strip_prefix("whsec_").context("a secret")?)?;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let field = |name: &str| message.fields.get(name).cloned().with_context(|| name.to_owned());
    let start = format!("{}.{}.", field("webhook-id")?, field("webhook-timestamp")?);
    let file = dir.join("signed");
    fs::write(&file, [start.as_bytes(), &message.body].concat())?;
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-binary", "-mac", "HMAC", "-macopt", &format!("hexkey:{hex}")]);
    let output = openssl.arg(&file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(format!("v1,{}", BASE64.encode(output.stdout)))
}

fn json_of(message: &Received) -> Result<Value> {
    Ok(serde_json::from_slice(&message.body)?)
}

/// The numbers of the events that were taken.
fn taken(receiver: &Receiver) -> Result<BTreeSet<u64>> {
    let mut numbers = BTreeSet::new();
    for message in receiver.received().iter().filter(|message| message.status == 204) {
        numbers.extend(json_of(message)?["data"]["sequence"].as_u64());
    }
    Ok(numbers)
}

async fn settled(account: &Client, webhook: &str, receiver: &Receiver) -> Result<BTreeSet<u64>> {
    // A test comes after everything that was to be sent before it.
    let tests = |receiver: &Receiver| {
        let received = receiver.received();
        received
            .iter()
            .filter(|message| String::from_utf8_lossy(&message.body).contains("webhook.test"))
            .count()
    };
    let mut before = taken(receiver)?;
    eventually("all events to be delivered", async || {
        let sent = tests(receiver);
        account.post(&format!("/webhooks/{webhook}/actions/test"), &json!({})).await?;
        eventually("a test to arrive", async || Ok((tests(receiver) > sent).then_some(()))).await?;
        let now = taken(receiver)?;
        let same = now == before;
        before.clone_from(&now);
        Ok((same && !now.is_empty()).then_some(now))
    })
    .await
}

#[tokio::test]
async fn events_reach_a_receiver_signed_and_in_order_whatever_fails() -> Result<()> {
    let receiver = Receiver::start().await?;
    let dir = Server::folder()?;
    let config = dir.path().join("hooks.toml");
    fs::write(&config, format!("{CONFIG}[webhooks]\nnetworks = [\"127.0.0.0/8\"]\n"))?;
    let config = arg(&config).to_owned();
    let mut server = Server::start_in(dir, &["--demo", "--config", &config], &[]).await?;
    let customer = server.customer().await?;
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    let events = "image.*,task.changed";
    let create = ["webhook", "create", "--name", "hook", "--events", events, &receiver.url];
    let made = server.run(&customer, &create)?;
    let secret = made["secret"].as_str().context("a secret is shown once")?.to_owned();
    let webhook = id(&made["webhook"]).to_owned();

    // The first pause is five seconds, and the second one minutes.
    receiver.refuse(1);
    let (image, _) = customer.capture(id(&first), "hooked", json!({})).await?;
    eventually("a refused message to be sent again", async || {
        Ok((receiver.received().len() > 2).then_some(()))
    })
    .await?;
    let received = receiver.received();
    let message_id = |message: &Received| message.fields.get("webhook-id").cloned();
    assert_eq!((received[0].status, received[1].status), (503, 204));
    assert_eq!(message_id(&received[0]), message_id(&received[1]), "the same message again");
    // The server dies with messages to send, and an image is deleted by the next one.
    server.process().kill()?;
    server.restart(&["--demo", "--config", &config], &[]).await?;
    let customer = server.customer().await?;
    let deleted = customer.delete(&format!("/images/{}", id(&image))).await?;
    customer.succeeded(&deleted["task"]).await?;
    let numbers = settled(&customer, &webhook, &receiver).await?;

    let (mut order, mut kinds) = (Vec::new(), BTreeSet::new());
    for message in receiver.received() {
        assert_eq!(
            message.fields.get("webhook-signature"),
            Some(&signature(&message, &secret, server.dir.path())?)
        );
        let text = json_of(&message)?;
        kinds.insert(text["type"].as_str().context("a type")?.to_owned());
        if message.status == 204 {
            order.extend(text["data"]["sequence"].as_u64());
        }
    }
    ensure!(order.is_sorted(), "in their order: {order:?}");
    for kind in ["image.changed", "image.deleted", "task.changed", "webhook.test"] {
        ensure!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    ensure!(!kinds.contains("instance.changed"), "{kinds:?}");
    let shown = server.run(&customer, &["webhook", "deliveries", "hook"])?;
    let failed = shown["items"].as_array().context("a list")?.iter().filter(|one| one["delivered"] == false);
    assert_eq!(failed.count(), 1, "{shown}");
    ensure!(!server.logs().contains(&secret), "the log has the secret");

    // Billing: an admin's system learns of rates, and from there reads the feed.
    let admin = server.admin().await?;
    let create = ["webhook", "create", "--name", "billing", "--events", "billing.*", &receiver.url];
    server.run(&admin, &create)?;
    let locations = admin.get("/locations").await?;
    let location = locations["items"][0]["name"].as_str().context("a name")?.to_owned();
    server.run(&admin, &["billing", "rate", "set", &location, "--currency", "EUR", "--gb-month", "0.05"])?;
    eventually("the event of a rate to arrive", async || {
        let received = receiver.received();
        let of_rate =
            |message: &&Received| json_of(message).is_ok_and(|text| text["type"] == "billing.rate_changed");
        Ok(received.iter().any(|message| of_rate(&message)).then_some(()))
    })
    .await?;
    assert!(numbers.len() > 3, "{numbers:?}");
    Ok(())
}
