//! An admin downloads an object of an image storage, in a browser and on the command line (S96).

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    client::{Client, id},
    eventually,
    server::Server,
};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

async fn images(admin: &Client) -> Result<Value> {
    let storages = admin.get("/admin/image-storages").await?;
    let images = storages["items"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "images"));
    images.cloned().context("the demo has a storage `images`")
}

#[tokio::test]
async fn an_object_is_downloaded_by_a_link_and_on_the_command_line() -> Result<()> {
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let folder = server.image_storage();
    let key = "img_01940000-0000-7000-8000-000000000001.raw";
    let content: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(folder.join(key), &content)?;
    let storage = images(&admin).await?;
    let links = format!("/admin/image-storages/{}/downloads", id(&storage));
    let link = eventually("the agent to serve objects", async || {
        Ok(Some(admin.post(&links, &json!({"key": key})).await?))
    })
    .await?;
    let url = format!("{}{}", server.url, link["url"].as_str().context("a link")?);

    // Without an account, as a browser follows a link.
    let anybody = reqwest::Client::new();
    let whole = anybody.get(&url).send().await?;
    assert_eq!(whole.status(), StatusCode::OK);
    let named = whole.headers()[header::CONTENT_DISPOSITION].to_str()?.to_owned();
    assert_eq!(named, format!("attachment; filename=\"{key}\""));
    assert_eq!(whole.headers()[header::CACHE_CONTROL], "no-store");
    let etag = whole.headers()[header::ETAG].to_str()?.to_owned();
    assert!(whole.bytes().await? == content);
    let part = anybody.get(&url).header(header::RANGE, "bytes=1000-1999").header(header::IF_RANGE, &etag);
    let part = part.send().await?;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()[header::CONTENT_RANGE], format!("bytes 1000-1999/{}", content.len()));
    assert!(part.bytes().await? == content[1000..2000]);
    let other = anybody.get(&url).header(header::RANGE, "bytes=5-").header(header::IF_RANGE, "\"other\"");
    assert_eq!(other.send().await?.status(), StatusCode::OK, "another version is sent as a whole");
    let beyond = anybody.get(&url).header(header::RANGE, "bytes=999999999-").send().await?;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let head = anybody.head(&url).send().await?;
    assert_eq!(head.headers()[header::CONTENT_LENGTH], content.len().to_string());

    // What is not permitted.
    let mut changed = url.clone();
    changed.insert(url.rfind('/').context("a path")? + 5, 'A');
    assert_eq!(anybody.get(&changed).send().await?.status(), StatusCode::FORBIDDEN);
    let refused = customer.send(Method::POST, &links, Some(&json!({"key": key})), &[]).await?;
    assert!(!refused.status.is_success(), "{refused:?}");
    let gone = admin.post(&links, &json!({"key": "img_none.raw"})).await?;
    let gone =
        anybody.get(format!("{}{}", server.url, gone["url"].as_str().unwrap_or_default())).send().await?;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);

    // The command line continues what an interrupted download left.
    let file = server.dir.path().join("disk.raw");
    fs::write(server.dir.path().join("disk.raw.part"), &content[..1_234_567])?;
    fs::write(server.dir.path().join("disk.raw.part.etag"), &etag)?;
    let before = downloaded(&server).await?;
    let mut command = Command::new(binary()?);
    command.args(["storage", "download", "images", key, "--to"]).arg(&file);
    command.env("IMPRINT_SERVER", &server.url).env("IMPRINT_TOKEN", admin.token());
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(&file)? == content);
    assert!(!server.dir.path().join("disk.raw.part.etag").exists());
    let rest = u64::try_from(content.len() - 1_234_567)?;
    assert_eq!(downloaded(&server).await? - before, rest, "only the rest was sent");
    assert!(!server.logs().contains(url.rsplit('/').next().unwrap_or_default()), "the log has the link");
    Ok(())
}

/// The bytes that were downloaded, as the metrics say.
async fn downloaded(server: &Server) -> Result<u64> {
    let text = reqwest::get(format!("{}/metrics", server.url)).await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix("imprint_downloaded_bytes_total "));
    Ok(line.context("the metric")?.parse()?)
}
