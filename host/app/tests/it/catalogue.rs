//! Stock images and media groups on the command line.

use imprint_agent_protocol::{ImageResult, Outcome};
use serde_json::{Value, json};

use crate::server::{Server, deployed, stored};

fn registered() -> Outcome {
    Outcome::ImageRegistered(ImageResult { image: stored(), findings: None })
}

async fn run(server: &Server, args: &[&str]) -> Value {
    server.imprint(args).await.expect(0).json()
}

async fn table(server: &Server, args: &[&str]) -> String {
    server.imprint(&[args, &["-o", "table"]].concat()).await.expect(0).out()
}

/// Adds a version of the family `tiny` from a file of the storage for stock images.
async fn add(server: &Server, version: &str) -> Value {
    let storages = run(server, &["storage", "list", "--role", "stock"]).await;
    let storage = storages["items"][0]["id"].as_str().unwrap().to_owned();
    let (name, file) = (format!("Tiny {version}"), format!("tiny-{version}.qcow2"));
    let source = ["--name", &name, "--storage", &storage, "--file", &file, "--format", "qcow2"];
    let offer =
        ["--family", "tiny", "--family-version", version, "--media-group", "Linux", "--os-type", "linux"];
    let rest = ["--location", "home", "--no-cloud-init", "--wait"];
    let args = [&["stock-image", "add"][..], &source, &offer, &rest].concat();
    let (ran, ()) = tokio::join!(server.imprint(&args), server.agent.work(registered()));
    ran.expect(0).json()["image"].clone()
}

#[tokio::test]
async fn stock_images_and_media_groups_are_managed() {
    let server = Server::start().await;
    run(&server, &["login", "--server", &server.url, "--account", "admin"]).await;
    for label in ["Linux", "Windows"] {
        run(&server, &["media-group", "create", "--label", label]).await;
    }
    let moved = run(&server, &["media-group", "move", "Windows", "0"]).await;
    assert_eq!((&moved["position"], &moved["version"]), (&json!(0), &json!(2)));
    let groups = table(&server, &["media-group", "list"]).await;
    let labels: Vec<_> = groups.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(labels, ["Windows", "Linux"], "{groups}");

    let old = add(&server, "1.9").await;
    assert_eq!((&old["catalogue"]["latest"], &old["cloud_init"]), (&json!(true), &json!(false)));
    let new = add(&server, "1.10").await;
    assert_eq!(new["catalogue"]["latest"], true);
    let deprecate =
        ["stock-image", "deprecate", "Tiny 1.9", "--notice", "Old.", "--replacement", "Tiny 1.10"];
    let deprecated = run(&server, &deprecate).await;
    assert_eq!(
        deprecated["catalogue"]["deprecation"],
        json!({"notice": "Old.", "replacement_id": new["id"]})
    );
    let listed = table(&server, &["stock-image", "list"]).await;
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("Tiny 1.9").contains("deprecated") && line("Tiny 1.10").contains("latest"), "{listed}");

    let create = ["instance", "create", "--family", "tiny", "--name", "of-the-family", "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&create), server.agent.work(deployed()));
    assert_eq!(ran.expect(0).json()["instance"]["image"]["id"], new["id"]);
    let hidden = run(&server, &["stock-image", "hide", "Tiny 1.10"]).await;
    assert_eq!(
        (&hidden["catalogue"]["hidden"], &hidden["catalogue"]["latest"]),
        (&json!(true), &json!(false))
    );
    let refused = server.imprint(&create).await.expect(3);
    assert!(refused.err().contains("no image of this family can be deployed"), "{}", refused.err());
    let neither = server.imprint(&["instance", "create", "--name", "x"]).await.expect(2);
    assert!(neither.err().contains("--image"), "{}", neither.err());

    let used = server.imprint(&["media-group", "delete", "Linux"]).await;
    assert!(used.expect(3).err().contains("2 stock images are in the media group"));
    let update =
        ["stock-image", "update", "Tiny 1.9", "--no-family", "--no-media-group", "--cloud-init", "true"];
    let updated = run(&server, &update).await;
    assert_eq!((&updated["catalogue"]["family"], &updated["cloud_init"]), (&Value::Null, &json!(true)));
    let nothing = server.imprint(&["stock-image", "update", "Tiny 1.9"]).await.expect(2);
    assert!(nothing.err().contains("nothing to change"), "{}", nothing.err());
    run(&server, &["media-group", "hide", "Linux"]).await;

    // A customer sees what is offered.
    server.login().await;
    let listed = run(&server, &["stock-image", "list"]).await;
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|image| &image["name"]).collect();
    assert_eq!(names, ["Debian", "Tiny 1.9"]);
    let groups = run(&server, &["media-group", "list"]).await;
    assert_eq!(groups["items"].as_array().unwrap().len(), 1);
    server.imprint(&["media-group", "show", "Linux"]).await.expect(3);
    let refused = server.imprint(&["stock-image", "hide", "Tiny 1.9"]).await;
    assert!(!refused.err().is_empty());
}
