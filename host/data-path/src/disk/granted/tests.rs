use super::*;
use crate::{
    testing::{FakeFormat, parent},
    transport::file::MemorySource,
};

fn formats() -> Vec<Arc<dyn DiskFormat>> {
    vec![Arc::new(FakeFormat::plain(512)), Arc::new(FakeFormat::raw())]
}

fn file(bytes: &[u8]) -> Arc<dyn BlockSource> {
    let mut bytes = bytes.to_vec();
    bytes.resize(4096, 0);
    Arc::new(MemorySource::new(bytes))
}

async fn granted(names: &[&str]) -> GrantedFiles {
    let mut granted = GrantedFiles::new();
    for name in names {
        granted.grant(name, (*name).to_owned(), file(b"FAKE"), "fake", &formats()).await.unwrap();
    }
    granted
}

async fn resolves(granted: &GrantedFiles, reference: &SourceRef) -> Option<String> {
    granted.resolve(reference).await.unwrap().map(|resolved| resolved.identity)
}

#[tokio::test]
async fn only_the_last_part_of_a_reference_counts() {
    let granted = granted(&["/here/base.vhd", "other.vhd"]).await;
    for reference in [
        "base.vhd",
        "./base.vhd",
        ".\\base.vhd",
        "..\\disks\\base.vhd",
        "C:\\Disks\\base.vhd",
        "\\\\server\\share\\base.vhd",
        "/etc/base.vhd",
        "/mixed\\base.vhd",
        "file://./base.vhd",
        "file:///disks/base.vhd",
        "file:base.vhd/../base.vhd",
    ] {
        assert_eq!(
            resolves(&granted, &parent(reference)).await.as_deref(),
            Some("/here/base.vhd"),
            "{reference}"
        );
    }
    for reference in [
        "",
        ".",
        "..",
        "/",
        "base.vhd/",
        "base.vhd\\",
        "base.VHD",
        "BASE.vhd",
        " base.vhd",
        "base.vhd ",
        "base",
        "xbase.vhd",
        "base.vhd\0",
        "/etc/passwd",
        "nbd://127.0.0.1:9/base.vhd",
        "http://host/base.vhd",
        "json:{\"driver\":\"raw\",\"file\":{\"filename\":\"/base.vhd",
        "C:base.vhd",
        "file:base.vhd",
    ] {
        assert_eq!(resolves(&granted, &parent(reference)).await, None, "{reference}");
    }
    assert_eq!(resolves(&GrantedFiles::new(), &parent("base.vhd")).await, None);
}

#[tokio::test]
async fn what_is_granted_is_what_it_is_declared_to_be() {
    let mut files = GrantedFiles::new();
    let mut code = async |name: &str, bytes: &[u8], declared: &str| {
        let outcome = files.grant(name, name.to_owned(), file(bytes), declared, &formats()).await;
        outcome.err().map_or_else(|| "granted".to_owned(), |error| error.code().to_owned())
    };
    assert_eq!(code("a", b"FAKE", "raw").await, "denied.ambiguous-content");
    assert_eq!(code("a", b"else", "fake").await, "denied.ambiguous-content");
    assert_eq!(code("a", b"else", "qcow9").await, "invalid.option");
    assert_eq!(code("a", b"else", "raw").await, "granted");
    assert_eq!(code("there/a", b"else", "raw").await, "invalid.option");
    for number in 1..MAX_GRANTED {
        assert_eq!(code(&number.to_string(), b"FAKE", "fake").await, "granted");
    }
    assert_eq!(code("one-more", b"FAKE", "fake").await, "invalid.option");
}

#[tokio::test]
async fn the_image_and_the_grant_agree_about_the_parents_format() {
    let granted = granted(&["base"]).await;
    let hinted = |hint: &str| SourceRef { format_hint: Some(hint.to_owned()), ..parent("base") };
    assert_eq!(resolves(&granted, &hinted("fake")).await.as_deref(), Some("base"));
    for hint in ["raw", "vpc", ""] {
        let error = granted.resolve(&hinted(hint)).await.err().unwrap();
        assert_eq!(error.code(), "denied.ambiguous-content", "{hint}");
    }
    assert_eq!(product_name("vpc"), "vhd");
    // A part of a disk has no format of its own.
    let part = SourceRef { role: "extent".to_owned(), ..hinted("raw") };
    assert_eq!(resolves(&granted, &part).await.as_deref(), Some("base"));
}
