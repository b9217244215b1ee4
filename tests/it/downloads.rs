//! An admin downloads an object of an image storage, in a browser and on the command line (S96).

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    client::{Client, id},
    eventually,
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
    server::Server,
    storages::bound_only,
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
    let mut command = server.command_line(&admin)?;
    command.args(["storage", "download", "images", key, "--to"]).arg(&file);
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
    metric(server, "imprint_downloaded_bytes_total").await
}

async fn metric(server: &Server, name: &str) -> Result<u64> {
    let text = reqwest::get(format!("{}/metrics", server.url)).await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.context("the metric")?.parse()?)
}

/// An object in a storage that clients reach themselves.
pub(crate) struct Direct<'a> {
    pub(crate) server: &'a Server,
    pub(crate) admin: &'a Client,
    /// The id of the storage.
    pub(crate) storage: &'a str,
    pub(crate) key: &'a str,
    pub(crate) content: &'a [u8],
    /// The address of the storage itself: `http://HOST:PORT`.
    pub(crate) at: &'a str,
    /// The parameter of an address that has its signature.
    pub(crate) signature: &'a str,
}

impl Direct<'_> {
    /// Makes a link, and returns it.
    async fn link(&self, through_server: bool) -> Result<String> {
        let links = format!("/admin/image-storages/{}/downloads", self.storage);
        let link =
            self.admin.post(&links, &json!({"key": self.key, "through_server": through_server})).await?;
        Ok(format!("{}{}", self.server.url, link["url"].as_str().context("a link")?))
    }

    /// Follows a link to the storage, and returns the signed address.
    async fn address(&self, method: Method) -> Result<String> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let sent = http.request(method, self.link(false).await?).send().await?;
        ensure!(sent.status() == StatusCode::TEMPORARY_REDIRECT, "{sent:?}");
        ensure!(sent.headers()[header::CACHE_CONTROL] == "no-store", "{sent:?}");
        let address = sent.headers()[header::LOCATION].to_str()?.to_owned();
        ensure!(address.starts_with(&format!("{}/", self.at)), "{address}");
        ensure!(address.contains(self.signature), "{address}");
        Ok(address)
    }

    /// Checks what a browser and other programs get, and the command line. `names_files` says
    /// whether the storage names the file as the address asks for.
    pub(crate) async fn check(&self, names_files: bool) -> Result<()> {
        let anybody = reqwest::Client::new();
        let before = downloaded(self.server).await?;
        let address = self.address(Method::GET).await?;
        let whole = anybody.get(&address).send().await?;
        ensure!(whole.status() == StatusCode::OK, "{whole:?}");
        if names_files {
            let name = self.key.rsplit('/').next().context("a name")?;
            let named = whole.headers()[header::CONTENT_DISPOSITION].to_str()?;
            ensure!(named.starts_with("attachment") && named.contains(name), "{named}");
        }
        let etag = whole.headers()[header::ETAG].to_str()?.to_owned();
        ensure!(whole.bytes().await? == self.content, "the storage sends something else");
        // What a browser sends, it sends to the storage as well.
        let part =
            anybody.get(self.link(false).await?).header(header::RANGE, "bytes=1000-1999").send().await?;
        ensure!(part.status() == StatusCode::PARTIAL_CONTENT, "{part:?}");
        ensure!(part.url().as_str().starts_with(self.at), "{}", part.url());
        ensure!(part.bytes().await? == self.content[1000..2000], "another part");
        let head = anybody.head(self.address(Method::HEAD).await?).send().await?;
        ensure!(head.status() == StatusCode::OK, "{head:?}");
        ensure!(head.headers()[header::CONTENT_LENGTH] == self.content.len().to_string(), "{head:?}");
        // A signature is for one object.
        let other = address.replacen(self.key, "img_none.raw", 1);
        let refused = anybody.get(other).send().await?.status();
        ensure!(matches!(refused, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED), "{refused}");

        self.check_command_line(&etag)?;
        ensure!(downloaded(self.server).await? == before, "some bytes came through the server");
        let passed = anybody.get(self.link(true).await?).send().await?;
        ensure!(passed.url().as_str().starts_with(&self.server.url), "{}", passed.url());
        ensure!(passed.bytes().await? == self.content, "the server sends something else");
        let counted = downloaded(self.server).await? - before;
        ensure!(counted == u64::try_from(self.content.len())?, "{counted}");
        let redirected = metric(self.server, "imprint_downloads_total{bytes_from=\"storage\"}").await?;
        ensure!(redirected >= 2, "{redirected}");
        let secret = address.split(self.signature).nth(1).context("a signature")?;
        let secret = secret.trim_start_matches('=').split('&').next().unwrap_or_default();
        ensure!(secret.len() > 20, "{address}");
        ensure!(!self.server.logs().contains(secret), "the log has a signature");
        Ok(())
    }

    /// Downloads by the command line: from the start, from the middle, at the end, and where what
    /// is there is of another version.
    fn check_command_line(&self, etag: &str) -> Result<()> {
        let folder = self.server.dir.path();
        let (file, half) = (folder.join("direct.raw"), self.content.len() / 2);
        // Bytes that the storage never sent show what was asked for.
        let own = vec![b'x'; half];
        let continued = [own.as_slice(), &self.content[half..]].concat();
        for (what, there, etag, expected) in [
            ("nothing is there", &[][..], "", self.content),
            ("the half is there", &own, etag, &continued),
            ("all of it is there", self.content, etag, self.content),
            ("another version is there", &own, "\"other\"", self.content),
        ] {
            fs::write(folder.join("direct.raw.part"), there)?;
            fs::write(folder.join("direct.raw.part.etag"), etag)?;
            let mut command = Command::new(binary()?);
            command.args(["storage", "download", self.storage, self.key, "--to"]).arg(&file);
            command.env("IMPRINT_SERVER", &self.server.url).env("IMPRINT_TOKEN", self.admin.token());
            let output = command.output()?;
            ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
            ensure!(fs::read(&file)? == expected, "{what}: the file has something else");
            fs::remove_file(&file)?;
        }
        Ok(())
    }
}

/// A download from the bucket itself, which the operator permits by a setting.
#[tokio::test]
async fn a_bucket_that_clients_reach_sends_its_objects_itself() -> Result<()> {
    let s3 = S3Server::start().await?;
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let body = json!({
        "name": "bucket", "role": "customer", "kind": "s3", "secrets": {"secret-key": SECRET_KEY},
        "settings": {
            "endpoint": s3.url, "bucket": S3Server::BUCKET, "prefix": "own", "access-key": ACCESS_KEY,
            "private-networks": "true", "part-size": "5", "direct-downloads": "true",
        },
    });
    let storage = bound_only(&admin, &body).await?;
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    customer.capture(id(&first), "in the bucket", json!({"compression": "none"})).await?;
    let object = s3.objects()?.pop().context("the image has an object")?;
    let key = object.file_name().and_then(|name| name.to_str()).context("a key")?.to_owned();
    let direct = Direct {
        server: &server,
        admin: &admin,
        storage: id(&storage),
        key: &key,
        content: &fs::read(&object)?,
        at: &s3.url,
        signature: "X-Amz-Signature",
    };
    // This service ignores how the file is to be named.
    direct.check(false).await?;
    assert!(!server.logs().contains(SECRET_KEY), "the log has the secret");

    // A storage that is away: the command says which one, and not the address.
    drop(s3);
    let mut command = server.command_line(&admin)?;
    command.args(["storage", "download", "bucket", &key, "--to"]).arg(server.dir.path().join("gone.raw"));
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && !said.contains("X-Amz"), "{said}");
    Ok(())
}
