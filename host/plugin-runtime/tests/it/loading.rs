use imprint_plugin_runtime::{
    EmbeddedPlugin, HostOptions, LoadError, PluginHost, PluginInfo, PluginSource,
    manifest::{Kind, section},
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::components::{bare, component, manifest};

async fn load(name: &str, manifest: &str) -> Result<PluginInfo, LoadError> {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    host.load_component(&section::append(&bare(name), manifest), PluginSource::Embedded).await
}

fn without_tables(manifest: &str, table: &str) -> String {
    let mut out = String::new();
    let mut skipping = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            skipping = line.contains(table);
        }
        if !skipping {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[tokio::test]
async fn a_plugin_is_listed_as_its_manifest_says() {
    let info = load("hostile-storage", &manifest("hostile-storage")).await.unwrap();
    assert_eq!((info.id.as_str(), info.version.as_str()), ("hostile-storage", "0.1.0"));
    assert_eq!((info.kind, info.provides.as_str()), (Kind::Storage, "hostile"));
    assert_eq!(info.capabilities, ["dir:pool"]);
    assert_eq!(info.limits.memory, 16 << 20);
    assert_eq!(info.digest, hex::encode(Sha256::digest(component("hostile-storage"))));
}

#[tokio::test]
async fn an_interface_that_was_not_asked_for_is_refused_by_name() {
    let error =
        load("hostile-storage", &without_tables(&manifest("hostile-storage"), "capabilities.dir")).await;
    let LoadError::NotGranted { interface, advice, .. } = error.unwrap_err() else { panic!("another error") };
    assert!(interface.starts_with("imprint:host/dirs@"), "{interface}");
    assert!(advice.contains("[[capabilities.dir]]"), "{advice}");

    let error =
        load("hostile-driver", &without_tables(&manifest("hostile-driver"), "capabilities.channel")).await;
    let LoadError::NotGranted { interface, .. } = error.unwrap_err() else { panic!("another error") };
    assert!(interface.starts_with("imprint:host/channels@"), "{interface}");
}

#[tokio::test]
async fn a_manifest_that_contradicts_the_exports_is_refused() {
    let wrong = manifest("hostile-format").replace(r#"kinds = ["format"]"#, r#"kinds = ["storage"]"#);
    let error = load("hostile-format", &wrong).await.unwrap_err();
    assert!(matches!(error, LoadError::Kind { declared: "storage", .. }), "{error}");
}

#[tokio::test]
async fn version_skew_names_the_side_to_upgrade() {
    let newer =
        manifest("hostile-format").replace(r#"requires.host = ">=0.1, <0.2""#, r#"requires.host = ">=7""#);
    let error = load("hostile-format", &newer).await.unwrap_err();
    assert!(matches!(error, LoadError::HostVersion { .. }), "{error}");

    // A component of another version line of the contract: the digits in its binary, same length.
    let mut bytes = bare("hostile-format");
    let from = b"imprint:host/blobs@0.1.1";
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at + from.len() - 3] = b'9';
            found += 1;
        }
    }
    assert!(found > 0, "the component names its imports");
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let skewed = section::append(&bytes, &manifest("hostile-format"));
    let error = host.load_component(&skewed, PluginSource::Embedded).await.unwrap_err();
    let LoadError::Interface { interface, supported, advice, .. } = &error else {
        panic!("another error: {error}")
    };
    assert_eq!((interface.as_str(), supported.as_str()), ("imprint:host/blobs@0.9.1", "0.1"));
    assert!(advice.contains("upgrade the host"), "{advice}");
}

#[tokio::test]
async fn other_files_than_plugins_are_refused() {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let embedded = PluginSource::Embedded;
    let core_module = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
    for bytes in [&b"not wasm"[..], &core_module[..], &[]] {
        let error = host.load_component(bytes, embedded.clone()).await.unwrap_err();
        assert!(matches!(error, LoadError::NotAComponent(_)), "{error}");
    }
    let error = host.load_component(&bare("hostile-format"), embedded.clone()).await.unwrap_err();
    assert!(matches!(error, LoadError::NoManifest), "{error}");
    let twice = section::append(&component("hostile-format"), &manifest("hostile-format"));
    let error = host.load_component(&twice, embedded.clone()).await.unwrap_err();
    assert!(error.to_string().contains("two manifests"), "{error}");
    let mut cut = component("hostile-format");
    cut.truncate(cut.len() / 2);
    assert!(host.load_component(&cut, embedded).await.is_err());
    assert!(host.plugins().is_empty());
}

#[tokio::test]
async fn a_folder_overrides_embedded_plugins() {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let bytes = component("hostile-format");
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let embedded = EmbeddedPlugin { name: "hostile-format", bytes: &bytes, sha256: &sha256 };
    host.load_embedded(&[embedded]).await.unwrap();
    assert_eq!(host.plugins()[0].source, PluginSource::Embedded);

    let folder = TempDir::new().unwrap();
    let newer = manifest("hostile-format").replace(r#"version = "0.1.0""#, r#"version = "0.2.0""#);
    let file = folder.path().join("mine.wasm");
    std::fs::write(&file, section::append(&bare("hostile-format"), &newer)).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not a plugin").unwrap();
    host.load_dir(folder.path()).await.unwrap();
    let plugins = host.plugins();
    assert_eq!(plugins.len(), 1);
    assert_eq!(
        (plugins[0].version.as_str(), &plugins[0].source),
        ("0.2.0", &PluginSource::File(file.clone()))
    );

    assert_eq!(plugins[0].replaces.as_deref(), Some("0.1.0"), "the version of the embedded one");
    assert_eq!(host.quarantined(), []);
}

/// A folder with these files, each a component with a manifest or other bytes.
fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn named(id: &str, provides: &str) -> Vec<u8> {
    let named = manifest("hostile-format")
        .replace(r#"id = "hostile-format""#, &format!("id = {id:?}"))
        .replace(r#"provides = "hostile""#, &format!("provides = {provides:?}"));
    section::append(&bare("hostile-format"), &named)
}

/// Loads a folder beside the embedded `hostile-format`, and returns the ids of the plugins that are
/// used with the names and reasons of the files that are not.
async fn beside_a_shipped_one(files: &[(&str, Vec<u8>)]) -> (Vec<String>, Vec<(String, String)>) {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let bytes = component("hostile-format");
    let sha256 = hex::encode(Sha256::digest(&bytes));
    host.load_embedded(&[EmbeddedPlugin { name: "hostile-format", bytes: &bytes, sha256: &sha256 }])
        .await
        .unwrap();
    let folder = folder(files);
    host.load_dir(folder.path()).await.unwrap();
    let used = host.plugins().into_iter().map(|plugin| plugin.id).collect();
    let quarantined = host.quarantined().into_iter().map(|one| {
        assert!(one.finding().contains(&one.reason) && one.finding().contains(one.file.to_str().unwrap()));
        (one.file.file_name().unwrap().to_string_lossy().into_owned(), one.reason)
    });
    (used, quarantined.collect())
}

#[tokio::test]
async fn a_file_that_cannot_be_loaded_stops_no_other() {
    let newer = manifest("hostile-storage").replace(">=0.1, <0.2", ">=7");
    let files = [
        ("a-damaged.wasm", b"damaged".to_vec()),
        ("b-bare.wasm", bare("hostile-storage")),
        ("c-newer.wasm", section::append(&bare("hostile-storage"), &newer)),
        ("d-other-kind.wasm", section::append(&bare("hostile-driver"), &manifest("hostile-storage"))),
        ("e-good.wasm", component("hostile-stream")),
    ];
    let (used, quarantined) = beside_a_shipped_one(&files).await;
    assert_eq!(used, ["hostile-format", "hostile-stream"]);
    let reasons = [
        ("a-damaged.wasm", "not a WebAssembly component"),
        ("b-bare.wasm", "imprint plugin pack"),
        ("c-newer.wasm", "requires a host >=7"),
        ("d-other-kind.wasm", "correct `plugin.kinds`"),
    ];
    for ((file, reason), (expected, part)) in quarantined.iter().zip(reasons) {
        assert_eq!(file, expected);
        assert!(reason.contains(part), "{file}: {reason}");
        let (first, _) = reason.split_once(": ").unwrap_or((reason, ""));
        assert_eq!(reason.matches(first).count(), 1, "nothing is written twice: {reason}");
    }
    assert_eq!(quarantined.len(), reasons.len());
}

#[tokio::test]
async fn names_that_are_taken_are_refused_with_both_files() {
    let files = [
        ("a.wasm", named("twin", "one")),
        ("b.wasm", named("twin", "two")),
        ("c.wasm", named("format-c", "same")),
        ("d.wasm", named("format-d", "same")),
        ("e.wasm", named("aa-hostile", "hostile")),
        ("f.wasm", named("format-f", "fine")),
    ];
    let (used, quarantined) = beside_a_shipped_one(&files).await;
    assert_eq!(used, ["format-f", "hostile-format"]);
    let expected = [
        ("a.wasm", "b.wasm (twin) has the same id twin"),
        ("b.wasm", "a.wasm (twin) has the same id twin"),
        ("c.wasm", "d.wasm (format-d) provides the format same as well"),
        ("d.wasm", "c.wasm (format-c) provides the format same as well"),
        ("e.wasm", "the shipped plugin hostile-format provides the format hostile"),
    ];
    for ((file, reason), (name, part)) in quarantined.iter().zip(expected) {
        assert_eq!(file, name);
        assert!(reason.contains(part), "{file}: {reason}");
    }
    assert_eq!(quarantined.len(), expected.len());
}

#[tokio::test]
async fn the_id_of_a_shipped_plugin_is_for_what_provides_the_same() {
    let (used, quarantined) =
        beside_a_shipped_one(&[("x.wasm", named("hostile-format", "something-else"))]).await;
    assert_eq!(used, ["hostile-format"]);
    assert!(quarantined[0].1.contains("and this one is the format something-else"), "{quarantined:?}");
}

#[tokio::test]
async fn what_is_no_file_is_not_read() {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let folder = folder(&[]);
    std::fs::create_dir(folder.path().join("folder.wasm")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link.wasm")).unwrap();
    assert!(host.load_dir(folder.path()).await.unwrap().is_empty());
    assert_eq!(host.quarantined().len(), 2);
    assert!(host.load_dir(&folder.path().join("missing")).await.is_err());
}

#[tokio::test]
async fn an_embedded_plugin_with_another_digest_is_refused() {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let bytes = component("hostile-format");
    let sha256 = "0".repeat(64);
    let embedded = EmbeddedPlugin { name: "hostile-format", bytes: &bytes, sha256: &sha256 };
    let error = host.load_embedded(&[embedded]).await.unwrap_err();
    assert!(matches!(error, LoadError::Digest { .. }), "{error}");
}

/// A format that is only listed is described like any other plugin, and works when it is used. Its
/// faults are found then.
#[tokio::test]
async fn a_listed_format_is_loaded_when_it_is_needed() {
    let bytes: &'static [u8] = component("hostile-format").leak();
    let sha256: &'static str = hex::encode(Sha256::digest(bytes)).leak();
    let good = EmbeddedPlugin { name: "hostile-format", bytes, sha256 };
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    let compiled = || {
        let files = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).count()
    };
    let options = HostOptions { cache_dir: Some(cache.clone()), ..HostOptions::default() };
    let host = PluginHost::new(options).unwrap();
    let listed = host.list_embedded(&[good]).unwrap();
    assert_eq!((listed[0].id.as_str(), listed[0].digest.as_str()), ("hostile-format", sha256));
    assert_eq!(compiled(), 0, "nothing was needed yet");
    let format = host.format("hostile").unwrap();
    let (first, second) = tokio::join!(format.probe(b"x", b"x", 1), format.probe(b"x", b"x", 1));
    assert!(first.unwrap().is_some() && second.unwrap().is_some());
    assert_eq!(compiled(), 1);

    let host = PluginHost::new(HostOptions::default()).unwrap();
    let wrong: &'static str = "0".repeat(64).leak();
    host.list_embedded(&[EmbeddedPlugin { sha256: wrong, ..good }]).unwrap();
    let error = host.format("hostile").unwrap().probe(b"x", b"x", 1).await.unwrap_err();
    assert_eq!(error.code, "plugin.load");
    assert!(error.message.contains("hostile-format has the digest"), "{error}");

    let unmarked = manifest("hostile-format").replacen(
        "[plugin]",
        "[plugin]\nprobe.marks = [{ at = 0, text = \"y\" }]",
        1,
    );
    host.load_component(&section::append(&bare("hostile-format"), &unmarked), PluginSource::Embedded)
        .await
        .unwrap();
    let format = host.format("hostile").unwrap();
    assert!(format.probe(b"x", b"x", 1).await.unwrap().is_none());
    assert_eq!(host.plugins()[0].usage.calls, 0, "a file without its marks costs no call");
    assert!(format.probe(b"y", b"y", 1).await.unwrap().is_some());
}
