use super::*;
use crate::{
    testing::{FakeFormat, Script},
    transport::file::MemorySource,
};

fn blob(bytes: &[u8]) -> Arc<dyn BlockSource> {
    Arc::new(MemorySource::new(bytes.to_vec()))
}

#[tokio::test]
async fn a_check_that_gets_nowhere_ends() {
    let error = check(&Script::new(0, vec![]), blob(b""), &Props::new()).await.unwrap_err();
    assert_eq!(error.code(), "plugin.check");
    let report = check(&FakeFormat::raw(), blob(b"x"), &Props::new()).await.unwrap();
    assert_eq!((report.findings.len(), report.count(Severity::Error), report.cut_off), (0, 0, false));
}
