//! An image is shared with another account, from the command line and over HTTP (S68, S71, S72).

use anyhow::Result;
use imprint_tests::{
    client::{Client, id},
    eventually,
    ledger::last_sequence,
    process::is_alive,
    server::Server,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PASSWORD: &str = "password-of-a-customer";

/// Makes a customer, and signs in.
async fn account(server: &Server, admin: &Client, name: &str) -> Result<Client> {
    let body = json!({"name": name, "password": PASSWORD, "role": "customer"});
    admin.post("/admin/accounts", &body).await?;
    Client::sign_in(&server.url, name, PASSWORD).await
}

async fn is_not_found(client: &Client, image: &str) -> Result<()> {
    let deployment = json!({"image_id": image, "name": "late"});
    for answer in [
        client.send(Method::GET, &format!("/images/{image}"), None, &[]).await?,
        client.send(Method::POST, "/instances", Some(&deployment), &[]).await?,
    ] {
        assert_eq!((answer.status, &answer.body["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    }
    let listed = client.get("/images?scope=all").await?;
    assert!(!listed.to_string().contains(image), "{listed}");
    Ok(())
}

#[tokio::test]
async fn a_shared_image_boots_for_its_recipient_and_outlives_the_share() -> Result<()> {
    let server = Server::demo().await?;
    let (owner, admin) = (server.customer().await?, server.admin().await?);
    let (friend, stranger) =
        (account(&server, &admin, "friend").await?, account(&server, &admin, "stranger").await?);
    let first = owner.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, _) = owner.capture(id(&first), "golden", json!({})).await?;
    let image = id(&image).to_owned();

    let share = server.run(&owner, &["image", "share", "offer", "golden", "friend", "--expires", "30d"])?;
    assert_eq!((&share["state"], &share["recipient"]), (&json!("offered"), &json!("friend")), "{share}");
    is_not_found(&friend, &image).await?;
    let offers = server.run(&friend, &["image", "share", "list"])?;
    assert_eq!(offers["items"], json!([share]));
    assert!(server.run(&stranger, &["image", "share", "accept", id(&share)]).is_err());
    server.run(&friend, &["image", "share", "accept", id(&share)])?;
    is_not_found(&stranger, &image).await?;

    let seen = server.run(&friend, &["image", "show", "golden"])?;
    assert_eq!(seen["shared"]["owner"], "demo", "{seen}");
    assert_eq!((&seen["source_instance"], &seen["task_id"]), (&Value::Null, &Value::Null), "{seen}");
    let copy = friend.deploy(&image, "copy", json!({})).await?;
    server.console_says(id(&copy), "BOOTED name=copy").await?;
    let locations = friend.get("/locations").await?;
    assert_eq!(locations["items"][0]["images_used"], 0, "the owner pays: {locations}");

    server.run(&owner, &["image", "share", "revoke", id(&share), "--yes"])?;
    is_not_found(&friend, &image).await?;
    let listed = server.run(&owner, &["image", "share", "list", "golden"])?;
    assert_eq!(listed["items"][0]["state"], "revoked", "{listed}");
    let pid = server.instance_pid(id(&copy))?;
    let after = last_sequence(&server.console(id(&copy)));
    eventually("the guest of the shared image to write on", async || {
        Ok((last_sequence(&server.console(id(&copy))) > after).then_some(()))
    })
    .await?;
    assert!(is_alive(pid));
    // The recipient has a copy of its own by imaging its instance (S68).
    let (own, _) = friend.capture(id(&copy), "mine", json!({})).await?;
    let again = friend.deploy(id(&own), "again", json!({})).await?;
    server.console_says(id(&again), "BOOTED name=again").await?;

    // The switch of the location is effective at once.
    let location = format!("/admin/locations/{}", id(&locations["items"][0]));
    admin.patch(&location, &json!({"sharing_enabled": false})).await?;
    let offer = json!({"account": "friend"});
    let refused = owner.send(Method::POST, &format!("/images/{image}/shares"), Some(&offer), &[]).await?;
    assert_eq!(
        (refused.status, &refused.body["title"]),
        (StatusCode::FORBIDDEN, &json!("Sharing of images is not enabled"))
    );
    Ok(())
}
