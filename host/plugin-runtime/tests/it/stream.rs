//! Storages with bytes that pass through the plugin: one that behaves well, and one that misbehaves
//! in every known way.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    collections::BTreeMap,
    fs, io,
    sync::Arc,
    time::{Duration, Instant},
};

use cap_std::{ambient_authority, fs::Dir};
use imprint_data_path::{Disk, EngineError, Limits, Progress, WriteOptions, digest};
use imprint_plugin_runtime::{
    HostOptions, LoadError, PluginHost, PluginSource, StorageGrants, manifest::section,
};
use imprint_ports::{
    BlockSink, BlockSource, ErrorClass, Origin, PortError, Props, ReadLocator, StorageBackend, Upload,
    WriteRequest, WriteTarget,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::components::{bare, host, manifest};

const SIZE: usize = (5 << 20) + 12_345;

struct Pool {
    folder: TempDir,
    storage: Arc<dyn StorageBackend>,
    host: PluginHost,
}

impl Pool {
    async fn new(order: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let host = host(&["hostile-stream"]).await;
        let settings = Props::from([("order".to_owned(), order.to_owned())]);
        let dirs = BTreeMap::from([("pool".to_owned(), Arc::new(dir))]);
        let storage = host
            .storage("stream", StorageGrants { settings, dirs, ..StorageGrants::default() })
            .await
            .unwrap();
        Self { folder, storage, host }
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn begin(&self, key: &str) -> (Box<dyn Upload>, Arc<dyn BlockSink>) {
        let request =
            WriteRequest { key: key.to_owned(), upper_bound: None, needs_random: false, if_absent: true };
        let upload = self.storage.begin_upload(&request).await.unwrap();
        let WriteTarget::Remote(target) = upload.target().clone() else { panic!("it streams") };
        let sink = target.open(CancellationToken::new(), None).await.unwrap();
        (upload, sink)
    }

    async fn put(&self, key: &str, bytes: &[u8]) {
        let (mut upload, sink) = self.begin(key).await;
        let all = bytes.to_vec();
        blocking(move || {
            sink.write_all_at(&all, 0)?;
            sink.set_size(u64::try_from(all.len()).unwrap())?;
            sink.sync()
        })
        .await
        .unwrap();
        let object = upload.commit(u64::try_from(bytes.len()).unwrap(), &[]).await.unwrap();
        assert_eq!(object.size, u64::try_from(bytes.len()).unwrap());
    }

    async fn open(&self, key: &str, cancel: CancellationToken) -> Result<Arc<dyn BlockSource>, PortError> {
        let ReadLocator::Remote(object) = self.storage.open_read(key).await? else { panic!("it streams") };
        object.open(cancel).await
    }

    async fn get(&self, key: &str) -> io::Result<Vec<u8>> {
        let source = self.open(key, CancellationToken::new()).await?;
        blocking(move || {
            let mut bytes = vec![0; usize::try_from(source.size()).unwrap()];
            source.read_exact_at(&mut bytes, 0).map(|()| bytes)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(act).await.unwrap()
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at * 7 / 3 % 251).unwrap()).collect()
}

/// What the plugin is failure for.
fn port_error(error: &io::Error) -> &PortError {
    PortError::of(error).unwrap_or_else(|| panic!("{error} is not about a plugin"))
}

#[tokio::test]
async fn bytes_go_out_and_come_back_in_both_orders() {
    for order in ["any", "ascending"] {
        let pool = Pool::new(order).await;
        pool.put("image", &bytes(SIZE)).await;
        assert_eq!(pool.names(), ["image"], "{order}");
        let stored = fs::read(pool.folder.path().join("image")).unwrap();
        assert!(stored.len() == SIZE && stored != bytes(SIZE), "only the plugin can read it");
        assert!(pool.get("image").await.unwrap() == bytes(SIZE), "{order}");
        let usage = pool.host.usage();
        let through = u64::try_from(SIZE).unwrap();
        assert!(usage.boundary.to_plugins >= 2 * through && usage.boundary.from_plugins >= 2 * through);
        assert_eq!(usage.failures, 0);
    }
}

#[tokio::test]
async fn random_writes_come_from_two_instances_and_leave_holes() {
    let pool = Pool::new("any").await;
    let (mut upload, sink) = pool.begin("image").await;
    assert!(!sink.append_only() && sink.fresh());
    let all = bytes(SIZE);
    let written = all.clone();
    let file = blocking(move || {
        std::thread::scope(|scope| {
            for part in (0..4).rev() {
                let (sink, piece) = (&sink, &written[part << 20..(part + 1) << 20]);
                scope.spawn(move || {
                    sink.write_all_at(piece, u64::try_from((part * 2) << 20).unwrap()).unwrap()
                });
            }
        });
        sink.set_size(8 << 20).and_then(|()| sink.sync())
    });
    file.await.unwrap();
    upload.commit(8 << 20, &[]).await.unwrap();
    let read = pool.get("image").await.unwrap();
    for part in 0..4 {
        let (data, hole) = ((part * 2) << 20, (part * 2 + 1) << 20);
        assert!(read[data..hole] == all[part << 20..(part + 1) << 20], "part {part}");
        assert!(read[hole..].iter().take(1 << 20).all(|byte| *byte == 0), "hole {part}");
    }
}

#[tokio::test]
async fn an_upload_that_appends_takes_nothing_else() {
    let pool = Pool::new("ascending").await;
    let (mut upload, sink) = pool.begin("image").await;
    assert!(sink.append_only());
    let done = blocking(move || {
        assert_eq!(sink.set_size(3).unwrap_err().kind(), io::ErrorKind::NotSeekable);
        sink.write_all_at(b"abc", 0).unwrap();
        sink.write_all_at(b"def", 3).unwrap();
        sink.set_size(6).and_then(|()| sink.sync()).unwrap();
        assert_eq!(sink.write_all_at(b"x", 5).unwrap_err().kind(), io::ErrorKind::NotSeekable);
        assert_eq!(sink.write_all_at(b"x", 6).unwrap_err().kind(), io::ErrorKind::BrokenPipe, "it is over");
    });
    done.await;
    upload.commit(6, &[]).await.unwrap();
    assert_eq!(pool.get("image").await.unwrap(), b"abcdef");
}

#[tokio::test]
async fn misbehaviour_in_reads_is_a_typed_error() {
    let pool = Pool::new("any").await;
    for (key, origin, code) in [
        ("short", Origin::BadAnswer, "plugin.bad-answer.length"),
        ("long", Origin::BadAnswer, "plugin.bad-answer.length"),
        ("trap", Origin::Trap, "plugin.trap"),
        ("loop", Origin::Timeout, "plugin.cpu-limit"),
        ("hang", Origin::Timeout, "plugin.timeout"),
        ("size", Origin::Host, "conflict.source-changed"),
    ] {
        pool.put_natively(key);
        let error = pool.get(key).await.unwrap_err();
        let error = port_error(&error);
        assert_eq!((error.origin, error.code.as_str()), (origin, code), "{key}: {error}");
        assert!(error.message.contains("hostile-stream") || key == "size", "it names the plugin: {error}");
    }
    pool.put("sound", &bytes(100)).await;
    assert_eq!(pool.get("sound").await.unwrap(), bytes(100), "the host still works");
}

#[tokio::test]
async fn transient_failures_are_retried() {
    let pool = Pool::new("any").await;
    for key in ["again", "trap-once"] {
        pool.put(key, &bytes(SIZE)).await;
        assert!(pool.get(key).await.unwrap() == bytes(SIZE), "{key}");
    }
    assert_eq!(pool.host.usage().failures, 1, "one trap, in an instance of its own");
}

#[tokio::test]
async fn misbehaviour_in_writes_is_a_typed_error_and_leaves_nothing() {
    for order in ["any", "ascending"] {
        let pool = Pool::new(order).await;
        for (key, class, code) in [
            ("trap", ErrorClass::Internal, "plugin.trap"),
            ("loop", ErrorClass::LimitExceeded, "plugin.cpu-limit"),
            ("full", ErrorClass::LimitExceeded, "stream.no-space"),
            ("refuse", ErrorClass::Denied, "stream.quota"),
        ] {
            let (mut upload, sink) = pool.begin(key).await;
            let error = blocking(move || sink.write_all_at(&bytes(SIZE), 0).unwrap_err()).await;
            assert_eq!(error.kind() == io::ErrorKind::StorageFull, key == "full");
            let failure = port_error(&error);
            assert_eq!((failure.class, failure.code.as_str()), (class, code), "{key}: {failure}");
            assert!(failure.message.contains("hostile-stream"), "it names the plugin: {failure}");
            upload.abort().await.unwrap();
            assert_eq!(pool.names(), Vec::<String>::new(), "{key}");
        }
    }
}

#[tokio::test]
async fn the_data_path_reports_the_failure_of_the_plugin() {
    let pool = Pool::new("any").await;
    pool.put_natively("trap");
    let source = pool.open("trap", CancellationToken::new()).await.unwrap();
    let disk = blocking(move || Disk::from_raw(source, &Limits::default())).await.unwrap();
    let error = digest(&Arc::new(disk), &WriteOptions::default()).await.unwrap_err();
    assert!(matches!(error, EngineError::Port(_)), "{error:?}");
    assert_eq!(error.code(), "plugin.trap");
    let full = io::Error::from(PortError::host(ErrorClass::LimitExceeded, "stream.no-space", "full"));
    assert!(matches!(EngineError::write(0, full), EngineError::NoSpace { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_ends_a_call_that_hangs() {
    for key in ["hang", "loop"] {
        let pool = Pool::new("any").await;
        pool.put_natively(key);
        let cancel = CancellationToken::new();
        let source = pool.open(key, cancel.clone()).await.unwrap();
        let disk = Arc::new(blocking(move || Disk::from_raw(source, &Limits::default())).await.unwrap());
        let calls = pool.host.usage().calls;
        let options = WriteOptions {
            cancel: cancel.clone(),
            progress: Arc::<Progress>::default(),
            ..WriteOptions::default()
        };
        let running = tokio::spawn(async move { digest(&disk, &options).await });
        while pool.host.usage().calls == calls {
            tokio::task::yield_now().await;
        }
        let started = Instant::now();
        cancel.cancel();
        let error = running.await.unwrap().unwrap_err();
        assert!(matches!(error, EngineError::Cancelled), "{key}: {error:?}");
        // The bound is 100 ms; the machine of a test may be busy.
        assert!(started.elapsed() < Duration::from_secs(2), "{key} took {:?}", started.elapsed());
    }
}

/// Prints how fast bytes pass through a plugin:
///
/// ```text
/// IMPRINT_RATE_MIB=1024 cargo nextest run --release -p imprint-plugin-runtime --no-capture \
///     -E 'test(stream::rate)'
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn rate() {
    let mib: u32 = std::env::var("IMPRINT_RATE_MIB").map_or(8, |text| text.parse().unwrap());
    let pieces = usize::try_from(mib).unwrap();
    let pool = Pool::new("any").await;
    let (mut upload, sink) = pool.begin("image").await;
    let started = Instant::now();
    let piece = bytes(1 << 20);
    let whole = u64::try_from(pieces << 20).unwrap();
    let writing = move || {
        std::thread::scope(|scope| {
            for lane in 0..2 {
                let (sink, piece) = (&sink, &piece);
                scope.spawn(move || {
                    for at in (lane..pieces).step_by(2) {
                        sink.write_all_at(piece, u64::try_from(at << 20).unwrap()).unwrap();
                    }
                });
            }
        });
        sink.set_size(whole).and_then(|()| sink.sync())
    };
    blocking(writing).await.unwrap();
    upload.commit(whole, &[]).await.unwrap();
    let written = started.elapsed();
    let source = pool.open("image", CancellationToken::new()).await.unwrap();
    let disk = Arc::new(blocking(move || Disk::from_raw(source, &Limits::default())).await.unwrap());
    let started = Instant::now();
    digest(&disk, &WriteOptions::default()).await.unwrap();
    let read = started.elapsed();
    let rate = |time: Duration| format!("{:.0} MiB/s", f64::from(mib) / time.as_secs_f64());
    println!(
        "path=guest: written with {} (and synced), read with {} (and digested)",
        rate(written),
        rate(read)
    );
    let through = pool.host.usage().boundary;
    assert!(through.to_plugins >= 2 * whole && through.from_plugins >= 2 * whole);
}

#[tokio::test]
async fn an_object_that_is_replaced_is_noticed() {
    let pool = Pool::new("any").await;
    pool.put("image", &bytes(100)).await;
    let source = pool.open("image", CancellationToken::new()).await.unwrap();
    let same = source.clone();
    assert!(blocking(move || same.unchanged()).await.unwrap());
    fs::write(pool.folder.path().join("image"), bytes(101)).unwrap();
    assert!(!blocking(move || source.unchanged()).await.unwrap());
}

#[tokio::test]
async fn a_storage_that_streams_needs_instances_for_it() {
    let few = manifest("hostile-stream").replace("instances = 4", "instances = 3");
    let component = section::append(&bare("hostile-stream"), &few);
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let error = host.load_component(&component, PluginSource::Embedded).await.unwrap_err();
    assert!(matches!(error, LoadError::Manifest(_)) && error.to_string().contains("instances"), "{error}");
}

impl Pool {
    /// An object that was not uploaded: its bytes have no meaning.
    fn put_natively(&self, key: &str) {
        fs::write(self.folder.path().join(key), bytes(SIZE)).unwrap();
    }
}

#[tokio::test]
async fn a_plugin_checks_its_settings_where_it_can() {
    let folder = TempDir::new().unwrap();
    let host = host(&["hostile-stream", "hostile-storage"]).await;
    let check = async |kind: &str, order: Option<&str>| {
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let settings = order.map(|order| ("order".to_owned(), order.to_owned())).into_iter().collect();
        let dirs = BTreeMap::from([("pool".to_owned(), Arc::new(dir))]);
        host.check_storage(kind, StorageGrants { settings, dirs, ..StorageGrants::default() }).await.unwrap()
    };
    assert_eq!(check("stream", Some("any")).await, Some(Vec::new()));
    let found = check("stream", Some("backwards")).await.unwrap().remove(0);
    assert!(found.is_error && found.setting == "order" && found.message.contains("ascending"), "{found:?}");
    assert!(!check("stream", None).await.unwrap()[0].is_error);
    assert_eq!(check("hostile", None).await, None, "it exports no such check");
}
