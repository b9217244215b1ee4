use async_trait::async_trait;
use imprint_ports::{CreateRequest, ErrorClass, FormatImage, FormatLayout, PortError};

use super::*;
use crate::{testing::FakeFormat, transport::file::MemorySource};

/// Claims files by a mark at their begin or their end.
struct Marked {
    name: &'static str,
    head: &'static [u8],
    tail: &'static [u8],
    reads: bool,
}

#[async_trait]
impl DiskFormat for Marked {
    fn name(&self) -> &str {
        if self.reads { self.name } else { "foreign" }
    }

    fn reads(&self) -> bool {
        self.reads
    }

    fn writes(&self) -> bool {
        false
    }

    async fn probe(&self, head: &[u8], tail: &[u8], _size: u64) -> Result<Option<Guess>, PortError> {
        let found = head.starts_with(self.head) && tail.ends_with(self.tail);
        let guess = Guess { confidence: 50, format: self.name.to_owned(), subformat: None };
        Ok(found.then_some(guess))
    }

    async fn open(
        &self,
        _primary: Arc<dyn BlockSource>,
        _options: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError> {
        let (code, text) = (format!("unsupported.{}", self.name), format!("this is a {} stream", self.name));
        Err(PortError::host(ErrorClass::Unsupported, &code, text))
    }

    async fn begin_layout(&self, _request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError> {
        Err(PortError::host(ErrorClass::Unsupported, "marked.read-only", "it cannot be written"))
    }
}

fn formats() -> Vec<Arc<dyn DiskFormat>> {
    let marked =
        |name, head, tail, reads| -> Arc<dyn DiskFormat> { Arc::new(Marked { name, head, tail, reads }) };
    vec![
        Arc::new(FakeFormat::raw()),
        Arc::new(FakeFormat::plain(65536)),
        marked("footed", b"", b"FOOT", true),
        marked("gzip", b"GZ", b"", false),
        marked("iso9660", b"CD", b"", false),
        marked("luks", b"LUKS", b"", false),
    ]
}

fn blob(bytes: &[u8]) -> Arc<dyn BlockSource> {
    Arc::new(MemorySource::new(bytes.to_vec()))
}

async fn confirmed(declared: &str, bytes: &[u8]) -> Result<(), EngineError> {
    confirm_format(declared, &[], &formats(), &blob(bytes)).await
}

async fn refused(declared: &str, bytes: &[u8]) -> String {
    let error = confirmed(declared, bytes).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("denied.ambiguous-content", ErrorClass::Denied));
    error.report()
}

#[tokio::test]
async fn the_most_confident_format_comes_first() {
    let names = |guesses: Vec<Guess>| guesses.into_iter().map(|guess| guess.format).collect::<Vec<_>>();
    let formats = formats();
    assert_eq!(names(detect(&formats, &blob(b"FAKE and more")).await.unwrap()), ["fake", "raw"]);
    assert_eq!(names(detect(&formats, &blob(b"FAKE FOOT")).await.unwrap()), ["fake", "footed", "raw"]);
    assert_eq!(names(detect(&formats, &blob(b"anything")).await.unwrap()), ["raw"]);
    assert_eq!(names(detect(&formats[1..2], &blob(b"")).await.unwrap()), Vec::<String>::new());
}

#[tokio::test]
async fn the_content_has_to_confirm_the_declared_format() {
    confirmed("fake", b"FAKE and more").await.unwrap();
    confirmed("raw", b"anything").await.unwrap();
    confirmed("footed", b"any FOOT").await.unwrap();
    let text = refused("raw", b"FAKE and more").await;
    assert!(text.contains("declared as raw") && text.contains("looks like fake"), "{text}");
    assert!(refused("fake", b"anything").await.contains("no known format"));
    assert!(refused("raw", b"any FOOT").await.contains("looks like footed"));
    assert!(refused("footed", b"FAKE and more").await.contains("looks like fake"));
    assert!(confirm_format("fake", &[], &formats()[1..2], &blob(b"anything")).await.is_err());
    assert!(confirm_format("raw", &[], &formats()[1..2], &blob(b"anything")).await.is_err());
}

#[tokio::test]
async fn two_claims_are_refused_whatever_is_declared() {
    for declared in ["fake", "footed", "raw", "gzip", "foreign"] {
        let text = refused(declared, b"FAKE FOOT").await;
        assert!(text.contains("fake and footed") && text.contains("forged"), "{text}");
        assert!(refused(declared, b"CD FOOT").await.contains("footed and iso9660"));
    }
    let error = refuse_foreign(&formats(), &blob(b"FAKE FOOT")).await.unwrap_err();
    assert_eq!(error.code(), "denied.ambiguous-content");
}

#[tokio::test]
async fn what_is_only_recognised_says_what_it_is() {
    let text = refused("fake", b"GZ...").await;
    assert!(text.contains("looks like gzip") && text.contains("this is a gzip stream"), "{text}");
    refused("raw", b"GZ...").await;
    let error = refuse_foreign(&formats(), &blob(b"GZ...")).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("unsupported.gzip", ErrorClass::Unsupported));
    for readable in [&b"FAKE"[..], b"anything"] {
        refuse_foreign(&formats(), &blob(readable)).await.unwrap();
    }
}

#[tokio::test]
async fn a_raw_disk_may_hold_a_medium_and_what_is_allowed() {
    confirmed("raw", b"CD...").await.unwrap();
    assert!(refused("fake", b"CD...").await.contains("iso9660"));
    refused("raw", b"LUKS").await;
    confirm_format("raw", &["luks"], &formats(), &blob(b"LUKS")).await.unwrap();
    assert!(confirm_format("fake", &["luks"], &formats(), &blob(b"LUKS")).await.is_err());
}
