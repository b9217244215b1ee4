use std::{collections::BTreeMap, fs, sync::Arc};

use cap_std::{ambient_authority, fs::Dir};
use imprint_plugin_runtime::{PluginHost, StorageGrants};
use imprint_ports::{ErrorClass, Origin, PortError, ReadLocator, StorageBackend, WriteRequest, WriteTarget};
use tempfile::TempDir;

use crate::components::host;

struct Pool {
    folder: TempDir,
    storage: Arc<dyn StorageBackend>,
    _host: PluginHost,
}

async fn pool() -> Pool {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("pool")).unwrap();
    fs::write(folder.path().join("outside"), b"secret").unwrap();
    let dir = Dir::open_ambient_dir(folder.path().join("pool"), ambient_authority()).unwrap();
    let host = host(&["hostile-storage"]).await;
    let dirs = BTreeMap::from([("pool".to_owned(), Arc::new(dir))]);
    let storage = host.storage("hostile", StorageGrants { dirs, ..StorageGrants::default() }).await.unwrap();
    Pool { folder, storage, _host: host }
}

fn request(key: &str) -> WriteRequest {
    WriteRequest { key: key.to_owned(), upper_bound: None, needs_random: true, if_absent: true }
}

async fn upload(pool: &Pool, key: &str, bytes: &[u8]) -> Result<(), PortError> {
    let mut upload = pool.storage.begin_upload(&request(key)).await?;
    let WriteTarget::File(file) = upload.target().clone() else { panic!("it writes files") };
    file.dir.write(&file.path, bytes).unwrap();
    let digests = [("sha256".to_owned(), vec![0; 32])];
    let object = upload.commit(u64::try_from(bytes.len()).unwrap(), &digests).await?;
    assert_eq!(object.key, key);
    Ok(())
}

#[tokio::test]
async fn an_upload_becomes_visible_and_is_read_back() {
    let pool = pool().await;
    upload(&pool, "image", b"bytes").await.unwrap();
    let ReadLocator::File(file) = pool.storage.open_read("image").await.unwrap() else {
        panic!("it reads files")
    };
    assert_eq!(file.dir.read(&file.path).unwrap(), b"bytes");
    assert_eq!(pool.storage.stat("image").await.unwrap().size, 5);
    let space = pool.storage.space().await.unwrap().unwrap();
    assert!(space.total > 0 && space.available <= space.total);
    pool.storage.delete("image").await.unwrap();
    pool.storage.delete("image").await.unwrap();
    assert_eq!(pool.storage.stat("image").await.unwrap_err().class, ErrorClass::NotFound);
}

#[tokio::test]
async fn publishing_replaces_nothing() {
    let pool = pool().await;
    upload(&pool, "image", b"first").await.unwrap();
    let error = upload(&pool, "image", b"second").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::AlreadyExists);
    assert_eq!(fs::read(pool.folder.path().join("pool/image")).unwrap(), b"first");
}

#[tokio::test]
async fn locators_stay_below_the_grant() {
    let pool = pool().await;
    for (key, code) in [
        ("escape", "plugin.bad-answer.path"),
        ("absolute", "plugin.bad-answer.path"),
        ("grant", "plugin.bad-answer.grant"),
    ] {
        let error = pool.storage.open_read(key).await.unwrap_err();
        assert_eq!((error.origin, error.code.as_str()), (Origin::BadAnswer, code), "key {key}");
    }
    let Err(error) = pool.storage.begin_upload(&request("escape")).await else {
        panic!("the target is outside")
    };
    assert_eq!((error.origin, error.code.as_str()), (Origin::BadAnswer, "plugin.bad-answer.path"));
    upload(&pool, "fine", b"x").await.unwrap();
}

#[tokio::test]
async fn a_link_does_not_lead_out_of_the_grant() {
    let pool = pool().await;
    std::os::unix::fs::symlink("../outside", pool.folder.path().join("pool/link")).unwrap();
    let ReadLocator::File(file) = pool.storage.open_read("link").await.unwrap() else {
        panic!("it reads files")
    };
    assert!(file.dir.open(&file.path).is_err(), "the handle must not follow it");
    let error = pool.storage.stat("link").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Denied, "{error}");
}

#[tokio::test]
async fn requests_of_a_plugin_stay_below_the_grant() {
    let pool = pool().await;
    for key in ["host-escape", "host-absolute", "host-grant"] {
        let error = pool.storage.stat(key).await.unwrap_err();
        assert_eq!(
            (error.origin, error.code.as_str()),
            (Origin::Denied, "plugin.denied"),
            "key {key}: {error}"
        );
    }
}

#[tokio::test]
async fn answers_about_something_else_are_bad_answers() {
    let pool = pool().await;
    assert_eq!(pool.storage.stat("other-key").await.unwrap_err().code, "plugin.bad-answer.key");
    assert_eq!(pool.storage.list("", None, 10).await.unwrap_err().code, "plugin.bad-answer.list");
    let Err(error) = pool.storage.begin_upload(&request("big-token")).await else {
        panic!("the token is too long")
    };
    assert_eq!(error.code, "plugin.bad-answer.list");
}

#[tokio::test]
async fn a_token_is_enough_to_clean_up() {
    let pool = pool().await;
    let upload = pool.storage.begin_upload(&request("lost")).await.unwrap();
    let WriteTarget::File(file) = upload.target().clone() else { panic!("it writes files") };
    file.dir.write(&file.path, b"half").unwrap();
    let token = upload.token().to_vec();
    drop(upload);
    pool.storage.cleanup(&token).await.unwrap();
    pool.storage.cleanup(&token).await.unwrap();
    assert_eq!(fs::read_dir(pool.folder.path().join("pool")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_missing_grant_is_said_before_any_work() {
    let host = host(&["hostile-storage"]).await;
    let Err(error) = host.storage("hostile", StorageGrants::default()).await else {
        panic!("no directory was given")
    };
    assert_eq!(error.code, "plugin.grant-missing");
    assert!(error.message.contains("image pool"), "{error}");
    let Err(error) = host.storage("nowhere", StorageGrants::default()).await else {
        panic!("there is no such plugin")
    };
    assert_eq!(error.code, "plugin.not-found");
}
