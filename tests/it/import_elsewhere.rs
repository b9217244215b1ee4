//! An image of another Imprint is imported (S73): two servers with an agent and real guests each.

use std::fs;

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    client::id,
    ledger::last_sequence,
    server::Server,
    tools::arg,
    web::{Behaviour, WebServer},
};
use serde_json::{Value, json};

use crate::import::{Demo, demo};

/// Has an image imported that is at another server, and returns the task's error.
async fn refused(here: &Demo, server: &str, image: &str, token: &str) -> Result<Value> {
    let source = json!({"type": "imprint", "server": server, "image_id": image, "token": token});
    let task = here.fetched("refused", source).await?;
    assert_eq!(task["state"], "failed", "{task}");
    ensure!(!task.to_string().contains(token), "the token is shown: {task}");
    Ok(task["error"].clone())
}

#[tokio::test]
async fn an_image_of_another_imprint_is_imported_and_boots() -> Result<()> {
    let there = Server::demo().await?;
    let owner = there.customer().await?;
    let running = owner.running_instance("demo-1").await?;
    there.console_says(id(&running), "LEDGER seq=").await?;
    let (image, _) = owner.capture(id(&running), "web", json!({})).await?;
    let here = demo("[agent]\nimport_private_networks = true\n").await?;

    let token = here.server.dir.path().join("token-there");
    fs::write(&token, format!("{}\n", owner.token()))?;
    let args = ["--imprint", &there.url, "--image", id(&image), "--token-file", arg(&token), "--wait"];
    let output = here.cli(&[&["image", "import", "moved"], &args[..]].concat())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let images = here.customer.get("/images").await?;
    let moved = here.customer.get(&format!("/images/{}", id(&images["items"][0]))).await?;
    assert_eq!(moved["logical_digest"], image["logical_digest"], "it is the same disk");
    let import = &moved["import"];
    assert_eq!(import["source"], "imprint", "{import}");
    assert_eq!(import["origin"], format!("{}/images/{}", there.url, id(&image)));
    let instance = here.customer.deploy(id(&moved), "copy", json!({})).await?;
    let start = here.server.console_says(id(&instance), "LEDGER start").await?;
    assert!(last_sequence(&start).is_some_and(|last| last > 0), "{start}");

    // What is wrong there is said in the words of the other one.
    let unknown = "img_01a22fbc-7ccc-7788-8218-7c39e10d7860";
    for (image, token, status, word) in
        [(id(&image), "imp_wrong", 401, "token"), (unknown, owner.token(), 404, "not found")]
    {
        let error = refused(&here, &there.url, image, token).await?;
        assert_eq!(error["code"], "import_source", "{error}");
        let detail = error["detail"].as_str().context("an error has a detail")?;
        ensure!(detail.contains(&status.to_string()) || detail.to_lowercase().contains(word), "{error}");
    }
    // What is no Imprint, or tries to lead elsewhere.
    let hostile = br#"{"logical_digest":null,"export":{"id":"../../session","status":"available"}}"#;
    for answer in [&b"<html>a shop</html>"[..], b"{}", hostile] {
        let server = WebServer::start(answer.to_vec(), Behaviour::Whole).await?;
        let address = server.url.split("/files").next().context("an address")?.to_owned();
        let error = refused(&here, &address, unknown, "imp_wrong").await?;
        assert_eq!(error["code"], "import_source", "{error}");
    }
    here.nothing_left(1).await
}
