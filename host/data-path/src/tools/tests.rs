use super::*;
use crate::{
    file::MemorySource,
    testing::{FakeFormat, Script},
};

fn formats() -> Vec<Arc<dyn DiskFormat>> {
    vec![Arc::new(FakeFormat::raw()), Arc::new(FakeFormat::plain(65536))]
}

fn blob(bytes: &[u8]) -> Arc<dyn BlockSource> {
    Arc::new(MemorySource::new(bytes.to_vec()))
}

#[tokio::test]
async fn the_most_confident_format_comes_first() {
    let names = |guesses: Vec<Guess>| guesses.into_iter().map(|guess| guess.format).collect::<Vec<_>>();
    assert_eq!(names(detect(&formats(), &blob(b"FAKE and more")).await.unwrap()), ["fake", "raw"]);
    assert_eq!(names(detect(&formats(), &blob(b"anything")).await.unwrap()), ["raw"]);
    assert_eq!(names(detect(&formats()[1..], &blob(b"")).await.unwrap()), Vec::<String>::new());
}

#[tokio::test]
async fn a_raw_disk_that_looks_like_a_container_is_refused() {
    let container = blob(b"FAKE and more");
    let error = confirm_format("raw", &formats(), &container).await.unwrap_err();
    assert_eq!(error.code(), "denied.ambiguous-content");
    assert!(error.to_string().contains("declared as raw") && error.to_string().contains("fake"));
    confirm_format("fake", &formats(), &container).await.unwrap();
    confirm_format("raw", &formats(), &blob(b"anything")).await.unwrap();
    assert!(confirm_format("fake", &formats(), &blob(b"anything")).await.is_err());
    assert!(confirm_format("fake", &formats()[1..], &blob(b"anything")).await.is_err());
}

#[tokio::test]
async fn a_check_that_gets_nowhere_ends() {
    let error = check(&Script::new(0, vec![]), blob(b""), &Props::new()).await.unwrap_err();
    assert_eq!(error.code(), "plugin.check");
    let report = check(&FakeFormat::raw(), blob(b"x"), &Props::new()).await.unwrap();
    assert_eq!((report.findings.len(), report.count(Severity::Error), report.cut_off), (0, 0, false));
}
