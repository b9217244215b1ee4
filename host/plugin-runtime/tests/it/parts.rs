//! Uploads in parts through the shipped S3 plugin, to a server that answers and keeps nothing: how
//! often the plugin is called, and what a second process sends.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use imprint_plugin_runtime::{HostOptions, PluginHost, PluginSource, StorageGrants};
use imprint_ports::{
    BlockSink, ByteRange, PartLog, RemoteUpload, SecretText, SentPart, StorageBackend, Upload, WriteRequest,
    WriteTarget,
};
use tokio_util::sync::CancellationToken;

use crate::components::shipped;

const PART: u64 = 5 << 20;
const PARTS: u64 = 10_000;

/// What the server has seen.
#[derive(Default)]
struct Seen {
    /// The size that it says an object has.
    size: AtomicU64,
    /// The parts that were sent.
    parts: AtomicUsize,
    /// The parts that the last completion named.
    completed: AtomicUsize,
}

/// Answers requests to S3 until the connection ends.
fn serve(stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let document = if request.starts_with("POST") && request.contains("uploads=") {
            "<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>"
        } else if request.starts_with("POST") {
            let named = String::from_utf8(body).unwrap().matches("<PartNumber>").count();
            seen.completed.store(named, SeqCst);
            "<CompleteMultipartUploadResult/>"
        } else if request.starts_with("GET") {
            "<ListMultipartUploadsResult/>"
        } else {
            seen.parts.fetch_add(usize::from(request.starts_with("PUT")), SeqCst);
            ""
        };
        let length = if request.starts_with("HEAD") {
            seen.size.load(SeqCst)
        } else {
            u64::try_from(document.len()).unwrap()
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\netag: \"0123456789abcdef\"\r\nx-amz-checksum-crc32c: AAAAAA==\r\n\
             date: Mon, 30 Nov 2026 06:00:00 GMT\r\nlast-modified: Mon, 30 Nov 2026 06:00:00 GMT\r\n\
             content-length: {length}\r\n\r\n{document}"
        )?;
    }
}

/// The parts of an earlier process, and those of this one.
#[derive(Default)]
struct Log {
    known: Vec<SentPart>,
    sent: Mutex<Vec<SentPart>>,
}

impl PartLog for Log {
    fn known(&self) -> Vec<SentPart> {
        self.known.clone()
    }

    fn sent(&self, part: SentPart) {
        self.sent.lock().unwrap().push(part);
    }
}

struct Bucket {
    host: PluginHost,
    storage: Arc<dyn StorageBackend>,
    seen: Arc<Seen>,
}

/// Opens a storage in a bucket of a server of its own.
#[expect(clippy::disallowed_methods, reason = "the server's threads end with the test")]
async fn bucket() -> Bucket {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::<Seen>::default();
    let of_server = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = of_server.clone();
            std::thread::spawn(move || serve(stream, &seen).ok());
        }
    });
    let host = PluginHost::new(HostOptions::default()).unwrap();
    host.load_component(&shipped("storage-s3"), PluginSource::Embedded).await.unwrap();
    let settings = [
        ("endpoint", endpoint.as_str()),
        ("bucket", "images"),
        ("access-key", "key"),
        ("private-networks", "true"),
        ("part-size", "5"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let grants = StorageGrants {
        settings: settings.into(),
        secrets: BTreeMap::from([("secret-key".to_owned(), SecretText::new("secret".to_owned()))]),
        ..StorageGrants::default()
    };
    let storage = host.storage("s3", grants).await.unwrap();
    Bucket { host, storage, seen }
}

async fn begin(bucket: &Bucket, size: u64) -> Box<dyn Upload> {
    bucket.seen.size.store(size, SeqCst);
    let request = WriteRequest {
        key: "img_1.raw".to_owned(),
        upper_bound: Some(size),
        needs_random: false,
        if_absent: false,
    };
    bucket.storage.begin_upload(&request).await.unwrap()
}

async fn open(upload: &dyn Upload, log: &Arc<Log>) -> Arc<dyn BlockSink> {
    let WriteTarget::Remote(remote) = upload.target() else { panic!("it is sent in parts") };
    let remote: Arc<dyn RemoteUpload> = remote.clone();
    let log: Arc<dyn PartLog> = log.clone();
    remote.open(CancellationToken::new(), Some(log)).await.unwrap()
}

fn range(number: u64) -> ByteRange {
    ByteRange { offset: number * PART, length: PART }
}

fn fill(byte: u8) -> Vec<u8> {
    vec![byte; usize::try_from(PART).unwrap()]
}

async fn written(sink: Arc<dyn BlockSink>, write: impl FnOnce(&dyn BlockSink) + Send + 'static) {
    tokio::task::spawn_blocking(move || write(sink.as_ref())).await.unwrap();
}

/// Sends one part, and returns what is written down of it.
async fn one_part(bucket: &Bucket) -> SentPart {
    let upload = begin(bucket, PART).await;
    let log = Arc::<Log>::default();
    let sink = open(upload.as_ref(), &log).await;
    written(sink, |sink| {
        sink.write_all_at(&fill(1), 0).unwrap();
        sink.set_size(PART).unwrap();
        sink.sync().unwrap();
    })
    .await;
    let part = log.sent.lock().unwrap().pop().unwrap();
    assert_eq!((part.range, part.digest), (range(0), Some(*blake3::hash(&fill(1)).as_bytes())));
    part
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_parts_take_two_dozen_calls_of_the_plugin() {
    let bucket = bucket().await;
    let part = one_part(&bucket).await;
    // All but one of each thousand were sent by an earlier process: the calls are the same.
    let is_sent = |number: &u64| number % 1000 != 500;
    let known = (0..PARTS).filter(is_sent).map(|number| SentPart { range: range(number), ..part.clone() });
    let log = Arc::new(Log { known: known.collect(), ..Log::default() });
    bucket.seen.parts.store(0, SeqCst);
    let before = bucket.host.usage();
    let mut upload = begin(&bucket, PARTS * PART).await;
    let sink = open(upload.as_ref(), &log).await;
    written(sink, move |sink| {
        assert_eq!(u64::try_from(sink.kept().len()).unwrap(), PARTS - 10);
        for number in 0..PARTS {
            if is_sent(&number) {
                sink.keep(range(number)).unwrap();
            } else {
                sink.write_all_at(&fill(2), number * PART).unwrap();
            }
        }
        sink.set_size(PARTS * PART).unwrap();
        sink.sync().unwrap();
    })
    .await;
    upload.commit(PARTS * PART, &[]).await.unwrap();
    assert_eq!(bucket.seen.parts.load(SeqCst), 10);
    assert_eq!(bucket.seen.completed.load(SeqCst), 10_000);
    let after = bucket.host.usage();
    // One call, and those that open the storage for it.
    bucket.storage.stat("img_1.raw").await.unwrap();
    let opening = bucket.host.usage().calls - after.calls - 1;
    assert_eq!(after.calls - before.calls - opening, 24, "{opening} to open the storage");
    let crossed = after.boundary.total() - before.boundary.total();
    assert!(crossed < 8 << 20, "{crossed} bytes crossed the sandbox");
}

/// A later process that reads the disk again sends the parts that have changed, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn parts_with_the_same_bytes_are_not_sent_again() {
    let bucket = bucket().await;
    let part = one_part(&bucket).await;
    let upload = begin(&bucket, 3 * PART).await;
    let token = upload.token().to_owned();
    drop(upload);
    let other = SentPart { range: range(1), ..part.clone() };
    let unread = SentPart { range: range(2), answer: "of another version".to_owned(), ..part.clone() };
    let log = Arc::new(Log { known: vec![part, other, unread], ..Log::default() });
    bucket.seen.parts.store(0, SeqCst);
    let mut upload = bucket.storage.resume_upload("img_1.raw", &token).await.unwrap();
    let sink = open(upload.as_ref(), &log).await;
    assert_eq!(sink.kept(), [range(0), range(1)]);
    written(sink, |sink| {
        for (number, byte) in [(0, 1), (1, 2), (2, 1)] {
            sink.write_all_at(&fill(byte), number * PART).unwrap();
        }
        sink.set_size(3 * PART).unwrap();
        sink.sync().unwrap();
    })
    .await;
    upload.commit(3 * PART, &[]).await.unwrap();
    assert_eq!(bucket.seen.parts.load(SeqCst), 2, "the second has changed, and the third is not known");
    assert_eq!(bucket.seen.completed.load(SeqCst), 3);
    let sent = log.sent.lock().unwrap().iter().map(|part| part.range).collect::<Vec<_>>();
    assert!(sent.contains(&range(1)) && sent.contains(&range(2)) && sent.len() == 2, "{sent:?}");
}
