#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, atomic::AtomicUsize},
};

use crate::{HttpError, HttpOptions, HttpSource, PrivateNetworks, Retries, address::check_address};
use imprint_ports::BlockSource;
use std::{io, sync::atomic::Ordering, time::Duration};

mod misbehaving;

/// How a server of the tests misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteMode {
    Good,
    NoTag,
    NoRanges,
    /// Every other request fails.
    Flaky,
    OtherRange,
    Short,
    Long,
    /// Another object after so many requests.
    ChangesAfter(usize),
    Gone,
}

const SIZE: usize = 300_000;

fn object() -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

/// Options for tests: few attempts, and short pauses within a body.
fn options(url: String) -> HttpOptions {
    let retries = Retries { attempts: 3, pause: Duration::from_millis(500), ..Retries::default() };
    HttpOptions { url, private_networks: PrivateNetworks::All, retries, ..HttpOptions::default() }
}

/// A server on loopback; its threads end with the test's process.
fn serve(mode: WriteMode) -> (HttpOptions, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/disk.raw", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, counter) = (stream.unwrap(), counter.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                while let Some(head) = head(&mut reader) {
                    let number = counter.fetch_add(1, Ordering::SeqCst);
                    let answer = answer(mode, number, &head);
                    if stream.write_all(&answer).is_err()
                        || matches!(mode, WriteMode::Short | WriteMode::Long)
                    {
                        return;
                    }
                }
            });
        }
    });
    (options(url), count)
}

fn head(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim() {
            "" => return Some(lines),
            line => lines.push(line.to_ascii_lowercase()),
        }
    }
}

fn answer(mode: WriteMode, number: usize, head: &[String]) -> Vec<u8> {
    let field = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let plain = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    let new = matches!(mode, WriteMode::ChangesAfter(after) if number >= after);
    let etag = if new { "\"two\"" } else { "\"one\"" };
    match mode {
        WriteMode::NoRanges => {
            return format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes();
        }
        WriteMode::Flaky if number.is_multiple_of(2) => return plain("503 Service Unavailable"),
        WriteMode::Gone if number > 0 => return plain("404 Not Found"),
        WriteMode::Good
        | WriteMode::NoTag
        | WriteMode::Flaky
        | WriteMode::OtherRange
        | WriteMode::Short
        | WriteMode::Long
        | WriteMode::ChangesAfter(_)
        | WriteMode::Gone => {}
    }
    if field("if-match:").is_some_and(|tag| tag != etag) {
        return plain("412 Precondition Failed");
    }
    let range = field("range:").unwrap().strip_prefix("bytes=").unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let last = last.min(SIZE - 1);
    let mut body = object()[first..=last].to_vec();
    let length = body.len();
    let mut shown = first;
    let late = number > 0;
    if late && mode == WriteMode::OtherRange {
        shown += 1;
    }
    if late && mode == WriteMode::Short {
        body.truncate(length / 2);
    }
    if late && mode == WriteMode::Long {
        body.extend(b"more");
    }
    let declared = if mode == WriteMode::Long { body.len() } else { length };
    let etag = if mode == WriteMode::NoTag { String::new() } else { format!("ETag: {etag}\r\n") };
    let end = shown + length - 1;
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {shown}-{end}/{SIZE}\r\n{etag}Content-Length: {declared}\r\n\r\n"
    );
    [head.into_bytes(), body].concat()
}

fn code(error: &io::Error) -> &'static str {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<HttpError>())
        .map_or("not from here", HttpError::code)
}

#[test]
fn any_range_is_read_as_it_is() {
    for mode in [WriteMode::Good, WriteMode::NoTag, WriteMode::Flaky] {
        let source = HttpSource::open(&serve(mode).0).unwrap();
        assert_eq!(source.size(), u64::try_from(SIZE).unwrap());
        let object = object();
        for (start, length) in [(0, 1), (0, SIZE), (SIZE - 1, 1), (12345, 99_999)] {
            let mut buf = vec![0; length];
            source.read_exact_at(&mut buf, u64::try_from(start).unwrap()).unwrap();
            assert!(buf == object[start..start + length], "{mode:?} {start}");
        }
        source.read_exact_at(&mut [], 5).unwrap();
        let behind = source.read_exact_at(&mut [0; 2], u64::try_from(SIZE - 1).unwrap()).unwrap_err();
        assert_eq!(behind.kind(), io::ErrorKind::UnexpectedEof);
        assert!(source.unchanged().unwrap());
    }
}

#[test]
fn unusable_servers_are_refused_when_the_source_is_opened() {
    let open = |mode| HttpSource::open(&serve(mode).0).map(|_| ()).unwrap_err();
    assert_eq!(open(WriteMode::NoRanges), HttpError::NoRanges);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = options(format!("http://{gone}/x"));
    assert_eq!(HttpSource::open(&gone).map(|_| ()).unwrap_err().code(), "http.connect");
}

#[test]
fn answers_that_are_wrong_are_errors_and_never_bytes() {
    for (mode, expected) in [
        (WriteMode::OtherRange, "http.protocol"),
        (WriteMode::Long, "http.protocol"),
        (WriteMode::Gone, "conflict.source-changed"),
        (WriteMode::ChangesAfter(1), "conflict.source-changed"),
    ] {
        let source = HttpSource::open(&serve(mode).0).unwrap();
        let error = source.read_exact_at(&mut [0; 1000], 500).unwrap_err();
        assert_eq!(code(&error), expected, "{mode:?}");
        if expected == "conflict.source-changed" {
            assert!(!source.unchanged().unwrap());
        }
    }
    let (options, requests) = serve(WriteMode::Short);
    let source = HttpSource::open(&options).unwrap();
    let error = source.read_exact_at(&mut [0; 1000], 500).unwrap_err();
    assert!(matches!(code(&error), "http.protocol" | "http.connect"), "{error}");
    // The first byte, and every attempt to read: an answer that was cut off is repeated. A
    // connection that was closed meanwhile is an attempt that the server does not see.
    assert!(matches!(requests.load(Ordering::SeqCst), 3 | 4));
}

#[test]
fn private_networks_are_refused_unless_allowed() {
    for url in
        ["http://127.0.0.1:1/x", "http://[::1]:1/x", "http://10.0.0.1/x", "http://169.254.169.254/latest"]
    {
        let options = HttpOptions { private_networks: PrivateNetworks::None, ..options(url.to_owned()) };
        assert_eq!(
            HttpSource::open(&options).map(|_| ()).unwrap_err().code(),
            "denied.private-network",
            "{url}"
        );
    }
}

#[test]
fn addresses_of_private_networks_are_recognised() {
    let permitted =
        |address: &str| check_address("host", address.parse().unwrap(), &PrivateNetworks::None).is_ok();
    for public in ["93.184.216.34", "2606:4700::1111"] {
        assert!(permitted(public), "{public}");
    }
    for private in ["::ffff:192.168.0.1", "64:ff9b::a00:1", "fd00::1", "100.64.0.1", "0.0.0.0", "224.0.0.1"] {
        assert!(!permitted(private), "{private}");
        assert!(check_address("host", private.parse().unwrap(), &PrivateNetworks::All).is_ok(), "{private}");
    }
}

#[test]
fn urls_with_other_schemes_are_refused() {
    for url in ["ftp://127.0.0.1/x", "file:///etc/passwd", "nonsense", "http:///x", ""] {
        assert_eq!(
            HttpSource::open(&options(url.to_owned())).map(|_| ()).unwrap_err().code(),
            "http.url",
            "{url}"
        );
    }
}
