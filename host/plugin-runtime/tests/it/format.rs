#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use imprint_plugin_runtime::{HostOptions, PluginHost, PluginSource, manifest::section};
use imprint_ports::{
    BlockSource, CreateRequest, DiskFormat, ErrorClass, ExtentKind, FormatImage, Origin, PortError, Props,
};
use tokio::time::Instant;

use crate::components::{bare, host, manifest};

const SIZE: u64 = 32 << 20;

struct Zeroes;

impl BlockSource for Zeroes {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_exact_at(&self, buf: &mut [u8], _offset: u64) -> io::Result<()> {
        buf.fill(0);
        Ok(())
    }
}

fn mode(mode: &str) -> Props {
    BTreeMap::from([("mode".to_owned(), mode.to_owned())])
}

async fn open(format: &Arc<dyn DiskFormat>, with: &str) -> Result<Box<dyn FormatImage>, PortError> {
    format.open(Arc::new(Zeroes), &mode(with)).await
}

/// After any failure, the next instance of the same plugin works.
async fn still_works(host: &PluginHost) {
    let format = host.format("hostile").unwrap();
    let mut image = open(&format, "").await.unwrap();
    assert_eq!(image.info().await.unwrap().virtual_size, SIZE);
    let page = image.extents(4096, SIZE, 100).await.unwrap();
    assert!(page.done);
    assert_eq!(page.extents.len(), 1);
    let extent = page.extents[0];
    assert_eq!((extent.offset, extent.length, extent.kind), (4096, SIZE - 4096, ExtentKind::Data));
}

async fn fails_to_open(with: &str) -> PortError {
    let host = host(&["hostile-format"]).await;
    let Err(error) = open(&host.format("hostile").unwrap(), with).await else {
        panic!("mode {with} must fail")
    };
    still_works(&host).await;
    error
}

async fn bad_extents(with: &str) -> PortError {
    let host = host(&["hostile-format"]).await;
    let mut image = open(&host.format("hostile").unwrap(), with).await.unwrap();
    let error = image.extents(0, SIZE, 100).await.unwrap_err();
    let later = image.info().await.unwrap_err();
    assert_eq!(later.code, "plugin.over", "the instance is closed");
    drop(image);
    still_works(&host).await;
    error
}

#[tokio::test]
async fn a_good_image_is_described() {
    still_works(&host(&["hostile-format"]).await).await;
}

#[tokio::test]
async fn an_endless_loop_runs_into_its_cpu_limit() {
    let started = Instant::now();
    let error = fails_to_open("loop").await;
    assert_eq!((error.origin, error.code.as_str()), (Origin::Timeout, "plugin.cpu-limit"));
    assert!(started.elapsed() < Duration::from_secs(60), "far below the limit of a call");
}

#[tokio::test]
async fn loops_do_not_stop_the_other_tasks_of_the_runtime() {
    let host = host(&["hostile-format"]).await;
    let format = host.format("hostile").unwrap();
    let looping = tokio::spawn(async move { open(&format, "loop").await.map(drop) });
    let mut ticks = 0_u32;
    while !looping.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        ticks += 1;
    }
    assert_eq!(looping.await.unwrap().unwrap_err().code, "plugin.cpu-limit");
    assert!(ticks >= 3, "this one thread served only {ticks} timers during the loop");
}

#[tokio::test]
async fn allocating_without_end_runs_into_the_memory_limit() {
    let error = fails_to_open("allocate").await;
    assert_eq!((error.origin, error.code.as_str()), (Origin::Trap, "plugin.memory-limit"));
    assert!(error.message.contains("16777216"), "{}", error.message);
}

#[tokio::test]
async fn a_panic_is_a_trap_with_its_message() {
    let error = fails_to_open("trap").await;
    assert_eq!((error.origin, error.code.as_str()), (Origin::Trap, "plugin.trap"));
    assert!(error.message.contains("panics on purpose"), "{}", error.message);
}

#[tokio::test]
async fn a_stack_overflow_is_a_trap() {
    let error = fails_to_open("recurse").await;
    assert_eq!((error.origin, error.code.as_str()), (Origin::Trap, "plugin.trap"));
}

#[tokio::test]
async fn an_error_of_the_plugin_keeps_its_class_and_code() {
    let error = fails_to_open("error").await;
    assert_eq!((error.origin, error.class), (Origin::Plugin, ErrorClass::Corrupt));
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("hostile.corrupt", "the image is refused on purpose")
    );
}

#[tokio::test]
async fn a_long_message_is_cut() {
    let error = fails_to_open("huge-error").await;
    assert_eq!((error.code.as_str(), error.message.len()), ("hostile.huge", 2000));
}

#[tokio::test]
async fn overlapping_extents_are_a_bad_answer() {
    let error = bad_extents("overlap").await;
    assert_eq!((error.origin, error.code.as_str()), (Origin::BadAnswer, "plugin.bad-answer.extents"));
}

#[tokio::test]
async fn more_extents_than_asked_for_are_a_bad_answer() {
    let error = bad_extents("too-many").await;
    assert_eq!((error.origin, error.code.as_str()), (Origin::BadAnswer, "plugin.bad-answer.list"));
}

#[tokio::test]
async fn a_page_that_gets_no_further_is_a_bad_answer() {
    let error = bad_extents("stuck").await;
    assert_eq!((error.origin, error.code.as_str()), (Origin::BadAnswer, "plugin.bad-answer.extents"));
}

#[tokio::test]
async fn a_huge_list_runs_into_the_boundary_limit() {
    let error = bad_extents("huge").await;
    assert_eq!((error.origin, error.code.as_str()), (Origin::Trap, "plugin.boundary-limit"));
}

#[tokio::test]
async fn a_trap_ends_the_image_and_nothing_else() {
    let error = bad_extents("trap-extents").await;
    assert_eq!((error.origin, error.code.as_str()), (Origin::Trap, "plugin.trap"));
}

#[tokio::test]
async fn impossible_disks_are_bad_answers() {
    let host = host(&["hostile-format"]).await;
    let format = host.format("hostile").unwrap();
    for with in ["unit", "size"] {
        let error = open(&format, with).await.unwrap().info().await.unwrap_err();
        assert_eq!(error.code, "plugin.bad-answer.info", "mode {with}");
    }
    let error = format.probe(b"HOSTILE", b"", 7).await.unwrap_err();
    assert_eq!(error.code, "plugin.bad-answer.guess");
    let guess = format.probe(b"something", b"", 9).await.unwrap().unwrap();
    assert_eq!((guess.confidence, guess.format.as_str()), (1, "hostile"));
    still_works(&host).await;
}

#[tokio::test]
async fn bulk_data_does_not_go_through_a_plugin() {
    let host = host(&["hostile-format"]).await;
    let mut image = open(&host.format("hostile").unwrap(), "read-forever").await.unwrap();
    let before = host.usage().boundary;
    let error = image.info().await.unwrap_err();
    assert_eq!(error.code, "plugin.metadata-limit");
    let read = host.usage().boundary.to_plugins - before.to_plugins;
    // Eight lists, each of which takes 8 bytes in addition to its elements.
    assert_eq!(read, (8 << 20) + 8 * 8, "what it read until then crossed the sandbox, and was counted");
}

#[tokio::test]
async fn layouts_are_checked() {
    let host = host(&["hostile-format"]).await;
    let format = host.format("hostile").unwrap();
    let request = |with: &str| CreateRequest {
        virtual_size: SIZE,
        allocated: 0,
        subformat: None,
        options: mode(with),
        append_only: false,
    };
    let mut layout = format.begin_layout(&request("")).await.unwrap();
    assert!(layout.rules().await.unwrap().identity);
    layout.placed(&[]).await.unwrap();
    let page = layout.metadata(SIZE, 0, 4096).await.unwrap();
    assert_eq!((page.done, page.final_size), (true, Some(SIZE)));

    let mut frames = format.begin_layout(&request("frames")).await.unwrap();
    assert_eq!(frames.rules().await.unwrap_err().code, "plugin.bad-answer.list");
    drop((layout, frames));
    let mut big = format.begin_layout(&request("big-page")).await.unwrap();
    assert_eq!(big.metadata(SIZE, 0, 4096).await.unwrap_err().code, "plugin.bad-answer.metadata");
    still_works(&host).await;
}

#[tokio::test]
async fn instances_are_limited_and_waiting_ends() {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let impatient =
        manifest("hostile-format").replace(r#"wall-per-call = "5s""#, r#"wall-per-call = "500ms""#);
    let bytes = section::append(&bare("hostile-format"), &impatient);
    host.load_component(&bytes, PluginSource::Embedded).await.unwrap();
    let format = host.format("hostile").unwrap();
    let first = open(&format, "").await.unwrap();
    let second = open(&format, "").await.unwrap();
    let Err(error) = open(&format, "").await else { panic!("a third instance must wait in vain") };
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Transient, "plugin.busy"));
    drop((first, second));
    still_works(&host).await;
}

#[tokio::test]
async fn use_is_counted() {
    let host = host(&["hostile-format"]).await;
    let format = host.format("hostile").unwrap();
    open(&format, "loop").await.map(drop).unwrap_err();
    let usage = host.plugins()[0].usage;
    assert_eq!((usage.calls, usage.failures), (2, 1));
    assert!((200..2000).contains(&usage.cpu_ms), "{} ms", usage.cpu_ms);
    assert!(usage.memory_peak > 0);
    assert!(usage.boundary.total() > 0);
}
