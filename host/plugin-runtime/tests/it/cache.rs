use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use imprint_plugin_runtime::{HostOptions, PluginHost, PluginSource};
use tempfile::TempDir;

use crate::components::component;

async fn load(cache: &Path) {
    let options = HostOptions { cache_dir: Some(cache.to_owned()), ..HostOptions::default() };
    let host = PluginHost::new(options).unwrap();
    host.load_component(&component("hostile-format"), PluginSource::Embedded).await.unwrap();
    let guess = host.format("hostile").unwrap().probe(b"x", b"x", 1).await.unwrap();
    assert_eq!(guess.unwrap().confidence, 1, "the plugin runs with any contents of the cache");
}

fn compiled(cache: &Path) -> PathBuf {
    let files = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    let mut compiled: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "cwasm")).collect();
    assert_eq!(compiled.len(), 1);
    compiled.remove(0)
}

fn written(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[tokio::test]
async fn a_compiled_plugin_is_kept_and_taken() {
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    load(&cache).await;
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let file = compiled(&cache);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = written(&file);
    load(&cache).await;
    assert_eq!(written(&file), before, "a hit writes nothing");
}

#[tokio::test]
async fn a_changed_file_is_a_miss() {
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    load(&cache).await;
    let file = compiled(&cache);
    let good = fs::read(&file).unwrap();
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damaged =
        [flip(0), flip(40), flip(good.len() - 1), good[..100].to_vec(), good[..10].to_vec(), Vec::new()];
    for bytes in damaged {
        fs::write(&file, &bytes).unwrap();
        load(&cache).await;
        assert_eq!(fs::read(&file).unwrap().len(), good.len(), "it was compiled and stored again");
        assert_ne!(fs::read(&file).unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_file_under_another_name_or_key_is_a_miss() {
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    load(&cache).await;
    let file = compiled(&cache);
    let before = fs::read(&file).unwrap();
    fs::write(cache.join("cache.key"), [7; 32]).unwrap();
    load(&cache).await;
    assert_ne!(fs::read(&file).unwrap()[..32], before[..32], "the tag was made with the new key");
    fs::write(cache.join("cache.key"), "short").unwrap();
    load(&cache).await;
    assert_eq!(fs::read(cache.join("cache.key")).unwrap().len(), 32);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let options = HostOptions { cache_dir: Some(file.join("cache")), ..HostOptions::default() };
    assert!(PluginHost::new(options).is_err());
}
