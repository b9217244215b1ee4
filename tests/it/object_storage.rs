//! Images in a bucket of a real S3 server: captured to it in parts, deployed from it by ranges, and
//! everything that can be wrong with its settings.

use anyhow::Result;
use imprint_tests::{
    authority::Authority,
    client::id,
    ledger::{self, last_sequence},
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
    server::Server,
    storages::{bound_only, failed_step},
    tls_front::TlsFront,
    tools,
};
use serde_json::{Value, json};

fn settings(server: &S3Server) -> Value {
    json!({
        "endpoint": server.url, "bucket": S3Server::BUCKET, "prefix": "own", "access-key": ACCESS_KEY,
        "private-networks": "true", "part-size": "5",
    })
}

/// A storage in the bucket, as a test of its connection asks for it.
fn draft(settings: Value, secret: &str) -> Value {
    json!({"role": "customer", "kind": "s3", "settings": settings, "secrets": {"secret-key": secret}})
}

#[tokio::test]
async fn images_go_to_a_bucket_and_come_back() -> Result<()> {
    let s3 = S3Server::start().await?;
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let mut storage = draft(settings(&s3), SECRET_KEY);
    storage["name"] = json!("bucket");
    bound_only(&admin, &storage).await?;
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, _) = customer.capture(id(&first), "in the bucket", json!({"compression": "none"})).await?;
    assert_eq!(image["status"], "available", "{image}");
    let objects = s3.objects()?;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert!(objects[0].to_string_lossy().contains("/images/own/"), "{objects:?}");
    assert_eq!(image["size_bytes"], std::fs::metadata(&objects[0])?.len());
    tools::ok("qemu-img", &["check", "-f", "qcow2", tools::arg(&objects[0])])?;
    let found = ledger::inspect(&objects[0], "qcow2")?;
    assert!(found.verification.is_consistent(), "{found:?}");
    assert!(server.stored_files()?.is_empty(), "nothing went to the shipped storage");

    let second = customer.deploy(id(&image), "second", json!({})).await?;
    let start = server.console_says(id(&second), "LEDGER start").await?;
    assert_eq!(last_sequence(&start), Some(found.verification.last_sequence));
    let deleted = customer.delete(&format!("/images/{}", id(&image))).await?;
    customer.succeeded(&deleted["task"]).await?;
    assert_eq!((s3.objects()?, s3.left_over_parts()?), (Vec::new(), Vec::new()));
    assert!(!server.logs().contains(SECRET_KEY), "the log has the secret");
    Ok(())
}

#[tokio::test]
async fn the_connection_test_names_what_is_wrong_with_a_bucket() -> Result<()> {
    let s3 = S3Server::start().await?;
    let server = Server::demo().await?;
    let admin = server.admin().await?;
    let good = settings(&s3);
    assert_eq!(failed_step(&admin, draft(good.clone(), SECRET_KEY)).await?, None);
    assert_eq!((s3.objects()?, s3.left_over_parts()?), (Vec::new(), Vec::new()), "the test leaves nothing");
    let not_s3 = server.url.clone();
    let nothing = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        format!("http://{}", listener.local_addr()?)
    };
    for (setting, value, expected) in [
        ("bucket", "other", "bucket"),
        ("access-key", "AKIAOTHER", "access-key"),
        ("endpoint", not_s3.as_str(), "endpoint"),
        ("endpoint", nothing.as_str(), "endpoint"),
        ("private-networks", "false", "private-networks"),
        ("ca-certificate", "nonsense", "ca-certificate"),
    ] {
        let mut settings = good.clone();
        settings[setting] = json!(value);
        let failed = failed_step(&admin, draft(settings, SECRET_KEY)).await?;
        let failed = failed.unwrap_or_else(|| panic!("{setting}={value} passed"));
        assert_eq!(failed["setting"], expected, "{setting}={value}: {failed}");
        assert!(!failed.to_string().contains(SECRET_KEY), "{failed}");
    }
    let failed = failed_step(&admin, draft(good, "another-secret-key")).await?;
    assert_eq!(failed.as_ref().map(|step| &step["setting"]), Some(&json!("secret-key")), "{failed:?}");
    Ok(())
}

/// Over TLS, with an authority that the settings name; and without it.
#[tokio::test]
async fn a_bucket_is_reached_over_tls_by_its_own_authority_only() -> Result<()> {
    let s3 = S3Server::start().await?;
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let front = TlsFront::start(&authority, &s3.url).await?;
    let server = Server::demo().await?;
    let (admin, customer) = (server.admin().await?, server.customer().await?);
    let mut settings = settings(&s3);
    settings["endpoint"] = json!(front.url);
    for certificate in [None, Some(other.pem())] {
        if let Some(pem) = certificate {
            settings["ca-certificate"] = json!(pem);
        }
        let failed = failed_step(&admin, draft(settings.clone(), SECRET_KEY)).await?;
        assert_eq!(
            failed.as_ref().map(|step| &step["setting"]),
            Some(&json!("ca-certificate")),
            "{failed:?}"
        );
    }
    settings["ca-certificate"] = json!(authority.pem());
    let mut storage = draft(settings, SECRET_KEY);
    storage["name"] = json!("bucket");
    bound_only(&admin, &storage).await?;
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    let (image, _) = customer.capture(id(&first), "over TLS", json!({})).await?;
    let found = ledger::inspect(&s3.objects()?[0], "qcow2")?;
    assert!(found.verification.is_consistent(), "{found:?}");
    let second = customer.deploy(id(&image), "second", json!({})).await?;
    let start = server.console_says(id(&second), "LEDGER start").await?;
    assert_eq!(last_sequence(&start), Some(found.verification.last_sequence));
    Ok(())
}
